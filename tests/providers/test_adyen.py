"""Adyen's adapter, against a stand-in of Adyen over HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

import msgspec
import pytest_asyncio

from recoup.providers.adyen import AdyenProvider, AdyenSecrets
from recoup.providers.adyen_requests import fit
from recoup.providers.protocol import (
    LONGEST_CALL,
    Charge,
    CustomerNeeded,
    Declined,
    Forged,
    Ignored,
    Manner,
    Notice,
    Order,
    Paid,
    Processing,
    Reversed,
)
from tests.providers.adyen_stub import AdyenStub, adyen_stub
from tests.providers.charge_conformance import ATTEMPT, KEY, NOW, ProviderConformance, StandIn

HMAC_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
SECRETS = AdyenSecrets("AQE-conformance", "Acme", HMAC_KEY)
REFERENCE = f"Acme - Invoice ACM-001 {KEY}"
PAYMENT: Mapping[str, Any] = {
    "pspReference": "PSP0",
    "resultCode": "Authorised",
    "merchantReference": REFERENCE,
    "amount": {"value": 1_000, "currency": "EUR"},
}


def a_payment(**changes: Any) -> bytes:
    return msgspec.json.encode({**PAYMENT, **changes})


def an_item(**changes: Any) -> dict[str, Any]:
    item = {
        "pspReference": "PSP0",
        "merchantAccountCode": "Acme",
        "merchantReference": REFERENCE,
        "amount": {"value": 1_000, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
        **changes,
    }
    fields = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
    amount = item["amount"]
    text = ":".join(
        [*(item.get(name, "") for name in fields), str(amount["value"]), amount["currency"],
         item["eventCode"], item["success"]]
    )  # fmt: skip
    mac = hmac.new(bytes.fromhex(HMAC_KEY), text.encode(), hashlib.sha256)
    return {**item, "additionalData": {"hmacSignature": base64.b64encode(mac.digest()).decode()}}


def a_batch(*items: Mapping[str, Any]) -> bytes:
    wrapped = [{"NotificationRequestItem": item} for item in items]
    return msgspec.json.encode({"live": "false", "notificationItems": wrapped})


class AdyenStandIn(StandIn):
    """The stub on a free port."""

    longest_call = LONGEST_CALL

    def __init__(self, stub: AdyenStub) -> None:
        self.stub = stub
        self.provider = self.asking(stub.base)

    async def after_it_is_done(self, fault: str) -> None:
        self.stub.fault = fault

    async def before_anything_is_done(self, fault: str) -> None:
        self.stub.fault = fault

    async def in_order_again(self) -> None:
        self.stub.fault = ""

    async def charged_keys(self) -> list[str]:
        return list(self.stub.payments)

    def asking(self, base: str) -> AdyenProvider:
        return AdyenProvider(SECRETS, base=base)

    def true_answers(self) -> Mapping[str, tuple[int, bytes]]:
        return {
            "paid": (200, a_payment()),
            "processing": (200, a_payment(resultCode="Received")),
            "voucher": (200, a_payment(resultCode="PresentToShopper", action={"url": "/"})),
            "refused": (200, a_payment(resultCode="Refused", refusalReasonCode="2")),
            "turned away": (422, b'{"errorCode":"800","message":"Contract not found"}'),
        }

    def lies(self) -> Mapping[str, bytes]:
        return {
            "another reference": a_payment(merchantReference="of somebody else"),
            "no id": a_payment(pspReference=""),
            "an id with a NUL": a_payment(pspReference="P\0"),
            "an amount below zero": a_payment(amount={"value": -1, "currency": "EUR"}),
            "an amount in text": a_payment(amount={"value": "1", "currency": "EUR"}),
            "no currency": a_payment(amount={"value": 1, "currency": ""}),
            "an unknown result": a_payment(resultCode="Success"),
            "a part of unknown size": a_payment(resultCode="PartiallyAuthorised", amount=None),
        }

    def signed(self, body: bytes) -> Mapping[str, str]:
        return {}  # the signature is in each item

    def event(self) -> bytes:
        return a_batch(an_item())

    def forgeries(
        self, body: bytes, headers: Mapping[str, str]
    ) -> list[tuple[bytes, Mapping[str, str], datetime]]:
        forged = {**an_item(), "success": "false"}
        return [
            (body.replace(b"1000", b"9999"), headers, NOW),
            (a_batch(an_item(), forged), headers, NOW),
            (a_batch(an_item(merchantAccountCode="Other")), headers, NOW),
            (a_batch({**an_item(), "success": True}), headers, NOW),
            (a_batch({**an_item(), "additionalData": {}}), headers, NOW),
            # Text moved from one field to the next: the joined text is the same.
            (a_batch({**an_item(originalReference="A", merchantAccountCode="Acme"),
                      "pspReference": "PSP0:A", "originalReference": ""}), headers, NOW),
        ]  # fmt: skip


class TestAdyen(ProviderConformance):
    """The adapter that cannot ask what became of a payment."""

    after = ("error_after", "html", "drop_after")
    before = ("unavailable", "too_many", "in_progress")
    paid_by = "paid"
    unknown_method = "of_nobody"
    answers_look_ups = False
    words: ClassVar = {
        "paid": Paid,
        "refused": Declined,
        "received": Processing,
        "voucher": CustomerNeeded,
        "redirect": Declined,
    }

    @pytest_asyncio.fixture
    async def psp(self) -> AsyncIterator[AdyenStandIn]:
        """The stub, and somebody with an account there."""
        async with adyen_stub() as stub:
            yield AdyenStandIn(stub)

    async def test_a_page_is_opened_asked_for_and_closed(self, psp: AdyenStandIn) -> None:
        order = Order(
            attempt_id=ATTEMPT, amount_cents=1_000, currency="EUR", provider_customer_id="cus",
            provider_method_id=None, reference="Acme", metadata={}, manner=Manner.PAGE,
        )  # fmt: skip
        request = psp.provider.render(order)
        assert isinstance(request, str)
        opened = await psp.provider.charge(Charge(KEY, request))
        assert isinstance(opened, CustomerNeeded)
        assert opened.url
        charge = Charge(KEY, request, provider_payment_id=opened.provider_payment_id)
        assert await psp.provider.look_up(charge) == opened
        ended = await psp.provider.cancel(charge)
        assert isinstance(ended, Declined)
        assert ended.code == "canceled"


def told(**changes: Any) -> Any:
    provider = AdyenProvider(SECRETS, base="http://127.0.0.1:9")
    verified = provider.verify(a_batch(an_item(**changes)), {}, now=NOW)
    assert not isinstance(verified, Forged)
    return provider.read_event(verified[0].body)


def test_a_failed_try_on_a_page_ends_nothing() -> None:
    on_a_page = {"merchantReference": f"{REFERENCE} page", "success": "false"}
    assert isinstance(told(**on_a_page), Ignored)
    off_session = told(success="false")
    assert isinstance(off_session, Notice)
    assert isinstance(off_session.outcome, Declined)


def test_a_charge_back_takes_back_the_payment_that_it_is_of() -> None:
    notice = told(eventCode="CHARGEBACK", pspReference="DISPUTE", originalReference="PSP0")
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
