"""A campaign asks late customers for what is due, as often as it may, and says when it gives up."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from recoup import clock
from recoup.flows.dun_customer import dun_customer
from recoup.flows.mark_overdue import mark_all_overdue
from recoup.flows.sweep import sweep
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.conftest import eventually, waiting_for_locks
from tests.flows.dunning import (
    campaign,
    changed,
    counts,
    deleted,
    look,
    requests,
    said_of_customer,
    submitted,
    woken,
)
from tests.flows.requests import (
    attempt_of,
    overdue,
    pay_by_hand,
    requested,
    statuses,
    void,
)
from tests.flows.test_mark_overdue import YESTERDAY
from tests.flows.test_retry_race import both_wait, patient
from tests.shop import SandboxServer, Shop

POOR = "pm_sandbox_insufficient_funds"
FINISHED = "dunning_campaign.finished"


async def finished(shop: Shop) -> list[dict[str, Any]]:
    return [payload for kind, payload in await shop.told() if kind == FINISHED]


async def covered(shop: Shop, request: RowKey) -> set[Any]:
    rows = await shop.owner.fetch(
        "SELECT invoice_id FROM payment_request_invoices WHERE payment_request_id = $1", request.id
    )
    return {row["invoice_id"] for row in rows}


async def test_what_becomes_late_is_asked_for_at_once_and_paid(
    shop: Shop, scout: Pool, psp: SandboxServer
) -> None:
    late = await campaign(shop)
    customer = await shop.customer("pm_sandbox_ok")
    invoices = [
        await shop.invoice(customer, cents=cents, payment_due_date=YESTERDAY)
        for cents in (700, 300)
    ]
    await mark_all_overdue(shop.pool, scout, now=shop.clock.now())
    await sweep(shop.pool, scout, new_id=clock.new_id, now=shop.clock.now())
    promised = await shop.owner.fetchval(
        "SELECT convert_from(payload, 'UTF8') FROM pgqueuer WHERE entrypoint = 'dun_customer'"
    )
    assert promised == str(RowKey(shop.organization_id, customer))
    [made] = await look(shop, scout)
    row = await shop.row("payment_requests", made)
    assert (row["amount_cents"], row["dunning_campaign_id"]) == (1_000, late.id)
    await submitted(shop, [made])
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    assert [charge["amount"] for charge in await psp.charges()] == [1_000]
    shop.clock.advance(days=3)
    assert await look(shop, scout) == []
    # Nothing is late any more: nothing is counted, nobody is looked at, and nothing was given up.
    assert await shop.owner.fetchval("SELECT count(*) FROM dunnings") == 0
    assert await finished(shop) == []


async def test_a_campaign_asks_as_often_as_it_says_and_is_finished_once(
    shop: Shop, scout: Pool, psp: SandboxServer
) -> None:
    await campaign(shop, max_attempts=2)
    customer = await shop.customer(POOR)
    await overdue(shop, customer, [1_000, 500])
    await woken(shop)
    for attempt in (1, 2):
        made = await look(shop, scout)
        assert len(made) == 1
        assert await counts(shop) == {"EUR": attempt}
        await submitted(shop, made)
        shop.clock.advance(days=2, hours=23)
        assert await look(shop, scout) == []  # not within its days
        assert await finished(shop) == []
        shop.clock.advance(hours=1)
    for _ in range(3):
        assert await look(shop, scout) == []
        shop.clock.advance(days=1)
    external_id = (await shop.row("customers", RowKey(shop.organization_id, customer)))[
        "external_id"
    ]
    assert await finished(shop) == [
        {
            "external_customer_id": external_id,
            "dunning_campaign_code": "late",
            "overdue_balance_cents": 1_500,
            "overdue_balance_currency": "EUR",
            "overdue_balances": [{"currency": "EUR", "amount_cents": 1_500}],
            "customer_external_id": external_id,
        }
    ]
    assert len(await psp.charges()) == len(await requests(shop)) == 2


async def test_the_threshold_is_of_what_is_due_and_not_of_totals(shop: Shop, scout: Pool) -> None:
    await campaign(shop)
    [first] = await overdue(shop, await shop.customer("pm_sandbox_ok"), [1_500])
    await pay_by_hand(shop, first, 501)
    await woken(shop)
    assert await look(shop, scout) == []
    await overdue(shop, (await shop.row("invoices", first))["customer_id"], [1])
    await woken(shop)
    [made] = await look(shop, scout)
    assert (await shop.row("payment_requests", made))["amount_cents"] == 1_000


async def test_what_others_collect_hold_or_will_try_is_left_to_them(
    shop: Shop, scout: Pool
) -> None:
    await campaign(shop, thresholds={"EUR": 0})
    customer = await shop.customer("pm_sandbox_ok")
    free, asked, tried, held, ours = await overdue(shop, customer, [1, 2, 4, 8, 16])
    await requested(shop, [asked])
    await shop.change("invoices", tried, next_try_at=shop.clock.now() + timedelta(days=1))
    await shop.change("invoices", held, held_because="contradicted")
    await shop.change("invoices", ours, self_billed=True)
    await woken(shop)
    [made] = await look(shop, scout)
    assert await covered(shop, made) == {free.id}


async def test_a_reminder_that_nobody_answered_keeps_no_next_one(shop: Shop, scout: Pool) -> None:
    """A request without an attempt holds nothing (decision 0014)."""
    await campaign(shop)
    await overdue(shop, await shop.customer(linked=False), [1_000])
    await woken(shop)
    for attempt in (1, 2, 3):
        assert len(await look(shop, scout)) == 1
        assert await counts(shop) == {"EUR": attempt}
        shop.clock.advance(days=3)
    assert await look(shop, scout) == []
    assert len(await finished(shop)) == 1


async def test_each_currency_and_entity_is_asked_for_apart(shop: Shop, scout: Pool) -> None:
    await campaign(shop, thresholds={"EUR": 1_000, "USD": 500, "GBP": 1})
    other = clock.new_id()
    await shop.owner.execute(
        "INSERT INTO billing_entities (organization_id, id, code, name, document_number_prefix,"
        " created_at, updated_at) VALUES ($1, $2, 'other', 'Other', 'OTH', now(), now())",
        shop.organization_id, other,
    )  # fmt: skip
    customer = await shop.customer("pm_sandbox_ok")
    await overdue(shop, customer, [600])
    await overdue(shop, customer, [400], billing_entity_id=other)
    await overdue(shop, customer, [499], currency="USD")
    await overdue(shop, customer, [9_999], currency="CHF")  # which it says nothing of
    await woken(shop)
    await look(shop, scout)
    made = [
        (one["currency"], one["amount_cents"], one["billing_entity_id"])
        for one in await requests(shop)
    ]
    assert made == [("EUR", 400, other), ("EUR", 600, shop.entity_id)]
    assert await counts(shop) == {"EUR": 1}


async def test_a_customers_own_campaign_wins_and_an_excluded_one_has_none(
    shop: Shop, scout: Pool
) -> None:
    await campaign(shop, thresholds={"EUR": 1})
    own = await campaign(shop, code="own", applied=False, thresholds={"EUR": 2})
    customer, spared = await shop.customer("pm_sandbox_ok"), await shop.customer("pm_sandbox_ok")
    await overdue(shop, customer, [1_000])
    await overdue(shop, spared, [1_000])
    await said_of_customer(shop, spared, exclude_from_dunning_campaign=True)
    await said_of_customer(shop, customer, applied_dunning_campaign_code="own")
    await woken(shop)
    [made] = await look(shop, scout)
    row = await shop.row("payment_requests", made)
    assert (row["customer_id"], row["dunning_campaign_id"]) == (customer, own.id)


async def test_what_is_paid_by_hand_is_asked_for_apart_and_never_charged(
    shop: Shop, scout: Pool, psp: SandboxServer
) -> None:
    await campaign(shop)
    customer = await shop.customer("pm_sandbox_ok")
    await overdue(shop, customer, [1_000])
    await overdue(shop, customer, [20], payment_method_type="manual")
    await overdue(shop, customer, [3], skip_psp=True)
    await woken(shop)
    await look(shop, scout)
    assert sorted(one["amount_cents"] for one in await requests(shop)) == [3, 20, 1_000]
    begun = await shop.owner.fetch("SELECT amount_cents FROM payments")
    assert [one["amount_cents"] for one in begun] == [1_000]
    because = await shop.owner.fetch("SELECT because FROM decisions WHERE decided = 'no_attempt'")
    assert {one["because"] for one in because} == {"payment_method_is_manual", "skip_psp"}
    assert await counts(shop) == {"EUR": 1}


async def test_a_card_that_is_dead_is_not_charged_again_but_its_holder_reminded(
    shop: Shop, scout: Pool, psp: SandboxServer
) -> None:
    await campaign(shop)
    customer = await shop.customer("pm_sandbox_stolen_card")
    [first, _] = await overdue(shop, customer, [1_000, 1_000])
    await shop.collect(first)
    await woken(shop)
    before = len(await psp.charges())
    [made] = await look(shop, scout)
    assert (await shop.row("payment_requests", made))["amount_cents"] == 2_000
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 1  # the first one's
    assert len(await psp.charges()) == before
    assert (
        await shop.owner.fetchval(
            "SELECT count(*) FROM decisions WHERE because = 'charging_again_is_no_use'"
        )
        == 2
    )
    await shop.attach(customer, "pm_sandbox_ok")  # another one is another history
    shop.clock.advance(days=3)
    await submitted(shop, await look(shop, scout))
    assert [one["amount"] for one in (await psp.charges())[before:]] == [2_000]


@pytest.mark.parametrize("how", ["paid by hand", "held"])
async def test_a_card_that_is_dead_is_dead_whatever_became_of_what_showed_it(
    shop: Shop, scout: Pool, psp: SandboxServer, how: str
) -> None:
    await campaign(shop)
    customer = await shop.customer("pm_sandbox_stolen_card")
    [first, second] = await overdue(shop, customer, [1_000, 2_000])
    await shop.collect(first)
    if how == "held":
        await shop.change("invoices", first, held_because="contradicted")
    else:
        await pay_by_hand(shop, first, 1_000)
    before = await psp.charges()
    await woken(shop)
    [made] = await look(shop, scout)
    assert await covered(shop, made) == {second.id}
    assert await shop.owner.fetchval("SELECT count(*) FROM payments WHERE state = 'ready'") == 0
    assert await psp.charges() == before


async def test_who_cannot_be_looked_at_is_put_off_and_keeps_nobody_else(
    shop: Shop, scout: Pool
) -> None:
    await campaign(shop)
    customer = RowKey(shop.organization_id, await shop.customer(linked=False))
    [invoice] = await overdue(shop, customer.id, [1_000])
    await woken(shop)
    async with shop.owner.transaction():
        await shop.owner.execute("SELECT FROM invoices WHERE id = $1 FOR UPDATE", invoice.id)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await look(shop, scout)
    assert await look(shop, scout) == []
    shop.clock.advance(minutes=5)
    assert len(await look(shop, scout)) == 1


@pytest.mark.parametrize("of", ["another currency", "another's request"])
async def test_what_was_not_asked_for_by_the_campaign_begins_nothing_anew(
    shop: Shop, scout: Pool, of: str
) -> None:
    await campaign(shop, thresholds={"EUR": 1_000, "USD": 1_000})
    customer = await shop.customer(POOR)
    await overdue(shop, customer, [1_000])
    await woken(shop)
    await submitted(shop, await look(shop, scout))
    currency = "USD" if of == "another currency" else "EUR"
    [other] = await overdue(shop, customer, [2_000], currency=currency)
    if of == "another currency":
        shop.clock.advance(days=3)
        await submitted(shop, await look(shop, scout))
        assert await counts(shop) == {"EUR": 2, "USD": 1}
    else:
        await submitted(shop, [await requested(shop, [other])])
    await pay_by_hand(shop, other, 2_000)
    shop.clock.advance(days=3)
    await submitted(shop, await look(shop, scout))
    assert (await counts(shop))["EUR"] == (3 if of == "another currency" else 2)


async def test_whose_invoice_is_voided_is_asked_anew_for_the_rest(shop: Shop, scout: Pool) -> None:
    await campaign(shop, max_attempts=1)
    first, _ = await overdue(shop, await shop.customer(linked=False), [1_000, 1_000])
    await woken(shop)
    assert len(await look(shop, scout)) == 1
    shop.clock.advance(days=3)
    assert await look(shop, scout) == []
    await void(shop, first)
    shop.clock.advance(days=1)
    assert len(await look(shop, scout)) == 1


async def test_the_schedule_tries_first_and_the_campaign_goes_on_after_it(
    shop: Shop, scout: Pool
) -> None:
    await campaign(shop)
    [invoice] = await overdue(shop, await shop.customer(POOR), [1_000])
    await woken(shop)
    [made] = await look(shop, scout)
    await shop.submit(attempt_of(made))
    tried_at = (await shop.row("invoices", invoice))["next_try_at"]
    assert tried_at is not None  # the first decline of this invoice: its own schedule has begun
    shop.clock.advance(days=3)
    assert await look(shop, scout) == []
    await shop.change("invoices", invoice, next_try_at=None)  # it has given up
    shop.clock.advance(days=1)
    assert len(await look(shop, scout)) == 1
    assert await counts(shop) == {"EUR": 2}


async def test_somebody_elses_attempts_use_nothing_up(shop: Shop, scout: Pool) -> None:
    await campaign(shop, max_attempts=1)
    [invoice] = await overdue(shop, await shop.customer(POOR), [1_000])
    for _ in range(2):
        await shop.collect(invoice)
        await submitted(shop, [await requested(shop, [invoice])])
    await woken(shop)
    assert len(await look(shop, scout)) == 1


@pytest.mark.parametrize("how", ["by hand", "by card"])
async def test_whoever_pays_something_is_asked_anew_for_the_rest(
    shop: Shop, scout: Pool, how: str
) -> None:
    await campaign(shop, max_attempts=1)
    customer = await shop.customer(POOR)
    first, _ = await overdue(shop, customer, [1_000, 1_000])
    await woken(shop)
    await submitted(shop, await look(shop, scout))
    shop.clock.advance(days=3)
    await look(shop, scout)
    assert len(await finished(shop)) == 1
    if how == "by hand":
        await pay_by_hand(shop, first, 1_000)
    else:
        await shop.attach(customer, "pm_sandbox_ok")
        await shop.collect(first)
        for sets in ("is_default = false", "is_default = provider_method_id = 'pm_sandbox_"
                     "insufficient_funds'"):  # fmt: skip
            await shop.owner.execute(f"UPDATE payment_methods SET {sets}")
    shop.clock.advance(days=1)
    made = await look(shop, scout)
    assert [(await shop.row("payment_requests", one))["amount_cents"] for one in made] == [1_000]
    assert await counts(shop) == {"EUR": 1}
    await submitted(shop, made)
    shop.clock.advance(days=3)
    await look(shop, scout)
    assert len(await finished(shop)) == 2


async def test_other_terms_and_another_campaign_count_anew_and_hurry_nobody(
    shop: Shop, scout: Pool
) -> None:
    await campaign(shop)
    await campaign(shop, code="other", applied=False)
    customer = await shop.customer(linked=False)
    await overdue(shop, customer, [1_000])
    await woken(shop)
    await look(shop, scout)
    shop.clock.advance(days=3)
    await look(shop, scout)
    assert await counts(shop) == {"EUR": 2}
    shop.clock.advance(days=1)
    await changed(shop, name="Renamed", code="renamed")  # no term of it
    assert await look(shop, scout) == []
    assert await counts(shop) == {"EUR": 2}
    await changed(shop, of="renamed", max_attempts=9)
    assert await look(shop, scout) == []
    assert await counts(shop) == {}
    shop.clock.advance(days=2)
    assert len(await look(shop, scout)) == 1
    assert await counts(shop) == {"EUR": 1}
    await said_of_customer(shop, customer, applied_dunning_campaign_code="other")
    assert await look(shop, scout) == []
    assert await counts(shop) == {}


async def test_a_deleted_campaign_asks_nobody_and_counts_nothing(shop: Shop, scout: Pool) -> None:
    late = await campaign(shop)
    await overdue(shop, await shop.customer(linked=False), [1_000])
    await woken(shop)
    await look(shop, scout)
    await deleted(shop)
    assert await counts(shop) == {}
    counted = await shop.owner.fetchval("SELECT dunning_campaign_id FROM dunnings")
    applied = await shop.owner.fetchval(
        "SELECT applied_dunning_campaign_id FROM billing_entities WHERE is_default"
    )
    assert (counted, applied) == (None, None)
    [request] = await requests(shop)
    assert request["dunning_campaign_id"] == late.id  # what it asked for stays
    shop.clock.advance(days=3)
    assert await look(shop, scout) == []
    assert await shop.owner.fetchval("SELECT count(*) FROM dunnings") == 0


async def test_a_campaign_that_is_made_anew_or_put_back_asks_nobody_twice_within_its_days(
    shop: Shop, scout: Pool
) -> None:
    await campaign(shop)
    customer = await shop.customer(linked=False)
    await overdue(shop, customer, [1_000])
    await woken(shop)
    await look(shop, scout)
    await deleted(shop)
    await campaign(shop)
    for excluded in (True, False):
        await said_of_customer(shop, customer, exclude_from_dunning_campaign=excluded)
    assert await look(shop, scout) == []
    shop.clock.advance(days=3)
    assert len(await look(shop, scout)) == 1
    assert await counts(shop) == {"EUR": 1}


async def test_what_was_asked_is_known_of_whoever_was_forgotten_meanwhile(
    shop: Shop, scout: Pool, psp: SandboxServer
) -> None:
    """A look that comes between taking a campaign off and putting it back leaves nothing."""
    await campaign(shop)
    customer = await shop.customer(POOR)
    await overdue(shop, customer, [1_000])
    await woken(shop)
    await submitted(shop, await look(shop, scout))
    for _ in range(3):
        shop.clock.advance(hours=1)
        await deleted(shop)
        await shop.owner.execute("UPDATE dunnings SET look_at = $1", shop.clock.now())
        assert await look(shop, scout) == []
        assert await shop.owner.fetchval("SELECT count(*) FROM dunnings") == 0
        await campaign(shop)
        assert await look(shop, scout) == []
    assert len(await psp.charges()) == 1
    shop.clock.advance(days=3)
    assert len(await look(shop, scout)) == 1


async def test_whoever_has_no_campaign_costs_nothing(shop: Shop, scout: Pool) -> None:
    await shop.invoice(await shop.customer("pm_sandbox_ok"), payment_due_date=YESTERDAY)
    await mark_all_overdue(shop.pool, scout, now=shop.clock.now())
    assert await shop.owner.fetchval("SELECT count(*) FROM dunnings") == 0


@pytest.mark.parametrize("linked", [True, False])
async def test_two_workers_at_once_count_once(shop: Shop, dsn: str, linked: bool) -> None:
    """Both wait for the invoice; whoever comes second finds that the next look is another day's."""
    await campaign(shop)
    methods = ["pm_sandbox_ok"] if linked else []
    customer = RowKey(shop.organization_id, await shop.customer(*methods, linked=linked))
    [invoice] = await overdue(shop, customer.id, [1_000])
    await woken(shop)
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(patient(dsn)) for _ in range(2)]
        async with shop.owner.transaction():
            await shop.owner.execute("SELECT FROM invoices WHERE id = $1 FOR UPDATE", invoice.id)
            looking = asyncio.gather(
                *(
                    dun_customer(
                        pool, customer, can_mail=True, new_id=clock.new_id, now=shop.clock.now()
                    )
                    for pool in pools
                )
            )
            stack.callback(looking.cancel)
            await eventually(lambda: both_wait(shop.owner), what="both wait for the invoice")
        await looking
    assert len(await requests(shop)) == 1
    assert await counts(shop) == {"EUR": 1}


