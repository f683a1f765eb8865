"""A page that is no good any more is closed, whenever that comes to be so, and nothing else is."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from recoup import clock
from recoup.flows.close_payment_page import close_payment_page
from recoup.flows.open_payment_page import open_payment_page
from recoup.flows.reports import Report, Source
from recoup.flows.retry_payment import Accepted
from recoup.flows.settle_attempt import settle_attempts
from recoup.flows.void_invoice import void_invoice
from recoup.providers.protocol import CustomerNeeded, Processing
from recoup.rules.look_up_schedule import PAYER_HAS, RE_SEND_WITHIN
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store import db
from tests.conftest import eventually
from tests.flows.pages import opened, page_of, retry, stopped_opening
from tests.shop import PAID_WORDS, SandboxServer, Shop


async def test_a_retry_that_takes_a_stale_pages_place_goes_its_way(
    shop: Shop, psp: SandboxServer, dsn: str
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await opened(shop, invoice)
    page = await page_of(shop, invoice)
    shop.clock.at += PAYER_HAS
    async with stopped_opening(shop, invoice, dsn, after=1) as opening:
        await shop.look_up(page)
        assert await shop.state(page) == "failed"
        attempt = await shop.begun(invoice)
    with pytest.raises(Refused) as refused:
        await opening
    assert refused.value.refusal.code == "payment_processor_is_currently_handling_payment"
    assert await shop.state(attempt) == "ready"
    await shop.submit(attempt)
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert sorted(await shop.words()) == PAID_WORDS


async def test_what_is_no_page_is_not_closed(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    attempt = await shop.begun(invoice)
    for state in ("ready", "succeeded"):
        assert await shop.state(attempt) == state
        assert not await close_payment_page(shop.pool, shop.providers, attempt, now=shop.clock.now)
        await shop.submit(attempt)


async def void(shop: Shop, invoice: RowKey) -> None:
    async with db.transaction(shop.pool, tenants=[invoice.organization_id]) as conn:
        await void_invoice(conn, invoice.organization_id, invoice.id, now=shop.clock.now())


async def look_up_when_due(shop: Shop, page: RowKey) -> None:
    """Let the time of the next look-up come, which must be soon."""
    due = (await shop.row("payments", page))["look_up_at"]
    assert due <= shop.clock.now() + timedelta(minutes=1)
    shop.clock.at = max(shop.clock.at, due)
    await shop.look_up(page)


async def is_open(psp: SandboxServer) -> bool:
    """Somebody may pay, by the sandbox's books."""
    return any(charge["status"] == "requires_action" for charge in await psp.charges())


async def is_dead(shop: Shop, psp: SandboxServer, page: RowKey) -> bool:
    """Nobody can pay on it, by the sandbox's books and by ours."""
    [charge] = await psp.charges()
    return (charge["status"], await shop.state(page)) == ("failed", "failed")


async def test_a_page_whose_invoice_is_voided_while_it_opens_is_closed(
    shop: Shop, psp: SandboxServer, dsn: str
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    async with stopped_opening(shop, invoice, dsn, after=2) as opening:
        page = await page_of(shop, invoice)
        assert await shop.state(page) == "sent"
        await void(shop, invoice)
    with pytest.raises(Refused) as refused:  # the address of a page that is about to close
        await opening
    assert refused.value.refusal.code == "payment_processor_is_currently_handling_payment"
    assert await shop.state(page) == "customer_needed"
    await look_up_when_due(shop, page)
    assert await is_dead(shop, psp, page)


async def test_a_page_of_a_voided_invoice_whose_opening_was_lost_is_closed(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await psp.faults("drop_after=1")
    with pytest.raises(Refused):
        await opened(shop, invoice)
    await psp.faults("")
    page = await page_of(shop, invoice)
    assert await shop.state(page) == "unknown"
    await void(shop, invoice)
    await look_up_when_due(shop, page)
    assert await is_dead(shop, psp, page)


async def test_a_page_of_a_voided_invoice_whose_payer_was_declined_is_closed(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await opened(shop, invoice)
    page = await page_of(shop, invoice)
    known_as = (await shop.row("payments", page))["provider_payment_id"]
    now = shop.clock.now()
    paying = Processing(known_as, "processing")
    await settle_attempts(shop.pool, [Report(page, paying, Source.EVENT)], now=now)
    await void(shop, invoice)
    assert await shop.state(page) == "processing"
    declined = CustomerNeeded(known_as, "requires_action", {})
    await settle_attempts(shop.pool, [Report(page, declined, Source.EVENT)], now=now)
    await look_up_when_due(shop, page)
    assert await is_dead(shop, psp, page)


async def test_nobody_is_sent_to_a_page_that_a_retry_has_closed_meanwhile(
    shop: Shop, psp: SandboxServer, dsn: str
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    async with stopped_opening(shop, invoice, dsn, after=2) as opening:
        await eventually(partial(is_open, psp), what="it is open there")  # and not written down
        assert isinstance(await retry(shop, invoice), Accepted)
    with pytest.raises(Refused) as refused:
        await opening
    assert refused.value.refusal.code == "payment_processor_is_currently_handling_payment"
    assert await is_dead(shop, psp, await page_of(shop, invoice))


async def test_whoever_slept_after_sent_opens_no_page(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    began = shop.clock.now()
    until_sent = iter([began, began])
    with pytest.raises(Refused) as refused:
        await open_payment_page(
            shop.pool, shop.providers, invoice.organization_id, invoice.id,
            new_id=clock.new_id, now=lambda: next(until_sent, began + RE_SEND_WITHIN),
        )  # fmt: skip
    assert refused.value.refusal.details == {"base": ["payment_provider_error"]}
    assert await psp.charges() == []
    page = await page_of(shop, invoice)
    assert await shop.state(page) == "sent"
    await look_up_when_due(shop, page)  # in time, the look-up opens it
    assert [charge["status"] for charge in await psp.charges()] == ["requires_action"]
    assert (await opened(shop, invoice)).url.startswith(psp.base)
