"""Whatever happens, in whatever order: once the bad luck is over, the books agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.databases import own_database
from tests.simulation.run import run_world
from tests.simulation.world import Database

WORLDS = 25  # in each of four tests, which may run side by side

# A quiet world proves nothing: this much at least happens in 25 of them, or the test fails.
AT_LEAST = {
    "worker_killed": 60,
    "killed_before_its_charge": 5,
    "killed_in_its_charge": 3,
    "killed_after_its_charge": 3,
    "job_lost": 10,
    "job_taken_again": 10,
    "job_done_unheard": 10,
    "believed_dead": 10,
    "job_taken_twice": 10,
    "job_cut_off": 6,
    "woke_up_late": 15,
    "tenants_in_one_batch": 15,
    "at_the_same_moment": 60,
    "commit_unheard": 10,
    "key_repeated": 20,
    "key_reused": 5,
    "ask_accepted": 200,
    "ask_refused": 100,
    "event_lost": 3,
    "event_twice": 3,
    "event_out_of_order": 10,
    "event_forged": 5,
    "another_account_tells": 10,
    "another_tenant_tells": 20,
    "failed_and_paid": 4,
    "charged_twice": 8,
    "paid_and_failed": 2,
    "paid_in_part_before_it_is_sent": 6,
    "payer_says_approve": 2,
    "payer_says_decline": 2,
    "page_given": 10,
    "page_given_again": 1,
    "page_payer_says_approve": 6,
    "page_payer_says_decline": 5,
    "page_paid_while_it_is_closed": 1,
    "page_abandoned": 4,
    "page_succeeded": 12,
    "page_failed": 20,
    "page_withdrawn": 3,
    "retried_past_a_page": 20,
    "api_killed": 15,
    "note_credit": 2,
    "note_offset": 8,
    "note_refund": 2,
    "several_requested": 15,
    "request_refused": 20,
    "request_succeeded": 2,
    "request_failed": 2,
    "dunned_by_charge": 1,
    "dunned_by_reminder": 20,
    "refund_asked": 5,
    "refund_succeeded": 2,
    "refund_failed": 1,
    "settled_by_hand": 5,
    "released": 4,
    "held_is_asked_for": 10,
    "drop_before": 10,
    "drop_after": 10,
    "error_before": 5,
    "error_after": 5,
    "rate_limited": 3,
    "hang_after": 5,
    "html": 5,
    "truncated": 5,
    "slow": 10,
    "webhook_drop": 5,
    "webhook_twice": 3,
    "webhook_late": 2,
    "webhook_shuffle": 5,
    "ended_succeeded": 100,
    "ended_failed": 100,
    "ended_withdrawn": 5,
    "ended_needs_review": 5,
    "invoice_was_voided": 2,
    "invoice_was_paid_already": 2,
    "a_second_charge": 2,
    "the_attempt_had_ended": 10,
}


@pytest_asyncio.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    async with Database.open(dsn) as opened:
        yield opened


@pytest_asyncio.fixture
async def another_dsn(server_dsn: str, template: str) -> AsyncIterator[str]:
    """A second database, as fresh as the first."""
    async with own_database(server_dsn, template) as fresh:
        yield fresh


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 25, 50, 75])
async def test_the_books_agree_whatever_happens(first: int, database: Database) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first, first + WORLDS):
        _, what = await run_world(database, seed)
        happened += what
    too_quiet = {what: happened[what] for what, least in AT_LEAST.items() if happened[what] < least}
    assert not too_quiet, "a quiet world proves nothing"


@pytest.mark.slow
async def test_a_seed_brings_back_the_same_world(dsn: str, another_dsn: str) -> None:
    traces = []
    for where in (dsn, another_dsn):
        async with Database.open(where) as database:
            traces.append([(await run_world(database, seed))[0] for seed in (1_000, 1_001)])
    assert traces[0] == traces[1]
    assert len({*traces[0]}) == 2
