"""Money that belongs to nothing goes back once, whatever is lost on the way."""

from __future__ import annotations

import aiohttp
import pytest

from recoup.flows.reports import Report, Source
from recoup.flows.submit_refund import look_up_refund, submit_refund
from recoup.providers.protocol import Reversed
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import refund_key
from tests.shop import SandboxServer, Shop


async def surprise(shop: Shop, method: str = "pm_sandbox_ok") -> RowKey:
    """Money for an invoice that was voided while its charge was on its way; it is to go back."""
    await shop.owner.execute("UPDATE provider_accounts SET refund_surprises = true")
    invoice = await shop.sell(method)
    attempt = await shop.begun(invoice)
    begun = await shop.sending.ask(attempt)
    await shop.change("invoices", invoice, status="voided")
    await begun.provider.charge(begun.charge)
    shop.clock.advance(minutes=1)
    await shop.look_up(attempt)
    return RowKey(*await shop.owner.fetchrow("SELECT organization_id, id FROM refunds"))


async def books(psp: SandboxServer) -> list[tuple[str, int, str]]:
    async with aiohttp.ClientSession() as http, http.get(f"{psp.base}/refunds") as answer:
        refunds = (await answer.json())["refunds"]
    return [(one["idempotency_key"], one["amount"], one["status"]) for one in refunds]


async def state(shop: Shop, refund: RowKey) -> str:
    return (await shop.row("refunds", refund))["state"]


async def test_it_goes_back_once_however_often_it_is_promised(
    shop: Shop, psp: SandboxServer
) -> None:
    refund = await surprise(shop)
    for _ in range(3):
        await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    assert await state(shop, refund) == "succeeded"
    assert await books(psp) == [(refund_key(refund.id), 1_000, "succeeded")]
    unapplied = await shop.owner.fetchval(
        "SELECT sum(amount_cents) FROM ledger_entries WHERE account = 'unapplied'"
    )
    assert unapplied == 0


@pytest.mark.parametrize(
    "fault", ["drop_before", "drop_after", "error_before", "error_after", "html", "truncated"]
)
async def test_a_lost_answer_is_a_state_until_the_provider_tells(
    shop: Shop, psp: SandboxServer, fault: str
) -> None:
    refund = await surprise(shop)
    await psp.faults(f"{fault}=1")
    await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    assert await state(shop, refund) == "unknown"
    await look_up_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    assert await state(shop, refund) == "unknown"
    await psp.faults("")
    shop.clock.advance(minutes=1)
    await look_up_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    assert await state(shop, refund) == "succeeded"
    assert await books(psp) == [(refund_key(refund.id), 1_000, "succeeded")]


async def test_one_found_sent_is_looked_up_and_not_sent_under_another_key(
    shop: Shop, psp: SandboxServer
) -> None:
    refund = await surprise(shop)
    await psp.faults("drop_after=1")
    await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    await psp.faults("")
    await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    assert await state(shop, refund) == "succeeded"
    assert [key for key, _, _ in await books(psp)] == [refund_key(refund.id)]


async def test_a_refund_that_the_provider_refuses_has_failed_and_the_money_is_still_ours(
    shop: Shop, psp: SandboxServer
) -> None:
    refund = await surprise(shop, "pm_sandbox_refund_fails")
    await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    row = await shop.row("refunds", refund)
    assert (row["state"], row["error_code"]) == ("failed", "refund_failed")
    unapplied = await shop.owner.fetchval(
        "SELECT sum(amount_cents) FROM ledger_entries WHERE account = 'unapplied'"
    )
    assert unapplied == -1_000


async def taken_back(shop: Shop, refund: RowKey) -> None:
    """The payer's bank takes the charge back that this refund is to pay back."""
    row = await shop.row("refunds", refund)
    attempt = RowKey(refund.organization_id, row["payment_id"])
    told = Reversed(row["provider_payment_id"], "charged_back", 1_000, "EUR", "fraudulent")
    await shop.settling.ask(Report(attempt, told, Source.EVENT))


async def test_what_the_bank_has_taken_back_meanwhile_is_not_sent(
    shop: Shop, psp: SandboxServer
) -> None:
    refund = await surprise(shop)
    await taken_back(shop, refund)
    for _ in range(2):
        await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    row = await shop.row("refunds", refund)
    assert (row["state"], row["error_code"]) == ("failed", "charge_taken_back")
    assert await books(psp) == []
    assert (await shop.words()).count("payment.refund_failed") == 1


async def test_nor_sent_again_where_its_first_sending_was_lost(
    shop: Shop, psp: SandboxServer
) -> None:
    refund = await surprise(shop)
    await psp.faults("drop_before=1")
    await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    await psp.faults("")
    await taken_back(shop, refund)
    shop.clock.advance(minutes=1)
    await look_up_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    assert (await state(shop, refund), await books(psp)) == ("unknown", [])
