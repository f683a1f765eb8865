"""What may be asked for together, and what of it a provider is told."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.rules.method_choice import ByTransfer, NoAttempt, choose_for_request
from recoup.rules.money import MAX_CENTS
from recoup.rules.payment_requests import (
    NOT_READY,
    request_metadata,
    request_reference,
    requested_cents,
    requested_email,
    why_not_ready,
)
from recoup.rules.records.collection import Link, Method
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from tests.rules.debts import a_debt

CARD = Method(UUID(int=1), "pm_1", is_default=True)
OTHER = Method(UUID(int=2), "pm_2", is_default=False)
LINKED = Link(
    customer=RowKey(UUID(int=0), UUID(int=9)),
    external_customer_id="c1",
    payment_provider="stripe",
    payment_provider_code="cards",
    account_id=UUID(int=5),
    provider_customer_id="cus_1",
    methods=(CARD, OTHER),
)
FIRST, SECOND = a_debt(id=UUID(int=11)), a_debt(id=UUID(int=12))


@pytest.mark.parametrize(
    "unfit",
    [
        {"status": "voided"},
        {"status": "draft"},
        {"payment_status": "succeeded"},
        {"due_cents": 0},
        {"due_cents": -5},
        {"held_because": "contradicted"},
        {"self_billed": True},
    ],
)
def test_one_that_cannot_be_collected_makes_all_unready(unfit: dict[str, object]) -> None:
    second = a_debt(id=UUID(int=12), **unfit)
    assert why_not_ready([FIRST, SECOND], ()) is None
    assert why_not_ready([FIRST, second], ()) is NOT_READY
    assert why_not_ready([second, FIRST], ()) is NOT_READY


def test_one_that_is_being_charged_makes_all_unready() -> None:
    assert why_not_ready([FIRST, SECOND], {SECOND.key}) is NOT_READY
    assert why_not_ready([FIRST, SECOND], {a_debt(id=UUID(int=13)).key}) is None


def test_the_sum_is_of_what_is_due_and_fits_an_amount() -> None:
    assert requested_cents([a_debt(due_cents=1), a_debt(due_cents=250)]) == 251
    assert requested_cents([a_debt(due_cents=MAX_CENTS - 1), a_debt(due_cents=1)]) == MAX_CENTS
    with pytest.raises(Refused):
        requested_cents([a_debt(due_cents=MAX_CENTS), a_debt(due_cents=1)])


def test_who_is_asked_is_whom_the_caller_names_or_the_customer() -> None:
    assert requested_email("a@example.com", otherwise="b@example.com") == "a@example.com"
    assert requested_email("  ", otherwise="b@example.com") == "b@example.com"
    assert requested_email(None, otherwise=None) is None
    for wrong in ("nobody", "a@example.com\0", "a@b", 5):
        with pytest.raises(Refused):
            requested_email(wrong, otherwise="b@example.com")


def test_the_default_is_charged_whatever_the_invoices_name() -> None:
    named = a_debt(id=UUID(int=12), payment_method_type="provider", payment_method_id=OTHER.id)
    assert choose_for_request(None, [FIRST, named], LINKED) == CARD
    assert choose_for_request(OTHER.id, [FIRST], LINKED) == OTHER
    assert choose_for_request(UUID(int=3), [FIRST], LINKED) is NoAttempt.NO_METHOD
    by_hand = a_debt(id=UUID(int=12), payment_method_type="manual")
    assert choose_for_request(None, [FIRST, by_hand], LINKED) is NoAttempt.METHOD_IS_MANUAL


def test_who_pays_by_transfer_is_asked_for_one() -> None:
    import msgspec

    link = msgspec.structs.replace(LINKED, provider_payment_methods=("customer_balance",))
    assert choose_for_request(None, [FIRST, SECOND], link) == ByTransfer()
    unlinked = msgspec.structs.replace(LINKED, payment_provider=None)
    assert choose_for_request(None, [FIRST], unlinked) is NoAttempt.NO_PROVIDER
    unknown = msgspec.structs.replace(LINKED, provider_customer_id=None)
    assert choose_for_request(None, [FIRST], unknown) is NoAttempt.NO_PROVIDER_CUSTOMER


@given(st.lists(st.text("0123456789-", min_size=1, max_size=30), min_size=1, max_size=1_000))
def test_a_reference_names_some_and_counts_the_rest(numbers: list[str]) -> None:
    said = request_reference("Acme", numbers)
    assert said.startswith(f"Acme - Overdue invoices: {numbers[0]}")
    assert len(said) <= 300
    named, found, more = said.removeprefix("Acme - Overdue invoices: ").partition(" and ")
    left = int(more.removesuffix(" more")) if found else 0
    assert len(named.split(", ")) + left == len(numbers)


@given(st.integers(1, 1_000))
def test_every_value_beside_a_charge_fits_each_provider(how_many: int) -> None:
    debts = [a_debt(id=UUID(int=place + 1)) for place in range(how_many)]
    said = request_metadata(UUID(int=2**100), UUID(int=2**101), debts)
    assert all(len(value) <= 500 and len(name) <= 40 for name, value in said.items())
    ids = [UUID(one) for one in said["lago_invoice_ids"].split(",")]
    assert ids == [debt.id for debt in debts][: len(ids)]
    assert len(ids) == min(how_many, 13)
    assert "lago_invoice_id" not in said, "of one invoice it is not"
    assert next(iter(said)) == "lago_payable_id", "some providers keep the first ones alone"
