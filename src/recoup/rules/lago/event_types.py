"""The events that can be told, under the names of contract section 7.4; two more are ours.

Lago tells of refunds by their credit notes. Ours are told of one by one besides, since some pay
back money that belongs to no invoice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REFUNDED: Final = "payment.refunded"  # ours: the money of a refund went back
REFUND_FAILED: Final = "payment.refund_failed"  # ours: it did not, or came back

CREDIT_NOTE_REFUND_FAILURE: Final = "credit_note.refund_failure"  # the name that Lago sends

# An endpoint may ask for an event by another name than it is told by: Lago's filters know this one
# alone, and compare it with the other, so that who asks for it hears nothing there.
ALSO_ASKED_FOR_AS: Final[Mapping[str, str]] = {
    CREDIT_NOTE_REFUND_FAILURE: "credit_note.provider_refund_failure",
}

EVENT_TYPES: Final = frozenset(
    {
        REFUNDED,
        REFUND_FAILED,
        "customer.created",
        "customer.updated",
        "customer.payment_provider_created",
        "customer.payment_provider_error",
        "customer.checkout_url_generated",
        "credit_note.created",
        "credit_note.generated",
        *ALSO_ASKED_FOR_AS.values(),
        CREDIT_NOTE_REFUND_FAILURE,
        "dunning_campaign.finished",
        "invoice.created",
        "invoice.one_off_created",
        "invoice.generated",
        "invoice.drafted",
        "invoice.voided",
        "invoice.deleted",
        "invoice.payment_dispute_lost",
        "invoice.payment_status_updated",
        "invoice.payment_overdue",
        "invoice.payment_failure",
        "payment.requires_action",
        "payment.succeeded",
        "payment_provider.error",
        "payment_receipt.created",
        "payment_receipt.generated",
        "payment_request.created",
        "payment_request.payment_failure",
        "payment_request.payment_status_updated",
        "wallet_transaction.payment_failure",
    }
)
