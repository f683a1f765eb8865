"""What every adapter must do with a charge, while the wire holds."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from recoup.providers.protocol import (
    LONGEST_CALL,
    Charge,
    CustomerNeeded,
    Declined,
    Lost,
    NotChargeable,
    NotKnown,
    Order,
    Outcome,
    Paid,
    Processing,
)
from recoup.rules.look_up_schedule import SEND_WITHIN, STEPS
from recoup.rules.manner import Manner
from tests.providers.nonsense import NONSENSE, STATUSES, can_be_kept, liar, mutated
from tests.providers.stand_in import ATTEMPT, KEY, StandIn

MUTATIONS = 300


class ChargeOrders:
    """Makes the charges of a test. `number` tells those of one test apart."""

    paid_by: str  # a payment method that is paid, at once or in the end
    open_by: str  # one whose charge can still be canceled: not decided, or waiting for the payer
    words: Mapping[str, type]  # payment methods and the words that they come to at first
    unknown_method: str

    def order(self, psp: StandIn, method: str | None, number: int = 0, **fields: Any) -> Order:
        order = Order(
            attempt_id=UUID(int=ATTEMPT.int + number),
            amount_cents=1_000,
            currency="EUR",
            provider_customer_id=psp.customer_id,
            provider_method_id=None if method is None else psp.method_id(method),
            reference="Acme - Invoice ACM-001",
            metadata={"lago_invoice_id": str(UUID(int=ATTEMPT.int + 1_000 + number))},
            return_url="https://shop.example/thanks",
            customer_email="payer@customer.example",
            customer_country="DE",
        )
        return msgspec.structs.replace(order, **fields)

    def charge(
        self, psp: StandIn, method: str, number: int = 0, *, sent_before: bool = False
    ) -> Charge:
        return self.of_order(psp, self.order(psp, method, number), sent_before=sent_before)

    def page(self, psp: StandIn, number: int = 0) -> Charge:
        return self.of_order(psp, self.order(psp, None, number, manner=Manner.PAGE))

    def of_order(self, psp: StandIn, order: Order, *, sent_before: bool = False) -> Charge:
        request = psp.provider.render(order)
        assert isinstance(request, str), f"{order.manner} is {request}"
        return Charge(f"payment-{order.attempt_id}", request, sent_before=sent_before)

    async def begun(self, psp: StandIn, charge: Charge) -> Charge:
        """Send a charge over a sound wire, and keep the provider's id as the service does."""
        told = await psp.provider.charge(charge)
        assert not isinstance(told, Lost), told
        return msgspec.structs.replace(
            charge, sent_before=True, provider_payment_id=told.provider_payment_id
        )

    async def paid(self, psp: StandIn, number: int = 0) -> Charge:
        """A charge that was paid, in the end."""
        charge = await self.begun(psp, self.charge(psp, self.paid_by, number))
        assert charge.provider_payment_id
        await psp.pay(charge.provider_payment_id)
        return charge


