"""GoCardless's adapter, against a GoCardless of the tests' own over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest
import pytest_asyncio
from gocardless_pro import services

from recoup.providers.gocardless import LIVE, SANDBOX, GoCardlessProvider, GoCardlessSecrets
from recoup.providers.gocardless_calls import (
    CONNECT_SECONDS,
    MOST_ANSWER_BYTES,
    READ_SECONDS,
    Calls,
)
from recoup.providers.protocol import (
    Charge,
    ChargeList,
    CustomerMade,
    Declined,
    Lost,
    Manner,
    NewCustomer,
    NotChargeable,
    NotKnown,
    Order,
    Outcome,
    Page,
    Paid,
    Processing,
    Provider,
    Refund,
    Refunded,
    RefundOrder,
    RefundProcessing,
    Reversed,
    SetUpOrder,
    StoredMethod,
)
from tests.providers.charge_conformance import ATTEMPT, KEY, ProviderConformance, StandIn, liar
from tests.providers.gocardless_stub import NOW, TOKEN, Schemas, Stub, event, gocardless_stub

SECRETS = GoCardlessSecrets(TOKEN, "whsec_canary_new", "whsec_canary_old")
REFUND = UUID("01890000-0000-7000-8000-0000000000aa")
METADATA = {
    "lago_invoice_id": "01890000-0000-7000-8000-000000000002",
    "lago_customer_id": "01890000-0000-7000-8000-000000000003",
    "lago_organization_id": "01890000-0000-7000-8000-000000000004",
    "lago_payable_type": "Invoice",
    "invoice_type": "one_off",
}
NOTED = {"lago_payment_id": str(ATTEMPT), "recoup_amount": "1000 EUR"}
PAYMENT: Mapping[str, Any] = {
    "id": "PM1",
    "amount": 1_000,
    "currency": "EUR",
    "status": "pending_submission",
    "links": {"mandate": "MD1"},
    "metadata": NOTED,
}


def order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "attempt_id": ATTEMPT,
        "amount_cents": 1_000,
        "currency": "EUR",
        "provider_customer_id": "CU1",
        "provider_method_id": "MD1",
        "reference": "Acme - Invoice ACM-001",
        "metadata": METADATA,
    }
    return Order(**{**fields, **changes})


def a_charge(provider: Provider, **changes: Any) -> Charge:
    rendered = provider.render(order())
    assert isinstance(rendered, str)
    return msgspec.structs.replace(Charge(KEY, rendered), **changes)


def a_payment(**changes: Any) -> bytes:
    return msgspec.json.encode({"payments": {**PAYMENT, **changes}})


def signature(body: bytes, secret: str = SECRETS.webhook_secret) -> dict[str, str]:
    return {"webhook-signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


class GoCardlessStandIn(StandIn):
    """The stub on a free port."""

    longest_call = timedelta(seconds=CONNECT_SECONDS + READ_SECONDS)

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self.provider = self.asking(stub.base)
        stub.mandate("MD1")
        stub.mandate("MD_FAILING")
        stub.statuses["MD_FAILING"] = "failed"  # as instant schemes do at once

    async def after_it_is_done(self, fault: str) -> None:
        self.stub.fault = fault
        self.stub.in_order.clear()

    async def before_anything_is_done(self, fault: str) -> None:
        self.stub.fault = fault

    async def in_order_again(self) -> None:
        self.stub.fault = ""
        self.stub.in_order.set()

    async def charged_keys(self) -> list[str]:
        return [key for book, key in self.stub.keys if book == "payments"]

    async def let_it_be_paid(self) -> None:
        for payment in self.stub.books["payments"]:
            self.stub.become(payment["id"], "paid_out")

    def asking(self, base: str) -> GoCardlessProvider:
        return GoCardlessProvider(SECRETS, base=base)

    def true_answers(self) -> Mapping[str, tuple[int, bytes]]:
        gone = {"type": "invalid_state", "errors": [{"reason": "mandate_is_inactive"}]}
        return {
            "made": (201, a_payment()),
            "paid": (200, a_payment(status="paid_out")),
            "turned away": (422, msgspec.json.encode({"error": gone})),
        }

    def lies(self) -> Mapping[str, bytes]:
        return {
            "another attempt": a_payment(metadata={"lago_payment_id": "somebody else's"}),
            "no attempt": a_payment(metadata={}),
            "another amount": a_payment(amount=1_001),
            "another currency": a_payment(currency="GBP"),
            "another mandate": a_payment(links={"mandate": "MD2"}),
            "no mandate": a_payment(links={}),
            "no id": a_payment(id=""),
            "an id with a NUL": a_payment(id="PM\0"),
            "an id that is a path": a_payment(id="PM1/actions/retry"),
            "an endless id": a_payment(id="P" * 256),
            "an amount below zero": a_payment(amount=-1),
            "an amount in text": a_payment(amount="1000"),
            "an amount with a point": a_payment(amount=1000.5),
            "an amount that is true": a_payment(amount=True),
            "no currency": a_payment(currency=""),
            "an unknown status": a_payment(status="settled"),
            "a failure that nobody explains": a_payment(status="failed"),
            "two payments": msgspec.json.encode({"payments": [PAYMENT, PAYMENT]}),
            "no envelope": msgspec.json.encode(PAYMENT),
            "no UTF-8 in its id": a_payment().replace(b"PM1", b"PM\xff"),
        }

    def signed(self, body: bytes) -> Mapping[str, str]:
        return signature(body)

    def event(self) -> bytes:
        paid = event("EV1", "payments", "paid_out", {"payment": "PM1"}, metadata=NOTED)
        return msgspec.json.encode({"events": [paid], "meta": {"webhook_id": "WB1"}})


def schemas() -> Schemas | None:
    folder = Path(os.environ.get("RECOUP_SHARED", "../shared")).resolve()
    return Schemas(folder) if folder.is_dir() else None


@pytest_asyncio.fixture
async def psp() -> AsyncIterator[GoCardlessStandIn]:
    async with gocardless_stub(schemas()) as stub:
        yield GoCardlessStandIn(stub)


class TestGoCardless(ProviderConformance):
    """A direct debit: taken at once, paid days later."""

    after = (
        "drop_after", "error_after", "gateway_after", "hang_after", "html", "empty", "no_content",
        "list", "truncated", "conflict_with_nothing", "state_without_errors", "unheard_of",
    )  # fmt: skip
    before = ("drop_before", "error_before", "rate_limited")
    paid_by = "MD1"
    unknown_method = "MD_OF_NOBODY"
    words: ClassVar = {"MD1": Processing, "MD_FAILING": Declined}
    taken = Processing
    signs_the_time = False

    @pytest_asyncio.fixture
    async def psp(self) -> AsyncIterator[GoCardlessStandIn]:
        """The stub, and an account there."""
        async with gocardless_stub(schemas()) as stub:
            yield GoCardlessStandIn(stub)


async def test_what_is_asked_and_answered_fits_the_official_types(shared: Path) -> None:
    official = Schemas(shared)
    async with gocardless_stub(official) as stub:
        psp = GoCardlessStandIn(stub)
        assert isinstance(await psp.provider.charge(a_charge(psp.provider)), Processing)
        assert isinstance(await psp.provider.find_method("MD1", "CU1"), StoredMethod)
    assert set(official.held) == {"PaymentCreateRequest", "Payment", "Mandate"}


async def test_the_very_bytes_that_were_kept_are_sent_each_time(psp: GoCardlessStandIn) -> None:
    rendered = psp.provider.render(order(metadata={"lago_invoice_id": 'é "№" \\ \u2028 €'}))
    assert isinstance(rendered, str)
    for sent_before in (False, True):
        await psp.provider.charge(Charge(KEY, rendered, sent_before=sent_before))
    posts = [one for one in psp.stub.requests if one[0] == "POST"]
    assert [body for _, _, _, body in posts] == [rendered.encode()] * 2
    assert [headers["Idempotency-Key"] for _, _, headers, _ in posts] == [KEY] * 2
    refund = psp.provider.render_refund(a_refund_order("PM1"))
    await psp.provider.refund(Refund(f"refund-{REFUND}", refund))
    assert psp.stub.requests[-1][3] == refund.encode()


def test_what_is_noted_beside_a_payment_fits_and_finds_it_again() -> None:
    provider = GoCardlessProvider(SECRETS, base=None)
    rendered = provider.render(order(manner=Manner.ON_SESSION))
    assert rendered == provider.render(order())
    assert isinstance(rendered, str)
    assert json.loads(rendered) == {
        "payments": {
            "amount": 1_000,
            "currency": "EUR",
            "retry_if_possible": False,
            "metadata": {**NOTED, "lago_invoice_id": METADATA["lago_invoice_id"]},
            "links": {"mandate": "MD1"},
        }
    }
    rendered = provider.render(order(metadata={"k" * 51: "too long a key", "n": "v" * 501}))
    assert isinstance(rendered, str)
    assert json.loads(rendered)["payments"]["metadata"] == {**NOTED, "n": "v" * 500}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"manner": Manner.PAGE}, "invalid_payment_provider"),
        ({"manner": Manner.PAGE, "provider_method_id": None}, "invalid_payment_provider"),
        ({"provider_method_id": None}, "no_mandate_error"),
        ({"currency": "JPY"}, "currency_not_supported"),
        ({"amount_cents": 0}, "amount_too_small"),
    ],
)
def test_what_it_does_not_take_is_not_sent(changes: Mapping[str, Any], code: str) -> None:
    assert GoCardlessProvider(SECRETS, base=None).render(order(**changes)) == NotChargeable(code)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("pending_customer_approval", Processing),
        ("pending_submission", Processing),
        ("submitted", Processing),
        ("confirmed", Processing),
        ("paid_out", Paid),
        ("charged_back", Reversed),
        ("cancelled", Declined),
        ("customer_approval_denied", Declined),
        ("failed", Declined),
        ("of_tomorrow", Lost),
    ],
)
async def test_each_status_has_its_word_however_it_is_asked_for(
    psp: GoCardlessStandIn, status: str, word: type
) -> None:
    psp.stub.schemas = None  # which know no status of tomorrow
    charge = a_charge(psp.provider)
    await psp.provider.charge(charge)
    psp.stub.find("payments", "PM1")["status"] = status
    known = msgspec.structs.replace(charge, provider_payment_id="PM1")
    again = msgspec.structs.replace(charge, sent_before=True)
    told = [
        await psp.provider.look_up(charge),
        await psp.provider.look_up(known),
        await psp.provider.charge(again),
    ]
    assert told == [told[0]] * 3
    assert isinstance(told[0], word)
    if not isinstance(told[0], Lost):
        assert (told[0].status, told[0].provider_payment_id) == (status, "PM1")
    if isinstance(told[0], Paid | Reversed):
        assert (told[0].amount_cents, told[0].currency) == (1_000, "EUR")


async def test_a_look_up_alone_tells_why_a_payment_failed(psp: GoCardlessStandIn) -> None:
    await psp.provider.charge(a_charge(psp.provider))
    psp.stub.become("PM1", "failed", cause="insufficient_funds", reason_code="AM04")
    told = await psp.provider.look_up(a_charge(psp.provider))
    assert isinstance(told, Declined)
    codes = (told.code, told.decline_code, told.network_decline_code, told.method_is_gone)
    assert codes == ("failed", "insufficient_funds", "AM04", False)
    psp.stub.become("PM1", "failed", cause="mandate_cancelled", reason_code="MD01")
    told = await psp.provider.look_up(a_charge(psp.provider))
    assert isinstance(told, Declined)
    assert (told.decline_code, told.method_is_gone) == ("mandate_cancelled", True)


async def test_what_failed_after_it_was_paid_out_was_taken_back(psp: GoCardlessStandIn) -> None:
    await psp.provider.charge(a_charge(psp.provider))
    psp.stub.become("PM1", "paid_out")
    psp.stub.become("PM1", "failed", cause="refer_to_payer")
    told = await psp.provider.look_up(a_charge(psp.provider))
    assert told == Reversed("PM1", "failed", 1_000, "EUR", "failed")


@pytest.mark.parametrize(
    "other",
    [{"amount_cents": 999}, {"currency": "GBP"}, {"provider_method_id": "MD2"},
     {"attempt_id": REFUND}],
)  # fmt: skip
async def test_a_key_that_made_something_else_is_no_success(
    psp: GoCardlessStandIn, other: Mapping[str, Any]
) -> None:
    psp.stub.mandate("MD2")
    rendered = psp.provider.render(order(**other))
    assert isinstance(rendered, str)
    assert isinstance(await psp.provider.charge(Charge(KEY, rendered)), Processing)
    assert await psp.provider.charge(a_charge(psp.provider)) == Lost("another_payment")
    assert isinstance(await psp.provider.look_up(a_charge(psp.provider)), NotKnown)


@pytest.mark.parametrize(
    ("status", "error", "code", "is_gone"),
    [
        (400, {"type": "invalid_api_usage", "errors": [{"reason": "bad_request"}]},
         "bad_request", False),
        (401, {"type": "invalid_api_usage", "errors": [{"reason": "access_token_revoked"}]},
         "access_token_revoked", False),
        (403, {"type": "invalid_api_usage", "errors": [{"reason": "insufficient_permissions"}]},
         "insufficient_permissions", False),
        (404, {"type": "invalid_api_usage", "errors": [{"reason": "resource_not_found"}]},
         "resource_not_found", True),
        (422, {"type": "validation_failed", "errors": [{"field": "amount", "message": "-"}]},
         "validation_failed", False),
        (422, {"type": "validation_failed", "errors": None}, "validation_failed", False),
        (422, {"type": "invalid_state", "errors": [{"reason": "mandate_is_inactive"}]},
         "mandate_is_inactive", True),
        (422, {"type": "invalid_state", "errors": [{"reason": "Bearer sandbox_canary"}]},
         "invalid_state", False),
    ],
)  # fmt: skip
async def test_a_refusal_keeps_its_code_and_nothing_else(
    psp: GoCardlessStandIn, status: int, error: Mapping[str, Any], code: str, is_gone: bool
) -> None:
    async with liar() as server:
        server.status, provider = status, psp.asking(server.base)
        server.body = msgspec.json.encode({"error": {"message": TOKEN, **error}})
        told = await provider.charge(a_charge(provider))
        assert told == Declined(code=code, method_is_gone=is_gone)
        again = await provider.charge(a_charge(provider, sent_before=True))
        assert again == Lost(f"http_{status}")
        assert await provider.look_up(a_charge(provider)) == Lost(f"http_{status}")
        known = a_charge(provider, provider_payment_id="PM1")
        assert await provider.look_up(known) == Lost(f"http_{status}")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"RateLimit-Reset": "31"}, 31),
        ({"RateLimit-Reset": "Mon, 01 Mar 2027 12:00:40 GMT",
          "Date": "Mon, 01 Mar 2027 12:00:00 GMT"}, 40),
        ({"RateLimit-Reset": "Mon, 01 Mar 2027 11:00:00 GMT",
          "Date": "Mon, 01 Mar 2027 12:00:00 GMT"}, 0),
        ({"Retry-After": "soon", "RateLimit-Reset": "9" * 400}, None),
        ({}, None),
    ],
)  # fmt: skip
async def test_a_429_says_how_long_to_wait(
    psp: GoCardlessStandIn, headers: dict[str, str], seconds: float | None
) -> None:
    psp.stub.fault, psp.stub.headers = "rate_limited", headers
    assert await psp.provider.charge(a_charge(psp.provider)) == Lost("http_429", seconds)
    assert await psp.provider.look_up(a_charge(psp.provider)) == Lost("http_429", seconds)
    assert psp.stub.books["payments"] == []


@pytest.mark.parametrize(
    ("fault", "is_outage"),
    [
        ("drop_before", True), ("drop_after", True), ("error_before", True), ("error_after", True),
        ("gateway_after", True), ("truncated", True), ("rate_limited", False), ("html", False),
        ("empty", False), ("list", False), ("conflict_with_nothing", False), ("unheard_of", False),
    ],
)  # fmt: skip
async def test_a_fault_is_met_once_and_tells_whether_the_provider_is_down(
    psp: GoCardlessStandIn, fault: str, is_outage: bool
) -> None:
    psp.stub.fault = fault
    told = await psp.provider.charge(a_charge(psp.provider))
    assert isinstance(told, Lost)
    assert told.is_outage is is_outage
    assert len(psp.stub.requests) == 1, "the SDK has tried again"


async def test_a_redirect_is_not_followed(psp: GoCardlessStandIn) -> None:
    async with liar() as server:
        server.headers = {"Location": f"{psp.stub.base}/payments"}
        provider = psp.asking(server.base)
        for server.status in (301, 302, 303, 307, 308):
            for server.body in (b"", a_payment()):
                assert isinstance(await provider.charge(a_charge(provider)), Lost)
    assert psp.stub.requests == []


async def test_the_token_is_not_replaced_by_a_netrc(
    psp: GoCardlessStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert isinstance(await psp.provider.charge(a_charge(psp.provider)), Processing)


async def test_an_answer_that_drips_on_and_on_ends_with_its_time() -> None:
    enough = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(ConnectionError):
            while not enough.is_set():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    base = "http://{}:{}".format(*server.sockets[0].getsockname())
    calls = Calls(base, TOKEN, deadline=time.monotonic() + CONNECT_SECONDS + 0.5)
    asked = asyncio.create_task(
        asyncio.to_thread(calls.ask, services.PaymentsService, lambda payments: payments.get("PM1"))
    )
    ended, _ = await asyncio.wait([asked], timeout=CONNECT_SECONDS + 3)
    enough.set()
    told = await asked
    assert isinstance(told, Lost)
    assert ended, "it went on for as long as there was something to read"
    server.close()


async def test_an_endless_answer_is_not_read_to_its_end(psp: GoCardlessStandIn) -> None:
    async with liar() as server:
        provider = psp.asking(server.base)
        server.body = a_payment() + b" " * MOST_ANSWER_BYTES
        assert isinstance(await provider.charge(a_charge(provider)), Lost)


async def test_what_waited_too_long_for_its_turn_is_not_begun(psp: GoCardlessStandIn) -> None:
    calls = Calls(psp.stub.base, TOKEN, deadline=time.monotonic() + CONNECT_SECONDS)
    told = calls.ask(services.PaymentsService, lambda payments: payments.get("PM1"))
    assert told == Lost("no_time_was_left")
    assert psp.stub.requests == []


async def test_who_stops_waiting_has_not_undone_the_charge(psp: GoCardlessStandIn) -> None:
    await psp.after_it_is_done("hang_after")
    asked = asyncio.create_task(psp.provider.charge(a_charge(psp.provider)))
    await psp.stub.arrived.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await psp.in_order_again()
    again = await psp.provider.charge(a_charge(psp.provider, sent_before=True))
    assert isinstance(again, Processing)
    assert await psp.charged_keys() == [KEY]


async def test_a_look_up_reads_the_list_to_its_end(psp: GoCardlessStandIn) -> None:
    psp.stub.longest_page = 2
    await psp.provider.charge(a_charge(psp.provider))
    for number in range(5):
        rendered = psp.provider.render(order(attempt_id=UUID(int=number + 1)))
        assert isinstance(rendered, str)
        await psp.provider.charge(Charge(f"payment-{number}", rendered))
    told = await psp.provider.look_up(a_charge(psp.provider, sent_at=NOW))
    assert told == Processing("PM1", "pending_submission")
    lists = [path for method, path, _, _ in psp.stub.requests if method == "GET"]
    assert len(lists) == 3
    assert all("mandate=MD1" in path and "11%3A59%3A00.000Z" in path for path in lists)
    psp.stub.books["payments"].pop(0)
    assert isinstance(await psp.provider.look_up(a_charge(psp.provider)), NotKnown)


async def test_a_list_without_an_end_proves_nothing(psp: GoCardlessStandIn) -> None:
    async with liar() as server:
        provider = psp.asking(server.base)
        bodies = [
            {"payments": []},
            {"payments": [], "meta": {}},
            {"payments": [], "meta": {"cursors": None}},
            {"payments": None, "meta": {"cursors": {"after": None}}},
            {"meta": {"cursors": {"after": None}}},
            {"payments": [{"id": "PM1"}], "meta": {"cursors": {"after": None}}},
        ]
        for body in bodies:
            server.body = msgspec.json.encode(body)
            assert isinstance(await provider.look_up(a_charge(provider)), Lost), body
        server.body = msgspec.json.encode({"payments": [], "meta": {"cursors": {"after": None}}})
        assert isinstance(await provider.look_up(a_charge(provider)), NotKnown)


async def test_an_answer_about_another_payment_is_none(psp: GoCardlessStandIn) -> None:
    async with liar() as server:
        provider, server.body = psp.asking(server.base), a_payment(status="paid_out")
        known = a_charge(provider, provider_payment_id="PM2")
        assert await provider.look_up(known) == Lost("another_payment")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("pending_submission", Declined),
        ("cancelled", Declined),
        ("failed", Declined),
        ("submitted", Processing),
        ("confirmed", Processing),
        ("paid_out", Paid),
    ],
)
async def test_an_end_is_asked_for_and_what_became_of_it_is_told(
    psp: GoCardlessStandIn, status: str, told: type[Outcome]
) -> None:
    await psp.provider.charge(a_charge(psp.provider))
    psp.stub.find("payments", "PM1")["status"] = status
    outcome = await psp.provider.cancel(a_charge(psp.provider, provider_payment_id="PM1"))
    assert isinstance(outcome, told)
    if isinstance(outcome, Declined):
        assert outcome.code == "canceled"
    assert psp.stub.find("payments", "PM1")["status"] == (
        "cancelled" if status == "pending_submission" else status
    )


async def test_what_it_does_not_have_cannot_be_called_dead(psp: GoCardlessStandIn) -> None:
    assert isinstance(await psp.provider.cancel(a_charge(psp.provider)), Lost)


def a_refund_order(payment_id: str, **changes: Any) -> RefundOrder:
    fields: dict[str, Any] = {
        "refund_id": REFUND,
        "provider_payment_id": payment_id,
        "amount_cents": 400,
        "currency": "EUR",
        "charged_cents": 1_000,
        "reference": f"refund-{REFUND}",
        "metadata": {"lago_refund_id": str(REFUND), "lago_payment_id": str(ATTEMPT), "more": "-"},
    }
    return RefundOrder(**{**fields, **changes})


async def a_paid_payment(psp: GoCardlessStandIn) -> None:
    await psp.provider.charge(a_charge(psp.provider))
    psp.stub.become("PM1", "paid_out")


async def test_a_refund_is_made_once_and_its_sum_is_confirmed(psp: GoCardlessStandIn) -> None:
    await a_paid_payment(psp)
    first = Refund(f"refund-{REFUND}", psp.provider.render_refund(a_refund_order("PM1")))
    for sent_before in (False, True):
        told = await psp.provider.refund(msgspec.structs.replace(first, sent_before=sent_before))
        assert told == RefundProcessing("RF1", "pending_submission")
    second = a_refund_order("PM1", refund_id=UUID(int=7), refunded_before_cents=400)
    told = await psp.provider.refund(Refund("refund-7", psp.provider.render_refund(second)))
    assert told == RefundProcessing("RF2", "pending_submission")
    third = a_refund_order("PM1", refund_id=UUID(int=8))  # knows nothing of the others
    refused = await psp.provider.refund(Refund("refund-8", psp.provider.render_refund(third)))
    assert refused == Declined(code="total_amount_confirmation_invalid")
    assert psp.stub.find("payments", "PM1")["amount_refunded"] == 800


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("created", RefundProcessing), ("pending_submission", RefundProcessing),
        ("submitted", RefundProcessing), ("paid", Refunded), ("cancelled", Declined),
        ("bounced", Declined), ("funds_returned", Declined), ("failed", Declined),
        ("of_tomorrow", Lost),
    ],
)  # fmt: skip
async def test_each_status_of_a_refund_has_its_word(
    psp: GoCardlessStandIn, status: str, word: type
) -> None:
    await a_paid_payment(psp)
    refund = Refund(f"refund-{REFUND}", psp.provider.render_refund(a_refund_order("PM1")))
    assert isinstance(await psp.provider.look_up_refund(refund), NotKnown)
    await psp.provider.refund(refund)
    psp.stub.become("RF1", status, cause="refund_failed")
    known = msgspec.structs.replace(refund, provider_refund_id="RF1")
    told = [
        await psp.provider.look_up_refund(refund),
        await psp.provider.look_up_refund(known),
        await psp.provider.refund(msgspec.structs.replace(refund, sent_before=True)),
    ]
    assert told == [told[0]] * 3
    assert isinstance(told[0], word)
    if isinstance(told[0], Refunded):
        assert told[0] == Refunded("RF1", "paid", 400, "EUR")
    if status == "bounced":
        assert isinstance(told[0], Declined)
        assert told[0].decline_code == "refund_failed"


async def test_a_refusal_of_a_refund_counts_only_where_nothing_was_sent_before(
    psp: GoCardlessStandIn,
) -> None:
    refund = Refund("refund-1", psp.provider.render_refund(a_refund_order("PM_OF_NOBODY")))
    assert await psp.provider.refund(refund) == Declined(code="resource_not_found")
    again = msgspec.structs.replace(refund, sent_before=True)
    assert isinstance(await psp.provider.refund(again), Lost)


@pytest.mark.parametrize("fault", ["drop_after", "html", "truncated", "error_after"])
async def test_a_lost_answer_to_a_refund_pays_back_once(psp: GoCardlessStandIn, fault: str) -> None:
    await a_paid_payment(psp)
    refund = Refund(f"refund-{REFUND}", psp.provider.render_refund(a_refund_order("PM1")))
    psp.stub.fault = fault
    assert isinstance(await psp.provider.refund(refund), Lost)
    await psp.in_order_again()
    assert isinstance(await psp.provider.look_up_refund(refund), RefundProcessing)
    again = msgspec.structs.replace(refund, sent_before=True)
    assert isinstance(await psp.provider.refund(again), RefundProcessing)
    assert len(psp.stub.books["refunds"]) == 1


async def test_a_key_that_made_another_refund_is_no_success(psp: GoCardlessStandIn) -> None:
    await a_paid_payment(psp)
    for amount_cents, word in ((300, RefundProcessing), (400, Lost)):
        rendered = psp.provider.render_refund(a_refund_order("PM1", amount_cents=amount_cents))
        assert isinstance(await psp.provider.refund(Refund("refund-1", rendered)), word)


async def test_a_customer_is_made_once_per_key(psp: GoCardlessStandIn) -> None:
    new = NewCustomer(
        idempotency_key="customer-1", name="Acme", firstname=None, lastname=None,
        email="acme@example.com", country="DE", metadata={"lago_customer_id": "1", "a": "2"},
    )  # fmt: skip
    before = len(psp.stub.books["customers"])
    made = [await psp.provider.create_customer(new) for _ in range(2)]
    assert made == [CustomerMade(psp.stub.books["customers"][-1]["id"])] * 2
    assert len(psp.stub.books["customers"]) == before + 1
    assert psp.stub.books["customers"][-1]["company_name"] == "Acme"
    assert psp.stub.books["customers"][-1]["country_code"] == "DE"
    nobody = msgspec.structs.replace(new, idempotency_key="customer-2", name=None)
    assert await psp.provider.create_customer(nobody) == Declined(code="validation_failed")
    psp.stub.fault = "html"
    assert isinstance(await psp.provider.create_customer(new), Lost)


@pytest.mark.parametrize(
    ("status", "is_usable"),
    [
        ("pending_customer_approval", True), ("pending_submission", True), ("submitted", True),
        ("active", True), ("suspended_by_payer", False), ("cancelled", None), ("failed", None),
        ("expired", None), ("consumed", None), ("blocked", None),
    ],
)  # fmt: skip
async def test_a_mandate_is_a_method_until_it_ends(
    psp: GoCardlessStandIn, status: str, is_usable: bool | None
) -> None:
    psp.stub.mandate("MD9", status=status, customer="CU9")
    method = None if is_usable is None else StoredMethod(
        provider_method_id="MD9", provider_customer_id="CU9", is_usable=is_usable,
        details={"type": "sepa_core"},
    )  # fmt: skip
    assert await psp.provider.find_method("MD9", "CU9") == (method or NotKnown())
    assert await psp.provider.find_method("MD9", None) == (method or NotKnown())
    assert await psp.provider.find_method("MD9", "CU1") == NotKnown()
    assert await psp.provider.list_methods("CU9") == ([method] if method else [])


async def test_methods_are_listed_to_the_end_and_of_this_customer_alone(
    psp: GoCardlessStandIn,
) -> None:
    psp.stub.longest_page = 2
    for number in range(5):
        psp.stub.mandate(f"MD9{number}", customer="CU9")
    listed = await psp.provider.list_methods("CU9")
    assert not isinstance(listed, NotKnown | Lost)
    assert [method.provider_method_id for method in listed] == [f"MD9{n}" for n in (4, 3, 2, 1, 0)]
    assert await psp.provider.list_methods("CU_OF_NOBODY") == NotKnown()
    psp.stub.fault = "error_before"
    assert isinstance(await psp.provider.list_methods("CU9"), Lost)
    assert isinstance(await psp.provider.find_method("MD90", "CU9"), Lost)
    async with liar() as server:  # which has filtered by nobody
        theirs = {"id": "MD1", "status": "active", "links": {"customer": "CU1"}}
        server.body = msgspec.json.encode(
            {"mandates": [theirs], "meta": {"cursors": {"after": None}}}
        )
        assert isinstance(await psp.asking(server.base).list_methods("CU9"), Lost)


async def test_a_page_is_opened_for_a_new_mandate(psp: GoCardlessStandIn) -> None:
    wanted = SetUpOrder(
        idempotency_key="set-up-1", provider_customer_id="CU1", currency="EUR",
        return_url="https://shop.example/back", method_types=(), metadata={"lago_customer_id": "1"},
    )  # fmt: skip
    for _ in range(2):
        page = await psp.provider.set_up_page(wanted)
        assert page == Page(
            "BRQ1", "https://pay.gocardless.com/flow/BRQ1", datetime(2027, 3, 8, 12, tzinfo=UTC)
        )
    assert len(psp.stub.books["billing_requests"]) == 1
    of_nobody = msgspec.structs.replace(
        wanted, idempotency_key="set-up-2", provider_customer_id="CU_OF_NOBODY"
    )
    assert isinstance(await psp.provider.set_up_page(of_nobody), Declined)
    psp.stub.fault = "html"
    assert isinstance(await psp.provider.set_up_page(wanted), Lost)


async def test_the_list_of_charges_has_a_window_and_pages(psp: GoCardlessStandIn) -> None:
    psp.stub.longest_page = 2
    for number in range(5):
        psp.stub.now = NOW + timedelta(hours=number)
        rendered = psp.provider.render(order(attempt_id=UUID(int=number)))
        assert isinstance(rendered, str)
        await psp.provider.charge(Charge(f"payment-{UUID(int=number)}", rendered))
    psp.stub.become("PM3", "paid_out")
    psp.stub.find("payments", "PM2")["metadata"] = {}  # somebody else's
    seen, after = [], None
    while True:
        listed = await psp.provider.list_charges(
            since=NOW + timedelta(hours=1), before=NOW + timedelta(hours=4), after=after
        )
        assert isinstance(listed, ChargeList)
        seen += listed.charges
        if (after := listed.after) is None:
            break
    assert [charge.provider_payment_id for charge in seen] == ["PM4", "PM3", "PM2"]
    keys = [f"payment-{UUID(int=3)}", f"payment-{UUID(int=2)}", None]
    assert [charge.idempotency_key for charge in seen] == keys
    noted = [charge.metadata.get("lago_invoice_id") for charge in seen]
    assert noted == [METADATA["lago_invoice_id"]] * 2 + [None]
    assert [type(charge.outcome) for charge in seen] == [Processing, Paid, Processing]
    assert {(charge.amount_cents, charge.currency) for charge in seen} == {(1_000, "EUR")}
    psp.stub.fault = "error_before"
    lost = await psp.provider.list_charges(since=NOW, before=NOW + timedelta(1), after=None)
    assert isinstance(lost, Lost)


def test_the_token_says_which_server_is_asked() -> None:
    assert GoCardlessProvider(SECRETS, base=None)._base == SANDBOX
    assert GoCardlessProvider(GoCardlessSecrets("live_1"), base=None)._base == LIVE


async def test_the_token_is_in_nothing_that_could_be_written_down(psp: GoCardlessStandIn) -> None:
    told: list[Any] = [SECRETS, psp.provider, vars(GoCardlessProvider)]
    charge = a_charge(psp.provider)
    for fault in (*TestGoCardless.before, "html", "empty", "drop_after", "error_after", "truncated",
                  "conflict_with_nothing", "state_without_errors", "unheard_of"):  # fmt: skip
        psp.stub.fault = fault
        told.append(await psp.provider.charge(charge))
        told.append(await psp.provider.look_up(charge))
    psp.stub.fault = ""
    told.append(await psp.provider.charge(msgspec.structs.replace(charge, idempotency_key="2")))
    wrong = GoCardlessProvider(GoCardlessSecrets(f"{TOKEN}2"), base=psp.stub.base)
    told.append(await wrong.charge(msgspec.structs.replace(charge, idempotency_key="3")))
    told.append(await psp.asking("http://127.0.0.1:9").charge(charge))
    for one in told:
        assert "canary" not in f"{one!r} {one}", one
