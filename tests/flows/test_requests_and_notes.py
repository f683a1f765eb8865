"""Credit notes, voids and charge-backs of invoices that one charge collects together."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from recoup import clock
from recoup.flows.count_as_sent import count_as_sent
from recoup.flows.credit_voided_invoice import AskedBack
from recoup.flows.lose_dispute import lose_dispute
from recoup.flows.reports import Report, Source
from recoup.flows.settle_by_hand import Decided, settle_by_hand
from recoup.flows.settle_refund import RefundReport, settle_refund
from recoup.flows.submit_refund import look_up_refund, submit_refund
from recoup.flows.void_invoice import void_invoice
from recoup.providers.protocol import Declined, GivenBack, ListedCharge, Paid, Processing, Reversed
from recoup.rules.attempt_state import Verdict
from recoup.rules.records.collection import idempotency_key
from recoup.rules.records.credit_notes import CreditNote
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store import attempts, collection, db
from recoup.store.db import Pool
from tests.flows.debits import Debits
from tests.flows.issuing import issue, stock
from tests.flows.noting import make_note, refunds_of, send_refunds, status_of
from tests.flows.requests import attempt_of, pay_by_hand, receipts, requested, status, statuses
from tests.flows.test_credit_notes import broken, ledger
from tests.flows.test_known_holes import declare
from tests.flows.test_mend_from_list import take
from tests.flows.test_retry_race import patient
from tests.flows.test_submit_refund import books as refund_books
from tests.shop import SandboxServer, Shop


async def asked_of(shop: Shop, method: str, *cents: int) -> tuple[list[RowKey], RowKey]:
    """Overdue invoices of a new customer, issued with their fees, and the request of all."""
    if not await shop.owner.fetchval("SELECT count(*) FROM add_ons"):
        await stock(shop)
    customer = await shop.customer(method)
    kind = await shop.owner.fetchval("SELECT kind FROM provider_accounts")
    await shop.owner.execute("UPDATE customers SET payment_provider = $1", kind)
    invoices = sorted([await issue(shop, customer, cents=each) for each in cents])
    for invoice in invoices:
        await shop.change("invoices", invoice, payment_overdue=True)
    return invoices, await requested(shop, invoices)


async def void_with(shop: Shop, invoice: RowKey, **asked: int) -> None:
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await void_invoice(
            conn, shop.organization_id, invoice.id, asked_back=AskedBack(**asked),
            now=shop.clock.now(),
        )  # fmt: skip


async def test_an_offset_before_it_is_sent_is_not_charged(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 1_000)
    await make_note(shop, invoices[0], offset=400)
    await shop.submit(attempt_of(request))
    assert [one["amount"] for one in await psp.charges()] == [1_600]
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    assert await status(shop, request) == "succeeded"
    assert await broken(shop, scout) == ()


async def test_a_request_of_one_that_is_offset_whole_is_withdrawn(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    [invoice], request = await asked_of(shop, "pm_sandbox_ok", 1_000)
    await make_note(shop, invoice, offset=1_000)
    await shop.submit(attempt_of(request))
    assert await psp.charges() == []
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert await status(shop, request) == "failed"
    assert (await shop.words()).count("payment_request.payment_failure") == 1
    assert await broken(shop, scout) == ()


async def test_two_notes_of_one_charge_give_back_each_what_it_paid_of_its_invoice(
    shop: Shop, psp: SandboxServer, dsn: str, scout: Pool
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 1_000)
    await shop.submit(attempt_of(request))
    async with patient(dsn) as one, patient(dsn) as two:
        both = await asyncio.gather(
            make_note(shop, invoices[0], pool=one, refund=1_000),
            make_note(shop, invoices[1], pool=two, refund=500),
        )
    # What the other invoice's note gave back of the charge is not this one's to count.
    notes = [*both, await make_note(shop, invoices[1], refund=100)]
    refunds = [refund for note in notes for refund in await refunds_of(shop, note)]
    await asyncio.gather(
        *(
            submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
            for refund in refunds
        )
    )
    assert sorted(cents for _, cents, _ in await refund_books(psp)) == [100, 500, 1_000]
    assert [await status_of(shop, note) for note in notes] == ["succeeded"] * 3
    with pytest.raises(Refused):
        await make_note(shop, invoices[0], refund=1)
    with pytest.raises(Refused):
        await make_note(shop, invoices[1], refund=401)
    assert await ledger(shop) == {"at_provider": 400, "revenue": -400}
    assert await broken(shop, scout) == ()


async def test_a_void_that_gives_back_takes_no_more_of_the_charge_than_it_paid(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 500)
    await pay_by_hand(shop, invoices[0], 100)
    await shop.submit(attempt_of(request))
    await void_with(shop, invoices[0], refund_amount=(await total(shop, invoices[0])))
    note_id = await shop.owner.fetchval("SELECT id FROM credit_notes")
    cents = await shop.owner.fetchval(
        "SELECT amount_cents FROM refunds WHERE credit_note_id = $1", note_id
    )
    assert cents == await total(shop, invoices[0]) - 100
    assert await broken(shop, scout) == ()


async def total(shop: Shop, invoice: RowKey) -> int:
    return int((await shop.row("invoices", invoice))["total_cents"])


@pytest.mark.parametrize("sent", [False, True])
async def test_a_void_with_a_note_while_it_is_open(
    shop: Shop, psp: SandboxServer, scout: Pool, *, sent: bool
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 1_000)
    attempt = attempt_of(request)
    begun = await shop.sending.ask(attempt) if sent else None
    await void_with(shop, invoices[0], credit_amount=1_000)
    if begun:
        paid = await begun.provider.charge(begun.charge)
        await shop.settling.ask(Report(attempt, paid, Source.ANSWER))
        [surprise] = await shop.owner.fetch("SELECT * FROM contradictions")
        assert (surprise["reason"], surprise["unapplied_cents"]) == ("invoice_was_voided", 1_000)
        assert await statuses(shop, invoices[1:]) == [("succeeded", 0)]
    else:
        await shop.submit(attempt)
        assert await psp.charges() == []
        assert await status(shop, request) == "failed"
    assert await broken(shop, scout) == ()


async def test_a_charge_back_of_the_one_charge_is_of_all_its_invoices(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 1_000)
    attempt = attempt_of(request)
    await shop.submit(attempt)
    waiting = await make_note(shop, invoices[0], refund=400)
    charge = (await shop.row("payments", attempt))["provider_payment_id"]
    lost = Reversed(charge, "lost", 2_000, "EUR", reason="fraudulent", is_lost=True)
    for _ in range(2):
        await shop.settling.ask(Report(attempt, lost, Source.EVENT))
    await send_refunds(shop, waiting)
    later = await make_note(shop, invoices[1], refund=400)
    assert await refunds_of(shop, later) == []
    assert await refund_books(psp) == []
    for invoice in invoices:
        row = await shop.row("invoices", invoice)
        assert row["payment_dispute_lost_at"] is not None
        assert row["held_because"] == "contradicted"
    assert (await shop.words()).count("invoice.payment_dispute_lost") == 2
    assert await status(shop, request) == "succeeded"
    assert await broken(shop, scout) == ()
    back = GivenBack(charge, "won", 2_000, "EUR")
    await shop.settling.ask(Report(attempt, back, Source.EVENT))
    assert await broken(shop, scout) == ()


@pytest.mark.parametrize("taken", [2_000, 1_600])
@pytest.mark.parametrize("offset", [400, 1_000])
async def test_one_that_a_restore_forgot_to_have_sent_is_what_it_covers(
    shop: Shop, psp: SandboxServer, scout: Pool, taken: int, offset: int
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 1_000)
    await make_note(shop, invoices[0], offset=offset)
    attempt = attempt_of(request)
    charge = ListedCharge(
        idempotency_key(attempt.id), "ch_1", Paid("ch_1", "succeeded", taken, "EUR"), taken, "EUR",
        metadata={},
    )  # fmt: skip
    await take(shop.pool, shop, charge)
    assert await shop.state(attempt) == "succeeded"
    due = 2_000 - offset
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    assert (await ledger(shop))["at_provider"] == taken
    assert -(await ledger(shop)).get("unapplied", 0) == taken - due
    assert await broken(shop, scout) == ()


async def test_one_that_a_restore_forgot_to_have_sent_leaves_no_debt_unsaid(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    """It was sent for less, since a note had been made that the restore has lost as well."""
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 1_000)
    attempt = attempt_of(request)
    charge = ListedCharge(
        idempotency_key(attempt.id), "ch_1", Paid("ch_1", "succeeded", 1_600, "EUR"), 1_600, "EUR",
        metadata={},
    )  # fmt: skip
    await take(shop.pool, shop, charge)
    assert await statuses(shop, invoices) == [("succeeded", 0), ("pending", 400)]
    told = await shop.owner.fetch("SELECT reason FROM contradictions")
    assert [row["reason"] for row in told] == ["another_amount_than_asked"]
    assert await broken(shop, scout) == ()


async def test_an_event_of_one_that_a_restore_forgot_to_have_sent(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 1_000)
    await make_note(shop, invoices[0], offset=400)
    held = attempt_of(request)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await collection.lock_covered(conn, [held])
        attempt = (await attempts.lock(conn, [held]))[held]
        await count_as_sent(
            conn, attempt, RowKey(shop.organization_id, shop.account_id),
            amount_cents=attempt.amount_cents, now=shop.clock.now(),
        )  # fmt: skip
    told = Paid("ch_1", "succeeded", 2_000, "EUR")
    await shop.settling.ask(Report(held, told, Source.EVENT))
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    assert (await ledger(shop))["unapplied"] == -400
    assert await broken(shop, scout) == ()


async def test_what_is_made_anew_is_on_no_schedule(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    if not await shop.owner.fetchval("SELECT count(*) FROM add_ons"):
        await stock(shop)
    invoice = await issue(shop, await shop.customer("pm_sandbox_ok"))
    at = shop.clock.now() + timedelta(hours=5)
    await shop.change("invoices", invoice, payment_status="failed", next_try_at=at)
    charge = ListedCharge(
        idempotency_key(clock.new_id()), "ch_1", Processing("ch_1", "processing"), 1_000, "EUR",
        metadata={
            "lago_invoice_id": str(invoice.id), "lago_organization_id": str(shop.organization_id),
        },
    )  # fmt: skip
    await take(shop.pool, shop, charge)
    assert await shop.owner.fetchval("SELECT state FROM payments") == "processing"
    assert await broken(shop, scout) == ()


async def test_a_request_that_gives_way_to_a_charge_that_a_restore_lost(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 1_000)
    at = shop.clock.now() + timedelta(hours=5)
    await shop.owner.execute("UPDATE payment_invoices SET next_try_before = $1", at)
    charge = ListedCharge(
        idempotency_key(clock.new_id()), "ch_1", Processing("ch_1", "processing"), 1_000, "EUR",
        metadata={
            "lago_invoice_id": str(invoices[0].id),
            "lago_organization_id": str(shop.organization_id),
        },
    )  # fmt: skip
    await take(shop.pool, shop, charge)
    assert await shop.state(attempt_of(request)) == "withdrawn"
    assert await status(shop, request) == "failed"
    rows = [await shop.row("invoices", invoice) for invoice in invoices]
    assert [row["next_try_at"] for row in rows] == [None, at]
    assert await broken(shop, scout) == ()


async def paid_by_debit(debits: Debits) -> tuple[dict[str, Any], list[CreditNote]]:
    """A payment of two invoices at GoCardless, and a note of each that gives 600 back."""
    shop, stub = debits.shop, debits.stub
    invoices, request = await asked_of(shop, "MD1", 1_000, 1_000)
    attempt = attempt_of(request)
    await shop.submit(attempt)
    [payment] = stub.books["payments"]
    stub.become(str(payment["id"]), "paid_out")
    shop.clock.advance(days=4)
    await shop.look_up(attempt)
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    notes = [await make_note(shop, invoice, refund=600) for invoice in invoices]
    stub.fault = "drop_before"
    await send_refunds(shop, notes[0])  # nobody knows whether it got in
    stub.fault = ""
    return payment, notes


async def refund_state(shop: Shop, note: CreditNote) -> str:
    [refund] = await refunds_of(shop, note)
    return str((await shop.row("refunds", refund))["state"])


async def test_where_the_sum_is_confirmed_refunds_of_one_charge_wait_for_each_other(
    debits: Debits, scout: Pool
) -> None:
    """GoCardless refuses a refund that is not told with what went back before: none is ahead."""
    shop, stub = debits.shop, debits.stub
    payment, notes = await paid_by_debit(debits)
    await send_refunds(shop, notes[1])
    assert [await refund_state(shop, note) for note in notes] == ["unknown", "ready"]
    shop.clock.advance(minutes=1)
    [first] = await refunds_of(shop, notes[0])
    await look_up_refund(shop.pool, shop.providers, first, now=shop.clock.now)
    await send_refunds(shop, notes[1])
    assert payment["amount_refunded"] == 1_200
    assert [one["amount"] for one in stub.books["refunds"]] == [600, 600]
    assert await broken(shop, scout) == ()


async def test_one_that_waits_for_a_person_keeps_the_next_of_its_charge_from_failing(
    debits: Debits,
) -> None:
    shop = debits.shop
    payment, notes = await paid_by_debit(debits)
    [first] = await refunds_of(shop, notes[0])
    await shop.change("refunds", first, state="needs_review", look_up_at=None)
    await send_refunds(shop, notes[1])
    assert await refund_state(shop, notes[1]) == "ready"
    no = RefundReport(first, Declined("settled_by_hand"), Source.PERSON)
    await settle_refund(shop.pool, no, now=shop.clock.now())
    await send_refunds(shop, notes[1])
    assert await refund_state(shop, notes[1]) == "processing"
    assert payment["amount_refunded"] == 600


async def test_a_dispute_lost_about_one_of_them_leaves_the_other_its_refund(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 1_000)
    await shop.submit(attempt_of(request))
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await lose_dispute(
            conn, shop.organization_id, invoices[0].id, change_id=clock.new_id(),
            now=shop.clock.now(),
        )  # fmt: skip
    notes = [await make_note(shop, invoice, refund=400) for invoice in invoices]
    for note in notes:
        await send_refunds(shop, note)
    assert [cents for _, cents, _ in await refund_books(psp)] == [400]
    assert [await status_of(shop, note) for note in notes] == ["pending", "succeeded"]
    assert await broken(shop, scout) == ()


@pytest.mark.parametrize("way", ["declared", "offset", "voided"])
async def test_what_goes_back_of_a_charge_is_never_more_than_it_took(
    shop: Shop, psp: SandboxServer, scout: Pool, way: str
) -> None:
    """One of its invoices was settled after it was sent; then all that was paid is given back."""
    await shop.owner.execute("UPDATE provider_accounts SET refund_surprises = true")
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 1_000)
    attempt = attempt_of(request)
    begun = await shop.sending.ask(attempt)
    match way:
        case "declared":
            await declare(shop, invoices[0], "succeeded")
        case "offset":
            await make_note(shop, invoices[0], offset=400)
        case _:
            await void_with(shop, invoices[0], credit_amount=0)
    paid = await begun.provider.charge(begun.charge)
    for _ in range(2):
        await shop.settling.ask(Report(attempt, paid, Source.EVENT))
    for invoice in invoices:
        if cents := (await shop.row("invoices", invoice))["paid_cents"]:
            await make_note(shop, invoice, refund=cents)
    for row in await shop.owner.fetch("SELECT organization_id, id FROM refunds"):
        await submit_refund(shop.pool, shop.providers, RowKey(*row), now=shop.clock.now)
    assert sum(cents for _, cents, _ in await refund_books(psp)) == 2_000
    assert (await ledger(shop)).get("at_provider", 0) == 0
    assert (await ledger(shop)).get("unapplied", 0) == 0
    assert await status(shop, request) == "succeeded"
    assert len(await receipts(shop)) == 1
    assert await broken(shop, scout) == ()


async def test_one_that_a_person_settles_pays_all_and_has_one_receipt(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_timeout_not_charged", 1_000, 1_000)
    attempt = attempt_of(request)
    await shop.submit(attempt)
    for _ in range(3):
        shop.clock.advance(hours=21)
        await shop.look_up(attempt)
    assert await shop.state(attempt) == "needs_review"
    decided = Decided(verdict=Verdict.PAID, by="me", reason="seen", provider_payment_id="ch_9")
    await settle_by_hand(shop.pool, attempt, decided, audit_id=clock.new_id(), now=shop.clock.now())
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    assert await status(shop, request) == "succeeded"
    assert len(await receipts(shop)) == 1
    note = await make_note(shop, invoices[1], refund=1_000)
    [refund] = await refunds_of(shop, note)
    assert (await shop.row("refunds", refund))["provider_payment_id"] == "ch_9"
    assert await broken(shop, scout) == ()


async def test_money_that_comes_after_it_has_failed_pays_nothing_and_has_no_receipt(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_do_not_honor", 1_000, 1_000)
    attempt = attempt_of(request)
    await shop.submit(attempt)
    assert await status(shop, request) == "failed"
    late = Paid("ch_late", "succeeded", 2_000, "EUR")
    for _ in range(2):
        await shop.settling.ask(Report(attempt, late, Source.EVENT))
    assert await statuses(shop, invoices) == [("failed", 1_000)] * 2
    for invoice in invoices:
        row = await shop.row("invoices", invoice)
        assert (row["held_because"], row["next_try_at"]) == ("contradicted", None)
        with pytest.raises(Refused):
            await make_note(shop, invoice, refund=1)
    assert (await ledger(shop))["unapplied"] == -2_000
    assert await status(shop, request) == "failed"
    assert await receipts(shop) == {}
    assert (await shop.words()).count("payment_request.payment_failure") == 1
    assert await broken(shop, scout) == ()
