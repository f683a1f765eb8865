"""What becomes of a payment, told by its provider's events: each story, and each event signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID, uuid5

import msgspec

from recoup.rules.settlement import Surprise
from tests.provider_signatures import dated, hex_mac, signed_item

SECRET = "ab" * 32
Event: TypeAlias = tuple[str, dict[str, Any]]  # what happened, and what it says beside that
Signed: TypeAlias = tuple[bytes, dict[str, str]]  # a body, and its headers
SECRETS: Mapping[str, dict[str, str]] = {
    "stripe": {"secret_key": "sk_test", "webhook_secret": SECRET},
    "sandbox": {"api_key": "sk_sandbox", "webhook_secret": SECRET},
    "gocardless": {"access_token": "sandbox_token", "webhook_secret": SECRET},
    "adyen": {"api_key": "AQ", "merchant_account": "Acme", "hmac_key": SECRET},
}
NEXT = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://issuer.example/"}}
NO = {"type": "card_error", "code": "card_declined", "decline_code": "stolen_card"}


class Before(StrEnum):
    """What there is before the first event."""

    SENT = "sent"  # an attempt, off-session
    ON_A_PAGE = "on a page"  # an attempt that its payer opened
    PAID_BACK = "paid back"  # it was paid for a voided invoice, and the refund has been sent
    LOST = "lost"  # the same, of which a restore has left an attempt that is ready, in quarantine


class Story(msgspec.Struct, frozen=True):
    """Events in the right order, the attempt's end, and how much contradicts it."""

    events: Sequence[Event]
    state: str
    contradictions: int
    before: Before = Before.SENT
    ends_told: int = 1  # how often somebody is told that the attempt has ended
    refund: str | None = None  # the end of the refund


