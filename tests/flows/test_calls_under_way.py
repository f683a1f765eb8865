"""No account takes all the calls of a process, and none is left without any."""

from __future__ import annotations

from datetime import timedelta

import pytest

from recoup import clock
from recoup.flows.calls_under_way import FORGOTTEN_AFTER, FULL_FOR, CallsUnderWay
from recoup.rules.records.keys import RowKey

NOW = clock.now()
ACCOUNTS = [RowKey(clock.new_id(), clock.new_id()) for _ in range(12)]


def fill(under_way: CallsUnderWay, account: RowKey) -> int:
    """Begin as many calls as there is room for; how many that were."""
    begun = 0
    while under_way.room(account, now=NOW):
        under_way.begin(account, begun, now=NOW)
        begun += 1
        assert begun <= 1_000, "there is always room"
    return begun


def test_one_account_alone_has_four_of_five() -> None:
    assert fill(CallsUnderWay(500), ACCOUNTS[0]) == 400


@pytest.mark.parametrize("how_many", [1, 2, 5])
def test_of_however_many_that_hang_some_are_free_for_another(how_many: int) -> None:
    under_way = CallsUnderWay(500)
    begun: dict[RowKey, int] = {}
    for _ in range(20):  # each call ends after a while, and the account takes what it may have
        for account in ACCOUNTS[:how_many]:
            for call in range(begun.get(account, 0)):
                under_way.end(account, call)
            begun[account] = fill(under_way, account)
            assert begun[account] >= 1
    assert 500 - sum(begun.values()) >= 20
    assert under_way.room(RowKey(clock.new_id(), clock.new_id()), now=NOW) >= 1


def test_a_batch_is_let_in_as_far_as_there_is_room() -> None:
    under_way = CallsUnderWay(10)
    mine, other = ACCOUNTS[:2]
    callers = [RowKey(clock.new_id(), clock.new_id()) for _ in range(20)]
    out = under_way.crowded_out({**dict.fromkeys(callers, mine), other: other}, now=NOW)
    assert [*out] == callers[8:]  # in the order given, and nobody of the other's
    assert all(NOW + FULL_FOR <= until <= NOW + 2 * FULL_FOR for until in out.values())


def test_a_call_that_has_ended_makes_room_and_so_does_one_that_nobody_ended() -> None:
    under_way = CallsUnderWay(10)
    account = ACCOUNTS[0]
    assert fill(under_way, account) == 8
    under_way.end(account, 3)
    under_way.end(account, 3)
    assert under_way.room(account, now=NOW) == 1
    later = NOW + FORGOTTEN_AFTER + timedelta(seconds=1)
    assert under_way.room(account, now=later) == 8


def test_a_call_that_breaks_has_ended() -> None:
    under_way = CallsUnderWay(10)
    try:
        with under_way.place(ACCOUNTS[0], 1, now=NOW):
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert under_way.room(ACCOUNTS[0], now=NOW) == 8
