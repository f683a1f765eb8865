"""Adyen's adapter, against a stand-in of Adyen over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from recoup.providers.adyen import AdyenProvider, AdyenSecrets
from recoup.providers.adyen_requests import fit
from recoup.providers.protocol import (
    LONGEST_CALL,
    Canceled,
    Charge,
    CustomerNeeded,
    Declined,
    Forged,
    Ignored,
    Lost,
    Notice,
    Paid,
    Processing,
    RefundProcessing,
    Reversed,
)
from tests.providers.adyen_books import RESULTS
from tests.providers.adyen_schema import description
from tests.providers.adyen_stub import AdyenStub, adyen_stub
from tests.providers.adyen_webhooks import (
    ACCOUNT,
    HMAC_KEY,
    ITEM,
    NEXT_HMAC_KEY,
    REFERENCE,
    a_batch,
    an_item,
    signed_batch,
    signed_item,
)
from tests.providers.conformance import KEY, NOW, ProviderConformance, StandIn
from tests.providers.nonsense import liar

SECRETS = AdyenSecrets("AQE-conformance", ACCOUNT, HMAC_KEY)
PAYMENT: Mapping[str, Any] = {
    "pspReference": "PSP0",
    "resultCode": "Authorised",
    "merchantReference": REFERENCE,
    "amount": {"value": 1_000, "currency": "EUR"},
}


def a_payment(**changes: Any) -> bytes:
    return msgspec.json.encode({**PAYMENT, **changes})


def an_error(code: str, kind: str = "validation") -> bytes:
    return msgspec.json.encode({"errorCode": code, "message": "No.", "errorType": kind})


class AdyenStandIn(StandIn):
    """The stub, with a shopper who has one method of each kind."""

    refund_truth = RefundProcessing
    cancel_truth = Processing
    page_truth = Processing  # the payment's own id comes with its event
    answers_look_ups = False  # of a payment; of a page it does
    makes_customers = False
    lists_charges = False
    dates_signatures = False
    longest_call = LONGEST_CALL
    webhook_secrets = (HMAC_KEY, NEXT_HMAC_KEY)

    def __init__(self, stub: AdyenStub) -> None:
        self.stub = stub
        self.base = stub.base
        self.provider = self.asking(stub.base)
        stub.accounts = {SECRETS.api_key: ACCOUNT}
        stub.books.shoppers = {self.customer_id: list(RESULTS), self.other_customer_id: []}

    async def charged_keys(self) -> list[str]:
        return self.stub.payments

    async def refunded_keys(self) -> list[str]:
        return [refund.key for refund in self.stub.books.refunds]

    async def charge_as_somebody_else(self) -> None:
        ask = {
            "merchantAccount": ACCOUNT, "amount": {"value": 700, "currency": "EUR"},
            "reference": "till 7", "returnUrl": "https://else.example/",
            "shopperReference": self.customer_id,
            "paymentMethod": {"type": "scheme", "storedPaymentMethodId": "paid"},
        }  # fmt: skip
        headers = {"x-api-key": SECRETS.api_key, "Idempotency-Key": "till-7"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.base}/payments", json=ask, headers=headers) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def pay_page(self, page: CustomerNeeded) -> None:
        self.stub.books.pay_on(page.provider_payment_id)

    async def fail_on_page(self, page: CustomerNeeded) -> None:
        """Nothing is told of it but by an event, and the link stays as it is."""

    def asking(self, base: str) -> AdyenProvider:
        return AdyenProvider(SECRETS, base=base)

    def verifying(self, secrets: Sequence[str]) -> AdyenProvider:
        first, second = [*secrets, "", ""][:2]
        given = msgspec.structs.replace(SECRETS, hmac_key=first, previous_hmac_key=second)
        return AdyenProvider(given, base=self.base)

    def true_answers(self) -> Mapping[str, tuple[int, bytes]]:
        return {
            "paid": (200, a_payment()),
            "processing": (200, a_payment(resultCode="Received")),
            "voucher": (200, a_payment(resultCode="PresentToShopper", action={"url": "/"})),
            "refused": (200, a_payment(**RESULTS["refused"])),
            "turned away": (422, an_error("800")),
        }

    def lies(self) -> Mapping[str, bytes]:
        return {
            "another reference": a_payment(merchantReference="of somebody else"),
            "no id": a_payment(pspReference=""),
            "an id with a NUL": a_payment(pspReference="P\0"),
            "an endless id": a_payment(pspReference="P" * 256),
            "an amount below zero": a_payment(amount={"value": -1, "currency": "EUR"}),
            "an amount beyond all columns": a_payment(amount={"value": 2**63, "currency": "EUR"}),
            "an amount in text": a_payment(amount={"value": "1", "currency": "EUR"}),
            "an amount with a point": a_payment(amount={"value": 1000.5, "currency": "EUR"}),
            "no currency": a_payment(amount={"value": 1, "currency": ""}),
            "no known currency": a_payment(amount={"value": 1, "currency": "XXX"}),
            "four letters of currency": a_payment(amount={"value": 1, "currency": "EURO"}),
            "an unknown result": a_payment(resultCode="Success"),
            "a part of unknown size": a_payment(resultCode="PartiallyAuthorised", amount=None),
            "no UTF-8 in its id": a_payment().replace(b"PSP0", b"PSP\xff"),
            "an action without end": a_payment(resultCode="PresentToShopper").replace(
                b'"EUR"}', b'"EUR"},"action":' + b'{"a":' * 100_000
            ),
        }

    def signed(self, body: bytes, secret: str | None = None) -> tuple[bytes, Mapping[str, str]]:
        return signed_batch(body, HMAC_KEY if secret is None else secret), {}

    def event(self) -> bytes:
        return a_batch(ITEM)


class TestAdyen(ProviderConformance):
    """The adapter that cannot ask what became of a payment."""

    paid_by = "paid"
    open_by = "voucher"
    unknown_method = "of_nobody"
    words: ClassVar = {
        "paid": Paid,
        "refused": Declined,
        "blocked": Declined,
        "gone": Declined,
        "troubled": Declined,
        "received": Processing,
        "pending": Processing,
        "voucher": CustomerNeeded,
        "redirect": Declined,
    }

    @pytest_asyncio.fixture
    async def psp(self) -> AsyncIterator[AdyenStandIn]:
        """The stub, and somebody with an account there; all that is said is as Adyen describes."""
        async with adyen_stub(description()) as stub:
            yield AdyenStandIn(stub)
            assert stub.complaints == []

    async def test_a_page_can_be_asked_for_unlike_a_payment(self, psp: AdyenStandIn) -> None:
        opened = await self.opened(psp)
        assert opened
        charge, page = opened
        assert await psp.provider.look_up(charge) == page
        assert isinstance(await psp.provider.cancel(charge), Declined)
        closed = await psp.provider.look_up(charge)
        assert isinstance(closed, Declined)
        assert closed.code == "canceled"

    async def test_a_page_that_was_paid_has_not_ended(self, psp: AdyenStandIn) -> None:
        opened = await self.opened(psp)
        assert opened
        charge, page = opened
        await psp.pay_page(page)
        assert isinstance(await psp.provider.look_up(charge), Processing)

    async def test_another_company_has_other_keys(self, psp: AdyenStandIn) -> None:
        other = msgspec.structs.replace(SECRETS, api_key="AQE-other", merchant_account="Other")
        psp.stub.accounts["AQE-other"] = "Other"
        provider = AdyenProvider(other, base=psp.base)
        request = provider.render(self.order(psp, "paid"))
        assert isinstance(request, str)
        first = await psp.provider.charge(self.charge(psp, "paid"))
        second = await provider.charge(Charge(KEY, request))
        assert isinstance(first, Paid)
        assert isinstance(second, Paid)
        assert first.provider_payment_id != second.provider_payment_id
        assert await psp.charged_keys() == [KEY, KEY]
        stranger = AdyenProvider(
            msgspec.structs.replace(other, merchant_account=ACCOUNT), base=psp.base
        )
        told = await stranger.charge(self.charge(psp, "paid", 1))
        assert isinstance(told, Declined)
        assert (told.code, told.method_is_gone) == ("901", False)

    @pytest.mark.parametrize("fault", ["unavailable", "too_many", "in_progress"])
    async def test_what_is_put_off_is_lost_and_can_be_sent_again(
        self, psp: AdyenStandIn, fault: str
    ) -> None:
        psp.stub.fault = fault
        told = await psp.provider.charge(self.charge(psp, "paid"))
        assert isinstance(told, Lost)
        assert told.is_outage is (fault == "unavailable")
        assert await psp.charged_keys() == []
        psp.stub.fault = ""
        again = await psp.provider.charge(self.charge(psp, "paid", sent_before=True))
        assert isinstance(again, Paid)

    async def test_a_method_that_is_not_this_shoppers_is_gone(self, psp: AdyenStandIn) -> None:
        for customer, code in ((psp.customer_id, "803"), (psp.other_customer_id, "800")):
            order = self.order(psp, self.unknown_method, provider_customer_id=customer)
            told = await psp.provider.charge(self.of_order(psp, order))
            assert isinstance(told, Declined)
            assert (told.code, told.method_is_gone) == (code, True)
        told = await psp.provider.charge(self.charge(psp, "gone"))
        assert isinstance(told, Declined)
        assert told.method_is_gone

    async def test_what_a_method_is_like_is_told_in_our_words(self, psp: AdyenStandIn) -> None:
        found = await psp.provider.find_method("paid", psp.customer_id)
        assert found.details == {  # type: ignore[union-attr]
            "type": "card", "brand": "visa", "last4": "1111",
            "expiration_month": 3, "expiration_year": 2030,
        }  # fmt: skip

    async def test_an_end_that_was_asked_for_is_known_as_ours(self, psp: AdyenStandIn) -> None:
        charge = await self.begun(psp, self.charge(psp, self.open_by))
        assert isinstance(await psp.provider.cancel(charge), Processing)
        [asked] = psp.stub.books.cancels
        told = told_of(
            eventCode="CANCELLATION",
            pspReference=asked.said["pspReference"],
            originalReference=charge.provider_payment_id,
            merchantReference=asked.said["reference"],
        )
        assert isinstance(told, Notice)
        assert told.idempotency_key == KEY
        assert isinstance(told.outcome, Canceled)
        assert told.outcome.is_ours, "it was never paid, so nothing was taken back"
        assert told.outcome.provider_payment_id == charge.provider_payment_id


# Adyen's four types of errors, and codes of each: a definite no, or nothing that can be relied on.
@pytest.mark.parametrize(
    ("status", "code", "kind", "word"),
    [
        (422, "800", "validation", Declined),
        (422, "14_030", "validation", Declined),
        (400, "702", "validation", Declined),
        (401, "000", "security", Lost),  # our key: nobody's decline
        (403, "901", "security", Declined),
        (422, "905", "configuration", Declined),
        (500, "905", "configuration", Lost),
        (422, "000", "internal", Lost),
        (422, "701", "validation", Lost),
        (422, "703", "validation", Lost),
        (422, "704", "validation", Lost),
        (422, "903", "validation", Lost),
        (422, "904", "validation", Lost),
        (404, "000", "validation", Lost),
    ],
)
async def test_what_is_turned_away_and_what_says_nothing(
    status: int, code: str, kind: str, word: type
) -> None:
    async with liar() as server:
        server.status, server.body = status, an_error(code, kind)
        provider = AdyenProvider(SECRETS, base=server.base)
        request = msgspec.json.encode({
            "amount": {"value": 1, "currency": "EUR"}, "reference": REFERENCE, "paymentMethod": {},
        }).decode()  # fmt: skip
        told = await provider.charge(Charge(KEY, request))
        assert isinstance(told, word)


def told_of(**changes: Any) -> Any:
    provider = AdyenProvider(SECRETS, base="http://127.0.0.1:9")
    verified = provider.verify(a_batch(an_item(**changes)), {}, now=NOW)
    assert not isinstance(verified, Forged)
    return provider.read_event(verified[0].body)


def test_no_item_of_a_batch_is_believed_by_anothers_signature() -> None:
    provider = AdyenProvider(SECRETS, base="http://127.0.0.1:9")
    forged = [
        a_batch(an_item(), {**an_item(), "success": "false"}),
        a_batch(an_item(merchantAccountCode="Other")),
        a_batch({**an_item(), "success": True}),
        a_batch({**an_item(), "additionalData": {}}),
        a_batch(signed_item(ITEM, NEXT_HMAC_KEY)),
        # Text moved from one field to the next: the joined text is the same.
        a_batch({**an_item(originalReference="A"), "pspReference": "PSP0:A",
                 "originalReference": ""}),
    ]  # fmt: skip
    for batch in forged:
        assert isinstance(provider.verify(batch, {}, now=NOW), Forged), batch


def test_a_failed_try_on_a_page_ends_nothing() -> None:
    on_a_page = {"merchantReference": f"{REFERENCE} page", "success": "false"}
    assert isinstance(told_of(**on_a_page), Ignored)
    off_session = told_of(success="false")
    assert isinstance(off_session, Notice)
    assert isinstance(off_session.outcome, Declined)


def test_a_charge_back_takes_back_the_payment_that_it_is_of() -> None:
    notice = told_of(eventCode="CHARGEBACK", pspReference="DISPUTE", originalReference="PSP0")
    assert notice == Notice(KEY, Reversed("PSP0", "CHARGEBACK", 1_000, "EUR", "chargeback"))


def test_without_a_key_nothing_is_believed() -> None:
    provider = AdyenProvider(AdyenSecrets("key", "Acme"), base=None)
    assert isinstance(provider.verify(a_batch(an_item()), {}, now=NOW), Forged)


def test_the_secrets_are_never_shown() -> None:
    assert HMAC_KEY not in f"{SECRETS!r}{SECRETS!s}"
    assert SECRETS.api_key not in f"{SECRETS!r}{SECRETS!s}"


def test_metadata_are_cut_to_what_adyen_takes() -> None:
    many = {f"k{n}": "v" * 99 for n in range(30)}
    fitted = fit({"lago_billing_entity_id": "too long a name", **many})
    assert list(fitted) == [f"k{n}" for n in range(20)]
    assert set(fitted.values()) == {"v" * 80}


def test_a_charge_that_we_did_not_cancel_was_taken_back() -> None:
    notice = told_of(eventCode="CANCELLATION", pspReference="CANCEL", originalReference="PSP0")
    assert notice == Notice(KEY, Reversed("PSP0", "CANCELLATION", 1_000, "EUR", "cancellation"))


def test_a_cancel_that_was_too_late_says_nothing_of_the_charge() -> None:
    mark = {"merchantReference": f"{KEY} cancel", "originalReference": "PSP0"}
    assert isinstance(told_of(eventCode="CANCELLATION", success="false", **mark), Ignored)
