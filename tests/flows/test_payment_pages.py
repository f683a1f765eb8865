"""A hosted page and an attempt never both collect, whichever comes first, and whoever dies."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import msgspec
import pytest

from recoup import clock
from recoup.flows.notice_restore import hold_all_back
from recoup.flows.open_payment_page import PaymentPage
from recoup.flows.reports import Report, Source
from recoup.flows.retry_payment import Accepted, Ask, PageIsOpen, retry_payments
from recoup.flows.settle_attempt import settle_attempts
from recoup.providers.protocol import Paid
from recoup.rules.look_up_schedule import PAYER_HAS
from recoup.rules.provider_pace import Breaker
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal, Refused
from recoup.store import db, provider_health
from recoup.store.db import Pool
from tests.flows.pages import opened, page_of, paid, pays, retry
from tests.shop import PAID_WORDS, SandboxServer, Shop


async def test_whoever_asks_within_a_day_gets_the_same_address(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok", payment_status="failed")
    first, second = await opened(shop, invoice), await opened(shop, invoice)
    assert first.url == second.url
    assert first.url.startswith(psp.base)
    assert len(await psp.charges()) == 1
    assert await shop.shown(invoice) == ("failed", 1_000)  # it shows nothing of an unused page
    assert await shop.words() == []


async def test_what_is_paid_there_pays_the_invoice(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    page = await opened(shop, invoice)
    await pays(page.url)
    await shop.look_up(await page_of(shop, invoice))
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert sorted(await shop.words()) == PAID_WORDS
    assert await shop.owner.fetchval("SELECT count(*) FROM events WHERE ask_id IS NOT NULL") == 0
    with pytest.raises(Refused) as refused:
        await opened(shop, invoice)
    assert refused.value.refusal.details == {"base": ["invalid_invoice_status_or_payment_status"]}


async def test_a_retry_closes_the_page_and_charges(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_ok", payment_status="failed")
    page = await opened(shop, invoice)
    answer = await retry(shop, invoice)
    assert isinstance(answer, Accepted)
    assert answer.attempt_id
    await shop.submit(RowKey(invoice.organization_id, answer.attempt_id))
    assert await shop.shown(invoice) == ("succeeded", 0)
    await pays(page.url)  # too late: the page is dead, and says so
    assert await paid(psp) == 1
    assert "invoice.payment_failure" not in await shop.words()  # nobody asked for the page


async def test_a_page_that_was_paid_meanwhile_is_found_by_the_retry(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    page = await opened(shop, invoice)
    await pays(page.url)
    answer = await retry(shop, invoice)
    assert isinstance(answer, Refusal)
    assert answer.code == "invalid_status"
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert await paid(psp) == 1


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "error_after", "html"])
async def test_where_nobody_can_tell_it_is_refused(
    shop: Shop, psp: SandboxServer, fault: str
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await opened(shop, invoice)
    await psp.faults(f"{fault}=1")
    answer = await retry(shop, invoice)
    assert isinstance(answer, Refusal)
    assert answer.code == "payment_processor_is_currently_handling_payment"
    await psp.faults("")
    assert isinstance(await retry(shop, invoice), Accepted)
    assert await paid(psp) == 0


async def test_the_payer_and_a_retry_at_the_same_moment(shop: Shop, psp: SandboxServer) -> None:
    for turn in range(6):
        invoice = await shop.sell("pm_sandbox_ok")
        page = await opened(shop, invoice)
        before = await paid(psp)
        both = [pays(page.url), retry(shop, invoice)]
        _, answer = (
            await asyncio.gather(*both)
            if turn % 2
            else reversed(await asyncio.gather(*reversed(both)))
        )
        if isinstance(answer, Accepted) and answer.attempt_id:
            await shop.submit(RowKey(invoice.organization_id, answer.attempt_id))
        else:
            await shop.look_up(await page_of(shop, invoice))
        assert await paid(psp) == before + 1
        assert await shop.shown(invoice) == ("succeeded", 0)


async def test_while_a_charge_is_open_there_is_no_page(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await shop.begun(invoice)
    with pytest.raises(Refused) as refused:
        await opened(shop, invoice)
    assert refused.value.refusal.code == "payment_processor_is_currently_handling_payment"


async def test_a_page_whose_opening_was_lost_is_found_again(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await psp.faults("drop_after=1")
    with pytest.raises(Refused) as refused:
        await opened(shop, invoice)
    assert refused.value.refusal.details == {"base": ["payment_provider_error"]}
    await psp.faults("")
    shop.clock.advance(minutes=1)
    await shop.look_up(await page_of(shop, invoice))
    page = await opened(shop, invoice)
    assert page.url.startswith(psp.base)
    assert len(await psp.charges()) == 1


async def test_after_a_day_it_is_closed_and_the_invoice_as_before(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok", payment_status="failed")
    await opened(shop, invoice)
    page = await page_of(shop, invoice)
    shop.clock.at += PAYER_HAS
    await shop.look_up(page)
    assert await shop.state(page) == "failed"
    assert await shop.shown(invoice) == ("failed", 1_000)
    assert await shop.words() == []
    assert await shop.begun(invoice)


async def test_two_who_ask_at_once_open_one_page(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    asked = await asyncio.gather(*(opened(shop, invoice) for _ in range(4)), return_exceptions=True)
    pages = [one for one in asked if isinstance(one, PaymentPage)]
    refused = [one.refusal.code for one in asked if isinstance(one, Refused)]
    assert len({page.url for page in pages}) == 1
    assert set(refused) <= {"payment_processor_is_currently_handling_payment"}
    assert len(pages) + len(refused) == 4
    assert len(await psp.charges()) == 1


async def test_another_amount_makes_another_page(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    first = await opened(shop, invoice)
    await shop.change("invoices", invoice, paid_cents=400)
    second = await opened(shop, invoice)
    assert second.url != first.url
    charges = {charge["amount"]: charge["status"] for charge in await psp.charges()}
    assert charges == {1_000: "failed", 600: "requires_action"}


async def test_the_schedule_leaves_a_payer_at_their_page_alone(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok", payment_status="failed")
    await opened(shop, invoice)
    ask = Ask(invoice, clock.new_id(), AskedBy.SCHEDULE)
    [answer] = await retry_payments(shop.pool, [ask], now=shop.clock.now())
    assert isinstance(answer, PageIsOpen)
    assert answer.expires_at == shop.clock.now() + timedelta(days=1)


async def test_nobody_is_left_to_pay_on_the_page_of_an_invoice_that_is_held(
    shop: Shop, psp: SandboxServer
) -> None:
    """An attempt that had failed turns out to be paid while its payer is on the page."""
    invoice = await shop.sell("pm_sandbox_insufficient_funds")
    attempt = await shop.collect(invoice)
    page = await opened(shop, invoice)
    late = Paid("ch_late", "succeeded", 1_000, "EUR")
    await settle_attempts(shop.pool, [Report(attempt, late, Source.EVENT)], now=shop.clock.now())
    assert (await shop.row("invoices", invoice))["held_because"] == "contradicted"
    await shop.look_up(await page_of(shop, invoice))  # as the sweep finds it due
    await pays(page.url)
    assert await paid(psp) == 0


async def is_down(shop: Shop, *, until: datetime) -> None:
    """The provider was out so often that its account is left alone."""
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        account = RowKey(shop.organization_id, shop.account_id)
        health = (await provider_health.lock(conn, [account]))[account]
        breaker = Breaker(times_opened=1, open_until=until)
        await provider_health.keep(
            conn, {account: msgspec.structs.replace(health, breaker=breaker)}
        )


@pytest.mark.parametrize("why", ["down", "quarantined"])
async def test_where_no_page_can_be_opened_now_nothing_stays_behind(
    shop: Shop, psp: SandboxServer, scout: Pool, why: str
) -> None:
    invoice = await shop.sell("pm_sandbox_ok", payment_status="failed")
    if why == "down":
        await is_down(shop, until=shop.clock.now() + timedelta(seconds=5))
    else:
        now = shop.clock.now()
        await hold_all_back(
            shop.pool,
            scout,
            because="another_cluster",
            since=now,
            by="ann",
            new_id=clock.new_id,
            now=now,
        )
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await opened(shop, invoice)
        assert refused.value.refusal.details == {"base": ["payment_provider_error"]}
    page = await page_of(shop, invoice)
    assert await shop.state(page) == "withdrawn"
    await shop.submit(page)  # whatever a worker was promised
    assert await psp.charges() == []
    assert await shop.shown(invoice) == ("failed", 1_000)
    assert await shop.words() == []


async def test_a_page_that_is_the_probe_says_that_the_provider_answers_again(
    shop: Shop, psp: SandboxServer
) -> None:
    await is_down(shop, until=shop.clock.now())
    await opened(shop, await shop.sell("pm_sandbox_ok"))
    assert await shop.owner.fetchval("SELECT open_until FROM provider_health") is None
    await opened(shop, await shop.sell("pm_sandbox_ok"))


async def test_a_page_that_could_not_be_opened_counts_as_an_outage(
    shop: Shop, psp: SandboxServer
) -> None:
    await is_down(shop, until=shop.clock.now())
    await psp.faults("error_before=1")
    with pytest.raises(Refused):
        await opened(shop, await shop.sell("pm_sandbox_ok"))
    open_until = await shop.owner.fetchval("SELECT open_until FROM provider_health")
    assert open_until > shop.clock.now()
