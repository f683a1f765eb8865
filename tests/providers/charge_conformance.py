"""What every payment provider's adapter must do, its stand-in being another process's HTTP.

A test class of a provider inherits `ProviderConformance` and brings its `StandIn`. An adapter is
finished when it passes; each surprise that one provider has for us becomes a case for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiohttp import web

from recoup.providers.protocol import (
    LONGEST_CALL,
    Charge,
    CustomerNeeded,
    Declined,
    Forged,
    Lost,
    Notice,
    NotKnown,
    Order,
    Outcome,
    Paid,
    Processing,
    Provider,
    Told,
)
from recoup.rules.look_up_schedule import SEND_WITHIN, STEPS

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
ATTEMPT = UUID("01890000-0000-7000-8000-000000000001")
KEY = f"payment-{ATTEMPT}"
MUTATIONS = 300

# Bytes that nobody can take for an answer, whoever the provider is.
NONSENSE = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "a page": b"<!doctype html><title>Maintenance</title>",
    "half a JSON": b'{"charge": {"id": "ch',
    "no UTF-8": b'{"id": "\xff\xfe"}',
    "nested without end": b'{"a":' * 100_000,
    "two megabytes": b'"' + b" " * 2_000_000 + b'"',
    "a NUL": b"\0",
}
STATUSES = (200, 201, 204, 301, 400, 401, 402, 403, 404, 409, 418, 429, 500, 502, 503, 504)


class Liar:
    """A server that answers every call with the same bytes."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.headers: dict[str, str] = {}
        self.base = ""

    async def answer(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(
            status=self.status, body=self.body, headers=self.headers,
            content_type="application/json",
        )  # fmt: skip


@asynccontextmanager
async def liar() -> AsyncIterator[Liar]:
    """Run one on a free port of the loopback."""
    it = Liar()
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", it.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield it
    await runner.cleanup()


class StandIn(ABC):
    """A provider to test against, with books of its own, and what only it can say of itself."""

    provider: Provider  # asks the stand-in
    longest_call: timedelta  # by the adapter's own time-outs

    @abstractmethod
    async def after_it_is_done(self, fault: str) -> None:
        """Break the answer to the next calls in this way, once they are done."""

    @abstractmethod
    async def before_anything_is_done(self, fault: str) -> None:
        """Turn the next calls away in this way, with nothing done."""

    @abstractmethod
    async def in_order_again(self) -> None:
        """No faults from now on."""

    @abstractmethod
    async def charged_keys(self) -> list[str]:
        """The idempotency keys of the charges in its books, oldest first."""

    async def let_it_be_paid(self) -> None:  # noqa: B027  cards are paid at once
        """Let the charges that were taken be paid, where that is for the bank to do."""

    @abstractmethod
    def asking(self, base: str) -> Provider:
        """The same adapter, asking another server."""

    @abstractmethod
    def true_answers(self) -> Mapping[str, tuple[int, bytes]]:
        """What it answers, status and body, where all is well, by our word for it."""

    @abstractmethod
    def lies(self) -> Mapping[str, bytes]:
        """Bodies that look like a success under `KEY` and cannot be believed."""

    @abstractmethod
    def signed(self, body: bytes) -> Mapping[str, str]:
        """The headers of a webhook with this body, rightly signed at `NOW`."""

    @abstractmethod
    def event(self) -> bytes:
        """The body of a webhook that says that the charge under `KEY` was paid."""

    def forgeries(
        self, body: bytes, headers: Mapping[str, str]
    ) -> Sequence[tuple[bytes, Mapping[str, str], datetime]]:
        """What nobody may believe: a body, headers and a time each."""
        return [
            (body.replace(b"1000", b"9999"), headers, NOW),
            (body + b" ", headers, NOW),
            (body, {}, NOW),
            (body, {name: value[:-1] + "0" * (value[-1] != "0") for name, value in headers.items()},
             NOW),
            (body, headers, NOW + timedelta(minutes=6)),
            (body, headers, NOW - timedelta(minutes=6)),
        ]  # fmt: skip


class ProviderConformance:
    """Inherit it, and bring a fixture `psp` and the five names below."""

    after: Sequence[str]  # faults that lose the answer to what was done
    before: Sequence[str]  # faults that do nothing and say nothing that counts
    paid_by: str  # a payment method that is paid
    words: Mapping[str, type]  # payment methods and the words that they come to
    unknown_method: str
    taken: type = Paid  # the word for a charge that goes well; a direct debit's is `Processing`
    signs_the_time: bool = True  # else an old webhook is as good as a new one
    answers_look_ups = True  # False: it has no way to say what became of a charge

    def charge(self, psp: StandIn, method: str, *, sent_before: bool = False) -> Charge:
        order = Order(
            attempt_id=ATTEMPT,
            amount_cents=1_000,
            currency="EUR",
            provider_customer_id="cus_1",
            provider_method_id=method,
            reference="Acme - Invoice ACM-001",
            metadata={"lago_invoice_id": "01890000-0000-7000-8000-000000000002"},
        )
        return Charge(KEY, psp.provider.render(order), sent_before=sent_before)

    async def test_each_end_comes_in_one_of_our_words(self, psp: StandIn) -> None:
        for position, (method, word) in enumerate(self.words.items()):
            charge = msgspec.structs.replace(
                self.charge(psp, method), idempotency_key=f"{KEY}-{position}"
            )
            told = await psp.provider.charge(charge)
            assert isinstance(told, word), method
            if not self.answers_look_ups:
                continue
            looked_up = await psp.provider.look_up(charge)
            assert (type(looked_up), _id(looked_up)) == (word, _id(told)), method

    async def test_a_success_says_what_was_taken(self, psp: StandIn) -> None:
        charge = self.charge(psp, self.paid_by)
        paid = await psp.provider.charge(charge)
        if self.taken is not Paid:
            assert isinstance(paid, self.taken)
            await psp.let_it_be_paid()
            paid = await psp.provider.look_up(charge)
        assert isinstance(paid, Paid)
        assert (paid.amount_cents, paid.currency.upper()) == (1_000, "EUR")
        assert paid.provider_payment_id

    async def test_sent_again_it_is_the_same_charge(self, psp: StandIn) -> None:
        first = await psp.provider.charge(self.charge(psp, self.paid_by))
        again = await psp.provider.charge(self.charge(psp, self.paid_by, sent_before=True))
        assert again == first
        assert await psp.charged_keys() == [KEY]

    async def test_a_lost_answer_is_lost_and_charges_once(self, psp: StandIn) -> None:
        for position, fault in enumerate(self.after):
            charge = msgspec.structs.replace(
                self.charge(psp, self.paid_by), idempotency_key=f"{KEY}-{position}"
            )
            await psp.after_it_is_done(fault)
            assert isinstance(await psp.provider.charge(charge), Lost), fault
            await psp.in_order_again()
            again = msgspec.structs.replace(charge, sent_before=True)
            assert isinstance(await psp.provider.charge(again), self.taken), fault
            known = self.taken if self.answers_look_ups else NotKnown
            assert isinstance(await psp.provider.look_up(charge), known), fault
        assert await psp.charged_keys() == [f"{KEY}-{n}" for n in range(len(self.after))]

    async def test_what_was_not_done_is_lost_too_and_a_look_up_does_not_know_it(
        self, psp: StandIn
    ) -> None:
        for position, fault in enumerate(self.before):
            charge = msgspec.structs.replace(
                self.charge(psp, self.paid_by), idempotency_key=f"{KEY}-{position}"
            )
            await psp.before_anything_is_done(fault)
            assert isinstance(await psp.provider.charge(charge), Lost), fault
            lost = Lost if self.answers_look_ups else NotKnown
            assert isinstance(await psp.provider.look_up(charge), lost), fault
            await psp.in_order_again()
            assert isinstance(await psp.provider.look_up(charge), NotKnown), fault
        assert await psp.charged_keys() == []

    async def test_a_refusal_counts_only_where_nothing_was_sent_before(self, psp: StandIn) -> None:
        first = await psp.provider.charge(self.charge(psp, self.unknown_method))
        assert isinstance(first, Declined)
        assert first.code
        again = self.charge(psp, self.unknown_method, sent_before=True)
        assert isinstance(await psp.provider.charge(again), Lost)

    async def test_where_nobody_listens_it_is_lost(self, psp: StandIn) -> None:
        nobody = psp.asking("http://127.0.0.1:9")
        assert isinstance(await nobody.charge(self.charge(psp, self.paid_by)), Lost)
        lost = Lost if self.answers_look_ups else NotKnown
        assert isinstance(await nobody.look_up(self.charge(psp, self.paid_by)), lost)

    async def test_a_call_has_ended_before_anybody_looks_it_up(self, psp: StandIn) -> None:
        assert psp.longest_call <= LONGEST_CALL
        assert STEPS[0] > SEND_WITHIN + LONGEST_CALL

    @pytest.mark.parametrize("nonsense", NONSENSE)
    async def test_nonsense_is_lost_whatever_its_status(self, psp: StandIn, nonsense: str) -> None:
        async with liar() as server:
            provider = psp.asking(server.base)
            server.body = NONSENSE[nonsense]
            for server.status in STATUSES:
                for sent_before in (False, True):
                    charge = self.charge(psp, self.paid_by, sent_before=sent_before)
                    assert isinstance(await provider.charge(charge), Lost), server.status
                lost = Lost if self.answers_look_ups else NotKnown
                assert isinstance(await provider.look_up(charge), lost), server.status

    async def test_what_cannot_be_believed_is_lost(self, psp: StandIn) -> None:
        async with liar() as server:
            provider = psp.asking(server.base)
            for lie, server.body in psp.lies().items():
                assert isinstance(await provider.charge(self.charge(psp, self.paid_by)), Lost), lie

    async def test_no_bytes_make_it_raise(self, psp: StandIn) -> None:
        """True answers with a few bytes changed: told by some word, and never by an error."""
        chance, words = Random(1), set()
        async with liar() as server:
            provider = psp.asking(server.base)
            for server.status, body in psp.true_answers().values():
                for _ in range(MUTATIONS):
                    server.body = _mutated(body, chance)
                    told = await provider.charge(self.charge(psp, self.paid_by))
                    assert isinstance(told, Paid | Processing | CustomerNeeded | Declined | Lost)
                    words.add(type(told))
        assert Lost in words

    async def test_a_webhook_is_believed_by_its_signature(self, psp: StandIn) -> None:
        body = psp.event()
        headers = psp.signed(body)
        verified = psp.provider.verify(body, headers, now=NOW)
        assert not isinstance(verified, Forged)
        [delivery] = verified
        notice = psp.provider.read_event(delivery.body)
        assert isinstance(notice, Notice)
        assert (notice.idempotency_key, type(notice.outcome)) == (KEY, Paid)
        forged = psp.forgeries(body, headers)
        for forgery, said, now in forged:
            if now != NOW and not self.signs_the_time:
                continue
            assert isinstance(psp.provider.verify(forgery, said, now=now), Forged)

    async def test_no_webhook_makes_it_raise(self, psp: StandIn) -> None:
        """Rightly signed by somebody who writes nonsense: not to be read, or read as something."""
        chance, seen = Random(2), set()
        bodies = [*NONSENSE.values(), *(_mutated(psp.event(), chance) for _ in range(MUTATIONS))]
        for body in bodies:
            verified = psp.provider.verify(body, psp.signed(body), now=NOW)
            seen.add(type(verified))
            if not isinstance(verified, Forged):
                for delivery in verified:
                    said = psp.provider.read_event(delivery.body)
                    assert isinstance(said, Told)
                    assert "\0" not in delivery.event_id + delivery.body
        assert {Forged, list} <= seen


def _mutated(body: bytes, chance: Random) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = bytes([chance.randrange(256)])
            case _:
                changed[at:at] = changed[at : at + 20]
        if not changed:
            break
    return bytes(changed)


def _id(told: Outcome | NotKnown) -> Any:
    return getattr(told, "provider_payment_id", None)
