"""Numbers of invoices, slugs of customers, prefixes of organizations."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from recoup.rules.numbering import (
    Numbering,
    customer_slug,
    default_prefix,
    draft_number,
    number_per_billing_entity,
    number_per_customer,
    numbering_of,
    receipt_number,
)

NEW_YEAR_UTC = datetime(2027, 1, 1, 0, 30, tzinfo=UTC)


def test_every_draft_is_called_draft() -> None:
    assert draft_number("LAG-1234") == "LAG-1234-DRAFT"


@pytest.mark.parametrize(
    ("customer", "invoice", "number"),
    [
        (1, 1, "ACM-00FF-001-001"),
        (42, 999, "ACM-00FF-042-999"),
        (1000, 12345, "ACM-00FF-1000-12345"),
    ],
)
def test_a_number_within_a_customer(customer: int, invoice: int, number: str) -> None:
    made = number_per_customer("ACM-00FF", customer_sequence=customer, invoice_sequence=invoice)
    assert made == number


@pytest.mark.parametrize(
    ("timezone", "number"),
    [
        ("UTC", "ACM-00FF-202701-007"),
        ("America/New_York", "ACM-00FF-202612-007"),
        ("Pacific/Auckland", "ACM-00FF-202701-007"),
    ],
)
def test_a_number_within_an_entity_has_the_entitys_month(timezone: str, number: str) -> None:
    made = number_per_billing_entity(
        "ACM-00FF", entity_sequence=7, finalized_at=NEW_YEAR_UTC, timezone=timezone
    )
    assert made == number


def test_self_billed_invoices_are_always_numbered_within_their_customer() -> None:
    per_entity, per_customer = Numbering.PER_BILLING_ENTITY, Numbering.PER_CUSTOMER
    assert numbering_of(per_entity, self_billed=True) is per_customer
    assert numbering_of(per_entity, self_billed=False) is per_entity
    assert numbering_of(per_customer, self_billed=False) is per_customer


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("Hooli", "HOO-BEEF"), ("Élan", "ÉLA-BEEF"), ("ab", "AB-BEEF"), ("My shop", "MYS-BEEF"),
     ("1&1 AG", "11A-BEEF"), ("ßß", "SSS-BEEF"), ("...", "ORG-BEEF")],
)  # fmt: skip
def test_a_prefix_is_made_of_name_and_id(name: str, prefix: str) -> None:
    organization_id = UUID("1a901a90-1a90-1a90-1a90-1a901a90beef")
    assert default_prefix(name, organization_id) == prefix
    assert len(prefix) <= 10


def test_a_customers_slug() -> None:
    assert customer_slug("HOO-BEEF", customer_sequence=5) == "HOO-BEEF-005"
    assert customer_slug("HOO-BEEF", customer_sequence=1234) == "HOO-BEEF-1234"


def test_nothing_is_number_zero() -> None:
    with pytest.raises(AssertionError):
        customer_slug("HOO-BEEF", customer_sequence=0)


def test_receipts_are_counted_within_their_customer() -> None:
    assert receipt_number("ACM-1A2B-001", receipt_sequence=1) == "ACM-1A2B-001-RCPT-000001"
    assert receipt_number("ACM-1A2B-001", receipt_sequence=1_234_567) == (
        "ACM-1A2B-001-RCPT-1234567"
    )
