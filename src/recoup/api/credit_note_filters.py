"""Which credit notes a list call wants, from its query (contract section 3.9).

What would surprise you: a word that Lago does not know for a status, a reason or a type is ignored,
as if it had not been said. A date that cannot be read is ignored, too; a boolean or an amount is
refused, as in a list of invoices.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from recoup.api.describe import Query
from recoup.api.edge import ApiRequest
from recoup.api.filters import Filters
from recoup.api.identifiers import row_id
from recoup.rules.credit_note_asks import REASONS, REFUND_STATUSES
from recoup.store.credit_note_lists import CreditNoteFilter

CREDIT_STATUSES: Final = ("available", "consumed", "voided")
TYPES: Final = ("credit", "refund", "offset")

OF_ALL: Final = (
    Query("credit_status", f"What became of its credit: {', '.join(CREDIT_STATUSES)}."),
    Query("refund_status", f"What became of its refund: {', '.join(REFUND_STATUSES)}."),
    Query("reason", f"Why there is one: {', '.join(REASONS)}."),
    Query("types[]", f"It has any of these parts: {', '.join(TYPES)}.", list[str]),
    Query("currency", "Its ISO 4217 code."),
    Query("invoice_number", "The number of its invoice."),
    Query("purchase_order_number", "The customer's number for its invoice, in any case."),
    Query("self_billed", "Whether its invoice is a partner's.", bool),
    Query("issuing_date_from", "Issued on this day or later.", date),
    Query("issuing_date_to", "Issued on this day or earlier.", date),
    Query("amount_from", "Its total, in minor units, is this or more.", int),
    Query("amount_to", "Its total, in minor units, is this or less.", int),
    Query("billing_entity_codes[]", "Billed by any of these entities.", list[str]),
    Query("search_term", "Part of its number or of its customer's names or email, or its id."),
)
FILTERS: Final = (
    Query("external_customer_id", "The credit notes of this customer, deleted or not."),
    *OF_ALL,
)


def wanted_credit_notes(
    request: ApiRequest, *, external_customer_id: str | None = None
) -> CreditNoteFilter:
    """Read the filters of a call; `external_customer_id` is the path's, where it names one.

    :raises Refused: 422, every wrong filter with what it must be.
    """
    filters = Filters(request)
    search_term = (filters.text("search_term") or "").strip() or None
    wanted = CreditNoteFilter(
        external_customer_id=external_customer_id or filters.text("external_customer_id"),
        credit_statuses=filters.known("credit_status", among=CREDIT_STATUSES),
        refund_statuses=filters.known("refund_status", among=REFUND_STATUSES),
        reasons=filters.known("reason", among=REASONS),
        types=filters.known("types", among=TYPES),
        currency=filters.text("currency"),
        invoice_number=filters.text("invoice_number"),
        purchase_order_number=filters.text("purchase_order_number"),
        self_billed=filters.boolean("self_billed"),
        issued_from=filters.day("issuing_date_from"),
        issued_to=filters.day("issuing_date_to"),
        amount_from=filters.cents("amount_from"),
        amount_to=filters.cents("amount_to"),
        billing_entity_codes=tuple(filters.texts("billing_entity_codes")) or None,
        search_term=search_term,
        search_id=row_id(search_term) if search_term else None,
    )
    filters.check()
    return wanted
