"""The events that can be told, under the names of contract section 7.4; two more are ours.

Lago tells of refunds by their credit notes; ours pay back money that belongs to no invoice.
"""

from __future__ import annotations

from typing import Final

REFUNDED: Final = "payment.refunded"  # ours: the money of a refund went back
REFUND_FAILED: Final = "payment.refund_failed"  # ours: it did not, or came back

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
        "credit_note.provider_refund_failure",  # the name that Lago's filters use
        "credit_note.refund_failure",  # the name that Lago sends
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
