"""An issuer wants to see the payer: one ask, two attempts, and one event that ends it."""

from __future__ import annotations

import pytest

from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts
from recoup.providers.protocol import CustomerNeeded, Declined, Outcome, Paid
from recoup.rules.look_up_schedule import PAYER_HAS
from recoup.rules.records.keys import RowKey
from recoup.store import invariants
from recoup.store.db import nameless
from tests.shop import Shop, sent

WANTS_PAYER = Declined("authentication_required", provider_payment_id="ch_1")


async def tell(
    shop: Shop, attempt: RowKey, outcome: Outcome, source: Source = Source.ANSWER
) -> None:
    await settle_attempts(shop.pool, [Report(attempt, outcome, source)], now=shop.clock.now())


async def second_of(shop: Shop, first: RowKey) -> RowKey | None:
    row = await shop.owner.fetchrow(
        "SELECT organization_id, id FROM payments WHERE ask_id = $1", first.id
    )
    return RowKey(*row) if row else None


async def asked_for(shop: Shop) -> tuple[RowKey, RowKey, RowKey]:
    """An invoice, its first attempt, and the second one that the payer is to authenticate."""
    invoice, first = await sent(shop)
    await tell(shop, first, WANTS_PAYER)
    second = await second_of(shop, first)
    assert second is not None
    return invoice, first, second


async def broken(shop: Shop) -> list[str]:
    """The invariants about attempts and their events that do not hold."""
    found = []
    async with nameless(shop.pool) as conn:
        await conn.execute(
            "SELECT set_config('recoup.tenants', $1, true)", f"{{{shop.organization_id}}}"
        )
        for one in invariants.INVARIANTS:
            if one.name == "receivable_is_what_is_due":
                continue  # this shop's invoices were not issued by the flow that books them
            offenders = await invariants.offenders(
                conn, one, [shop.organization_id], now=shop.clock.now()
            )
            if offenders.count:
                found.append(one.name)
    return found


async def test_the_first_ends_without_an_event_and_a_second_is_begun(shop: Shop) -> None:
    invoice, first, second = await asked_for(shop)
    assert await shop.state(first) == "failed"
    row = await shop.row("payments", second)
    assert (row["state"], row["manner"], row["ask_id"]) == ("ready", "on_session", first.id)
    assert await shop.words() == []
    assert (await shop.shown(invoice))[0] == "pending"
    assert (await shop.row("invoices", invoice))["next_try_at"] is None
    assert await shop.owner.fetchval(
        "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'submit_attempt'"
        " AND convert_from(payload, 'UTF8') LIKE '%' || $1",
        str(second.id),
    )


async def test_the_seconds_end_is_the_asks(shop: Shop) -> None:
    invoice, first, second = await asked_for(shop)
    await shop.sending.ask(second)
    request = (await shop.row("payments", second))["request"]
    assert request != (await shop.row("payments", first))["request"]
    action = CustomerNeeded(
        "ch_2", "requires_action", {"type": "redirect"}, url="https://bank.test"
    )
    await tell(shop, second, action)
    assert (await shop.row("payments", second))["payer_url"] == "https://bank.test"
    assert await shop.words() == ["payment.requires_action"]
    await tell(shop, second, Paid("ch_2", "succeeded", 1_000, "EUR"), Source.EVENT)
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert sorted(await shop.words()) == [
        "invoice.payment_status_updated", "payment.requires_action", "payment.succeeded",
        "payment_receipt.created",
    ]  # fmt: skip
    asks = await shop.owner.fetch("SELECT ask_id FROM events WHERE ask_id IS NOT NULL")
    assert [row["ask_id"] for row in asks] == [first.id]
    assert await broken(shop) == []


async def test_a_second_no_is_told_as_the_asks_and_makes_no_third(shop: Shop) -> None:
    invoice, first, second = await asked_for(shop)
    await shop.sending.ask(second)
    await tell(shop, second, Declined("authentication_required", provider_payment_id="ch_2"))
    assert await second_of(shop, second) is None
    [(kind, failure)] = await shop.told()
    assert kind == "invoice.payment_failure"
    assert failure["error_details"]["code"] == "authentication_required"
    ask = await shop.owner.fetchval("SELECT ask_id FROM events")
    assert ask == first.id
    assert (await shop.shown(invoice))[0] == "failed"
    assert await broken(shop) == []


async def test_told_twice_there_is_one_second_attempt(shop: Shop) -> None:
    _, first = await sent(shop)
    for source in (Source.ANSWER, Source.EVENT, Source.EVENT):
        await tell(shop, first, WANTS_PAYER, source)
    count = await shop.owner.fetchval("SELECT count(*) FROM payments WHERE ask_id = $1", first.id)
    assert count == 1


@pytest.mark.parametrize("why", ["no 3DS", "voided", "paid by hand", "unlinked"])
async def test_where_nobody_is_to_be_asked_it_is_a_failure_like_any_other(
    shop: Shop, why: str
) -> None:
    invoice, first = await sent(shop)
    match why:
        case "no 3DS":
            await shop.owner.execute("UPDATE provider_accounts SET supports_3ds = false")
        case "voided":
            await shop.change("invoices", invoice, status="voided")
        case "paid by hand":
            await shop.change("invoices", invoice, payment_status="succeeded")
        case "unlinked":
            await shop.owner.execute("UPDATE provider_customers SET discarded_at = now()")
    await tell(shop, first, WANTS_PAYER)
    assert await second_of(shop, first) is None
    assert await shop.words() == ["invoice.payment_failure"]


async def test_a_payer_who_does_not_act_in_a_day_ends_it_at_the_provider(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_authentication_required")
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "customer_needed"
    row = await shop.row("payments", attempt)
    assert row["expires_at"] == shop.clock.now() + PAYER_HAS
    shop.clock.at = row["expires_at"]
    assert row["look_up_at"] <= row["expires_at"]
    await shop.look_up(attempt)
    assert await shop.state(attempt) == "failed"
    kinds = [kind for kind, _ in await shop.told()]
    assert kinds.count("invoice.payment_failure") == 1
    failure = next(told for kind, told in await shop.told() if kind == "invoice.payment_failure")
    assert failure["error_details"]["code"] == "customer_did_not_act"
    assert await second_of(shop, attempt) is None
    assert (await shop.row("invoices", invoice))["next_try_at"] is None
    assert await shop.begun(invoice)  # the invoice is free
