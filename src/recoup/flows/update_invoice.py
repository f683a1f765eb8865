"""Change what a caller may change of an invoice: its payment status and its metadata.

What would surprise you: a status that is set here moves no money and no ledger entry. The caller
says what it knows from elsewhere; what is due stays as it was. While an attempt is open it is
taken just the same: the attempt looks again before it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET

from recoup.flows.find_invoices import find_invoice, lock_invoice
from recoup.flows.tell import tell
from recoup.flows.tell_invoices import StatusChange, payment_status_updated
from recoup.rules.one_off_asks import read_text
from recoup.rules.records.invoices import Invoice, InvoiceDetails, InvoiceMetadatum
from recoup.rules.refusal import Refused, invalid, not_allowed
from recoup.rules.scalars import Text
from recoup.store import attempts, invoices
from recoup.store.db import Conn

PAYMENT_STATUSES: Final = frozenset({"pending", "succeeded", "failed"})
MOST_METADATA: Final = 5
LONGEST_KEY: Final = 20
LONGEST_VALUE: Final = 140


class MetadatumInput(msgspec.Struct, frozen=True):
    """One pair; with the `id` of one that is there, that one is changed."""

    id: str | None = None
    key: Text = UNSET
    value: Text = UNSET


class InvoiceChange(msgspec.Struct, frozen=True):
    """What a caller changes; what is absent stays. Metadata that are given replace all others."""

    payment_status: str | None = None
    metadata: list[MetadatumInput] | None = None


async def update_invoice(
    conn: Conn,
    organization_id: UUID,
    invoice_id: UUID | None,
    asked: InvoiceChange,
    *,
    change_id: UUID,
    now: datetime,
) -> InvoiceDetails:
    """Change an invoice, and answer it as it is then. `change_id` names this very change.

    :raises Refused: `invoice_not_found`; 405 for a voided one, or a draft; 422 for broken rules.
    """
    invoice = await lock_invoice(conn, organization_id, invoice_id)
    status = asked.payment_status
    differs = status is not None and status != invoice.payment_status
    if invoice.status == "voided":
        raise Refused(not_allowed("update_on_voided_invoice"))
    if invoice.status == "draft" and asked.metadata is not None:
        raise Refused(not_allowed("metadata_on_draft_invoice"))
    if status is not None and status not in PAYMENT_STATUSES:
        raise Refused(invalid({"payment_status": ["value_is_invalid"]}))
    if invoice.status == "draft" and differs:
        raise Refused(not_allowed("payment_status_update_on_draft_invoice"))
    if asked.metadata is not None:
        before = (await find_invoice(conn, organization_id, invoice.id)).metadata
        after = _metadata(invoice, asked.metadata, before, change_id=change_id, now=now)
        await invoices.replace_metadata(conn, invoice.key, after)
    if status is not None and differs:
        await invoices.show_payment_status(conn, invoice.key, status, now=now)
        if status == "succeeded":
            await attempts.close_pages(conn, [invoice.key], now=now)
        change = StatusChange(invoice.key, cause=change_id)
        await tell(conn, await payment_status_updated(conn, [change]), now=now)
    return await find_invoice(conn, organization_id, invoice.id)


def _metadata(
    invoice: Invoice,
    asked: Sequence[MetadatumInput],
    before: Sequence[InvoiceMetadatum],
    *,
    change_id: UUID,
    now: datetime,
) -> list[InvoiceMetadatum]:
    """The metadata that an invoice has from now on."""
    if len(asked) > MOST_METADATA:
        raise Refused(invalid({"metadata": ["invalid_count"]}))
    known = {str(one.id): one for one in before}  # each stands for one pair
    after = []
    for position, one in enumerate(asked):
        old = known.pop((one.id or "").lower(), None)
        new_id = uuid5(change_id, f"metadata/{position}")
        blank = InvoiceMetadatum(invoice.organization_id, new_id, invoice.id, "", "", now)
        given = {
            field: read_text(value, field) or ""
            for field in ("key", "value")
            if (value := getattr(one, field)) is not UNSET
        }
        after.append(msgspec.structs.replace(old or blank, **given))
    _refuse_broken(after)
    return after


def _refuse_broken(metadata: Sequence[InvoiceMetadatum]) -> None:
    broken: dict[str, list[str]] = {}
    for field, longest in (("key", LONGEST_KEY), ("value", LONGEST_VALUE)):
        values = [getattr(one, field) for one in metadata]
        if not all(values):
            broken[field] = ["value_is_mandatory"]
        elif any(len(value) > longest for value in values):
            broken[field] = ["value_is_too_long"]
        elif field == "key" and len(set(values)) < len(values):
            broken[field] = ["value_already_exist"]
    if broken:
        raise Refused(invalid(broken))
