"""The ways in which money is known to get lost, or to be taken twice, elsewhere: none is open here.

Each is a story of an invoice from its issue to its end, by the flows that callers and workers use,
and ends with the books: what the provider took, what the invoice says, and what the ledger holds.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from recoup import clock
from recoup.flows.check_books import check_books
from recoup.flows.record_manual_payment import PaymentInput, record_manual_payment
from recoup.flows.reports import Report, Source
from recoup.flows.retry_payment import NOTHING_DUE, Accepted
from recoup.flows.update_invoice import InvoiceChange, update_invoice
from recoup.flows.void_invoice import void_invoice
from recoup.providers.protocol import Declined, Paid
from recoup.rules.invoice_status import HANDLED
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store import db
from recoup.store.db import Pool
from tests.flows.issuing import issue, stock
from tests.flows.noting import make_note, refunds_of, send_refunds, status_of
from tests.flows.requests import attempt_of, requested
from tests.flows.test_submit_refund import books as refund_books
from tests.shop import SandboxServer, Shop

AGAIN = Paid("ch_again", "succeeded", 1_000, "EUR")


async def sold(shop: Shop, method: str = "pm_sandbox_ok") -> RowKey:
    await stock(shop)
    return await issue(shop, await shop.customer(method))


async def pay_by_hand(shop: Shop, invoice: RowKey, cents: int) -> None:
    asked = PaymentInput(invoice_id=str(invoice.id), amount_cents=cents, reference="cash")
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await record_manual_payment(
            conn, shop.organization_id, asked, invoice_id=invoice.id, payment_id=clock.new_id(),
            now=shop.clock.now(),
        )  # fmt: skip


async def declare(shop: Shop, invoice: RowKey, status: str) -> None:
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await update_invoice(
            conn, shop.organization_id, invoice.id, InvoiceChange(payment_status=status),
            change_id=clock.new_id(), now=shop.clock.now(),
        )  # fmt: skip


async def void(shop: Shop, invoice: RowKey) -> None:
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await void_invoice(conn, shop.organization_id, invoice.id, now=shop.clock.now())


async def surprises(shop: Shop) -> list[tuple[str, int]]:
    rows = await shop.owner.fetch("SELECT reason, unapplied_cents FROM contradictions ORDER BY 1")
    return [(row["reason"], row["unapplied_cents"]) for row in rows]


async def taken(psp: SandboxServer) -> list[int]:
    return [one["amount"] for one in await psp.charges() if one["status"] == "succeeded"]


async def books_are_right(shop: Shop, scout: Pool) -> None:
    assert (await check_books(shop.pool, scout, now=shop.clock.now())).broken == ()


async def test_l2_a_second_success_of_a_paid_invoice_is_kept_and_raised(
    shop: Shop, scout: Pool
) -> None:
    invoice = await sold(shop)
    attempt = await shop.collect(invoice)
    await shop.settling.ask(Report(attempt, AGAIN, Source.EVENT))
    assert await surprises(shop) == [("a_second_charge", 1_000)]
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert (await shop.row("invoices", invoice))["paid_cents"] == 1_000
    assert (await shop.row("invoices", invoice))["held_because"] is not None
    await books_are_right(shop, scout)


async def test_l2_a_failure_that_is_told_after_the_success_is_raised(
    shop: Shop, scout: Pool
) -> None:
    invoice = await sold(shop)
    attempt = await shop.collect(invoice)
    late = Declined(code="late_failure", message="no")
    await shop.settling.ask(Report(attempt, late, Source.EVENT))
    assert len(await surprises(shop)) == 1
    assert await shop.state(attempt) == "succeeded"
    await books_are_right(shop, scout)


async def test_l3_money_for_a_voided_invoice_is_kept_and_raised(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoice = await sold(shop)
    attempt = await shop.begun(invoice)
    begun = await shop.sending.ask(attempt)
    await void(shop, invoice)
    outcome = await begun.provider.charge(begun.charge)
    await shop.settling.ask(Report(attempt, outcome, Source.ANSWER))
    assert await taken(psp) == [1_000]
    assert await surprises(shop) == [("invoice_was_voided", 1_000)]
    row = await shop.row("invoices", invoice)
    assert (row["status"], row["paid_cents"], row["due_cents"]) == ("voided", 0, 0)
    await books_are_right(shop, scout)


@pytest.mark.parametrize("status", ["pending", "failed"])
async def test_l9_an_invoice_whose_taxes_are_not_known_is_not_called_paid(
    shop: Shop, status: str
) -> None:
    invoice = await shop.sell("pm_sandbox_ok", cents=0, status=status)
    answer = await shop.ask(invoice)
    assert answer == Accepted(None, "invoice_no_longer_collectable")
    assert (await shop.shown(invoice))[0] == "pending"
    assert "invoice.payment_status_updated" not in await shop.words()


@pytest.mark.parametrize("said", ["failed", "pending"])
async def test_l10_a_paid_invoice_that_is_declared_unpaid_is_not_charged_again(
    shop: Shop, psp: SandboxServer, scout: Pool, said: str
) -> None:
    invoice = await sold(shop)
    await shop.collect(invoice)
    await declare(shop, invoice, said)
    assert await shop.ask(invoice) == Accepted(None, NOTHING_DUE)
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert await taken(psp) == [1_000]
    await books_are_right(shop, scout)


async def test_l10_an_invoice_that_is_declared_paid_is_not_charged_by_what_was_asked_before(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoice = await sold(shop)
    attempt = await shop.begun(invoice)
    await declare(shop, invoice, "succeeded")
    await shop.submit(attempt)
    assert await shop.state(attempt) == "withdrawn"
    assert await taken(psp) == []
    await books_are_right(shop, scout)


async def test_l8_what_is_paid_is_one_sum_however_it_was_paid(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoice = await sold(shop)
    await pay_by_hand(shop, invoice, 300)
    await shop.collect(invoice)
    await declare(shop, invoice, "failed")  # it is collected anew: what was paid is not forgotten
    assert await shop.ask(invoice) == Accepted(None, NOTHING_DUE)
    row = await shop.row("invoices", invoice)
    assert (row["paid_cents"], row["due_cents"]) == (1_000, 0)
    assert await taken(psp) == [700]
    await books_are_right(shop, scout)


async def paid_by_request(shop: Shop) -> tuple[list[RowKey], RowKey]:
    """Two late invoices of one customer, and the charge that paid both."""
    await stock(shop)
    customer = await shop.customer("pm_sandbox_ok")
    late = [await issue(shop, customer) for _ in range(2)]
    for invoice in late:
        await shop.change("invoices", invoice, payment_overdue=True)
    attempt = attempt_of(await requested(shop, late))
    await shop.submit(attempt)
    return late, attempt


async def test_l8_what_a_payment_request_has_paid_is_in_the_sum_when_it_is_opened_again(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    late, _ = await paid_by_request(shop)
    await declare(shop, late[0], "failed")
    assert await shop.ask(late[0]) == Accepted(None, NOTHING_DUE)
    for invoice in late:
        row = await shop.row("invoices", invoice)
        assert (row["paid_cents"], row["due_cents"]) == (1_000, 0)
    assert await taken(psp) == [2_000]
    await books_are_right(shop, scout)


async def test_l7_what_a_payment_request_has_paid_goes_back_by_its_charge(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    late, attempt = await paid_by_request(shop)
    note = await make_note(shop, late[0], refund=400)
    [refund] = await refunds_of(shop, note)
    assert (await shop.row("refunds", refund))["payment_id"] == attempt.id
    await send_refunds(shop, note)
    assert await status_of(shop, note) == "succeeded"
    assert [one[1] for one in await refund_books(psp)] == [400]
    await books_are_right(shop, scout)


async def test_d5_a_charge_in_flight_is_found_whatever_was_paid_meanwhile(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoice = await sold(shop, "pm_sandbox_processing_ok")
    await pay_by_hand(shop, invoice, 300)
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "processing"
    assert await shop.ask(invoice) == HANDLED
    assert [one["amount"] for one in await psp.charges()] == [700]
    await books_are_right(shop, scout)


async def test_d6_what_is_due_when_it_is_sent_is_charged_and_no_more(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoice = await sold(shop)
    attempt = await shop.begun(invoice)
    await pay_by_hand(shop, invoice, 400)
    await shop.submit(attempt)
    assert await taken(psp) == [600]
    assert await shop.shown(invoice) == ("succeeded", 0)
    await books_are_right(shop, scout)


async def test_d7_a_payment_by_hand_beside_a_charge_in_flight_leaves_no_debt_below_nothing(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoice = await sold(shop)
    attempt = await shop.begun(invoice)
    begun = await shop.sending.ask(attempt)
    await pay_by_hand(shop, invoice, 400)
    outcome: Any = await begun.provider.charge(begun.charge)
    await shop.settling.ask(Report(attempt, outcome, Source.ANSWER))
    assert await taken(psp) == [1_000]
    row = await shop.row("invoices", invoice)
    assert (row["paid_cents"], row["due_cents"]) == (1_000, 0)
    assert [cents for _, cents in await surprises(shop)] == [400]  # what belongs to nothing
    await books_are_right(shop, scout)


async def test_d7_no_two_payments_by_hand_take_more_than_is_due(shop: Shop, scout: Pool) -> None:
    invoice = await sold(shop)
    await pay_by_hand(shop, invoice, 600)
    with pytest.raises(Refused):
        await pay_by_hand(shop, invoice, 600)
    assert await shop.shown(invoice) == ("pending", 400)
    await books_are_right(shop, scout)


async def test_l7_money_goes_back_by_the_payment_that_brought_it(shop: Shop, scout: Pool) -> None:
    """Not by the newest one: the surprise names its payment, and so does its refund."""
    invoice = await sold(shop)
    first = await shop.collect(invoice)
    await shop.settling.ask(Report(first, AGAIN, Source.EVENT))
    payment_id: UUID = await shop.owner.fetchval("SELECT payment_id FROM contradictions")
    assert payment_id == first.id
    told = await shop.owner.fetchval("SELECT provider_payment_id FROM contradictions")
    assert told == AGAIN.provider_payment_id
    await books_are_right(shop, scout)
