"""A debt for tests of rules: nothing about it is special but what the test says."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from recoup.rules.records.collection import Debt


def a_debt(**said: Any) -> Debt:
    """A finalized invoice that owes 10.00 EUR, pending."""
    fields: dict[str, Any] = {
        "organization_id": UUID(int=0),
        "id": UUID(int=1),
        "customer_id": UUID(int=9),
        "number": "ACM-001",
        "status": "finalized",
        "payment_status": "pending",
        "due_cents": 1_000,
        "currency": "EUR",
        "skip_psp": False,
        "self_billed": False,
        "payment_method_type": None,
        "payment_method_id": None,
        "held_because": None,
        "issuing_date": None,
        "invoice_type": "one_off",
        "billing_entity_id": UUID(int=7),
        "billing_entity_name": "Acme",
        "billing_entity_country": None,
    }
    return Debt(**fields | said)
