"""Take GoCardless's webhooks apart, and say what each of their events means.

Called by `providers/gocardless`. One webhook brings up to 250 events; each is kept by itself, as
the very text that was signed.

What would surprise you: events tell no amounts and come in any order, so none is believed beyond
what it alone can prove. `failed` proves nothing: a late no of the bank says the same of money that
was paid out before. Then the payment itself is asked for, and says which it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from recoup.providers.gocardless_words import (
    AMOUNT,
    DEAD,
    PAYMENT,
    REFUND,
    UNKNOWN_WHY,
    Details,
    Id,
    payment_declined,
    read_amount,
    refund_declined,
)
from recoup.providers.protocol import (
    Delivery,
    Forged,
    GivenBack,
    Ignored,
    LookUpNeeded,
    MethodAdded,
    MethodGone,
    Notice,
    Paid,
    Processing,
    Refunded,
    RefundNotice,
    RefundProcessing,
    Reversed,
    Told,
)
from recoup.providers.reading import UNREADABLE, believed, decode
from recoup.rules.webhook_signature import gocardless_has_signed

SIGNATURE: Final = "webhook-signature"


class _Named(msgspec.Struct):
    id: Id


class _Webhook(msgspec.Struct):
    events: list[msgspec.Raw]


_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class _Event(msgspec.Struct):
    id: Id
    resource_type: str = ""
    action: str = ""
    created_at: Any = None
    links: dict[str, Any] = {}
    details: Any = None
    resource_metadata: Any = None

    def link(self, name: str) -> str | None:
        """The id of what the event is about, or beside it."""
        return believed(self.links.get(name), Id)

    def noted(self, name: str) -> str | None:
        """What we had asked GoCardless to keep beside the resource."""
        metadata = self.resource_metadata
        noted = metadata.get(name) if isinstance(metadata, dict) else None
        return noted if isinstance(noted, str) else None

    @property
    def why(self) -> Details:
        """Why it happened, where that can be read."""
        return believed(self.details, Details) or UNKNOWN_WHY


def verify(
    body: bytes, headers: Mapping[str, str], *, secrets: Sequence[str]
) -> Sequence[Delivery] | Forged:
    """Check `Webhook-Signature`, and take the events out: each with its own text."""
    if not gocardless_has_signed(headers.get(SIGNATURE, ""), body, secrets=secrets):
        return Forged("bad_signature")
    try:
        raw = [bytes(one) for one in msgspec.json.decode(body, type=_Webhook).events]
        return [Delivery(msgspec.json.decode(one, type=_Named).id, one.decode()) for one in raw]
    except UNREADABLE:
        return Forged("unreadable")


def read_event(body: str) -> Told:
    """Say what a kept event means."""
    event = decode(body, _Event)
    if event is None:
        return Ignored("unreadable")
    read = _READERS.get(event.resource_type)
    return read(event) if read is not None else Ignored(f"of_{_word(event.resource_type)}")


def _of_payment(event: _Event) -> Told:
    """Source of the actions: section "Event types" of the API reference, `payments`."""
    payment_id = event.link("payment")
    if payment_id is None:
        return Ignored("names_no_payment")
    noted = event.noted(PAYMENT)
    key = f"payment-{noted}" if noted else None
    match event.action:
        case "created" | "customer_approval_granted" | "submitted" | "confirmed":
            return Notice(key, Processing(payment_id, event.action))
        case "cancelled" | "customer_approval_denied":  # before any bank was asked
            assert event.action in DEAD, "an event and a look-up say the same"
            return Notice(key, payment_declined(payment_id, event.action, event.why))
        case "paid_out":
            if (amount := read_amount(event.noted(AMOUNT))) is None:
                return LookUpNeeded(key, payment_id)
            return Notice(key, Paid(payment_id, event.action, *amount))
        # The first says that the payer's bank took it back. The other two, that GoCardless took it
        # out of a payout: they prove the same, where the first was lost, or there was none.
        case "charged_back" | "chargeback_settled" | "late_failure_settled":
            if (amount := read_amount(event.noted(AMOUNT))) is None:
                return LookUpNeeded(key, payment_id)
            reason = event.why.cause or event.action
            is_lost = event.action != "late_failure_settled"  # nobody defends a direct debit
            taken = Reversed(payment_id, event.action, *amount, reason, is_lost=is_lost)
            return Notice(key, taken)
        case "chargeback_cancelled":
            if (amount := read_amount(event.noted(AMOUNT))) is None:
                return LookUpNeeded(key, payment_id)
            return Notice(key, GivenBack(payment_id, event.action, *amount))
        case "failed":
            return LookUpNeeded(key, payment_id)
        # `resubmission_requested` is somebody at the dashboard (we send `retry_if_possible: false`)
        # and says nothing of money. The others are about fees and the time of the payout.
        case _:
            return Ignored(f"payment_{_word(event.action)}")


def _of_refund(event: _Event) -> Told:
    """Source of the actions: section "Event types" of the API reference, `refunds`."""
    refund_id = event.link("refund")
    if refund_id is None:
        return Ignored("names_no_refund")
    noted = event.noted(REFUND)
    key = f"refund-{noted}" if noted else None
    match event.action:
        case "created" | "refund_settled":  # the latter: it was taken out of one of our payouts
            return RefundNotice(key, RefundProcessing(refund_id, event.action), refund_id)
        case "paid":
            if (amount := read_amount(event.noted(AMOUNT))) is None:
                return Ignored("refund_paid_of_no_amount")  # a look-up of the refund tells it
            return RefundNotice(key, Refunded(refund_id, event.action, *amount), refund_id)
        case "failed" | "bounced" | "funds_returned" | "cancelled":
            return RefundNotice(key, refund_declined(refund_id, event.action, event.why), refund_id)
        case _:
            return Ignored(f"refund_{_word(event.action)}")


def _of_mandate(event: _Event) -> Told:
    """Source of the actions: section "Event types" of the API reference, `mandates`."""
    mandate_id = event.link("mandate")
    if mandate_id is None:
        return Ignored("names_no_mandate")
    match event.action:
        case "created" | "customer_approval_granted" | "active" | "reinstated":
            return MethodAdded(mandate_id, event.link("customer"))
        case "cancelled" | "failed" | "expired" | "consumed" | "blocked":
            return MethodGone(mandate_id)
        case "replaced":  # at another creditor of ours: the old one is found out when it is charged
            successor = event.link("new_mandate")
            return MethodAdded(successor, None) if successor else MethodGone(mandate_id)
        case _:
            return Ignored(f"mandate_{_word(event.action)}")


def _of_billing_request(event: _Event) -> Told:
    """The page that `set_up_page` opened: only its good end says something."""
    mandate_id = event.link("mandate_request_mandate")
    if event.action == "fulfilled" and mandate_id is not None:
        signed_at = believed(event.created_at, _Instant)
        return MethodAdded(mandate_id, event.link("customer"), set_up_at=signed_at)
    return Ignored(f"billing_request_{_word(event.action)}")


_Reader: TypeAlias = Callable[[_Event], Told]
_READERS: Final[Mapping[str, _Reader]] = MappingProxyType(
    {
        "payments": _of_payment,
        "refunds": _of_refund,
        "mandates": _of_mandate,
        "billing_requests": _of_billing_request,
    }
)


def _word(text: str) -> str:
    """A stranger's word, as long as it is one: it is kept as what the event came to."""
    is_word = text.isascii() and text.replace("_", "").isalnum() and len(text) <= 64
    return text if is_word else "unknown"
