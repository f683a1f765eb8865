"""`recoup check`, as an operator runs it."""

from __future__ import annotations

import asyncpg

from recoup.store.invariants import INVARIANTS
from tests.cli.conftest import Recoup


async def test_books_that_are_right_end_with_status_0(recoup: Recoup) -> None:
    ended = await recoup("check")
    assert ended.status == 0, ended.err
    assert "The books are right. Organizations checked: 0." in ended.out
    told = (await recoup("check", "--json")).json
    assert told["ok"] is True
    assert [one["name"] for one in told["invariants"]] == [one.name for one in INVARIANTS]


async def test_a_broken_invariant_is_named_and_ends_with_status_1(
    recoup: Recoup, owner: asyncpg.Connection
) -> None:
    made = (await recoup("organization", "create", "Acme", "--json")).json
    await owner.execute("ALTER TABLE ledger_entries DISABLE TRIGGER ledger_sums_to_zero")
    await owner.execute(
        """INSERT INTO ledger_entries
           VALUES ($1, $1, 0, 'revenue', 5, 'EUR', NULL, NULL, now())""",
        made["organization_id"],
    )
    ended = await recoup("check", "--json")
    assert ended.status == 1
    broken = {one["name"]: one for one in ended.json["invariants"] if one["count"]}
    assert set(broken) == {"transactions_sum_to_zero", "ledger_sums_to_zero"}
    place = {"organization_id": made["organization_id"], "id": made["organization_id"]}
    assert broken["ledger_sums_to_zero"]["examples"] == [place]
    shown = (await recoup("check")).out
    assert "Invariants broken: 2." in shown
    assert made["organization_id"] in shown
