"""What money means that went back where no move of the refund takes it in."""

from __future__ import annotations

import pytest

from recoup.rules.refund_state import NEXT, RefundState, surprise
from recoup.rules.settlement import Surprise


@pytest.mark.parametrize(
    ("current", "known_as", "by_hand", "expected"),
    [
        (RefundState.SUCCEEDED, "re_1", False, None),
        (RefundState.SUCCEEDED, None, False, None),  # its id is another refund's
        (RefundState.SUCCEEDED, "re_2", False, Surprise.SECOND_REFUND),
        (RefundState.FAILED, "re_1", False, None),  # the payer's bank sent it back
        (RefundState.FAILED, "re_1", True, Surprise.REFUND_HAD_FAILED),
        (RefundState.FAILED, "re_2", False, Surprise.REFUND_HAD_FAILED),
        (RefundState.FAILED, None, False, Surprise.REFUND_HAD_FAILED),
    ],
)
def test_money_that_went_back_late(
    current: RefundState, known_as: str | None, by_hand: bool, expected: Surprise | None
) -> None:
    said = surprise(current, known_as=known_as, told_as="re_1", failed_by_hand=by_hand)
    assert said is expected


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("state", [*RefundState])
def test_where_a_success_moves_the_refund_it_is_no_surprise(
    state: RefundState, by_hand: bool
) -> None:
    if RefundState.SUCCEEDED in NEXT[state]:
        assert surprise(state, known_as="re_2", told_as="re_1", failed_by_hand=by_hand) is None
