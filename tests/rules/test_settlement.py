"""Money that moved, by property: it sums to zero, never pays too much, and none is dropped."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.rules.records.collection import Covered
from recoup.rules.settlement import (
    Applied,
    Surprise,
    apply_success,
    status_after_failure,
    unapplied,
)
from tests.rules.debts import a_debt

ATTEMPT = UUID(int=5)
STATUSES = ("finalized", "voided", "failed", "pending")
PAYMENT_STATUSES = ("pending", "succeeded", "failed")

amounts = st.integers(1, 2**50)


@st.composite
def successes(draw: st.DrawFn) -> tuple[list[Covered], tuple[int, str], tuple[int, str]]:
    """Up to four invoices that changed since they were asked for, and what the provider took."""
    covered = []
    for number in range(draw(st.integers(1, 4))):
        asked = draw(amounts)
        status = draw(st.sampled_from(STATUSES))
        due = draw(st.sampled_from([asked, 0]) | st.integers(0, 2 * asked))
        debt = a_debt(
            id=UUID(int=number),
            status=status,
            payment_status=draw(st.sampled_from(PAYMENT_STATUSES)),
            due_cents=0 if status == "voided" else due,
        )
        covered.append(Covered(ATTEMPT, debt, asked, "pending"))
    asked_cents = sum(one.amount_cents for one in covered) * draw(st.sampled_from([1, 1, 1, 2]))
    told_cents = draw(st.just(asked_cents) | amounts)
    return covered, (asked_cents, "EUR"), (told_cents, draw(st.sampled_from(["EUR", "eur", "USD"])))


def sums(applied: Applied) -> dict[str, int]:
    totals: dict[str, int] = {}
    for line in applied.lines:
        totals[line.account] = totals.get(line.account, 0) + line.amount_cents
    return totals


@settings(max_examples=1_000)
@given(successes())
def test_no_cent_is_dropped_or_made_up_and_what_is_left_over_is_a_surprise(success: Any) -> None:
    covered, asked, told = success
    applied = apply_success(covered, asked=asked, told=told)
    totals = sums(applied)
    assert sum(totals.values()) == 0
    assert totals["at_provider"] == told[0]
    of_invoices = sum(effect.applied_cents for effect in applied.effects)
    assert -totals.get("receivable", 0) == of_invoices
    assert -totals.get("unapplied", 0) == told[0] - of_invoices >= 0
    does_not_fit = told[0] != of_invoices or told[0] != asked[0] or told[1] == "USD"
    assert bool(applied.surprises) == does_not_fit
    for line in applied.lines:
        assert (line.invoice is not None) == (line.account == "receivable")
    by_invoice = {line.invoice: -line.amount_cents for line in applied.lines if line.invoice}
    assert by_invoice == {
        effect.debt.key: effect.applied_cents for effect in applied.effects if effect.applied_cents
    }


@settings(max_examples=1_000)
@given(successes())
def test_no_invoice_is_paid_beyond_what_is_due_or_was_asked(success: Any) -> None:
    covered, asked, told = success
    applied = apply_success(covered, asked=asked, told=told)
    due = {one.debt.id: one for one in covered}
    for effect in applied.effects:
        one = due[effect.debt.id]
        assert 0 <= effect.applied_cents <= min(one.debt.due_cents, one.amount_cents)
        if one.debt.status == "voided" or one.debt.payment_status == "succeeded":
            assert effect.applied_cents == 0
            assert effect.payment_status == one.debt.payment_status
        elif effect.payment_status == "succeeded":
            assert effect.applied_cents == one.debt.due_cents > 0
        else:
            assert effect.applied_cents < one.debt.due_cents or one.debt.due_cents == 0


@pytest.mark.parametrize(
    ("debt", "told", "applied_cents", "shows", "surprises"),
    [
        ({}, (1_000, "EUR"), 1_000, "succeeded", ()),
        ({}, (1_000, "eur"), 1_000, "succeeded", ()),
        ({"payment_status": "failed"}, (1_000, "EUR"), 1_000, "succeeded", ()),
        ({}, (900, "EUR"), 900, "pending", (Surprise.OTHER_AMOUNT,)),
        ({}, (1_100, "EUR"), 1_000, "succeeded", (Surprise.OTHER_AMOUNT,)),
        ({"due_cents": 600}, (1_000, "EUR"), 600, "succeeded", (Surprise.MORE_THAN_DUE,)),
        ({"due_cents": 0}, (1_000, "EUR"), 0, "pending", (Surprise.MORE_THAN_DUE,)),
        ({"due_cents": 1_500}, (1_000, "EUR"), 1_000, "pending", ()),
        ({"status": "voided", "due_cents": 0}, (1_000, "EUR"), 0, "pending",
            (Surprise.INVOICE_VOIDED,)),
        ({"payment_status": "succeeded"}, (1_000, "EUR"), 0, "succeeded",
            (Surprise.ALREADY_PAID,)),
    ],
)  # fmt: skip
def test_a_success_by_example(
    debt: dict[str, Any],
    told: tuple[int, str],
    applied_cents: int,
    shows: str,
    surprises: tuple[Surprise, ...],
) -> None:
    covered = [Covered(ATTEMPT, a_debt(**debt), 1_000, "pending")]
    applied = apply_success(covered, asked=(1_000, "EUR"), told=told)
    [effect] = applied.effects
    assert (effect.applied_cents, effect.payment_status) == (applied_cents, shows)
    assert applied.surprises == surprises


def test_another_currency_pays_nothing() -> None:
    covered = [Covered(ATTEMPT, a_debt(), 1_000, "pending")]
    applied = apply_success(covered, asked=(1_000, "EUR"), told=(1_000, "USD"))
    assert applied == Applied((), unapplied(1_000), (Surprise.OTHER_CURRENCY,))


@pytest.mark.parametrize(
    ("before", "after"),
    [("pending", "failed"), ("failed", "failed"), ("succeeded", "succeeded")],
)
def test_a_failure_takes_no_payment_back(before: str, after: str) -> None:
    assert status_after_failure(a_debt(payment_status=before)) == after