async def test_what_becomes_late_while_the_last_is_paid_is_not_forgotten(
    shop: Shop, dsn: str
) -> None:
    """It is marked between the look at the invoices and the lock of how far the campaign came."""
    await campaign(shop)
    customer = RowKey(shop.organization_id, await shop.customer(linked=False))
    await overdue(shop, customer.id, [1_000])
    await woken(shop)
    await shop.owner.execute("UPDATE invoices SET payment_overdue = false")
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(patient(dsn))
        async with shop.owner.transaction():
            await shop.owner.execute("SELECT FROM dunnings FOR UPDATE")
            looking = asyncio.ensure_future(
                dun_customer(
                    pool, customer, can_mail=True, new_id=clock.new_id, now=shop.clock.now()
                )
            )
            stack.callback(looking.cancel)

            async def waits() -> bool:
                return await waiting_for_locks(shop.owner) == 1

            await eventually(waits, what="it waits for the row")
            await shop.owner.execute("UPDATE invoices SET payment_overdue = true")
        await looking
    assert await shop.owner.fetchval("SELECT count(*) FROM dunnings") == 1


@pytest.mark.parametrize("table", ["payment_requests", "payments", "dunning_counters", "events"])
async def test_whoever_is_killed_has_counted_and_asked_nothing(
    shop: Shop, scout: Pool, table: str
) -> None:
    """Wherever it happens: the database gives nothing of what it was told so far."""
    await campaign(shop)
    await overdue(shop, await shop.customer("pm_sandbox_ok"), [1_000])
    await woken(shop)
    await shop.owner.execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'dead'; END $$;"
        f"CREATE TRIGGER die AFTER INSERT ON {table} EXECUTE FUNCTION die()"
    )
    with pytest.raises(asyncpg.RaiseError, match="dead"):
        await look(shop, scout)
    assert (await requests(shop), await counts(shop)) == ([], {})
    await shop.owner.execute(f"DROP TRIGGER die ON {table}")
    shop.clock.advance(minutes=5)
    assert len(await look(shop, scout)) == 1
    assert await counts(shop) == {"EUR": 1}


