"""The database's own table of moves is the same as the code's, for every pair of states."""

from __future__ import annotations

from itertools import product

import asyncpg

from recoup import clock
from recoup.rules.attempt_state import FINAL, NEXT, State
from tests.shop import START, MovableClock, Shop


async def attempt_in(shop: Shop, state: State) -> None:
    """Insert an attempt that has been in this state from the start: no trigger looks at that."""
    await shop.owner.execute(
        """INSERT INTO payments (organization_id, id, state, payment_type, customer_id,
                  amount_cents, currency, asked_by, request, created_at, sent_at, ended_at)
           VALUES ($1, $2, $3, 'provider', $4, 1000, 'EUR', 'api', '{}', $5, $5, $6)""",
        shop.organization_id, clock.new_id(), state.value, await shop.customer(), START,
        START if state in FINAL else None,
    )  # fmt: skip


async def test_the_trigger_allows_exactly_the_moves_of_the_table(
    pool: asyncpg.Pool, owner: asyncpg.Connection
) -> None:
    shop = await Shop(pool, owner, None, MovableClock()).open()  # type: ignore[arg-type]
    for state in State:
        await attempt_in(shop, state)
    allowed, refusals = set(), set()
    for before, after in product(State, State):
        undone = owner.transaction()
        await undone.start()
        try:
            await owner.execute(
                "UPDATE payments SET state = $2, ended_at = $3 WHERE state = $1",
                before.value,
                after.value,
                START if after in FINAL else None,
            )
            allowed.add((before, after))
        except asyncpg.CheckViolationError as error:
            refusals.add(str(error))
        finally:
            await undone.rollback()
    stays = {(state, state) for state in State}
    assert "a payment does not move from failed to succeeded" in refusals
    assert len(refusals) + len(allowed) == len(State) ** 2
    assert allowed == stays | {(before, after) for before in State for after in NEXT[before]}


async def test_what_was_sent_does_not_change(pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
    shop = await Shop(pool, owner, None, MovableClock()).open()  # type: ignore[arg-type]
    frozen = {
        "amount_cents": "amount_cents + 1",
        "currency": "'USD'",
        "provider_account_id": f"'{shop.account_id}'",
        "provider_customer_id": "'cus_other'",
        "payment_method_id": "NULL",
        "provider_method_id": "'pm_other'",
        "request": "'{\"amount\":1}'",
        "sent_at": "sent_at + interval '1 second'",
    }
    for state, (column, value) in product(State, frozen.items()):
        undone = owner.transaction()
        await undone.start()
        await attempt_in(shop, state)
        refused = None
        try:
            await owner.execute(f"UPDATE payments SET {column} = {value}")
        except asyncpg.CheckViolationError as error:
            refused = str(error)
        finally:
            await undone.rollback()
        frozen_as = None if state is State.READY else "what was sent of a payment does not change"
        assert refused == frozen_as, (state, column)


async def test_the_end_of_an_attempt_frees_its_invoice(
    pool: asyncpg.Pool, owner: asyncpg.Connection
) -> None:
    shop = await Shop(pool, owner, None, MovableClock()).open()  # type: ignore[arg-type]
    ended = 0
    for before, after in product(State, State):
        if after not in NEXT[before]:
            continue
        await attempt_in(shop, before)
        payment_id = await owner.fetchval("SELECT id FROM payments ORDER BY id DESC LIMIT 1")
        invoice = await shop.invoice(await shop.customer())
        await owner.execute(
            """INSERT INTO payment_invoices (organization_id, payment_id, invoice_id,
                      amount_cents, payment_status_before)
               VALUES ($1, $2, $3, 1000, 'pending')""",
            shop.organization_id, payment_id, invoice.id,
        )  # fmt: skip
        await owner.execute(
            "UPDATE payments SET state = $2, ended_at = $3 WHERE id = $1",
            payment_id,
            after.value,
            START if after in FINAL else None,
        )
        is_open = await owner.fetchval(
            "SELECT open FROM payment_invoices WHERE payment_id = $1", payment_id
        )
        assert is_open == (after not in FINAL), (before, after)
        ended += not is_open
    assert ended == 11  # of sent, unknown, processing, customer_needed, needs_review, and ready
