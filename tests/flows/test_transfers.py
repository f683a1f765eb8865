"""A bank transfer through the flows: asked for, waited for as long as a bank takes, and paid."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.collect_from_customer import collect_from_customer
from recoup.flows.notice_restore import hold_all_back
from recoup.flows.reconcile_account import reconcile_account
from recoup.flows.record_manual_payment import PaymentInput, record_manual_payment
from recoup.flows.void_invoice import void_invoice
from recoup.rules.invoice_status import HANDLED
from recoup.rules.method_choice import NoAttempt, Wish
from recoup.rules.records.collection import idempotency_key
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store import db
from recoup.store.db import Pool
from tests.flows.pages import opened, retry
from tests.flows.test_authenticate_attempt import broken
from tests.flows.transfers import INSTRUCTIONS, Payer, open_payer

WAITING = ["payment.requires_action"]
PAID = [
    "invoice.payment_status_updated",
    "payment.requires_action",
    "payment.succeeded",
    "payment_receipt.created",
]


@pytest_asyncio.fixture
async def payer(pool: Pool, owner: asyncpg.Connection) -> AsyncIterator[Payer]:
    async with open_payer(pool, owner) as opened:
        yield opened
        assert await broken(opened.shop) == []


async def remaining(payer: Payer, attempt: RowKey) -> int:
    """What the payer is told that is still to be sent."""
    row = await payer.shop.row("payments", attempt)
    told = msgspec.json.decode(row["next_action"])
    return told["display_bank_transfer_instructions"]["amount_remaining"]


async def test_a_transfer_is_asked_for_and_paid_when_the_money_comes(payer: Payer) -> None:
    shop = payer.shop
    invoice = await payer.owes()
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "customer_needed"
    assert await shop.shown(invoice) == ("pending", 1_000)
    [(word, told)] = await shop.told()
    assert word == "payment.requires_action"
    told_where = told["next_action"]["display_bank_transfer_instructions"]
    assert told_where["hosted_instructions_url"] == f"{INSTRUCTIONS}pi_0"
    assert (told["payment_status"], told["status"]) == ("processing", "requires_action")
    [asked] = payer.books.asked_for
    options = asked["payment_method_options"]["customer_balance"]
    assert options["bank_transfer"]["eu_bank_transfer"] == {"country": "DE"}
    assert list(payer.books.by_key) == [idempotency_key(attempt.id)]

    payer.books.sends(payer.books.intents[0], 1_000)
    assert await payer.is_told("succeeded", payer.books.intents[0]) == "moved_to_succeeded"
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert sorted(await shop.words()) == PAID
    assert await payer.in_books() == {"at_provider": 1_000, "receivable": -1_000}


async def test_a_bank_takes_days_and_nobody_is_asked_to_hurry(payer: Payer) -> None:
    shop = payer.shop
    invoice = await payer.owes()
    attempt = await shop.collect(invoice)
    for _ in range(40):
        assert (await shop.row("payments", attempt))["expires_at"] is None
        shop.clock.advance(days=1)
        await shop.look_up(attempt)
        assert await shop.state(attempt) == "customer_needed"
        assert await retry(shop, invoice) == HANDLED, "as Lago answers it: 405"
    assert payer.books.intents[0]["status"] == "requires_action"
    assert await shop.words() == WAITING
    payer.books.sends(payer.books.intents[0], 1_000)
    await shop.look_up(attempt)  # its event was lost
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert len(payer.books.asked_for) == 1


async def test_what_comes_in_part_is_asked_for_no_more_and_pays_nothing(payer: Payer) -> None:
    shop = payer.shop
    invoice = await payer.owes()
    attempt = await shop.collect(invoice)
    intent = payer.books.intents[0]
    payer.books.sends(intent, 400)
    assert await remaining(payer, attempt) == 1_000
    assert await payer.is_told("partially_funded", intent) == "nothing_new"
    assert await remaining(payer, attempt) == 600
    payer.books.sends(intent, 100)
    shop.clock.advance(days=2)
    await shop.look_up(attempt)
    assert await remaining(payer, attempt) == 500
    assert await shop.state(attempt) == "customer_needed"
    assert await shop.shown(invoice) == ("pending", 1_000)
    assert await shop.words() == WAITING, "they were told where to send it"
    payer.books.sends(intent, 500)
    assert await payer.is_told("partially_funded", intent) == "moved_to_succeeded"
    assert await payer.is_told("succeeded", intent) == "nothing_new"
    assert sorted(await shop.words()) == PAID
    assert await payer.in_books() == {"at_provider": 1_000, "receivable": -1_000}


async def test_money_that_lies_there_already_pays_at_once(payer: Payer) -> None:
    payer.books.balances[payer.customer] = 1_500
    invoice = await payer.owes()
    await payer.shop.collect(invoice)
    assert await payer.shop.shown(invoice) == ("succeeded", 0)


@pytest.mark.parametrize("drops", ["before", "after"])
async def test_no_answer_asks_for_one_transfer(payer: Payer, drops: str) -> None:
    shop = payer.shop
    payer.books.drops = drops
    attempt = await shop.collect(await payer.owes())
    assert await shop.state(attempt) == "unknown"
    payer.books.drops = ""
    shop.clock.advance(minutes=1)
    await shop.look_up(attempt)
    assert await shop.state(attempt) == "customer_needed"
    assert len(payer.books.intents) == 1
    assert (await shop.row("payments", attempt))["expires_at"] is None


@pytest.mark.parametrize("seller", [None, "US"])
async def test_without_a_country_there_is_no_account_to_send_it_to(
    payer: Payer, seller: str | None
) -> None:
    shop = payer.shop
    await payer.lives_in("AT", seller=seller)
    invoice = await payer.owes()
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "withdrawn"
    [(word, told)] = await shop.told()
    assert (word, told["error_details"]["code"]) == ("invoice.payment_failure", "missing_country")
    assert payer.books.asked_for == []
    await payer.lives_in("AT", seller="NL")
    assert await shop.state(await shop.collect(invoice)) == "customer_needed"
    [asked] = payer.books.asked_for
    options = asked["payment_method_options"]["customer_balance"]
    assert options["bank_transfer"]["eu_bank_transfer"] == {"country": "NL"}


async def test_who_comes_to_pay_by_card_is_asked_for_no_transfer_any_more(payer: Payer) -> None:
    shop = payer.shop
    invoice = await payer.owes()
    transfer = await shop.collect(invoice)
    await shop.attach(payer.customer_key.id, "pm_card")
    assert await retry(shop, invoice) == HANDLED, "while they pay by transfer alone"
    await payer.pays_by("card")
    begun = await collect_from_customer(
        shop.pool, shop.providers, payer.customer_key, new_id=clock.new_id, now=shop.clock.now
    )
    assert begun == 1
    assert await shop.state(transfer) == "failed"
    [waiting] = payer.books.intents
    assert waiting["status"] == "canceled"
    [row] = await shop.owner.fetch("SELECT id FROM payments WHERE state = 'ready'")
    await shop.submit(RowKey(shop.organization_id, row["id"]))
    assert await shop.shown(invoice) == ("succeeded", 0)
    payer.books.sends(waiting, 1_000)  # what comes yet stays theirs
    assert payer.books.balances[payer.customer] == 1_000
    assert await payer.in_books() == {"at_provider": 1_000, "receivable": -1_000}


async def test_a_transfer_that_has_come_is_not_taken_by_card_as_well(payer: Payer) -> None:
    shop = payer.shop
    invoice = await payer.owes()
    transfer = await shop.collect(invoice)
    payer.books.sends(payer.books.intents[0], 1_000)  # and nobody has told us yet
    await shop.attach(payer.customer_key.id, "pm_card")
    await payer.pays_by("card")
    assert isinstance(await retry(shop, invoice), type(HANDLED))
    assert await shop.state(transfer) == "succeeded"
    assert len(payer.books.asked_for) == 1


async def void(payer: Payer, invoice: RowKey) -> None:
    async with db.transaction(payer.shop.pool, tenants=[invoice.organization_id]) as conn:
        await void_invoice(
            conn, invoice.organization_id, invoice.id,
            now=payer.shop.clock.now(),
        )  # fmt: skip


async def pay_by_hand(payer: Payer, invoice: RowKey) -> None:
    async with db.transaction(payer.shop.pool, tenants=[invoice.organization_id]) as conn:
        await record_manual_payment(
            conn, invoice.organization_id,
            PaymentInput(invoice_id=str(invoice.id), amount_cents=1_000, reference="cash"),
            invoice_id=invoice.id, payment_id=clock.new_id(), now=payer.shop.clock.now(),
        )  # fmt: skip


@pytest.mark.parametrize("end", [void, pay_by_hand])
async def test_what_is_owed_no_more_is_waited_for_no_more(payer: Payer, end: Any) -> None:
    shop = payer.shop
    invoice = await payer.owes()
    attempt = await shop.collect(invoice)
    await end(payer, invoice)
    row = await shop.row("payments", attempt)
    assert row["look_up_at"] <= shop.clock.now(), "the sweep finds it"
    await shop.look_up(attempt)
    assert await shop.state(attempt) == "failed"
    assert payer.books.intents[0]["status"] == "canceled"
    assert await shop.owner.fetchval("SELECT count(*) FROM contradictions") == 0
    assert (await shop.row("invoices", invoice))["next_try_at"] is None


async def test_one_that_a_restore_has_lost_is_waited_for_as_before(
    payer: Payer, scout: Pool
) -> None:
    shop = payer.shop
    invoice = await payer.owes()
    attempt = await shop.collect(invoice)
    for column, table in (("payment_id", "payment_invoices"), ("payment_id", "decisions"),
                          ("object_id", "events"), ("id", "payments")):  # fmt: skip
        await shop.owner.execute(f"DELETE FROM {table} WHERE {column} = $1", attempt.id)
    now = shop.clock.now()
    await hold_all_back(
        shop.pool, scout, because="another_cluster", by="ann", since=now, new_id=clock.new_id,
        now=now,
    )  # fmt: skip
    shop.clock.advance(minutes=2)
    await reconcile_account(
        shop.pool, shop.providers, RowKey(shop.organization_id, shop.account_id),
        new_id=clock.new_id, now=shop.clock.now,
    )  # fmt: skip
    row = await shop.row("payments", attempt)
    assert (row["state"], row["manner"]) == ("customer_needed", "transfer")
    for _ in range(3):
        shop.clock.advance(days=1)
        await shop.look_up(attempt)
    assert await shop.state(attempt) == "customer_needed"
    payer.books.sends(payer.books.intents[0], 1_000)
    assert await payer.is_told("succeeded", payer.books.intents[0]) == "moved_to_succeeded"
    assert await shop.shown(invoice) == ("succeeded", 0)


async def test_an_invoice_that_is_paid_by_hand_is_left_alone(payer: Payer) -> None:
    invoice = await payer.owes(payment_method_type="manual")
    answer: Any = await payer.shop.ask(invoice)
    assert (answer.attempt_id, answer.because) == (None, NoAttempt.METHOD_IS_MANUAL)
    answer = await payer.shop.ask(await payer.owes(), Wish(manual=True))
    assert (answer.attempt_id, answer.because) == (None, NoAttempt.METHOD_IS_MANUAL)


async def test_the_payer_is_sent_to_the_page_that_says_how(payer: Payer) -> None:
    shop = payer.shop
    invoice = await payer.owes()
    attempt = await shop.begun(invoice)
    with pytest.raises(Refused):
        await opened(shop, invoice)
    await shop.submit(attempt)
    assert (await opened(shop, invoice)).url == f"{INSTRUCTIONS}pi_0"
    assert len(payer.books.intents) == 1


@pytest.mark.parametrize("to_card", [True, False])
async def test_how_it_is_sent_is_decided_when_it_is_sent(payer: Payer, *, to_card: bool) -> None:
    shop = payer.shop
    await shop.attach(payer.customer_key.id, "pm_card")
    await payer.pays_by("customer_balance" if to_card else "card")
    attempt = await shop.begun(await payer.owes())
    await payer.pays_by("card" if to_card else "customer_balance")
    await shop.submit(attempt)
    [asked] = payer.books.asked_for
    assert asked["off_session"] == ("true" if to_card else "false")
    row = await shop.row("payments", attempt)
    assert row["manner"] == ("off_session" if to_card else "transfer")
    assert (row["provider_method_id"] == "pm_card") is to_card
    assert row["state"] == ("succeeded" if to_card else "customer_needed")
