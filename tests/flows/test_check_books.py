"""The invariants: nothing is found after real flows, and each is found broken when it is.

One shop serves all tests of this file: each breaks it in a transaction that is rolled back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID, uuid4  # noqa: TID251  a test's own names

import msgspec
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.check_books import check_books
from recoup.flows.create_invoice import create_invoice
from recoup.flows.manage_webhook_endpoints import WebhookEndpointInput, create_webhook_endpoint
from recoup.flows.record_manual_payment import PaymentInput, record_manual_payment
from recoup.flows.reports import Report, Source
from recoup.flows.update_invoice import InvoiceChange, update_invoice
from recoup.flows.void_invoice import void_invoice
from recoup.providers.protocol import Paid
from recoup.rules.one_off_asks import FeeInput, InvoiceInput
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Pool
from recoup.store.invariants import INVARIANTS, Invariant, offenders
from recoup.store.reported import REPORTED
from tests.databases import own_database
from tests.flows.dunning import campaign, look, said_of_customer
from tests.flows.issuing import issue, stock
from tests.flows.noting import make_note, send_refunds
from tests.flows.requests import attempt_of, requested
from tests.own_shop import shop_in
from tests.shop import MovableClock, Shop, sandbox_server

ENDS = ("ok", "do_not_honor", "processing_ok")  # of requests: paid, declined, not told yet


class Street(msgspec.Struct, frozen=True):
    """A shop in which everything that can happen has happened: its rows, by what became of them."""

    shop: Shop
    scout: Pool
    ids: dict[str, str]


@pytest_asyncio.fixture(scope="module")
async def street(
    server_dsn: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Street]:
    at = MovableClock()
    async with (
        own_database(server_dsn, template) as dsn,
        sandbox_server(tmp_path_factory.mktemp("psp"), at) as psp,
        shop_in(dsn, at=at, sandbox_base=psp.base) as shop,
    ):
        scout = await db.connect(dsn, role="recoup_scout", most=1)
        yield await everything_happens(shop, scout)
        await scout.close()


async def everything_happens(shop: Shop, scout: Pool) -> Street:
    await stock(shop)
    await listen(shop)
    attempts: dict[str, RowKey] = {}
    reviewed = await shop.collect(await sold(shop, "pm_sandbox_timeout_not_charged"))
    for _ in range(3):
        shop.clock.advance(hours=21)
        await shop.look_up(reviewed)
    attempts["reviewed"] = reviewed
    for method in ("ok", "insufficient_funds", "processing_ok", "timeout_charged",
                   "authentication_required"):  # fmt: skip
        attempts[method] = await shop.collect(await sold(shop, f"pm_sandbox_{method}"))
    attempts["ready"] = await shop.begun(await sold(shop, "pm_sandbox_ok"))
    attempts["withdrawn"] = await shop.begun(await sold(shop, "pm_sandbox_ok"))
    await void(shop, attempts["withdrawn"])
    await shop.submit(attempts["withdrawn"])
    attempts["sent"] = await shop.begun(await sold(shop, "pm_sandbox_ok"))
    await shop.sending.ask(attempts["sent"])
    attempts["late"] = await shop.begun(await sold(shop, "pm_sandbox_ok"))
    begun = await shop.sending.ask(attempts["late"])
    await void(shop, attempts["late"])
    charged = await begun.provider.charge(begun.charge)
    again = Paid("ch_again", "succeeded", 1_000, "EUR")
    for outcome in (charged, again, again):
        await shop.settling.ask(Report(attempts["late"], outcome, Source.EVENT))
    first = await issue(shop, await shop.customer("pm_sandbox_ok"), collects=True)
    attempts["first"] = RowKey(
        shop.organization_id,
        await shop.owner.fetchval(
            "SELECT payment_id FROM payment_invoices WHERE invoice_id = $1", first.id
        ),
    )
    await shop.submit(attempts["first"])
    unasked = await issue(shop, await shop.customer(), collects=True)
    without = await issue(shop, await shop.customer())
    await shop.ask(without)
    by_hand = await sold(shop, "pm_sandbox_ok")
    await pay_by_hand(shop, by_hand, 400)
    settled = await sold(shop, "pm_sandbox_ok")
    await pay_by_hand(shop, settled, 1_000)
    await declare(shop, settled, "pending")
    await shop.ask(settled)
    await draft(shop)
    declared = await sold(shop, "pm_sandbox_ok")
    await declare(shop, declared, "succeeded")
    requests = {method: await asked_for(shop, f"pm_sandbox_{method}") for method in ENDS}
    for name, request in requests.items():
        attempts[f"of_{name}"] = attempt_of(request)
        await shop.submit(attempts[f"of_{name}"])
    await asked_for(shop, None)
    await dunned(shop, scout)
    noted, offset = await sold(shop, "pm_sandbox_ok"), await sold(shop, "pm_sandbox_ok")
    await shop.collect(noted)
    note = await make_note(shop, noted, refund=100, credit=200)
    await send_refunds(shop, note)
    await make_note(shop, offset, offset=300)
    ids = {name: str(key.id) for name, key in attempts.items()}
    ids |= {"noted": str(noted.id), "offset": str(offset.id), "note": str(note.id)}
    ids |= {f"request_{name}": str(key.id) for name, key in requests.items()}
    ids |= {"invoice": str(without.id), "partly": str(by_hand.id), "declared": str(declared.id)}
    ids |= {"org": str(shop.organization_id), "new": str(uuid4()), "unasked": str(unasked.id)}
    ids |= {"account": str(shop.account_id)}
    return Street(shop, scout, ids)


async def asked_for(shop: Shop, method: str | None) -> RowKey:
    """A request of two invoices that are overdue; None: nobody can be charged for it."""
    customer = await shop.customer(*([method] if method else []))
    invoices = [await issue(shop, customer) for _ in range(2)]
    for invoice in invoices:
        await shop.change("invoices", invoice, payment_overdue=True)
    return await requested(shop, invoices)


async def dunned(shop: Shop, scout: Pool) -> None:
    """A customer whom a campaign has asked."""
    await campaign(shop, applied=False, thresholds={"EUR": 1})
    customer = await shop.customer()
    await shop.change("invoices", await issue(shop, customer), payment_overdue=True)
    await said_of_customer(shop, customer, applied_dunning_campaign_code="late")
    await look(shop, scout)


async def sold(shop: Shop, method: str) -> RowKey:
    return await issue(shop, await shop.customer(method))


async def draft(shop: Shop) -> None:
    asked = InvoiceInput(
        external_customer_id=await shop.owner.fetchval("SELECT max(external_id) FROM customers"),
        currency="EUR",
        fees=[FeeInput(add_on_code="work")],
        draft=True,
    )
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await create_invoice(
            conn, shop.organization_id, asked, invoice_id=clock.new_id(), collect=None,
            now=shop.clock.now(),
        )  # fmt: skip


async def listen(shop: Shop) -> None:
    asked = WebhookEndpointInput(webhook_url="https://shop.test/hooks", signature_algo="hmac")
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await create_webhook_endpoint(
            conn, shop.organization_id, asked, endpoint_id=clock.new_id(), now=shop.clock.now()
        )


async def void(shop: Shop, attempt: RowKey) -> None:
    invoice_id = await shop.owner.fetchval(
        "SELECT invoice_id FROM payment_invoices WHERE payment_id = $1", attempt.id
    )
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await void_invoice(conn, shop.organization_id, invoice_id, now=shop.clock.now())


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


async def test_after_real_flows_the_books_are_right(street: Street) -> None:
    checked = await check_books(street.shop.pool, street.scout, now=street.shop.clock.now())
    assert checked.broken == ()
    assert checked.organizations == 1
    assert [finding.name for finding in checked.invariants] == [one.name for one in INVARIANTS]
    told = {finding.name: finding.offenders for finding in checked.reported}
    assert told["contradictions"].count == 2  # money for a voided invoice, and a second charge
    assert [key.id for key in told["needs_review"].examples] == [UUID(street.ids["reviewed"])]
    assert told["invoices_held"].count == 1
    assert told["look_ups_overdue"].count == 0


# What each statement breaks. The constraints that forbid it are lifted first, in the same
# transaction: a check is for the day on which they were not there.
BREAKS: dict[str, Sequence[str]] = {
    "one_open_attempt_per_invoice": (
        "DROP INDEX one_open_payment",
        "UPDATE payment_invoices SET open = true, invoice_id = (SELECT invoice_id"
        " FROM payment_invoices WHERE payment_id = '{ready}') WHERE payment_id = '{ok}'",
    ),
    "open_agrees_with_state": (
        "UPDATE payment_invoices SET open = false WHERE payment_id = '{ready}'",
    ),
    "payment_covers_an_invoice": ("DELETE FROM payment_invoices WHERE payment_id = '{ready}'",),
    "payment_is_what_it_covers": (
        "UPDATE payments SET amount_cents = 2 * amount_cents WHERE id = '{ready}'",
    ),
    "paid_is_what_was_applied": (
        "UPDATE payment_invoices SET applied_cents = 1 WHERE payment_id = '{ready}'",
    ),
    "never_paid_too_much": (
        "ALTER TABLE invoices DROP CONSTRAINT invoices_check",
        "UPDATE invoices SET paid_cents = 1001 WHERE id = '{partly}'",
    ),
    "succeeded_is_paid_or_declared": (
        "UPDATE invoices SET payment_status = 'succeeded' WHERE id = '{partly}'",
    ),
    "schedule_holds_what_may_be_tried": (
        "UPDATE invoices SET next_try_at = now() WHERE id = '{declared}'",
    ),
    "drafts_are_not_collected": ("UPDATE invoices SET status = 'draft' WHERE id = '{invoice}'",),
    "transactions_sum_to_zero": (
        "ALTER TABLE ledger_entries DISABLE TRIGGER ledger_only_grows",
        "DELETE FROM ledger_entries WHERE transaction_id = '{ok}' AND account = 'at_provider'",
    ),
    "ledger_sums_to_zero": (
        "ALTER TABLE ledger_entries DISABLE TRIGGER ledger_sums_to_zero",
        "INSERT INTO ledger_entries VALUES"
        " ('{org}', '{new}', 0, 'revenue', 5, 'USD', NULL, NULL, now())",
    ),
    "receivable_is_what_is_due": (
        "INSERT INTO ledger_entries VALUES"
        " ('{org}', '{new}', 0, 'receivable', 5, 'EUR', '{invoice}', NULL, now()),"
        " ('{org}', '{new}', 1, 'revenue', -5, 'EUR', '{invoice}', NULL, now())",
    ),
    "notes_take_off_what_there_is": (
        "UPDATE invoices SET offset_cents = 299 WHERE id = '{offset}'",
    ),
    "notes_take_off_what_fees_have": (
        "UPDATE credit_note_items SET amount_cents = 1001 WHERE credit_note_id = '{note}'",
    ),
    "notes_are_numbered_without_a_gap": (
        "UPDATE credit_notes SET sequential_id = 2 WHERE id = '{note}'",
    ),
    "note_refunds_are_covered": (
        "ALTER TABLE refunds DISABLE TRIGGER refuse_change_of_sent",
        "UPDATE refunds SET amount_cents = 101 WHERE credit_note_id = '{note}'",
    ),
    "note_refunds_were_paid": (
        "UPDATE payment_invoices SET applied_cents = 99 WHERE invoice_id = '{noted}'",
    ),
    "notes_are_booked": ("UPDATE credit_notes SET balance_cents = 199 WHERE id = '{note}'",),
    "success_is_booked": (
        "ALTER TABLE ledger_entries DISABLE TRIGGER ledger_only_grows",
        "DELETE FROM ledger_entries WHERE transaction_id = '{ok}'",
    ),
    "surprising_money_is_booked": (
        "ALTER TABLE ledger_entries DISABLE TRIGGER ledger_only_grows",
        "DELETE FROM ledger_entries l USING contradictions c"
        " WHERE l.transaction_id = c.id AND c.reason = 'a_second_charge'",
    ),
    "no_job_without_its_row": (
        "INSERT INTO pgqueuer (priority, status, entrypoint, payload)"
        " VALUES (0, 'queued', 'submit_attempt', convert_to('{org}/{new}', 'UTF8'))",
    ),
    "ready_has_its_job": (
        "DELETE FROM pgqueuer WHERE dedupe_key = 'submit_attempt/{org}/{ready}'",
    ),
    "provider_event_has_its_job": (
        "INSERT INTO provider_events (organization_id, id, provider_account_id,"
        " provider_event_id, body, received_at)"
        " VALUES ('{org}', '{new}', '{account}', 'evt', '', '2020-01-01')",
    ),
    "look_up_is_planned": ("UPDATE payments SET look_up_at = NULL WHERE id = '{sent}'",),
    "attempt_ends_in_one_event": ("UPDATE events SET ask_id = NULL WHERE ask_id = '{withdrawn}'",),
    "ask_without_attempt_ends_in_one_event": (
        "UPDATE events SET ask_id = NULL WHERE object_id = '{invoice}'",
    ),
    "payment_covers_its_request": (
        "DELETE FROM payment_request_invoices WHERE (payment_request_id, invoice_id) IN"
        " (SELECT payment_request_id, invoice_id FROM payment_request_invoices"
        " WHERE payment_request_id = '{request_ok}' LIMIT 1)",
    ),
    "only_requests_cover_many": (
        "UPDATE payments SET payment_request_id = NULL WHERE id = '{of_ok}'",
    ),
    "request_is_what_it_asks_for": (
        "UPDATE payment_requests SET amount_cents = 1 WHERE id = '{request_ok}'",
    ),
    "request_shows_its_payments": (
        "UPDATE payment_requests SET payment_status = 'pending' WHERE id = '{request_ok}'",
    ),
    "paid_request_settles_all_or_contradicts": (
        "UPDATE payment_invoices SET applied_cents = 0 WHERE (payment_id, invoice_id) IN"
        " (SELECT payment_id, invoice_id FROM payment_invoices WHERE payment_id = '{of_ok}'"
        " LIMIT 1)",
    ),
    "dunning_counts_what_it_asked": ("UPDATE dunning_counters SET attempts = 3",),
    "success_has_its_receipt": (
        "DELETE FROM documents WHERE payment_receipt_id IN"
        " (SELECT id FROM payment_receipts WHERE payment_id = '{ok}')",
        "DELETE FROM payment_receipts WHERE payment_id = '{ok}'",
    ),
    "receipts_are_numbered_without_a_gap": (
        "UPDATE payment_receipts SET sequential_id = 2 WHERE payment_id = '{ok}'",
    ),
    "waiting_delivery_is_planned": (
        "UPDATE webhook_deliveries SET deliver_at = NULL WHERE id IN"
        " (SELECT id FROM webhook_deliveries LIMIT 1)",
    ),
}


# What waits for somebody, and the statement that makes it wait.
WAITS: dict[str, str] = {
    "drafts_overdue": (
        "UPDATE invoices SET finalize_at = '2027-02-01', issuing_date = '2027-02-01'"
        " WHERE status = 'draft'"
    ),
    "mails_given_up": (
        "INSERT INTO mails (organization_id, id, kind, object_id, recipients, state, created_at)"
        " VALUES ('{org}', '{new}', 'invoice.finalized', '{invoice}', '{{a@b.example}}',"
        " 'given_up', now())"
    ),
}


@pytest.mark.parametrize("name", WAITS)
async def test_what_waits_for_somebody_is_told_of(street: Street, name: str) -> None:
    assert name not in await found_after(street, (), among=REPORTED)
    assert name in await found_after(street, [WAITS[name]], among=REPORTED)


async def broken_by(street: Street, statements: Sequence[str]) -> set[str]:
    """What the check calls broken after these statements, which are undone again."""
    return await found_after(street, statements, among=INVARIANTS)


async def found_after(
    street: Street, statements: Sequence[str], *, among: Sequence[Invariant]
) -> set[str]:
    owner, tenants = street.shop.owner, [street.shop.organization_id]
    later = street.shop.clock.now() + timedelta(seconds=61)
    undone = owner.transaction()
    await undone.start()
    try:
        for statement in statements:
            await owner.execute(statement.format(**street.ids))
        found = {
            one.name: await offenders(owner, one, tenants, now=later)
            for one in (*INVARIANTS, *REPORTED)
        }
        return {one.name for one in among if found[one.name].count}
    finally:
        await undone.rollback()


@pytest.mark.parametrize("name", [one.name for one in INVARIANTS])
async def test_the_check_names_what_is_broken(street: Street, name: str) -> None:
    assert await broken_by(street, ()) == set()
    assert name in await broken_by(street, BREAKS[name])


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("open_agrees_with_state", "UPDATE payment_invoices SET open = true"
            " WHERE payment_id = '{insufficient_funds}'"),
        ("paid_is_what_was_applied", "UPDATE invoices SET paid_cents = 0 WHERE id = '{partly}'"),
        ("schedule_holds_what_may_be_tried", "UPDATE invoices i SET next_try_at = now()"
            " FROM payment_invoices pi WHERE pi.invoice_id = i.id AND pi.payment_id = '{ready}'"),
        ("schedule_holds_what_may_be_tried", "UPDATE invoices SET next_try_at = now(),"
            " held_because = 'contradicted' WHERE id = '{invoice}'"),
        ("receivable_is_what_is_due", "UPDATE invoices SET currency = 'USD'"
            " WHERE id = '{invoice}'"),
        ("notes_take_off_what_there_is", "UPDATE invoices SET paid_cents = 99"
            " WHERE id = '{noted}'"),
        ("notes_take_off_what_there_is", "UPDATE credit_notes SET total_cents = 1001,"
            " credit_cents = 901 WHERE id = '{note}'"),
        ("notes_are_booked", "UPDATE refunds SET state = 'failed' WHERE credit_note_id = '{note}'"),
        ("success_is_booked", "INSERT INTO ledger_entries VALUES"
            " ('{org}', '{ready}', 0, 'at_provider', 0, 'EUR', NULL, '{ready}', now())"),
        ("no_job_without_its_row", "INSERT INTO pgqueuer (priority, status, entrypoint, payload)"
            " VALUES (0, 'queued', 'apply_event', convert_to('{org}/{ready}', 'UTF8'))"),
        ("look_up_is_planned", "UPDATE payments SET look_up_at = now() WHERE id = '{reviewed}'"),
        ("look_up_is_planned", "UPDATE payments SET look_up_at = now() WHERE id = '{ok}'"),
        ("attempt_ends_in_one_event", "UPDATE events SET ask_id = '{ready}'"
            " WHERE ask_id = '{first}'"),
        ("attempt_ends_in_one_event", "UPDATE events SET webhook_type = 'invoice.payment_failure'"
            " WHERE ask_id = '{first}'"),
        ("ask_without_attempt_ends_in_one_event", "UPDATE events SET ask_id = NULL"
            " WHERE webhook_type = 'invoice.payment_status_updated'"),
        ("attempt_ends_in_one_event", "UPDATE events SET webhook_type = 'invoice.payment_failure'"
            " WHERE ask_id = '{of_do_not_honor}'"),
        ("request_shows_its_payments", "UPDATE payment_requests SET payment_status = 'succeeded'"
            " WHERE id = '{request_do_not_honor}'"),
        ("request_shows_its_payments", "UPDATE payment_requests SET payment_status = 'failed'"
            " WHERE id = '{request_processing_ok}'"),
        ("dunning_counts_what_it_asked", "UPDATE payment_requests SET dunning_campaign_id = NULL"),
        ("success_has_its_receipt", "UPDATE payment_receipts SET payment_id = '{ready}'"
            " WHERE payment_id = '{ok}'"),
        ("receipts_are_numbered_without_a_gap", "UPDATE payment_receipt_counters SET last = 9"),
        ("drafts_are_not_collected", "UPDATE invoices SET status = 'deleted', sequential_id = NULL"
            " WHERE id = '{partly}'"),
        ("receivable_is_what_is_due", "UPDATE invoices SET status = 'draft'"
            " WHERE id = '{invoice}'"),
        ("waiting_delivery_is_planned", "UPDATE webhook_deliveries SET state = 'delivered'"),
    ],
)  # fmt: skip
async def test_each_side_of_an_invariant_is_looked_at(
    street: Street, name: str, statement: str
) -> None:
    assert name in await broken_by(street, [statement])


async def test_the_check_counts_over_all_organizations_in_chunks(street: Street) -> None:
    shop = street.shop
    other = await Shop(shop.pool, shop.owner, shop.providers, shop.clock).open()
    invoices = [await other.invoice(await other.customer()) for _ in range(7)]
    checked = await check_books(shop.pool, street.scout, tenants_at_once=1, now=shop.clock.now())
    assert checked.broken == ("receivable_is_what_is_due",)  # put there without their entries
    found = {finding.name: finding.offenders for finding in checked.invariants}
    assert found["receivable_is_what_is_due"].count == 7
    assert found["receivable_is_what_is_due"].examples == tuple(sorted(invoices)[:5])
    assert checked.organizations == 2
