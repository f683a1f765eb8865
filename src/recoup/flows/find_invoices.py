"""Read invoices for a caller: one, or a list. What is not visible is not found."""

from __future__ import annotations

from uuid import UUID

from recoup.rules.invoice_status import VISIBLE
from recoup.rules.lago.pages import Page
from recoup.rules.records.invoices import Invoice, InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused, not_found
from recoup.store import invoice_lists, invoices, organizations
from recoup.store.db import Conn
from recoup.store.invoice_lists import InvoiceFilter


async def find_invoice(
    conn: Conn, organization_id: UUID, invoice_id: UUID | None
) -> InvoiceDetails:
    """Read an invoice with all that is shown of it.

    :raises Refused: `invoice_not_found`; so is what is no id (None).
    """
    if invoice_id is not None:
        key = RowKey(organization_id, invoice_id)
        found = (await invoices.details(conn, [key])).get(key)
        if found is not None and found.invoice.status in VISIBLE:
            return found
    raise Refused(not_found("invoice"))


async def lock_invoice(conn: Conn, organization_id: UUID, invoice_id: UUID | None) -> Invoice:
    """Lock an invoice until the transaction ends, to change it.

    :raises Refused: as for reading.
    """
    if invoice_id is not None:
        key = RowKey(organization_id, invoice_id)
        found = (await invoices.lock(conn, [key])).get(key)
        if found is not None and found.status in VISIBLE:
            return found
    raise Refused(not_found("invoice"))


async def list_invoices(
    conn: Conn, organization_id: UUID, wanted: InvoiceFilter, page: Page
) -> tuple[list[InvoiceDetails], int]:
    """One page of the invoices wanted, and how many there are in all.

    :raises Refused: `billing_entity_not_found`, for a code that no entity has.
    """
    if wanted.billing_entity_codes is not None:
        entities = await organizations.billing_entities(conn, organization_id)
        if not set(wanted.billing_entity_codes) <= {entity.code for entity in entities}:
            raise Refused(not_found("billing_entity"))
    return await invoice_lists.page(conn, organization_id, wanted, page)