STORIES: Mapping[tuple[str, str], Story] = {
    ("stripe", "paid after an action, then charged back"): Story(
        [
            ("payment_intent.created", {"status": "requires_confirmation", "amount_received": 0}),
            ("payment_intent.requires_action", {"status": "requires_action", "next_action": NEXT}),
            ("payment_intent.processing", {"status": "processing", "amount_received": 0}),
            ("payment_intent.succeeded", {"status": "succeeded"}),
            ("charge.dispute.closed", {"status": "lost", "reason": "fraudulent"}),
        ],
        "succeeded", 1,
    ),
    ("stripe", "disputed, won, and disputed again"): Story(
        [
            ("payment_intent.succeeded", {"status": "succeeded"}),
            ("charge.dispute.funds_withdrawn", {"status": "needs_response"}),
            ("charge.dispute.funds_reinstated", {"status": "won"}),
            ("charge.dispute.closed", {"status": "lost", "id": "dp_other", "amount": 400}),
        ],
        "succeeded", 3,
    ),
    ("stripe", "declined after an action"): Story(
        [
            ("payment_intent.requires_action", {"status": "requires_action", "next_action": NEXT}),
            ("payment_intent.processing", {"status": "processing", "amount_received": 0}),
            ("payment_intent.payment_failed",
             {"status": "requires_payment_method", "last_payment_error": NO}),
        ],
        "failed", 0,
    ),
    ("sandbox", "paid after an action, then charged back"): Story(
        [
            ("charge.processing", {"status": "processing"}),
            ("charge.requires_action", {"status": "requires_action", "next_action": NEXT}),
            ("charge.succeeded", {"status": "succeeded"}),
            ("charge.disputed", {"status": "succeeded"}),
        ],
        "succeeded", 1,
    ),
    ("gocardless", "paid, then charged back"): Story(
        [("created", {}), ("submitted", {}), ("confirmed", {}), ("paid_out", {}),
         ("charged_back", {})],
        "succeeded", 1,
    ),
    ("gocardless", "charged back, and that was cancelled"): Story(
        [("confirmed", {}), ("paid_out", {}), ("charged_back", {}), ("chargeback_settled", {}),
         ("chargeback_cancelled", {})],
        "succeeded", 2,
    ),
    ("gocardless", "cancelled before any bank was asked"): Story(
        [("created", {}), ("customer_approval_granted", {}), ("cancelled", {})],
        "failed", 0,
    ),
    ("adyen", "paid, then charged back"): Story(
        [
            ("AUTHORISATION", {}),
            ("CAPTURE", {"originalReference": "PSP"}),
            ("NOTIFICATION_OF_CHARGEBACK", {"originalReference": "PSP"}),
            ("CHARGEBACK", {"originalReference": "PSP"}),
        ],
        "succeeded", 1,
    ),
    ("adyen", "charged back, defended, and charged back again"): Story(
        [
            ("AUTHORISATION", {}),
            ("CHARGEBACK", {"originalReference": "PSP"}),
            ("CHARGEBACK_REVERSED", {"originalReference": "PSP"}),
            ("SECOND_CHARGEBACK", {"originalReference": "PSP"}),
        ],
        "succeeded", 3,
    ),
    ("adyen", "authorised, and cancelled by somebody"): Story(
        [
            ("AUTHORISATION", {}),
            ("CANCELLATION", {"originalReference": "PSP"}),
        ],
        "succeeded", 1,
    ),
    ("adyen", "declined"): Story(
        [("AUTHORISATION", {"success": "false", "reason": "05 : Do not honor"}),
         ("REPORT_AVAILABLE", {})],
        "failed", 0,
    ),
    ("sandbox", "declined after an action"): Story(
        [
            ("charge.processing", {"status": "processing"}),
            ("charge.requires_action", {"status": "requires_action", "next_action": NEXT}),
            ("charge.failed", {"status": "failed", "code": "card_declined"}),
        ],
        "failed", 0,
    ),
    ("stripe", "a page on which a try was declined, and whose time was up"): Story(
        [
            ("payment_intent.requires_action",
             {"status": "requires_action", "next_action": NEXT, "is_of_a_page": True}),
            ("payment_intent.payment_failed",
             {"status": "requires_payment_method", "last_payment_error": NO, "is_of_a_page": True}),
            ("checkout.session.expired", {"status": "expired"}),
        ],
        "failed", 0, Before.ON_A_PAGE, ends_told=0,
    ),
    ("stripe", "paid back, and sent back by the payer's bank"): Story(
        [
            ("payment_intent.succeeded", {"status": "succeeded"}),
            ("refund.created", {"status": "pending"}),
            ("refund.updated", {"status": "succeeded"}),
            ("refund.failed", {"status": "failed", "failure_reason": "declined"}),
        ],
        "succeeded", 1, Before.PAID_BACK, refund="failed",
    ),
    ("stripe", "paid back, which a restore has lost"): Story(
        [
            ("payment_intent.succeeded", {"status": "succeeded"}),
            ("refund.created", {"status": "pending"}),
            ("refund.updated", {"status": "succeeded"}),
        ],
        "succeeded", 1, Before.LOST, refund="succeeded",
    ),
    ("sandbox", "paid back, and sent back by the payer's bank"): Story(
        [
            ("charge.succeeded", {"status": "succeeded"}),
            ("refund.succeeded", {"status": "succeeded"}),
            ("refund.failed", {"status": "failed"}),
        ],
        "succeeded", 1, Before.PAID_BACK, refund="failed",
    ),
    ("gocardless", "paid back"): Story(
        [("confirmed", {}), ("refunds.created", {}), ("refunds.paid", {})],
        "succeeded", 1, Before.PAID_BACK, refund="succeeded",
    ),
    ("gocardless", "not paid back, which a restore has lost"): Story(
        [("paid_out", {}), ("refunds.created", {}), ("refunds.failed", {})],
        "succeeded", 1, Before.LOST, refund="failed",
    ),
    ("adyen", "paid back, and sent back by the payer's bank"): Story(
        [
            ("AUTHORISATION", {}),
            ("REFUND", {"originalReference": "PSP"}),
            ("REFUNDED_REVERSED", {"originalReference": "PSP"}),
        ],
        "succeeded", 1, Before.PAID_BACK, refund="failed",
    ),
    ("adyen", "paid back, which a restore has lost"): Story(
        [("AUTHORISATION", {}), ("REFUND", {"originalReference": "PSP"})],
        "succeeded", 1, Before.LOST, refund="succeeded",
    ),
}  # fmt: skip


def known_as(kind: str, attempt: UUID) -> str:
    """What this provider calls the charge of an attempt."""
    return {
        "stripe": f"pi_{attempt.hex}", "sandbox": f"ch_{attempt.hex}",
        "gocardless": f"PM{attempt.hex}", "adyen": f"PSP{attempt.hex[-16:].upper()}",
    }[kind]  # fmt: skip


def refund_of(kind: str, attempt: UUID) -> UUID:
    """The refund of what was paid for a voided invoice: a restored row has the id that it had."""
    surprise = uuid5(attempt, f"succeeded/{Surprise.INVOICE_VOIDED}/{known_as(kind, attempt)}")
    return uuid5(surprise, "refund")


