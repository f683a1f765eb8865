"""What documents and customers are called: numbers of invoices and receipts, slugs, prefixes.

Called by whoever creates a customer, finalizes an invoice or issues a receipt; the sequences are
drawn, under a lock, by the caller. Sources: contract sections 3.1 (prefix), 3.3 (slug), 3.12
(receipts) and 4.4 (invoices).

What would surprise you: the month in a number per billing entity does not restart its sequence,
padding is a least width (number 1000 has four digits), and a voided invoice keeps its number.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo


class Numbering(StrEnum):
    """What an invoice is counted within. Organizations call the second one `per_organization`."""

    PER_CUSTOMER = "per_customer"
    PER_BILLING_ENTITY = "per_billing_entity"


def numbering_of(setting: Numbering, *, self_billed: bool) -> Numbering:
    """Say how an invoice is numbered, given its billing entity's `setting`."""
    return Numbering.PER_CUSTOMER if self_billed else setting


def draft_number(prefix: str) -> str:
    """Name an invoice that is not final yet; all of an entity's drafts are called the same."""
    return f"{prefix}-DRAFT"


def number_per_customer(prefix: str, *, customer_sequence: int, invoice_sequence: int) -> str:
    """Number a final invoice within its customer; `invoice_sequence` counts within the pair."""
    return f"{prefix}-{_padded(customer_sequence)}-{_padded(invoice_sequence)}"


def number_per_billing_entity(
    prefix: str, *, entity_sequence: int, finalized_at: datetime, timezone: str
) -> str:
    """Number a final invoice within its billing entity; `timezone` is the entity's IANA name."""
    assert finalized_at.tzinfo is not None, "an instant without a zone is no instant"
    month = finalized_at.astimezone(ZoneInfo(timezone))
    return f"{prefix}-{month:%Y%m}-{_padded(entity_sequence)}"


def credit_note_number(invoice_number: str, *, sequence: int) -> str:
    """Number a credit note within its invoice (contract section 3.9)."""
    return f"{invoice_number}-CN{_padded(sequence)}"


def default_prefix(name: str, organization_id: UUID) -> str:
    """Make up an organization's prefix: three letters or digits of its name, four of its id."""
    letters = "".join(filter(str.isalnum, name.upper()))[:3] or "ORG"
    return f"{letters}-{str(organization_id)[-4:].upper()}"


def customer_slug(prefix: str, *, customer_sequence: int) -> str:
    """Name a customer; `prefix` is the organization's."""
    return f"{prefix}-{_padded(customer_sequence)}"


def receipt_number(slug: str, *, receipt_sequence: int) -> str:
    """Number a payment's receipt within its customer, whose slug it begins with (section 3.12)."""
    assert receipt_sequence > 0, "sequences count from 1"
    return f"{slug}-RCPT-{receipt_sequence:06}"


def _padded(sequence: int) -> str:
    assert sequence > 0, "sequences count from 1"
    return f"{sequence:03}"
