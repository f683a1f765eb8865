"""Out of which charges of an invoice a refund is paid."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.rules.refund_split import PaidBy, split_refund
from recoup.rules.refund_state import RefundState, status_of_note


def charges(*cents: int) -> list[PaidBy]:
    return [
        PaidBy(
            payment_id=UUID(int=at), account_id=UUID(int=9), provider_payment_id=f"ch_{at}",
            refundable_cents=one,
        )
        for at, one in enumerate(cents)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cents", "paid", "expected"),
    [
        (500, [1_000], [(0, 500)]),
        (700, [400, 600], [(0, 400), (1, 300)]),  # the newest first
        (700, [0, 600], [(1, 600)]),  # the rest was paid by hand: a person's
        (700, [], []),
        (1_000, [-5, 400, 0, 600, 1], [(1, 400), (3, 600)]),
    ],
)
def test_the_newest_pays_back_first_and_none_more_than_it_paid(
    cents: int, paid: list[int], expected: list[tuple[int, int]]
) -> None:
    portions = split_refund(cents, charges(*paid))
    assert [(one.charge.payment_id.int, one.cents) for one in portions] == expected


@given(st.integers(0, 10_000), st.lists(st.integers(-10, 5_000), max_size=6))
def test_it_is_what_is_wanted_or_all_there_is(cents: int, paid: list[int]) -> None:
    portions = split_refund(cents, charges(*paid))
    assert sum(one.cents for one in portions) == min(cents, sum(one for one in paid if one > 0))
    assert all(0 < one.cents <= one.charge.refundable_cents for one in portions)


DONE, FAILED, READY = RefundState.SUCCEEDED, RefundState.FAILED, RefundState.READY


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ([(DONE, 1_000)], "succeeded"),
        ([(DONE, 400), (DONE, 600)], "succeeded"),
        ([(DONE, 400), (READY, 600)], None),
        ([(DONE, 400)], None),  # 600 were paid by hand
        ([(DONE, 400), (FAILED, 600)], "failed"),
        ([(FAILED, 400), (READY, 600)], "failed"),
    ],
)
def test_a_note_follows_its_refunds(
    ends: list[tuple[RefundState, int]], status: str | None
) -> None:
    assert status_of_note(1_000, ends) == status