def webhook(kind: str, attempt: UUID, event: Event, *, at: int) -> Signed:
    """One event of this attempt's as its provider sends it: body and headers."""
    return WEBHOOKS[kind](attempt, *event, at)


def _stripe(attempt: UUID, what: str, fields: dict[str, Any], at: int) -> Signed:
    intent, metadata = known_as("stripe", attempt), {"lago_payment_id": str(attempt)}
    if fields.get("is_of_a_page"):
        metadata["payment_type"] = "one-time"
    said = {
        "id": intent, "object": "payment_intent", "amount": 1_000, "amount_received": 1_000,
        "currency": "eur", "metadata": metadata, **fields,
    }  # fmt: skip
    if what.startswith("checkout.session."):
        said = {"id": f"cs_{attempt.hex}", "object": "checkout.session", "mode": "payment",
                "metadata": metadata, **fields}  # fmt: skip
    if what.startswith("refund."):
        said = {"id": f"re_{attempt.hex}", "object": "refund", "amount": 1_000, "currency": "eur",
                "payment_intent": intent,
                "metadata": {"lago_refund_id": str(refund_of("stripe", attempt))},
                **fields}  # fmt: skip
    if what.startswith("charge.dispute."):
        said = {"id": f"dp_{attempt.hex}", "amount": 1_000, "currency": "eur",
                "payment_intent": intent, **fields}  # fmt: skip
    body = {"id": f"evt_{attempt.hex}_{what}", "object": "event", "type": what,
            "data": {"object": said}}  # fmt: skip
    return _dated(body, at, "stripe-signature")


def _sandbox(attempt: UUID, what: str, fields: dict[str, Any], at: int) -> Signed:
    charge = {
        "id": known_as("sandbox", attempt), "amount": 1_000, "currency": "EUR",
        "idempotency_key": f"payment-{attempt}", **fields,
    }  # fmt: skip
    refund = {**charge, "id": f"re_{attempt.hex}", "charge": charge["id"],
              "idempotency_key": f"refund-{refund_of('sandbox', attempt)}"}  # fmt: skip
    data = {"refund": refund} if what.startswith("refund.") else {"charge": charge}
    body = {"id": f"evt_{attempt.hex}_{what}", "type": what, "data": data}
    return _dated(body, at, "sandbox-signature")


def _dated(body: dict[str, Any], at: int, header: str) -> Signed:
    raw = json.dumps(body).encode()
    return raw, {header: dated(raw, SECRET, at=at)}


def _gocardless(attempt: UUID, what: str, fields: dict[str, Any], at: int) -> Signed:
    kind, action = what.split(".") if "." in what else ("payments", what)
    told: dict[str, Any] = {
        "id": f"EV{attempt.hex}{what}", "resource_type": kind, "action": action,
        "links": {"payment": known_as("gocardless", attempt)}, "details": {"cause": action},
        "resource_metadata": {"lago_payment_id": str(attempt), "recoup_amount": "1000 EUR"},
        **fields,
    }  # fmt: skip
    if kind == "refunds":
        refund = refund_of("gocardless", attempt)
        told["links"] = {"refund": f"RF{attempt.hex}"}
        told["resource_metadata"] |= {"lago_refund_id": str(refund)}
    raw = json.dumps({"events": [told], "meta": {"webhook_id": "WB1"}}).encode()
    return raw, {"webhook-signature": hex_mac(raw, SECRET)}


def _adyen(attempt: UUID, what: str, fields: dict[str, Any], at: int) -> Signed:
    psp = attempt.hex[-16:].upper()
    original = f"PSP{psp}" if "originalReference" in fields else ""
    reference = f"Acme payment-{attempt}"
    if what.startswith("REFUND"):
        reference = f"Acme refund-{refund_of('adyen', attempt)}"
    item = {
        "pspReference": f"{what[:4]}{psp}" if original else f"PSP{psp}",
        "originalReference": original, "merchantAccountCode": "Acme",
        "merchantReference": reference,
        "amount": {"value": 1_000, "currency": "EUR"}, "eventCode": what,
        "success": fields.get("success", "true"), "reason": fields.get("reason"),
    }  # fmt: skip
    signed = signed_item(item, SECRET)
    return json.dumps({"notificationItems": [{"NotificationRequestItem": signed}]}).encode(), {}


WEBHOOKS: Mapping[str, Callable[[UUID, str, dict[str, Any], int], Signed]] = {
    "stripe": _stripe, "sandbox": _sandbox, "gocardless": _gocardless, "adyen": _adyen,
}  # fmt: skip