class ChargeConformance(ChargeOrders):
    """Charge, look up, cancel."""

    async def test_each_end_comes_in_one_of_our_words(self, psp: StandIn) -> None:
        for number, (method, word) in enumerate(self.words.items()):
            charge = self.charge(psp, method, number)
            told = await psp.provider.charge(charge)
            assert isinstance(told, word), method
            looked_up = await psp.provider.look_up(charge)
            if psp.answers_look_ups:
                assert (type(looked_up), id_of(looked_up)) == (word, id_of(told)), method
            else:
                assert isinstance(looked_up, NotKnown), method

    async def test_a_success_says_what_was_taken(self, psp: StandIn) -> None:
        charge = self.charge(psp, self.paid_by)
        told = await psp.provider.charge(charge)
        assert isinstance(told, psp.truth)
        if not isinstance(told, Paid):
            await psp.pay(told.provider_payment_id)
            known = msgspec.structs.replace(charge, provider_payment_id=told.provider_payment_id)
            looked_up = await psp.provider.look_up(known)
            if not psp.answers_look_ups:
                assert isinstance(looked_up, NotKnown)
                return
            assert id_of(looked_up) == id_of(told)
            told = looked_up
        assert isinstance(told, Paid)
        assert (told.amount_cents, told.currency.upper()) == (1_000, "EUR")
        assert told.provider_payment_id

    async def test_sent_again_it_is_the_same_charge(self, psp: StandIn) -> None:
        first = await psp.provider.charge(self.charge(psp, self.paid_by))
        again = await psp.provider.charge(self.charge(psp, self.paid_by, sent_before=True))
        assert again == first
        assert await psp.charged_keys() == [KEY]

    async def test_a_refusal_counts_only_where_nothing_was_sent_before(self, psp: StandIn) -> None:
        first = await psp.provider.charge(self.charge(psp, self.unknown_method))
        assert isinstance(first, Declined)
        assert first.code
        again = self.charge(psp, self.unknown_method, sent_before=True)
        assert isinstance(await psp.provider.charge(again), Lost)

    async def test_what_is_no_currency_is_not_charged(self, psp: StandIn) -> None:
        told = psp.provider.render(self.order(psp, self.paid_by, currency="XXX"))
        assert isinstance(told, NotChargeable)
        assert told.code

    async def test_a_canceled_charge_is_dead(self, psp: StandIn) -> None:
        charge = await self.begun(psp, self.charge(psp, self.open_by))
        for _ in range(2):  # asked again, it says the same
            told = await psp.provider.cancel(charge)
            assert isinstance(told, psp.cancel_truth)
            assert not isinstance(told, Declined) or told.code == "canceled"
            assert id_of(told) == charge.provider_payment_id
        if psp.cancel_truth is Declined and psp.answers_look_ups:
            looked_up = await psp.provider.look_up(charge)
            assert isinstance(looked_up, Declined)
            assert looked_up.code == "canceled"

    async def test_what_was_made_anew_is_asked_about_by_its_id_alone(self, psp: StandIn) -> None:
        """After a restore nobody knows any more what was sent."""
        if not psp.lists_charges:
            return  # nothing is made anew from a list that there is not
        paid = await self.paid(psp)
        sent = await self.begun(psp, self.charge(psp, self.open_by, 1))
        for charge, ends_as in ((paid, Paid), (sent, psp.cancel_truth)):
            anew = msgspec.structs.replace(charge, request="")
            looked_up = await psp.provider.look_up(anew)
            assert looked_up == await psp.provider.look_up(charge)
            assert not isinstance(looked_up, Lost | NotKnown)
            told = await psp.provider.cancel(anew)
            assert isinstance(told, ends_as)

    async def test_what_was_paid_is_not_canceled(self, psp: StandIn) -> None:
        charge = await self.paid(psp)
        told = await psp.provider.cancel(charge)
        # Where the provider decides later, it has taken the question and says nothing else yet.
        assert isinstance(told, Paid if psp.cancel_truth is Declined else Paid | Processing)
        if psp.answers_look_ups:
            assert isinstance(await psp.provider.look_up(charge), Paid)

    async def test_where_nobody_listens_it_is_lost(self, psp: StandIn) -> None:
        nobody = psp.asking("http://127.0.0.1:9")
        charge = self.charge(psp, self.paid_by)
        answers = [await nobody.charge(charge)]
        if psp.answers_look_ups:
            answers.append(await nobody.look_up(charge))  # type: ignore[arg-type]
        for lost in answers:
            assert isinstance(lost, Lost)
            assert lost.is_outage

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
                    told = await provider.charge(charge)
                    assert isinstance(told, Lost), server.status
                    assert told.is_outage is (server.status >= 500), server.status
                looked_up = await provider.look_up(charge)
                assert isinstance(looked_up, Lost if psp.answers_look_ups else NotKnown)

    async def test_what_cannot_be_believed_is_lost(self, psp: StandIn) -> None:
        async with liar() as server:
            provider = psp.asking(server.base)
            for lie, server.body in psp.lies().items():
                assert isinstance(await provider.charge(self.charge(psp, self.paid_by)), Lost), lie

    async def test_no_bytes_make_a_charge_raise(self, psp: StandIn) -> None:
        """True answers with a few bytes changed: told by some word, and never by an error."""
        chance, words = Random(1), set()
        async with liar() as server:
            provider = psp.asking(server.base)
            for server.status, body in psp.true_answers().values():
                for _ in range(MUTATIONS):
                    server.body = mutated(body, chance)
                    told = await provider.charge(self.charge(psp, self.paid_by))
                    assert isinstance(told, Paid | Processing | CustomerNeeded | Declined | Lost)
                    assert can_be_kept(told), server.body
                    words.add(type(told))
        assert Lost in words


def id_of(told: Outcome | NotKnown) -> Any:
    """The provider's id of the charge that an answer is about, where it tells one."""
    return getattr(told, "provider_payment_id", None)
