"""How a call to Stripe can end, and which of our words that is."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from recoup.providers.protocol import (
    Charge,
    CustomerNeeded,
    Declined,
    Lost,
    Manner,
    NotKnown,
    Outcome,
    Paid,
    Processing,
    Refund,
    SetUpOrder,
    StoredMethod,
)
from recoup.providers.stripe import StripeProvider, StripeSecrets
from recoup.providers.stripe_requests import render_order
from recoup.rules.declines import Decline, DeclineClass, classify
from recoup.rules.records.provider_accounts import ProviderKind
from tests.providers.nonsense import Liar, liar
from tests.providers.test_stripe import INTENT, NO
from tests.providers.test_stripe_requests import ATTEMPT, ORDER

CANARY = "sk_test_CANARY1234567890"
SESSION = {
    "id": "cs_1",
    "object": "checkout.session",
    "mode": "payment",
    "status": "open",
    "payment_status": "unpaid",
    "url": "https://checkout.stripe.com/pay/cs_1",
    "payment_intent": None,
    "amount_total": 1_000,
    "currency": "eur",
    "metadata": {"lago_payment_id": str(ATTEMPT)},
}
FAILED = {**INTENT, "status": "requires_payment_method", "amount_received": 0}


class Stripe:
    """A Stripe that says what a test wants."""

    def __init__(self, server: Liar, http: httpx.AsyncClient) -> None:
        self.server = server
        self.provider = StripeProvider(StripeSecrets(CANARY), base=server.base, http=http)

    def refuses(self, status: int, **error: Any) -> None:
        kind = "card_error" if status == 402 else "invalid_request_error"
        self.says(status, {"error": {"type": kind, **error}})

    def says(self, status: int, body: Any, **headers: str) -> None:
        self.server.status, self.server.headers = status, headers
        self.server.body = body if isinstance(body, bytes) else msgspec.json.encode(body)

    async def charge(
        self, *, sent_before: bool = False, manner: Manner = Manner.OFF_SESSION
    ) -> Outcome:
        return await self.provider.charge(a_charge(manner, sent_before=sent_before))


def a_charge(manner: Manner = Manner.OFF_SESSION, **fields: Any) -> Charge:
    request = render_order(msgspec.structs.replace(ORDER, manner=manner))
    assert isinstance(request, str)
    return Charge(f"payment-{ATTEMPT}", request, **fields)


def a_list(*data: Any, has_more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": data, "has_more": has_more}


@pytest_asyncio.fixture
async def it() -> AsyncIterator[Stripe]:
    async with liar() as server, httpx.AsyncClient() as http:
        yield Stripe(server, http)


STATUSES = {
    "succeeded": Paid,
    "processing": Processing,
    "requires_capture": Processing,
    "requires_confirmation": Processing,
    "requires_action": CustomerNeeded,
    "canceled": Declined,
    "requires_payment_method": Declined,
    "something_new": Lost,
}


@pytest.mark.parametrize("status", STATUSES)
async def test_each_status_is_one_of_our_words(it: Stripe, status: str) -> None:
    it.says(200, {**INTENT, "status": status, "last_payment_error": NO})
    assert isinstance(await it.charge(), STATUSES[status])


INSTRUCTIONS = {
    "amount_remaining": 1_000,
    "currency": "eur",
    "financial_addresses": [
        {
            "type": "iban",
            "supported_networks": ["sepa"],
            "iban": {"iban": "DE91500000000000000000", "bic": "COBADEFFXXX", "country": "DE"},
        }
    ],
    "hosted_instructions_url": "https://payments.stripe.com/bank_transfers/instructions/1",
    "reference": "V6Y2PCVYRQ8U",
    "type": "eu_bank_transfer",
}


async def test_a_transfer_waits_for_its_payer_and_says_where_the_money_goes(it: Stripe) -> None:
    action = {
        "type": "display_bank_transfer_instructions",
        "display_bank_transfer_instructions": INSTRUCTIONS,
    }
    waiting = {**FAILED, "status": "requires_action", "next_action": action}
    it.says(200, waiting)
    told = await it.charge(manner=Manner.TRANSFER)
    url = "https://payments.stripe.com/bank_transfers/instructions/1"
    assert told == CustomerNeeded("pi_1", "requires_action", action, url, takes_days=True)
    assert await it.provider.look_up(a_charge(Manner.TRANSFER, provider_payment_id="pi_1")) == told
    # Some of it has come: that is no money of ours before all of it has.
    it.says(200, {**waiting, "amount_received": 400})
    assert await it.charge(manner=Manner.TRANSFER) == told


async def test_a_balance_that_has_the_money_pays_at_once(it: Stripe) -> None:
    it.says(200, INTENT)
    assert await it.charge(manner=Manner.TRANSFER) == Paid("pi_1", "succeeded", 1_000, "EUR")


async def test_what_nobody_has_tried_yet_has_not_failed(it: Stripe) -> None:
    it.says(200, FAILED)
    assert await it.charge() == Processing("pi_1", "requires_payment_method")


async def test_a_decline_keeps_every_code_that_stripe_gives(it: Stripe) -> None:
    error = {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "network_decline_code": "51",
        "advice_code": "try_again_later",
        "network_advice_code": "02",
        "message": "Your card has insufficient funds.",
        "payment_intent": FAILED,
    }
    it.says(402, {"error": error})
    for sent_before in (False, True):  # under one key the issuer's answer is always the first one
        assert await it.charge(sent_before=sent_before) == Declined(
            code="card_declined",
            message="Your card has insufficient funds.",
            decline_code="insufficient_funds",
            network_decline_code="51",
            advice_code="try_again_later",
            network_advice_code="02",
            provider_payment_id="pi_1",
            status="requires_payment_method",
        )


async def test_a_looked_up_decline_asks_the_charge_too(it: Stripe) -> None:
    outcome = {"type": "issuer_declined", "network_decline_code": "51", "network_advice_code": "02"}
    it.says(
        200, {**FAILED, "last_payment_error": NO, "latest_charge": {"id": "ch", "outcome": outcome}}
    )
    told = await it.provider.look_up(a_charge(provider_payment_id="pi_1"))
    assert isinstance(told, Declined)
    assert (told.code, told.decline_code) == ("card_declined", "insufficient_funds")
    assert (told.network_decline_code, told.network_advice_code) == ("51", "02")


async def test_what_stripe_itself_has_blocked_is_for_the_merchant_to_look_at(it: Stripe) -> None:
    error = {"code": "card_declined", "decline_code": "generic_decline"}
    blocked = {"type": "blocked", "reason": "highest_risk_level"}
    it.says(200, {**FAILED, "last_payment_error": error, "latest_charge": {"outcome": blocked}})
    told = await it.provider.look_up(a_charge(provider_payment_id="pi_1"))
    assert isinstance(told, Declined)
    decline = Decline(ProviderKind.STRIPE, code=told.code, decline_code=told.decline_code)
    assert classify(decline) is DeclineClass.OURS


async def test_the_issuer_who_wants_the_payer_is_a_decline_with_that_code(it: Stripe) -> None:
    code = "authentication_required"
    it.refuses(402, code=code, decline_code=code, payment_intent=FAILED)
    told = await it.charge()
    assert isinstance(told, Declined)
    assert (told.code, told.provider_payment_id) == (code, "pi_1")


@pytest.mark.parametrize(
    "intent",
    [
        {**FAILED, "status": "succeeded"},
        {**FAILED, "status": "processing"},
        {**FAILED, "status": "requires_action"},
        {**FAILED, "metadata": {"lago_payment_id": "another"}},
        {**FAILED, "amount": "1000"},
    ],
)
async def test_a_decline_that_contradicts_itself_is_lost(it: Stripe, intent: Any) -> None:
    for status in (400, 402):
        it.refuses(status, code="card_declined", payment_intent=intent)
        assert isinstance(await it.charge(), Lost), status


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, {"code": "parameter_unknown", "param": "x"}, "parameter_unknown"),
        (400, {"message": "No."}, "InvalidRequestError"),
        (403, {"message": f"No: {CANARY}"}, "PermissionError"),
        (404, {"code": "resource_missing", "param": "customer"}, "resource_missing"),
    ],
)
async def test_what_is_refused_at_the_door_is_a_no_the_first_time_only(
    it: Stripe, status: int, error: dict[str, str], code: str
) -> None:
    it.refuses(status, **error)
    first = await it.charge()
    assert isinstance(first, Declined)
    assert (first.code, first.method_is_gone) == (code, False)
    assert CANARY not in repr(first)
    assert await it.charge(sent_before=True) == Lost(code)


@pytest.mark.parametrize("error", [{"code": "resource_missing"}, {"message": "must be attached"}])
async def test_a_method_that_is_gone_is_told(it: Stripe, error: dict[str, str]) -> None:
    it.refuses(400, param="payment_method", **error)
    told = await it.charge()
    assert isinstance(told, Declined)
    assert told.method_is_gone


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"type": "idempotency_error"}),
        (400, {"type": "of_a_proxy", "code": "blocked"}),
        (400, {}),
        (402, {"type": "card_error"}),
        (400, {"type": "invalid_request_error", "code": "rate_limit"}),
        (409, {"type": "idempotency_error"}),
        (429, {"type": "invalid_request_error", "code": "rate_limit"}),
        (418, {"type": "api_error"}),
        (500, {"type": "api_error"}),
        (500, {"type": "card_error", "code": "card_declined"}),
        (503, "not an object"),
        (302, {"type": "card_error"}),
    ],
)
async def test_what_says_nothing_of_the_charge_is_lost(it: Stripe, status: int, error: Any) -> None:
    it.says(status, {"error": error})
    told = await it.charge()
    assert isinstance(told, Lost)
    assert told.is_outage is (status >= 500)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("", None), ("soon", None), ("-1", None), ("9" * 20, None)]
)
async def test_stripe_says_how_long_to_wait(it: Stripe, header: str, seconds: float | None) -> None:
    it.says(429, b"<html>", **{"Retry-After": header})
    assert (await it.charge()) == Lost("http_429", seconds)


async def test_a_notice_of_stripes_is_no_reason_to_lose_an_answer(it: Stripe) -> None:
    it.says(200, INTENT, **{"Stripe-Notice": "Upgrade your SDK."})
    assert isinstance(await it.charge(), Paid)


async def test_the_payer_is_sent_where_the_issuer_wants_them(it: Stripe) -> None:
    url = "https://hooks.stripe.com/3ds"
    action = {"type": "redirect_to_url", "redirect_to_url": {"url": url}}
    it.says(200, {**INTENT, "status": "requires_action", "next_action": action})
    told = await it.charge(manner=Manner.ON_SESSION)
    assert told == CustomerNeeded("pi_1", "requires_action", action, url)
    for nowhere in ({"type": "use_stripe_sdk"}, {**action, "redirect_to_url": {"url": "js:x"}}, {}):
        it.says(200, {**INTENT, "status": "requires_action", "next_action": nowhere})
        told = await it.charge(manner=Manner.ON_SESSION)
        assert isinstance(told, CustomerNeeded)
        assert told.url is None


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, CustomerNeeded),
        ({"url": None}, Lost),
        ({"status": "expired", "url": None}, Declined),
        ({"status": "expired", "payment_intent": {**INTENT}}, Paid),
        (
            {"status": "open", "payment_intent": {**FAILED, "last_payment_error": NO}},
            CustomerNeeded,
        ),
        ({"status": "complete", "payment_intent": {**INTENT}}, Paid),
        ({"status": "complete", "payment_intent": {**INTENT, "status": "processing"}}, Processing),
        ({"status": "complete", "payment_intent": {**FAILED, "last_payment_error": NO}}, Declined),
        (
            {"status": "complete", "payment_intent": {**INTENT, "status": "requires_action"}},
            Processing,
        ),
        ({"status": "complete"}, Lost),
        ({"metadata": {"lago_payment_id": "another"}}, Lost),
        ({"metadata": None}, Lost),
        ({"status": "something_new"}, Lost),
    ],
)
async def test_a_page_is_what_it_and_its_intent_have_come_to(
    it: Stripe, fields: dict[str, Any], word: type
) -> None:
    it.says(200, {**SESSION, **fields})
    told = await it.provider.look_up(a_charge(Manner.PAGE, provider_payment_id="cs_1"))
    assert isinstance(told, word), told
    if isinstance(told, Paid | Processing):
        assert told.provider_payment_id == "pi_1"  # only the intent can be paid back


async def test_a_page_that_is_known_by_its_intent_is_found(it: Stripe) -> None:
    it.says(200, a_list(SESSION))
    told = await it.provider.look_up(a_charge(Manner.PAGE, provider_payment_id="pi_1"))
    assert isinstance(told, CustomerNeeded)
    assert told.provider_payment_id == "cs_1"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (a_list(), NotKnown),
        (a_list({**INTENT, "metadata": {"lago_payment_id": "another"}}), NotKnown),
        (a_list({"id": "pi_of_somebody", "object": "shape_of_the_future"}), NotKnown),
        (a_list({**INTENT, "status": "canceled"}, INTENT), Paid),
        (a_list(has_more=True), Lost),  # there is more, and no way to it
        (a_list({"no": "id"}), Lost),
        (a_list({**INTENT, "amount": None}), Lost),
        ({"object": "search_result", "data": []}, Lost),
        ({"object": "list"}, Lost),
    ],
)
async def test_nothing_is_unknown_before_the_list_was_read_to_its_end(
    it: Stripe, answer: Any, word: type
) -> None:
    it.says(200, answer)
    assert isinstance(await it.provider.look_up(a_charge()), word)


def of_a_page(**fields: Any) -> dict[str, Any]:
    """The intent of a page, after a try on it that failed."""
    metadata = {"lago_payment_id": str(ATTEMPT), "payment_type": "one-time"}
    return {**FAILED, "last_payment_error": NO, "metadata": metadata, **fields}


def as_json(what: Any) -> tuple[int, bytes]:
    return 200, msgspec.json.encode(what)


LISTED = Charge(f"payment-{ATTEMPT}", "", sent_before=True, provider_payment_id="pi_1")


@pytest.mark.parametrize("status", ["open", "expired"])
async def test_of_a_page_known_by_the_list_alone_the_page_says_whether_it_ended(
    it: Stripe, status: str
) -> None:
    """A try that failed on it is no decline while the payer may try again there."""
    page = {**SESSION, "status": status, "url": SESSION["url"] if status == "open" else None}
    it.says(500, b"")
    it.server.by_path = {
        "GET /v1/payment_intents/pi_1": as_json(of_a_page()),
        "GET /v1/checkout/sessions": as_json(a_list({**page, "payment_intent": of_a_page()})),
    }
    told = await it.provider.look_up(LISTED)
    assert isinstance(told, CustomerNeeded if status == "open" else Declined), told
    assert told.provider_payment_id == "cs_1"


async def test_a_page_known_by_the_list_alone_is_closed_as_a_page(it: Stripe) -> None:
    it.says(500, b"")
    it.server.by_path = {
        "GET /v1/payment_intents/pi_1": as_json(of_a_page()),
        "GET /v1/checkout/sessions": as_json(a_list({**SESSION, "payment_intent": of_a_page()})),
        "POST /v1/checkout/sessions/cs_1/expire": as_json({**SESSION, "status": "expired"}),
    }
    told = await it.provider.cancel(LISTED)
    assert told == Declined("canceled", provider_payment_id="cs_1", status="expired")


@pytest.mark.parametrize("known_as", ["cs_1", "pi_1"])
@pytest.mark.parametrize("takes_it", [True, False])
async def test_a_transfer_that_was_chosen_on_a_page_is_waited_for_no_more(
    it: Stripe, known_as: str, *, takes_it: bool
) -> None:
    """The page is complete, and its intent waits for the bank, without an end of its own.

    Who asks for the page's end does not know of it yet: they are told, and it goes on.
    """
    kind = "display_bank_transfer_instructions"
    waiting = of_a_page(status="requires_action", next_action={"type": kind, kind: INSTRUCTIONS})
    page = {**SESSION, "status": "complete", "url": None, "payment_intent": waiting}
    it.refuses(400, message="Only open sessions can be expired.")
    it.server.by_path = {
        "GET /v1/checkout/sessions": as_json(a_list(page)),
        "GET /v1/checkout/sessions/cs_1": as_json(page),
    }
    if takes_it:
        canceled = of_a_page(status="canceled", next_action=None)
        it.server.by_path["POST /v1/payment_intents/pi_1/cancel"] = as_json(canceled)
    told = await it.provider.cancel(a_charge(Manner.PAGE, provider_payment_id=known_as))
    if takes_it and known_as == "pi_1":
        assert told == Declined("canceled", provider_payment_id="pi_1", status="canceled")
    else:
        assert told == Processing("pi_1", "requires_action")


async def test_a_list_that_repeats_itself_is_lost(it: Stripe) -> None:
    it.says(200, a_list({"id": "pi_of_somebody"}, has_more=True))
    assert isinstance(await it.provider.look_up(a_charge()), Lost)


async def test_a_look_up_that_is_refused_tells_nothing(it: Stripe) -> None:
    for status in (400, 401, 403, 404):
        it.refuses(status, code="nope")
        assert isinstance(await it.provider.look_up(a_charge()), Lost), status


async def test_what_is_missing_under_its_id_is_looked_for_in_the_list(it: Stripe) -> None:
    missing = msgspec.json.encode(
        {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
    )
    it.says(200, a_list(INTENT))
    it.server.by_path = {"GET /v1/payment_intents/pi_0": (404, missing)}
    told = await it.provider.look_up(a_charge(provider_payment_id="pi_0"))
    assert isinstance(told, Paid)
    assert told.provider_payment_id == "pi_1"


async def test_what_stripe_does_not_know_is_not_canceled(it: Stripe) -> None:
    it.says(200, a_list())
    assert await it.provider.cancel(a_charge()) == Lost("not_known")


async def test_no_odd_id_leads_to_another_path(it: Stripe) -> None:
    it.says(500, b"")
    for odd in ("", "../customers", "pm_1/detach", "pm 1", "pm_\n"):
        nobody = NotKnown(was_asked=False)
        assert await it.provider.find_method(odd, "cus_1") == nobody
        assert await it.provider.find_method("pm_1", odd) == nobody
        assert await it.provider.list_methods(odd) == nobody
        of_nobody = msgspec.json.encode(
            {"operation": "refunds.create", "params": {"payment_intent": odd}}
        ).decode()
        told = await it.provider.refund(Refund("refund-1", of_nobody))
        assert told == Declined("no_such_id", was_asked=False)
    of_no_kind = SetUpOrder(
        idempotency_key="k", provider_customer_id="cus_1", currency="EUR", return_url="",
        method_types=["customer_balance"], metadata={},
    )  # fmt: skip
    told = await it.provider.set_up_page(of_no_kind)
    assert told == Declined("no_method_can_be_kept", was_asked=False)


async def test_a_method_that_stripe_refuses_to_show_is_asked_whose_it_is(it: Stripe) -> None:
    it.refuses(400, message="must be attached")
    for owner, word in (("cus_1", StoredMethod), ("cus_2", NotKnown), (None, NotKnown)):
        method = {"id": "pm_1", "type": "card", "customer": owner, "card": {"last4": "4242"}}
        it.server.by_path = {"GET /v1/payment_methods/pm_1": (200, msgspec.json.encode(method))}
        assert isinstance(await it.provider.find_method("pm_1", "cus_1"), word)


async def test_a_deleted_customer_has_no_methods(it: Stripe) -> None:
    it.says(200, {"id": "cus_1", "object": "customer", "deleted": True})
    assert isinstance(await it.provider.list_methods("cus_1"), NotKnown)


async def test_a_cancelled_task_is_cancelled() -> None:
    """Whoever cancels a call is told so, and never that the charge had failed."""
    async with httpx.AsyncClient() as http:
        reached, hang_up = asyncio.Event(), asyncio.Event()

        async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.set()
            await hang_up.wait()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            provider = StripeProvider(StripeSecrets(CANARY), base=base, http=http)
            underway = asyncio.create_task(provider.charge(a_charge()))
            await asyncio.wait_for(reached.wait(), 5)
            underway.cancel()
            with pytest.raises(asyncio.CancelledError):
                await underway
            hang_up.set()


async def test_the_secret_key_shows_nowhere(it: Stripe) -> None:
    heard = io.StringIO()
    listener = logging.StreamHandler(heard)
    root = logging.getLogger()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        told = [repr(it.provider), str(it.provider), repr(StripeSecrets(CANARY, CANARY, CANARY))]
        for status in (200, 400, 401, 402, 403, 404, 409, 429, 500):
            for body in (CANARY.encode(), {"error": {"message": CANARY}}, {"error": CANARY}):
                it.says(status, body)
                told.append(repr(await it.charge()))
                told.append(repr(await it.provider.look_up(a_charge(provider_payment_id="pi_1"))))
        async with httpx.AsyncClient() as http:
            nowhere = StripeProvider(StripeSecrets(CANARY), base="http://127.0.0.1:9", http=http)
            told.append(repr(await nowhere.charge(a_charge())))
            bad = StripeProvider(StripeSecrets(f"{CANARY}\n"), base=it.server.base, http=http)
            told.append(repr(await bad.charge(a_charge())))
    finally:
        root.removeHandler(listener)
        root.setLevel(level)
    assert not [one for one in told if "CANARY" in one]
    assert CANARY not in heard.getvalue()
