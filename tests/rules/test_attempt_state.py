"""The table of moves: what every news means in every state, written out a second time by hand."""

from __future__ import annotations

from itertools import product

import pytest

from recoup.rules.attempt_state import (
    FINAL,
    NEXT,
    Contradicted,
    Moved,
    Repeated,
    State,
    lago_payment_status,
    move,
)

# M: it moves; .: nothing new; !: a contradiction.
#   told ->           ready     unknown    customer_needed succeeded withdrawn
#                          sent       processing    needs_review failed
EXPECTED = {
    "ready":           ".  M    .    .      .       .        !    !    M",
    "sent":            "M  .    M    M      M       .        M    M    .",
    "unknown":         ".  .    .    M      M       M        M    M    .",
    "processing":      ".  .    .    .      M       .        M    M    .",
    "customer_needed": ".  .    .    M      .       .        M    M    .",
    "needs_review":    ".  .    .    .      .       .        M    M    .",
    "succeeded":       ".  .    .    .      .       .        .    !    .",
    "failed":          ".  .    .    .      .       .        !    .    .",
    "withdrawn":       ".  .    .    .      .       .        !    !    .",
}  # fmt: skip


@pytest.mark.parametrize(("current", "told"), [*product(State, State)])
def test_what_news_means_in_every_state(current: State, told: State) -> None:
    sign = {Moved: "M", Repeated: ".", Contradicted: "!"}[type(move(current, told))]
    assert sign == EXPECTED[current].split()[[*State].index(told)]


@pytest.mark.parametrize(("current", "told"), [*product(State, State)])
def test_news_says_what_it_moves_to_or_contradicts(current: State, told: State) -> None:
    match move(current, told):
        case Moved(to=to):
            assert to is told
        case Contradicted(was=was, told=contradicting):
            assert (was, contradicting) == (current, told)
        case Repeated():
            pass


def test_nothing_leaves_an_end_and_everything_else_can_reach_one() -> None:
    for state in State:
        reached, left = {state}, [state]
        while left:
            for after in NEXT[left.pop()] - reached:
                reached.add(after)
                left.append(after)
        assert bool(reached & FINAL)
        assert (reached == {state}) == (state in FINAL)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("ready", "pending"),
        ("sent", "pending"),
        ("unknown", "processing"),
        ("processing", "processing"),
        ("customer_needed", "processing"),
        ("needs_review", "processing"),
        ("succeeded", "succeeded"),
        ("failed", "failed"),
    ],
)
def test_every_state_that_is_shown_has_a_word_of_lagos(state: str, word: str) -> None:
    assert lago_payment_status(State(state)) == word


def test_a_withdrawn_attempt_has_no_word_of_lagos() -> None:
    with pytest.raises(AssertionError):
        lago_payment_status(State.WITHDRAWN)
