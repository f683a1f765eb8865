"""Credit notes against charges and refunds: nothing is collected, or goes back, too often."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from recoup import clock
from recoup.flows.check_books import check_books
from recoup.flows.credit_voided_invoice import AskedBack
from recoup.flows.lose_dispute import lose_dispute
from recoup.flows.manage_webhook_endpoints import WebhookEndpointInput, create_webhook_endpoint
from recoup.flows.record_manual_payment import PaymentInput, record_manual_payment
from recoup.flows.reports import Report, Source
from recoup.flows.settle_refund import RefundReport, settle_refund
from recoup.flows.submit_refund import look_up_refund, submit_refund
from recoup.flows.update_credit_note import update_credit_note
from recoup.flows.void_invoice import void_invoice
from recoup.providers.protocol import Declined, Paid, Refunded, Reversed
from recoup.rules.credit_note_asks import CreditNoteChange
from recoup.rules.records.credit_notes import CreditNote
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import refund_key
from recoup.rules.refusal import Refused
from recoup.store import db
from recoup.store.db import Pool
from tests.conftest import eventually, waiting_for_locks
from tests.flows.issuing import issue, stock
from tests.flows.noting import make_note, refunds_of, send_refunds, status_of
from tests.flows.pages import opened, page_of
from tests.flows.test_retry_race import patient
from tests.flows.test_submit_refund import books as refund_books
from tests.shop import SandboxServer, Shop


async def sold(shop: Shop, method: str = "pm_sandbox_ok", *, cents: int = 1_000) -> RowKey:
    """An invoice of a customer with this method, with its fee and its ledger entries."""
    if not await shop.owner.fetchval("SELECT count(*) FROM add_ons"):
        await stock(shop)
    return await issue(shop, await shop.customer(method), cents=cents)


async def pay_by_hand(shop: Shop, invoice: RowKey, cents: int) -> None:
    asked = PaymentInput(invoice_id=str(invoice.id), amount_cents=cents, reference="cash")
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await record_manual_payment(
            conn, shop.organization_id, asked, invoice_id=invoice.id, payment_id=clock.new_id(),
            now=shop.clock.now(),
        )  # fmt: skip


async def say(shop: Shop, note: CreditNote, status: str) -> None:
    """A caller says what became of the note's refund."""
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await update_credit_note(
            conn, shop.organization_id, note.id, CreditNoteChange(refund_status=status),
            now=shop.clock.now(),
        )  # fmt: skip


async def ledger(shop: Shop) -> dict[str, int]:
    rows = await shop.owner.fetch(
        "SELECT account, sum(amount_cents)::int FROM ledger_entries GROUP BY account"
    )
    return {account: cents for account, cents in map(tuple, rows) if cents}


async def broken(shop: Shop, scout: Pool) -> tuple[str, ...]:
    """The invariants that are broken."""
    return (await check_books(shop.pool, scout, now=shop.clock.now())).broken


