from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from recoup.rules.document_pages import (
    LONGEST_NAME,
    MOST_LINES,
    MOST_TEXT,
    collection_of,
    cut,
    description_limit,
    fitting_lines,
    fitting_taxes,
    invoice_page,
    voided,
)
from recoup.rules.document_schedule import TYPESET_WAITS, after_a_page_failure
from recoup.rules.records.customers import Customer, CustomerDetails, Metadatum, ProviderCustomer
from recoup.rules.records.document_pages import Collection, LeftOut, Note
from recoup.rules.records.fees import AppliedTax, Fee, FeeDetails
from recoup.rules.records.invoices import Invoice, InvoiceDetails
from recoup.rules.records.organizations import BillingEntity

NOW = datetime(2026, 3, 2, tzinfo=UTC)
OURS, ID = UUID(int=1), UUID(int=2)

ENTITY = BillingEntity(
    organization_id=OURS, id=ID, code="main", name="Shop", legal_name="Shop GmbH",
    document_number_prefix="S", invoice_footer="IBAN", logo_url="https://a.b/c",
    document_locale="de", created_at=NOW, updated_at=NOW,
)  # fmt: skip
CUSTOMER = Customer(
    organization_id=OURS, id=ID, external_id="c1", sequential_id=1, slug="c", firstname="Ada",
    lastname="Lovelace", billing_entity_id=ID, created_at=NOW, updated_at=NOW,
)  # fmt: skip


def _filled(record: type[msgspec.Struct], **fields: Any) -> Any:
    """A row of which only some fields matter here."""
    plain: dict[str, Any] = dict.fromkeys(record.__struct_fields__)
    return record(**plain | fields)


def _fee(cents: int = 100, description: str | None = None) -> FeeDetails:
    fee = _filled(Fee, item_name="Item", amount_cents=cents, description=description)
    return FeeDetails(fee, "pending", False, ())


def _details(
    customer: Customer = CUSTOMER, link: ProviderCustomer | None = None, **invoice: Any
) -> InvoiceDetails:
    fields = {
        "organization_id": OURS, "id": ID, "number": "S-1", "currency": "EUR",
        "issuing_date": date(2026, 3, 2), "total_cents": 119, "taxes_amount_cents": 19,
        "sub_total_excluding_taxes_amount_cents": 100, "skip_psp": False, "self_billed": False,
    }  # fmt: skip
    shown = [
        Metadatum(id=ID, key=key, value="v", display_in_invoice=shown, created_at=NOW)
        for key, shown in (("shown", True), ("own", False))
    ]
    return InvoiceDetails(
        invoice=_filled(Invoice, **fields | invoice),
        billing_entity_code="main",
        customer=CustomerDetails(
            customer=customer, billing_entity_code="main", billing_entity_timezone="Asia/Tokyo",
            billing_entity_net_payment_term=0, metadata=tuple(shown), taxes=(), link=link,
        ),
        fees=(_fee(),),
        applied_taxes=(),
        metadata=(),
    )  # fmt: skip


def test_a_page_names_both_and_is_in_the_sellers_language() -> None:
    page = invoice_page(_details(), ENTITY)
    assert (page.seller.name, page.buyer.name) == ("Shop GmbH", "Ada Lovelace")
    assert (page.locale, page.timezone) == ("de", "Asia/Tokyo")
    assert (page.footer, page.logo_url) == ("IBAN", "https://a.b/c")
    assert page.notes == (Note("shown", "v"),)  # and not what is the seller's own
    assert (page.net_cents, page.taxes_cents, page.total_cents) == (100, 19, 119)


def test_a_customers_own_language_is_the_documents() -> None:
    french = msgspec.structs.replace(CUSTOMER, document_locale="fr", legal_name="Ada SARL")
    page = invoice_page(_details(french), ENTITY)
    assert (page.locale, page.buyer.name) == ("fr", "Ada SARL")


def test_a_self_billed_page_changes_places_and_keeps_the_issuers_bank_to_itself() -> None:
    page = invoice_page(_details(self_billed=True), ENTITY)
    assert (page.seller.name, page.buyer.name) == ("Ada Lovelace", "Shop GmbH")
    assert (page.footer, page.logo_url) == (None, None)
    assert page.collection is Collection.BY_ISSUER


@pytest.mark.parametrize(
    ("linked", "fields", "way"),
    [
        (True, {}, Collection.AUTOMATIC),
        (True, {"payment_method_type": "provider"}, Collection.AUTOMATIC),
        (True, {"payment_method_type": "manual"}, Collection.BY_BUYER),
        (True, {"skip_psp": True}, Collection.BY_BUYER),
        (False, {}, Collection.BY_BUYER),
        (True, {"total_cents": 0}, Collection.NOTHING_DUE),
        (True, {"total_cents": 0, "self_billed": True}, Collection.BY_ISSUER),
    ],
)
def test_how_it_is_paid_is_what_is_known_at_issue(
    linked: bool, fields: dict[str, Any], way: Collection
) -> None:
    link = _filled(ProviderCustomer) if linked else None
    assert collection_of(_details(link=link, **fields)) is way


def test_what_a_page_cannot_hold_is_counted() -> None:
    lines, left_out = fitting_lines([_fee(cents) for cents in range(MOST_LINES + 3)])
    assert len(lines) == MOST_LINES
    assert left_out == LeftOut(3, 3 * MOST_LINES + 3)
    assert fitting_lines([_fee()] * MOST_LINES)[1] is None
    taxes, more = fitting_taxes([_filled(AppliedTax, tax_name="T", amount_cents=1)] * 60)
    assert (len(taxes), more) == (50, LeftOut(10, 10))


@pytest.mark.parametrize("count", [1, 10, 1_000, 5_000])
def test_no_number_of_long_lines_takes_more_than_its_memory(count: int) -> None:
    lines, _ = fitting_lines([_fee(description="x" * 20_000)] * count)
    assert sum(len(line.description or "") for line in lines) <= MOST_TEXT + 60 * len(lines)
    assert all(line.description and line.description.endswith("…") for line in lines)
    assert description_limit(0) > 0


def test_a_text_is_cut_where_it_is_too_long_and_none_where_it_is_blank() -> None:
    assert cut("x" * LONGEST_NAME, LONGEST_NAME) == "x" * LONGEST_NAME
    assert cut("x" * 300, LONGEST_NAME) == "x" * (LONGEST_NAME - 1) + "…"
    assert cut(" \n ", 5) is None
    assert cut(None, 5) is None


def test_a_void_page_is_the_same_but_for_its_mark() -> None:
    page = invoice_page(_details(), ENTITY)
    marked = voided(page, on=date(2026, 4, 1))
    assert marked != page
    assert msgspec.structs.replace(marked, voided_on=None) == page


def test_a_page_that_cannot_be_set_is_tried_a_few_times_and_given_up() -> None:
    ats = [
        after_a_page_failure(tries, jitter=0, now=NOW) for tries in range(1, len(TYPESET_WAITS) + 2)
    ]
    assert ats == [*(NOW + wait for wait in TYPESET_WAITS), None]
    late = after_a_page_failure(1, jitter=1, now=NOW)
    assert late is not None
    assert late - NOW == TYPESET_WAITS[0] * 1.5
    assert timedelta(0) < TYPESET_WAITS[0] < TYPESET_WAITS[-1]