async def test_reminders_go_to_the_campaigns_readers_in_blind_copy(shop: Shop, scout: Pool) -> None:
    await campaign(shop, bcc_emails=["books@shop.example", "ada@c.example"])
    charged, reminded = await shop.customer(POOR), await shop.customer(linked=False)
    await shop.owner.execute("UPDATE customers SET email = 'ada@c.example'")
    for customer in (charged, reminded):
        await overdue(shop, customer, [1_000])
    await woken(shop)
    made = await look(shop, scout)
    mails = "SELECT object_id, recipients, blind_copies FROM mails"
    [first] = await shop.owner.fetch(mails)  # of whom nothing is charged
    assert (first["recipients"], first["blind_copies"]) == (
        ["ada@c.example"], ["books@shop.example"],
    )  # fmt: skip
    [of_charged] = [one for one in made if one.id != first["object_id"]]
    await shop.submit(attempt_of(of_charged))  # which fails
    assert {one["object_id"] for one in await shop.owner.fetch(mails)} == {one.id for one in made}


async def test_without_a_mail_server_nothing_is_mailed(shop: Shop, scout: Pool) -> None:
    await campaign(shop, bcc_emails=["books@shop.example"])
    for method in ([POOR], []):
        await overdue(shop, await shop.customer(*method, linked=bool(method)), [1_000])
    await shop.owner.execute("UPDATE customers SET email = 'ada@c.example'")
    await woken(shop)
    made = await look(shop, scout, can_mail=False)
    begun = await shop.owner.fetch("SELECT id FROM payments")
    assert len(made) == 2
    for one in begun:
        await shop.submit(RowKey(shop.organization_id, one["id"]))
    assert await shop.owner.fetchval("SELECT count(*) FROM mails") == 0