async def test_a_retry_after_an_offset_charges_what_is_due_and_no_more(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await sold(shop)
    await make_note(shop, invoice, offset=400)
    await shop.collect(invoice)
    assert [one["amount"] for one in await psp.charges()] == [600]
    assert await shop.shown(invoice) == ("succeeded", 0)


async def test_an_attempt_that_is_ready_sees_the_offset_before_it_is_sent(
    shop: Shop, psp: SandboxServer
) -> None:
    partly, wholly = await sold(shop), await sold(shop)
    first, second = await shop.begun(partly), await shop.begun(wholly)
    await make_note(shop, partly, offset=999)
    await make_note(shop, wholly, offset=1_000)
    assert await shop.shown(wholly) == ("succeeded", 0)
    for attempt in (first, second):
        await shop.submit(attempt)
    assert [one["amount"] for one in await psp.charges()] == [1]
    assert (await shop.state(first), await shop.state(second)) == ("succeeded", "withdrawn")
    assert await shop.shown(wholly) == ("succeeded", 0)
    assert await shop.shown(partly) == ("succeeded", 0)


async def test_a_page_that_asks_for_what_is_due_no_more_is_closed(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await sold(shop)
    await opened(shop, invoice)
    page = await page_of(shop, invoice)
    await make_note(shop, invoice, offset=400)
    shop.clock.advance(minutes=1)
    await shop.look_up(page)
    assert await shop.state(page) == "failed"
    await shop.collect(invoice)
    assert [one["amount"] for one in await psp.charges() if one["status"] == "succeeded"] == [600]


async def test_money_of_an_attempt_that_was_sent_before_the_offset_is_raised(
    shop: Shop, scout: Pool
) -> None:
    invoice = await sold(shop)
    attempt = await shop.begun(invoice)
    begun = await shop.sending.ask(attempt)
    await make_note(shop, invoice, offset=400)
    paid = await begun.provider.charge(begun.charge)
    await shop.settling.ask(Report(attempt, paid, Source.ANSWER))
    row = await shop.row("invoices", invoice)
    assert (row["paid_cents"], row["due_cents"], row["payment_status"]) == (600, 0, "succeeded")
    [surprise] = await shop.owner.fetch("SELECT * FROM contradictions")
    assert (surprise["reason"], surprise["unapplied_cents"]) == ("more_than_was_due", 400)
    assert row["held_because"] == "contradicted"
    # What it brought in too much is no note's to give back: that goes the way of contradictions.
    with pytest.raises(Refused):
        await make_note(shop, invoice, refund=601)
    await make_note(shop, invoice, refund=600)
    assert await broken(shop, scout) == ()


async def test_a_refund_goes_back_once_and_the_note_follows(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoice = await sold(shop)
    await shop.collect(invoice)
    note = await make_note(shop, invoice, refund=400, credit=100)
    [refund] = await refunds_of(shop, note)
    for _ in range(3):
        await send_refunds(shop, note)
    assert await refund_books(psp) == [(refund_key(refund.id), 400, "succeeded")]
    assert await status_of(shop, note) == "succeeded"
    assert (await shop.row("credit_notes", note.key))["refunded_at"] == shop.clock.now()
    assert await ledger(shop) == {"at_provider": 600, "customer_credit": -100, "revenue": -500}
    assert "credit_note.refund_failure" not in await shop.words()
    assert (await shop.row("invoices", invoice))["paid_cents"] == 1_000
    assert await shop.shown(invoice) == ("succeeded", 0)  # so nobody is charged for it again
    assert await broken(shop, scout) == ()


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "error_after", "truncated"])
async def test_a_lost_answer_leaves_the_note_pending_until_the_provider_tells(
    shop: Shop, psp: SandboxServer, fault: str
) -> None:
    invoice = await sold(shop)
    await shop.collect(invoice)
    note = await make_note(shop, invoice, refund=1_000)
    await psp.faults(f"{fault}=1")
    await send_refunds(shop, note)
    assert await status_of(shop, note) == "pending"
    await psp.faults("")
    shop.clock.advance(minutes=1)
    [refund] = await refunds_of(shop, note)
    await look_up_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    assert await status_of(shop, note) == "succeeded"
    assert await refund_books(psp) == [(refund_key(refund.id), 1_000, "succeeded")]


async def listens_for(shop: Shop, *event_types: str) -> None:
    asked = WebhookEndpointInput(
        webhook_url=f"https://shop.test/{'-'.join(event_types)}", event_types=list(event_types)
    )
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await create_webhook_endpoint(
            conn, shop.organization_id, asked, endpoint_id=clock.new_id(), now=shop.clock.now()
        )


async def test_a_refund_that_fails_is_told_to_whoever_asks_by_either_name(shop: Shop) -> None:
    await listens_for(shop, "credit_note.refund_failure")
    await listens_for(shop, "credit_note.provider_refund_failure")
    await listens_for(shop, "credit_note.refund_failure", "credit_note.provider_refund_failure")
    await listens_for(shop, "invoice.voided")
    invoice = await sold(shop, "pm_sandbox_refund_fails")
    await shop.collect(invoice)
    note = await make_note(shop, invoice, refund=1_000)
    await send_refunds(shop, note)
    assert await status_of(shop, note) == "failed"
    [told] = [told for kind, told in await shop.told() if kind == "credit_note.refund_failure"]
    customer = await shop.owner.fetchrow("SELECT id, external_id FROM customers")
    assert told.pop("provider_error").keys() == {"message", "error_code"}
    assert told == {
        "lago_credit_note_id": str(note.id), "lago_customer_id": str(customer["id"]),
        "external_customer_id": customer["external_id"],
        "provider_customer_id": f"cus_{customer['id'].hex}", "payment_provider": "sandbox",
        "payment_provider_code": "sandbox",
    }  # fmt: skip
    heard = await shop.owner.fetch(
        "SELECT w.webhook_url, e.webhook_type FROM webhook_deliveries d"
        " JOIN webhook_endpoints w ON w.id = d.endpoint_id JOIN events e ON e.id = d.event_id"
    )
    assert len({row["webhook_url"] for row in heard}) == len(heard) == 3
    assert {row["webhook_type"] for row in heard} == {"credit_note.refund_failure"}
    # The money is still owed to the payer, and no second note may promise it again.
    assert (await ledger(shop))["to_refund"] == -1_000
    with pytest.raises(Refused):
        await make_note(shop, invoice, refund=1)


async def test_a_refund_that_comes_back_later_fails_the_note_and_the_books_say_so(
    shop: Shop, scout: Pool
) -> None:
    invoice = await sold(shop)
    await shop.collect(invoice)
    note = await make_note(shop, invoice, refund=1_000)
    await send_refunds(shop, note)
    [refund] = await refunds_of(shop, note)
    known_as = (await shop.row("refunds", refund))["provider_refund_id"]
    bounced = Declined("account_closed", provider_refund_id=known_as)
    for _ in range(2):
        await settle_refund(
            shop.pool, RefundReport(refund, bounced, Source.EVENT), now=shop.clock.now()
        )
    assert await status_of(shop, note) == "failed"
    assert await ledger(shop) == {"at_provider": 1_000, "to_refund": -1_000}
    assert (await shop.words()).count("credit_note.refund_failure") == 1
    assert await broken(shop, scout) == ()


async def test_what_goes_back_after_all_is_raised_and_is_in_the_books(
    shop: Shop, scout: Pool
) -> None:
    invoice = await sold(shop, "pm_sandbox_refund_fails")
    await shop.collect(invoice)
    note = await make_note(shop, invoice, refund=1_000)
    await send_refunds(shop, note)
    [refund] = await refunds_of(shop, note)
    went = Refunded("re_other", "succeeded", 1_000, "EUR")
    await settle_refund(shop.pool, RefundReport(refund, went, Source.EVENT), now=shop.clock.now())
    assert await ledger(shop) == {}
    assert (await shop.row("invoices", invoice))["held_because"] == "contradicted"
    assert await status_of(shop, note) == "failed"  # a person says what it was
    assert await broken(shop, scout) == ()


async def test_several_charges_give_back_the_newest_first_each_what_it_paid(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoice = await sold(shop)
    await make_note(shop, invoice, credit=1)
    await shop.change("invoices", invoice, total_cents=400)  # the first charge: what is due then
    first = await shop.collect(invoice)
    await shop.change("invoices", invoice, total_cents=1_000, payment_status="pending")
    shop.clock.advance(hours=1)
    await pay_by_hand(shop, invoice, 100)
    second = await shop.collect(invoice)
    one = await make_note(shop, invoice, refund=600)
    by_first = await refunds_of(shop, one)
    rows = [await shop.row("refunds", refund) for refund in by_first]
    assert [(row["payment_id"], row["amount_cents"]) for row in rows] == [
        (second.id, 500), (first.id, 100),
    ]  # fmt: skip
    await send_refunds(shop, one)
    assert await status_of(shop, one) == "succeeded"
    other = await make_note(shop, invoice, refund=399)
    await send_refunds(shop, other)
    [left] = [await shop.row("refunds", refund) for refund in await refunds_of(shop, other)]
    assert (left["payment_id"], left["amount_cents"]) == (first.id, 300)
    assert await status_of(shop, other) == "pending"  # 99 were paid by hand
    assert sorted(amount for _, amount, _ in await refund_books(psp)) == [100, 300, 500]
    await say(shop, other, "succeeded")
    assert await status_of(shop, other) == "succeeded"
    assert await broken(shop, scout) == ()


async def test_a_charge_that_the_bank_took_back_gives_nothing_back(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await sold(shop)
    attempt = await shop.collect(invoice)
    charge = (await shop.row("payments", attempt))["provider_payment_id"]
    waiting = await make_note(shop, invoice, refund=400)
    taken = Reversed(charge, "disputed", 1_000, "EUR", reason="fraudulent")
    await shop.settling.ask(Report(attempt, taken, Source.EVENT))
    later = await make_note(shop, invoice, refund=600)
    assert await refunds_of(shop, later) == []
    await send_refunds(shop, waiting)
    assert await status_of(shop, waiting) == "failed"
    assert await refund_books(psp) == []


async def test_a_dispute_that_is_lost_before_it_is_sent_calls_a_refund_off(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await sold(shop)
    await shop.collect(invoice)
    note = await make_note(shop, invoice, refund=1_000)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await lose_dispute(
            conn, shop.organization_id, invoice.id, change_id=clock.new_id(), now=shop.clock.now()
        )
    await send_refunds(shop, note)
    assert await refund_books(psp) == []
    assert await status_of(shop, note) == "failed"
    [told] = [told for kind, told in await shop.told() if kind == "credit_note.refund_failure"]
    assert told["provider_error"]["error_code"] == "dispute_lost"


async def test_what_a_person_says_went_back_is_not_sent_back_besides(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await sold(shop)
    await shop.collect(invoice)
    note = await make_note(shop, invoice, refund=1_000)
    await say(shop, note, "succeeded")
    await send_refunds(shop, note)
    assert await refund_books(psp) == []
    assert await status_of(shop, note) == "succeeded"
    assert "credit_note.refund_failure" not in await shop.words()
    [refund] = await refunds_of(shop, note)
    assert (await shop.row("refunds", refund))["error_code"] == "refunded_otherwise"


async def test_a_refund_that_fails_after_it_went_back_otherwise_does_not_unsay_that(
    shop: Shop,
) -> None:
    invoice = await sold(shop)
    await shop.collect(invoice)
    note = await make_note(shop, invoice, refund=1_000)
    [refund] = await refunds_of(shop, note)
    await shop.change("refunds", refund, state="sent", sent_at=shop.clock.now(), request="{}")
    await say(shop, note, "succeeded")
    declined = RefundReport(refund, Declined("account_closed"), Source.ANSWER)
    await settle_refund(shop.pool, declined, now=shop.clock.now())
    assert await status_of(shop, note) == "succeeded"  # who says "failed" may be paid twice
    assert "credit_note.refund_failure" in await shop.words()


async def test_one_that_was_lost_on_the_way_is_not_sent_again_once_it_went_back_otherwise(
    shop: Shop, psp: SandboxServer
) -> None:
    invoice = await sold(shop)
    await shop.collect(invoice)
    note = await make_note(shop, invoice, refund=1_000)
    await psp.faults("drop_before=1")
    await send_refunds(shop, note)
    await psp.faults("")
    await say(shop, note, "succeeded")
    shop.clock.advance(minutes=1)
    [refund] = await refunds_of(shop, note)
    await look_up_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    assert await refund_books(psp) == []


async def test_two_notes_at_the_same_moment_never_take_off_more_than_there_is(
    shop: Shop, dsn: str, scout: Pool
) -> None:
    invoice = await sold(shop)
    await shop.collect(invoice)
    async with patient(dsn) as one, patient(dsn) as two:
        async with shop.owner.transaction():  # until both wait for the invoice, neither gets it
            await shop.owner.execute("SELECT FROM invoices WHERE id = $1 FOR UPDATE", invoice.id)
            making = asyncio.gather(
                make_note(shop, invoice, pool=one, refund=600),
                make_note(shop, invoice, pool=two, refund=600),
                return_exceptions=True,
            )

            async def both_wait() -> bool:
                return await waiting_for_locks(shop.owner) == 2

            await eventually(both_wait, what="both wait for the invoice")
        answers = await making
    [made] = [answer for answer in answers if isinstance(answer, CreditNote)]
    [refused] = [answer for answer in answers if isinstance(answer, Refused)]
    assert refused.refusal.details == {"amount_cents": ["higher_than_remaining_fee_amount"]}
    assert made.number.endswith("-CN001")
    assert (await make_note(shop, invoice, refund=400)).number.endswith("-CN002")
    assert await broken(shop, scout) == ()


async def test_of_a_note_and_a_retry_at_the_same_moment_the_second_sees_the_first(
    shop: Shop, dsn: str, psp: SandboxServer
) -> None:
    invoice = await sold(shop)
    async with patient(dsn) as apart:
        async with shop.owner.transaction():
            await shop.owner.execute("SELECT FROM invoices WHERE id = $1 FOR UPDATE", invoice.id)
            await shop.pool.execute("SET lock_timeout = '60s'")
            both: Any = asyncio.gather(
                make_note(shop, invoice, pool=apart, offset=700), shop.ask(invoice)
            )

            async def both_wait() -> bool:
                return await waiting_for_locks(shop.owner) == 2

            await eventually(both_wait, what="both wait for the invoice")
        _, answer = await both
    await shop.submit(RowKey(shop.organization_id, answer.attempt_id))
    assert [one["amount"] for one in await psp.charges()] == [300]
    assert await shop.shown(invoice) == ("succeeded", 0)


async def test_the_database_itself_refuses_what_the_code_should_have(shop: Shop) -> None:
    invoice = await sold(shop)
    note = await make_note(shop, invoice, offset=600)
    for change in (
        "total_cents = total_cents + 1", "balance_cents = 1", "credit_cents = -1",
        "credit_status = 'available'",
    ):  # fmt: skip
        with pytest.raises(asyncpg.CheckViolationError):
            await shop.owner.execute(f"UPDATE credit_notes SET {change}")
    with pytest.raises(asyncpg.CheckViolationError):
        await shop.owner.execute("UPDATE invoices SET offset_cents = 1001")
    await shop.change("invoices", invoice, payment_status="pending")
    again = await make_note(shop, invoice, offset=100)
    with pytest.raises(asyncpg.UniqueViolationError):
        await shop.owner.execute(
            "UPDATE credit_notes SET sequential_id = 1 WHERE id = $1", again.id
        )
    assert note.sequential_id == 1


async def test_a_void_that_gives_back_takes_all_or_nothing_with_it(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoice = await sold(shop)
    await shop.collect(invoice)
    attempt_after = await shop.ask(invoice)
    assert attempt_after.code == "invalid_status"  # type: ignore[union-attr]
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await void_invoice(
            conn, shop.organization_id, invoice.id,
            asked_back=AskedBack(refund_amount=250, credit_amount=250), now=shop.clock.now(),
        )  # fmt: skip
    for row in await shop.owner.fetch("SELECT organization_id, id FROM refunds"):
        await submit_refund(shop.pool, shop.providers, RowKey(*row), now=shop.clock.now)
    assert [amount for _, amount, _ in await refund_books(psp)] == [250]
    assert await ledger(shop) == {"at_provider": 750, "customer_credit": -250, "revenue": -500}
    assert await broken(shop, scout) == ()


async def test_a_success_told_twice_is_no_money_for_a_note(shop: Shop) -> None:
    invoice = await sold(shop)
    attempt = await shop.collect(invoice)
    again = Paid("ch_again", "succeeded", 1_000, "EUR")
    await shop.settling.ask(Report(attempt, again, Source.EVENT))
    with pytest.raises(Refused):
        await make_note(shop, invoice, refund=1_001)
    note = await make_note(shop, invoice, refund=1_000)
    [refund] = [await shop.row("refunds", one) for one in await refunds_of(shop, note)]
    assert refund["provider_payment_id"] != "ch_again"
    assert shop.clock.now() - refund["created_at"] == timedelta()
