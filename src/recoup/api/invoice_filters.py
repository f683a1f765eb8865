"""Which invoices a list call wants, from its query (contract section 3.7.3).

What would surprise you: `status` and `statuses`, `payment_status` and `payment_statuses` say the
same, and the singular wins; wrong values of either are named under the singular. A date that
cannot be read is ignored, and a boolean is refused, as at Lago.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from recoup.api.describe import Query
from recoup.api.edge import ApiRequest
from recoup.api.filters import Filters
from recoup.api.identifiers import row_id
from recoup.store.invoice_lists import InvoiceFilter

STATUSES: Final = ("draft", "finalized", "voided", "failed", "pending")
PAYMENT_STATUSES: Final = ("pending", "succeeded", "failed")
SETTLEMENTS: Final = ("payment", "credit_note")

FILTERS: Final = (
    Query("external_customer_id", "The invoices of this customer, deleted or not."),
    Query("customer_external_id", "The same, by its older name."),
    Query("statuses[]", f"Any of these: {', '.join(STATUSES)}.", list[str]),
    Query("status", "One of them; it wins over `statuses[]`."),
    Query("payment_statuses[]", f"Any of these: {', '.join(PAYMENT_STATUSES)}.", list[str]),
    Query("payment_status", "One of them; it wins over `payment_statuses[]`."),
    Query("payment_overdue", "Whether it is late.", bool),
    Query("partially_paid", "Whether some of it is paid, and not all.", bool),
    Query("self_billed", "Whether it is a partner's.", bool),
    Query("payment_dispute_lost", "Whether a dispute about it was lost.", bool),
    Query("invoice_type", "`one_off`."),
    Query("currency", "Its ISO 4217 code."),
    Query("issuing_date_from", "Issued on this day or later.", date),
    Query("issuing_date_to", "Issued on this day or earlier.", date),
    Query("amount_from", "Its total, in minor units, is this or more.", int),
    Query("amount_to", "Its total, in minor units, is this or less.", int),
    Query("billing_entity_codes[]", "Billed by any of these entities.", list[str]),
    Query("metadata[key]", "It has this value under `key`; empty: it has no such key."),
    Query("purchase_order_number", "The customer's number for it, in any case."),
    Query("settlements[]", f"Settled by any of these: {', '.join(SETTLEMENTS)}.", list[str]),
    Query("search_term", "Part of its number or of its customer's names or email, or its id."),
)


def wanted_invoices(
    request: ApiRequest, *, external_customer_id: str | None = None
) -> InvoiceFilter:
    """Read the filters of a call; `external_customer_id` is the path's, where it names one.

    :raises Refused: 422, every wrong filter with what it must be.
    """
    filters = _InvoiceFilters(request)
    search_term = (filters.text("search_term") or "").strip() or None
    wanted = InvoiceFilter(
        external_customer_id=(
            external_customer_id
            or filters.text("external_customer_id")
            or filters.text("customer_external_id")
        ),
        statuses=filters.words("status", "statuses", among=STATUSES),
        payment_statuses=filters.words(
            "payment_status", "payment_statuses", among=PAYMENT_STATUSES
        ),
        payment_overdue=filters.boolean("payment_overdue"),
        partially_paid=filters.boolean("partially_paid"),
        self_billed=filters.boolean("self_billed"),
        payment_dispute_lost=filters.boolean("payment_dispute_lost"),
        invoice_type=filters.text("invoice_type"),
        currency=filters.text("currency"),
        issued_from=filters.day("issuing_date_from"),
        issued_to=filters.day("issuing_date_to"),
        amount_from=filters.cents("amount_from"),
        amount_to=filters.cents("amount_to"),
        billing_entity_codes=tuple(filters.texts("billing_entity_codes")) or None,
        metadata=filters.metadata(),
        purchase_order_number=filters.text("purchase_order_number"),
        settlements=filters.words("settlements", among=SETTLEMENTS),
        search_term=search_term,
        search_id=row_id(search_term) if search_term else None,
    )
    filters.check()
    return wanted


class _InvoiceFilters(Filters):
    """The filters that only lists of invoices have."""

    def words(self, *names: str, among: tuple[str, ...]) -> tuple[str, ...] | None:
        """The words of the first of these names that has any; wrong ones go by the first name."""
        for name in names:
            array = self._query.getall(f"{name}[]", [])
            said = [word for word in (*array, *self._query.getall(name, [])) if word]
            if said:
                is_one_word = not array and len(said) == 1
                self._refuse_others(names[0], said, among, is_one_word=is_one_word)
                return tuple(said)
        return None

    def _refuse_others(
        self, name: str, said: list[str], among: tuple[str, ...], *, is_one_word: bool
    ) -> None:
        wrong = {str(place): word for place, word in enumerate(said) if word not in among}
        must_be = f"must be one of: {', '.join(among)}"
        if wrong and is_one_word:
            self._broken[name] = [f"{must_be} or must be an array"]
        elif wrong:
            self._broken[name] = {place: [must_be] for place in wrong}
