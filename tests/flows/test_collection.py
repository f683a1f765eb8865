"""One attempt from the ask to its end, on a real database and the sandbox over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import pytest

from recoup import clock
from recoup.flows.batches import Batches
from recoup.flows.begin_sending import Begun, NothingToDo, ToLookUp, begin_sending
from recoup.flows.reports import Report, Source
from recoup.flows.retry_payment import NOTHING_DUE, Accepted, Ask, retry_payments
from recoup.flows.submit_attempt import submit_attempt
from recoup.flows.tell import News, tell
from recoup.providers.protocol import CustomerNeeded, Declined
from recoup.rules.method_choice import NOBODYS_METHOD, Wish
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal
from recoup.store import db
from tests.shop import PAID_WORDS, SandboxServer, Shop


async def test_a_retry_is_paid(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_ok", cents=4_200)
    attempt = await shop.begun(invoice)
    assert await shop.state(attempt) == "ready"
    await shop.submit(attempt)
    assert await shop.state(attempt) == "succeeded"
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert [(one["amount"], one["status"]) for one in await psp.charges()] == [(4_200, "succeeded")]
    assert sorted(await shop.words()) == PAID_WORDS
    entries = await shop.owner.fetch("SELECT account, amount_cents FROM ledger_entries")
    assert {tuple(entry) for entry in entries} == {("at_provider", 4_200), ("receivable", -4_200)}


async def test_a_decline_ends_in_one_event_with_its_reason(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_insufficient_funds")
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "failed"
    assert await shop.shown(invoice) == ("failed", 1_000)
    [(kind, failure)] = await shop.told()
    assert kind == "invoice.payment_failure"
    assert failure["provider_error"]["error_code"] == "card_declined"
    assert failure["provider_error"]["message"]
    assert failure["error_details"]["decline_code"] == "insufficient_funds"
    row = await shop.row("payments", attempt)
    assert row["provider_payment_id"]
    assert row["decline_class"] == "soft"
    # The policy plans another try, and says why.
    assert (await shop.row("invoices", invoice))["next_try_at"] > shop.clock.now()
    said = await shop.owner.fetch("SELECT decided, because FROM decisions ORDER BY at, decided")
    assert [tuple(one) for one in said] == [("attempt", "api"), ("retry_at", "soft")]


async def test_a_stolen_card_is_not_tried_again(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_stolen_card")
    await shop.collect(invoice)
    assert (await shop.row("invoices", invoice))["next_try_at"] is None
    because = await shop.owner.fetchval("SELECT because FROM decisions WHERE decided = 'stop'")
    assert because == "never"


async def test_a_second_retry_is_paid_after_a_decline(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_fail_once")
    await shop.collect(invoice)
    assert (await shop.shown(invoice))[0] == "failed"
    attempt = await shop.begun(invoice)
    assert (await shop.shown(invoice))[0] == "pending"  # from the commit of the ask on
    await shop.submit(attempt)
    assert (await shop.shown(invoice))[0] == "succeeded"
    assert [one["status"] for one in await psp.charges()] == ["failed", "succeeded"]


async def test_while_an_attempt_is_open_no_other_begins(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    await shop.begun(invoice)
    refusal = await shop.ask(invoice)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "payment_processor_is_currently_handling_payment"
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 1
    assert await shop.owner.fetchval("SELECT count(*) FROM decisions") == 1


@pytest.mark.parametrize(
    "method",
    ["pm_sandbox_timeout_charged", "pm_sandbox_error_charged", "pm_sandbox_timeout_not_charged"],
)
async def test_no_answer_is_unknown_until_the_provider_tells(
    shop: Shop, psp: SandboxServer, method: str
) -> None:
    invoice = await shop.sell(method)
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "unknown"
    assert await shop.shown(invoice) == ("pending", 1_000)
    assert await shop.words() == []
    assert isinstance(await shop.ask(invoice), Refusal)
    shop.clock.advance(seconds=31)
    await shop.look_up(attempt)
    assert await shop.state(attempt) == "succeeded"
    charges = await psp.charges()
    assert [one["status"] for one in charges] == ["succeeded"]
    assert charges[0]["idempotency_key"] == f"payment-{attempt.id}"
    assert sorted(await shop.words()) == PAID_WORDS


async def test_an_unknown_attempt_whose_key_has_died_goes_to_a_person(
    shop: Shop, psp: SandboxServer
) -> None:
    attempt = await shop.collect(await shop.sell("pm_sandbox_timeout_not_charged"))
    for _ in range(3):
        shop.clock.advance(hours=21)  # past the key's life at the provider: never sent again
        await shop.look_up(attempt)
    assert await shop.state(attempt) == "needs_review"
    assert await psp.charges() == []
    assert await shop.words() == []


async def test_a_provider_that_is_away_uses_up_no_step(shop: Shop, psp: SandboxServer) -> None:
    await psp.faults("drop_before=1")
    attempt = await shop.collect(await shop.sell("pm_sandbox_ok"))
    for _ in range(40):
        shop.clock.advance(hours=1)
        await shop.look_up(attempt)
    row = await shop.row("payments", attempt)
    assert (row["state"], row["look_ups_unanswered"]) == ("unknown", 40)
    assert (row["look_up_at"] - shop.clock.now()).total_seconds() == 60


async def test_a_provider_that_is_asked_too_much_is_asked_less_and_less(
    shop: Shop, psp: SandboxServer
) -> None:
    attempt = await shop.begun(await shop.sell("pm_sandbox_ok"))
    await psp.faults("rate_limited=1")
    await shop.submit(attempt)
    waits = []
    for _ in range(4):
        row = await shop.row("payments", attempt)
        waits.append((row["look_up_at"] - shop.clock.now()).total_seconds())
        shop.clock.at = row["look_up_at"]
        await shop.look_up(attempt)
    assert waits == [1, 15, 30, 60]  # the first as it asks for, the others no sooner than that
    await psp.faults("")
    shop.clock.advance(minutes=1)
    await shop.look_up(attempt)
    assert await shop.state(attempt) == "succeeded"


@pytest.mark.parametrize(
    "told",
    [
        Declined("no\0", "Not\0now.", "do_not\0honor", "5\0", "try\0again", "ch_1", "failed"),
        CustomerNeeded("ch_1", "requires_action", {"ur\0l": ["/\0", "\\u0000"]}),
    ],
)
async def test_what_postgresql_cannot_hold_of_a_providers_text_keeps_nothing_from_its_end(
    shop: Shop, told: Declined | CustomerNeeded
) -> None:
    attempt = await shop.begun(await shop.sell("pm_sandbox_ok"))
    await shop.sending.ask(attempt)
    await shop.settling.ask(Report(attempt, told, Source.EVENT))
    row = await shop.row("payments", attempt)
    assert (row["provider_payment_id"], row["provider_status"]) == ("ch_1", told.status)
    if isinstance(told, Declined):
        assert (row["error_code"], row["error_message"]) == ("no\ufffd", "Not\ufffdnow.")
    else:
        assert row["state"] == "customer_needed"


async def test_a_sender_who_died_is_not_followed_by_a_second_charge(
    shop: Shop, psp: SandboxServer
) -> None:
    attempt = await shop.begun(await shop.sell("pm_sandbox_ok"))
    begun = await shop.sending.ask(attempt)  # committed as sent
    await begun.provider.charge(begun.charge)  # and then the worker dies
    assert isinstance(await shop.submit(attempt), ToLookUp)
    await shop.look_up(attempt)
    assert await shop.state(attempt) == "succeeded"
    assert len(await psp.charges()) == 1
    assert isinstance(await shop.submit(attempt), NothingToDo)


async def test_an_attempt_that_two_jobs_send_at_once_is_charged_once_and_what_is_due(
    shop: Shop, psp: SandboxServer
) -> None:
    attempt = await shop.begun(await shop.sell("pm_sandbox_ok", cents=1_000))
    begun = await asyncio.gather(shop.submit(attempt), shop.submit(attempt))
    assert sorted(type(one).__name__ for one in begun) == ["NothingToDo", "ToSend"]
    assert [one["amount"] for one in await psp.charges()] == [1_000]
    assert (await shop.row("payments", attempt))["amount_cents"] == 1_000
    assert await shop.owner.fetchval("SELECT sum(amount_cents) FROM payment_invoices") == 1_000


async def test_a_sender_who_wakes_up_late_sends_nothing(shop: Shop, psp: SandboxServer) -> None:
    attempt = await shop.begun(await shop.sell("pm_sandbox_ok"))

    async def fall_asleep(keys: Sequence[RowKey]) -> list[Begun]:
        begun = await begin_sending(shop.pool, shop.providers, keys, now=shop.clock.now())
        shop.clock.advance(seconds=16)
        return begun

    begun = await submit_attempt(
        shop.pool,
        attempt,
        sending=Batches(fall_asleep),
        settling=shop.settling,
        jitter=timedelta(),
        now=shop.clock.now,
    )
    assert isinstance(begun, ToLookUp)
    assert await psp.charges() == []
    assert await shop.state(attempt) == "sent"
    await shop.look_up(attempt)
    assert [one["status"] for one in await psp.charges()] == ["succeeded"]


async def test_processing_ends_when_the_provider_says_so(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_processing_ok")
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "processing"
    assert await shop.shown(invoice) == ("pending", 1_000)
    shop.clock.advance(seconds=31)
    await shop.look_up(attempt)
    assert await shop.state(attempt) == "succeeded"


async def test_a_failure_after_processing_also_tells_the_changed_status(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_processing_fail")
    attempt = await shop.collect(invoice)
    shop.clock.advance(seconds=31)
    await shop.look_up(attempt)
    assert await shop.shown(invoice) == ("failed", 1_000)
    assert sorted(await shop.words()) == [
        "invoice.payment_failure", "invoice.payment_status_updated",
    ]  # fmt: skip


async def test_authentication_waits_for_the_payer(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_authentication_required")
    attempt = await shop.collect(invoice)
    row = await shop.row("payments", attempt)
    assert (row["state"], bool(row["provider_payment_id"])) == ("customer_needed", True)
    assert (await shop.shown(invoice))[0] == "pending"
    assert await shop.words() == ["payment.requires_action"]
    refusal = await shop.ask(invoice)
    assert isinstance(refusal, Refusal)


async def test_what_was_paid_meanwhile_is_withdrawn(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    attempt = await shop.begun(invoice)
    await shop.change("invoices", invoice, paid_cents=1_000, payment_status="succeeded")
    await shop.submit(attempt)
    assert await shop.state(attempt) == "withdrawn"
    assert await psp.charges() == []
    [(kind, failure)] = await shop.told()
    assert kind == "invoice.payment_failure"
    assert failure["error_details"] == {"code": "invoice_no_longer_collectable"}
    assert (await shop.shown(invoice))[0] == "succeeded"


async def test_a_withdrawn_attempt_shows_the_status_of_before(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_fail_once")
    await shop.collect(invoice)
    attempt = await shop.begun(invoice)
    await shop.owner.execute("UPDATE payment_methods SET is_default = false, deleted_at = now()")
    await shop.submit(attempt)
    assert await shop.state(attempt) == "withdrawn"
    assert (await shop.shown(invoice))[0] == "failed"
    assert (await shop.told())[-1][1]["error_details"] == {"code": "no_payment_method"}


async def test_only_what_is_due_when_it_is_sent_is_charged(shop: Shop, psp: SandboxServer) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    attempt = await shop.begun(invoice)
    await shop.change("invoices", invoice, paid_cents=400)
    await shop.submit(attempt)
    assert [one["amount"] for one in await psp.charges()] == [600]
    assert await shop.shown(invoice) == ("succeeded", 0)


@pytest.mark.parametrize(
    ("because", "wish"),
    [
        ("customer_must_have_payment_provider", Wish()),
        ("no_payment_method", Wish()),
        ("no_payment_method", Wish(method_id=NOBODYS_METHOD)),
        ("payment_method_is_manual", Wish(manual=True)),
    ],
)
async def test_an_ask_without_an_attempt_ends_in_an_event_that_says_why(
    shop: Shop, because: str, wish: Wish
) -> None:
    linked = because != "customer_must_have_payment_provider"
    methods = ["pm_sandbox_ok"] if wish != Wish() else []
    invoice = await shop.invoice(await shop.customer(*methods, linked=linked))
    answer = await shop.ask(invoice, wish)
    assert answer == Accepted(None, because)
    [(kind, failure)] = await shop.told()
    assert (kind, failure["error_details"]) == ("invoice.payment_failure", {"code": because})
    assert failure["provider_error"] is None
    assert await shop.shown(invoice) == ("pending", 1_000)


async def test_an_ask_run_again_answers_as_before_whatever_has_changed(shop: Shop) -> None:
    """The answer to our COMMIT was lost, so the batch is run again, with the same ids."""
    nothing_due = await shop.sell("pm_sandbox_ok", cents=500, paid_cents=500)
    customer = await shop.customer()
    without_method = await shop.invoice(customer)
    charged = await shop.sell("pm_sandbox_ok")
    asks = [
        Ask(invoice, clock.new_id(), AskedBy.API)
        for invoice in (nothing_due, without_method, charged)
    ]
    answers = await retry_payments(shop.pool, asks, now=shop.clock.now())
    told = await shop.told()
    await shop.attach(customer, "pm_sandbox_ok")
    assert await retry_payments(shop.pool, asks, now=shop.clock.now()) == answers
    assert await shop.told() == told
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 1


async def test_a_second_end_of_one_ask_is_no_quiet_matter(shop: Shop) -> None:
    attempt = await shop.collect(await shop.sell("pm_sandbox_insufficient_funds"))
    another = News(
        shop.organization_id, "payment.succeeded", "payment", {}, attempt.id, attempt.id,
        ask_id=attempt.id,
    )  # fmt: skip
    with pytest.raises(asyncpg.UniqueViolationError):
        async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
            await tell(conn, [another], now=shop.clock.now())


async def test_a_new_method_begins_a_new_history_of_failures(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_insufficient_funds")
    for _ in range(4):
        await shop.collect(invoice)
        shop.clock.advance(days=1)
    assert (await shop.row("invoices", invoice))["next_try_at"] is None  # the tries are used up
    customer_id = (await shop.row("invoices", invoice))["customer_id"]
    await shop.attach(customer_id, "pm_sandbox_do_not_honor")
    await shop.collect(invoice)
    assert (await shop.row("invoices", invoice))["next_try_at"] >= shop.clock.now() + timedelta(
        days=1
    )


async def test_where_nothing_is_due_the_invoice_is_settled(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok", cents=500, paid_cents=500)
    assert await shop.ask(invoice) == Accepted(None, NOTHING_DUE)
    assert await shop.words() == ["invoice.payment_status_updated"]
    assert (await shop.shown(invoice))[0] == "succeeded"


async def test_money_for_a_voided_invoice_is_kept_and_raised(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    attempt = await shop.begun(invoice)
    begun = await shop.sending.ask(attempt)
    await shop.change("invoices", invoice, status="voided")
    outcome = await begun.provider.charge(begun.charge)
    await shop.settling.ask(Report(attempt, outcome, Source.ANSWER))
    assert await shop.state(attempt) == "succeeded"
    assert await shop.owner.fetchval("SELECT reason FROM contradictions") == "invoice_was_voided"
    entries = await shop.owner.fetch("SELECT account, amount_cents FROM ledger_entries")
    assert {tuple(entry) for entry in entries} == {("at_provider", 1_000), ("unapplied", -1_000)}
    assert (await shop.row("invoices", invoice))["paid_cents"] == 0


async def test_what_we_owe_a_partner_is_never_charged(shop: Shop, psp: SandboxServer) -> None:
    answer = await shop.ask(await shop.sell("pm_sandbox_ok", self_billed=True))
    assert answer == Accepted(None, "invoice_no_longer_collectable")
    assert await psp.charges() == []


async def test_a_failure_for_a_voided_invoice_plans_no_other_try(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_insufficient_funds")
    attempt = await shop.begun(invoice)
    begun = await shop.sending.ask(attempt)
    await shop.change("invoices", invoice, status="voided")
    outcome = await begun.provider.charge(begun.charge)
    await shop.settling.ask(Report(attempt, outcome, Source.ANSWER))
    assert await shop.state(attempt) == "failed"
    assert (await shop.row("invoices", invoice))["next_try_at"] is None
    because = await shop.owner.fetchval("SELECT because FROM decisions WHERE decided = 'stop'")
    assert because == "invoice_voided"


async def test_a_sender_who_tells_of_a_lost_answer_hours_later_is_followed_by_a_look_up_soon(
    shop: Shop,
) -> None:
    attempt = await shop.begun(await shop.sell("pm_sandbox_timeout_charged"))
    begun = await shop.sending.ask(attempt)
    outcome = await begun.provider.charge(begun.charge)
    shop.clock.advance(hours=7)  # the machine was asleep
    await shop.settling.ask(Report(attempt, outcome, Source.ANSWER))
    row = await shop.row("payments", attempt)
    assert row["state"] == "unknown"
    assert (row["look_up_at"] - shop.clock.now()).total_seconds() <= 30
