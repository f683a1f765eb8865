"""What contradicts itself is charged to nobody again, until a person has looked."""

from __future__ import annotations

import pytest

from recoup import clock
from recoup.flows.release_invoice import list_held_invoices, release_invoice
from recoup.flows.reports import Report, Source
from recoup.flows.retry_payment import Accepted
from recoup.providers.protocol import Declined, Paid
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal, RefusalKind, Refused
from tests.shop import SandboxServer, Shop

PAID_AFTER_ALL = Paid("ch_after_all", "succeeded", 1_000, "EUR")


async def told(shop: Shop, attempt: RowKey, outcome: Paid | Declined) -> None:
    await shop.settling.ask(Report(attempt, outcome, Source.EVENT))


async def contradicted(shop: Shop) -> tuple[RowKey, RowKey]:
    """An invoice whose failed attempt was paid after all, says the provider."""
    invoice = await shop.sell("pm_sandbox_fail_once")
    attempt = await shop.collect(invoice)
    await told(shop, attempt, PAID_AFTER_ALL)
    return invoice, attempt


async def release(
    shop: Shop, invoice: RowKey, *, by: str = "ann", reason: str = "refunded"
) -> None:
    await release_invoice(
        shop.pool, invoice, by=by, reason=reason, audit_id=clock.new_id(), now=shop.clock.now()
    )


async def test_an_ask_for_a_held_invoice_charges_nobody_and_ends_in_its_event(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice, _ = await contradicted(shop)
    assert await shop.ask(invoice) == Accepted(None, "invoice_no_longer_collectable")
    assert (await shop.told())[-1][1]["error_details"] == {"code": "invoice_no_longer_collectable"}
    assert (await shop.row("invoices", invoice))["next_try_at"] is None
    assert [one["status"] for one in await psp.charges()] == ["failed"]


async def test_a_retry_that_waits_to_be_sent_is_withdrawn_when_the_attempt_before_was_paid(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await shop.sell("pm_sandbox_fail_once")
    before = await shop.collect(invoice)
    retry = await shop.begun(invoice)
    await told(shop, before, PAID_AFTER_ALL)
    await shop.submit(retry)
    assert await shop.state(retry) == "withdrawn"
    assert [one["status"] for one in await psp.charges()] == ["failed"]


async def test_money_in_another_currency_is_not_followed_by_another_charge(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    attempt = await shop.begun(invoice)
    await shop.sending.ask(attempt)
    await told(shop, attempt, Paid("ch_usd", "succeeded", 1_000, "USD"))
    assert await shop.shown(invoice) == ("pending", 1_000)
    assert await shop.ask(invoice) == Accepted(None, "invoice_no_longer_collectable")


async def test_a_person_lets_it_go_and_says_why(shop: Shop, psp: SandboxServer) -> None:
    invoice, attempt = await contradicted(shop)
    [held] = await list_held_invoices(shop.pool, shop.organization_id)
    assert (held.debt.key, held.debt.held_because) == (invoice, "contradicted")
    [one] = held.told
    assert (one.contradiction.payment, one.contradiction.provider_payment_id) == (
        attempt,
        "ch_after_all",
    )
    await release(shop, invoice)
    assert await list_held_invoices(shop.pool, shop.organization_id) == []
    entry = await shop.owner.fetchrow(
        "SELECT actor, action, object_id, detail FROM audit_log WHERE actor <> 'operator'"
    )
    assert tuple(entry)[:3] == ("ann", "invoice.released", invoice.id)
    await shop.collect(invoice)
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert [one["status"] for one in await psp.charges()] == ["failed", "succeeded"]


async def test_the_same_news_told_again_does_not_hold_what_was_let_go(shop: Shop) -> None:
    invoice, attempt = await contradicted(shop)
    await release(shop, invoice)
    await told(shop, attempt, PAID_AFTER_ALL)
    assert (await shop.row("invoices", invoice))["held_because"] is None
    await told(shop, attempt, Paid("ch_another", "succeeded", 1_000, "EUR"))
    assert (await shop.row("invoices", invoice))["held_because"] == "contradicted"


@pytest.mark.parametrize(
    ("by", "reason", "refusal"),
    [
        (
            "",
            "refunded",
            Refusal(RefusalKind.INVALID, "validation_errors", {"by": ["value_is_mandatory"]}),
        ),
        (
            "ann",
            " ",
            Refusal(RefusalKind.INVALID, "validation_errors", {"reason": ["value_is_mandatory"]}),
        ),
        ("ann", "refunded", Refusal(RefusalKind.NOT_ALLOWED, "invoice_not_held")),
    ],
)
async def test_who_lets_go_says_who_and_why_and_of_what(
    shop: Shop, by: str, reason: str, refusal: Refusal
) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    with pytest.raises(Refused) as refused:
        await release(shop, invoice, by=by, reason=reason)
    assert refused.value.refusal == refusal
    assert (
        await shop.owner.fetchval("SELECT count(*) FROM audit_log WHERE actor <> 'operator'") == 0
    )


async def test_another_tenants_invoice_is_not_found(shop: Shop) -> None:
    invoice, _ = await contradicted(shop)
    other = await Shop(shop.pool, shop.owner, shop.providers, shop.clock).open()
    with pytest.raises(Refused) as refused:
        await release(shop, RowKey(other.organization_id, invoice.id))
    assert refused.value.refusal.code == "invoice_not_found"
    assert await list_held_invoices(shop.pool, other.organization_id) == []
    assert (await shop.row("invoices", invoice))["held_because"] == "contradicted"
