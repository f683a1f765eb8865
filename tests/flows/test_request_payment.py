"""Several overdue invoices in one charge: paid together or not at all, and by nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import pytest

from recoup import clock
from recoup.flows.check_books import check_books
from recoup.flows.reports import Report, Source
from recoup.flows.request_payment import PagesAreOpen
from recoup.flows.retry_payment import Accepted, Ask, PageIsOpen, retry_payments
from recoup.providers.protocol import Declined, Lost, Paid
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal, Refused
from recoup.store.db import Pool
from tests.conftest import eventually, waiting_for_locks
from tests.flows.pages import opened
from tests.flows.requests import (
    attempt_of,
    overdue,
    pay_by_hand,
    receipts,
    requested,
    status,
    statuses,
    void,
)
from tests.flows.test_retry_race import patient
from tests.shop import SandboxServer, Shop

DEAD = "pm_sandbox_expired_card"
NOT_READY = "invoices_not_ready_for_payment_processing"
HANDLED = "payment_processor_is_currently_handling_payment"


async def asked_of(shop: Shop, method: str, *cents: int) -> tuple[list[RowKey], RowKey]:
    """A new customer's overdue invoices of these amounts, and the request of all of them."""
    invoices = await overdue(shop, await shop.customer(method), cents)
    return invoices, await requested(shop, invoices)


async def test_one_charge_pays_all(shop: Shop, psp: SandboxServer) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 250, 3_333)
    assert await statuses(shop, invoices) == [
        ("pending", 1_000),
        ("pending", 250),
        ("pending", 3_333),
    ]
    assert await status(shop, request) == "pending"
    attempt = attempt_of(request)
    await shop.submit(attempt)
    [charge] = await psp.charges()
    assert (charge["amount"], charge["idempotency_key"]) == (4_583, f"payment-{attempt.id}")
    assert charge["metadata"]["lago_payable_id"] == str(request.id)
    assert charge["metadata"]["lago_payable_type"] == "PaymentRequest"
    assert charge["metadata"]["lago_invoice_ids"] == ",".join(str(one.id) for one in invoices)
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 3
    assert await status(shop, request) == "succeeded"
    assert sorted(await shop.words()) == [
        *["invoice.payment_status_updated"] * 3, "payment.succeeded", "payment_receipt.created",
        "payment_request.created", "payment_request.payment_status_updated",
    ]  # fmt: skip
    overdue_now = await shop.owner.fetchval("SELECT count(*) FROM invoices WHERE payment_overdue")
    assert overdue_now == 0
    [(_, succeeded)] = [one for one in await shop.told() if one[0] == "payment.succeeded"]
    assert (succeeded["payable_type"], succeeded["lago_payable_id"]) == (
        "PaymentRequest", str(request.id),
    )  # fmt: skip
    assert succeeded["invoice_ids"] == [str(one.id) for one in invoices]
    [updated] = [body for kind, body in await shop.told(request) if kind.endswith("updated")]
    assert updated["payment_status"] == "succeeded"
    assert [one["payment_status"] for one in updated["invoices"]] == ["succeeded"] * 3


async def test_a_decline_pays_none_and_is_told_once(shop: Shop, psp: SandboxServer) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_insufficient_funds", 1_000, 250)
    await shop.submit(attempt_of(request))
    assert await statuses(shop, invoices) == [("failed", 1_000), ("failed", 250)]
    assert await status(shop, request) == "failed"
    [failure] = [body for kind, body in await shop.told() if kind.endswith("payment_failure")]
    assert failure["lago_payment_request_id"] == str(request.id)
    assert failure["lago_invoice_ids"] == [str(one.id) for one in invoices]
    assert failure["provider_error"]["error_code"] == "card_declined"
    assert failure["error_details"]["decline_code"] == "insufficient_funds"
    assert "payment_request.payment_failure" in await shop.words()
    assert await receipts(shop) == {}
    # Each goes on the schedule for itself, and is free for whoever asks next.
    assert await shop.owner.fetchval("SELECT count(*) FROM invoices WHERE next_try_at > now()") == 2
    assert isinstance(await shop.ask(invoices[0]), Accepted)
    assert len(await psp.charges()) == 1


async def _mails_after_a_failure(shop: Shop, method: str, *, can_mail: bool = True) -> int:
    """How many reminders there are once a request's charge of this method has failed."""
    customer = await shop.customer(method)
    await shop.owner.execute("UPDATE customers SET email = 'ada@c.example'")
    invoices = await overdue(shop, customer, [1_000, 250])
    request = await requested(shop, invoices, can_mail=can_mail)
    mails = "SELECT count(*) FROM mails WHERE object_id = $1"
    assert await shop.owner.fetchval(mails, request.id) == 0, "it is being charged"
    await shop.submit(attempt_of(request))
    assert await status(shop, request) == "failed"
    await shop.submit(attempt_of(request))
    return int(await shop.owner.fetchval(mails, request.id))


async def test_whose_charge_fails_for_good_is_reminded_once(shop: Shop) -> None:
    assert await _mails_after_a_failure(shop, DEAD) == 1


async def test_whom_the_schedule_tries_again_is_not_reminded(shop: Shop) -> None:
    assert await _mails_after_a_failure(shop, "pm_sandbox_insufficient_funds") == 0


async def test_without_a_mail_server_nobody_is_reminded(shop: Shop) -> None:
    assert await _mails_after_a_failure(shop, DEAD, can_mail=False) == 0


async def test_who_owes_what_nobody_will_try_is_reminded_though_the_rest_is_tried(
    shop: Shop,
) -> None:
    customer = await shop.customer("pm_sandbox_insufficient_funds")
    await shop.owner.execute("UPDATE customers SET email = 'ada@c.example'")
    invoices = await overdue(shop, customer, [1_000, 250])
    for _ in range(3):  # so that its tries are used up with the next
        await shop.submit(attempt_of(await requested(shop, invoices[:1])))
    request = await requested(shop, invoices, can_mail=True)
    await shop.submit(attempt_of(request))
    assert await status(shop, request) == "failed"
    planned = await shop.owner.fetch("SELECT id FROM invoices WHERE next_try_at IS NOT NULL")
    assert [one["id"] for one in planned] == [invoices[1].id]
    assert await shop.owner.fetchval("SELECT object_id FROM mails") == request.id


async def test_an_answer_that_is_lost_is_looked_up(shop: Shop, psp: SandboxServer) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_timeout_charged", 1_000, 250)
    attempt = attempt_of(request)
    await shop.submit(attempt)
    assert await shop.state(attempt) == "unknown"
    assert await status(shop, request) == "pending"
    assert await refused(requested(shop, invoices[:1])) == NOT_READY
    shop.clock.advance(seconds=31)
    await shop.look_up(attempt)
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    assert await status(shop, request) == "succeeded"
    assert len(await psp.charges()) == 1


async def refused(doing: Awaitable[object]) -> str:
    """The code of a refusal that must come."""
    with pytest.raises(Refused) as told:
        await doing
    return told.value.refusal.code


async def test_while_it_is_open_nobody_charges_any_of_its_invoices(shop: Shop) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_processing_ok", 1_000, 250)
    for sent_now in (False, True):
        if sent_now:
            await shop.submit(attempt_of(request))
            assert await shop.state(attempt_of(request)) == "processing"
        for invoice in invoices:
            answer = await shop.ask(invoice)
            assert isinstance(answer, Refusal)
            assert answer.code == HANDLED
            assert await refused(requested(shop, [invoice])) == NOT_READY
            assert await refused(opened(shop, invoice)) == HANDLED
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 1
    assert await shop.owner.fetchval("SELECT count(*) FROM payment_requests") == 1


async def test_what_is_charged_already_is_in_no_request(shop: Shop) -> None:
    invoices = await overdue(shop, await shop.customer("pm_sandbox_ok"), [1_000, 250])
    await shop.begun(invoices[1])
    assert await refused(requested(shop, invoices)) == NOT_READY
    assert await statuses(shop, invoices) == [("pending", 1_000), ("pending", 250)]
    for table in ("payment_requests", "payment_request_invoices"):
        assert await shop.owner.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 1


async def test_an_open_page_is_closed_before(shop: Shop) -> None:
    invoices = await overdue(shop, await shop.customer("pm_sandbox_ok"), [1_000, 250])
    await opened(shop, invoices[0])
    with pytest.raises(PagesAreOpen) as told:
        await requested(shop, invoices)
    page = await shop.owner.fetchval("SELECT id FROM payments")
    assert told.value.pages == {RowKey(shop.organization_id, page)}
    assert await shop.owner.fetchval("SELECT count(*) FROM payment_requests") == 0


async def test_what_is_paid_by_hand_in_part_before_it_is_sent_is_not_charged(
    shop: Shop, psp: SandboxServer
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 250)
    await pay_by_hand(shop, invoices[0], 999)
    await shop.submit(attempt_of(request))
    assert [one["amount"] for one in await psp.charges()] == [251]
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    assert await shop.owner.fetchval("SELECT count(*) FROM contradictions") == 0
    assert await status(shop, request) == "succeeded"


@pytest.mark.parametrize("way", ["paid", "voided", "held"])
async def test_one_that_is_settled_before_it_is_sent_withdraws_the_whole(
    shop: Shop, psp: SandboxServer, way: str
) -> None:
    customer = await shop.customer("pm_sandbox_ok")
    at = shop.clock.now() + timedelta(hours=5)
    invoices = await overdue(
        shop, customer, [1_000, 250, 70], next_try_at=at, payment_status="failed"
    )
    request = await requested(shop, invoices)
    assert await shop.owner.fetchval("SELECT count(next_try_at) FROM invoices") == 0
    match way:
        case "paid":
            await pay_by_hand(shop, invoices[1], 250)
        case "voided":
            await void(shop, invoices[1])
        case _:
            await shop.change("invoices", invoices[1], held_because="contradicted")
    await shop.submit(attempt_of(request))
    assert await psp.charges() == []
    assert await shop.state(attempt_of(request)) == "withdrawn"
    assert await status(shop, request) == "failed"
    [failure] = [body for kind, body in await shop.told() if kind.endswith("payment_failure")]
    assert failure["error_details"] == {"code": "invoice_no_longer_collectable"}
    # The others are as they were before, and are tried when that was planned.
    others = [invoices[0], invoices[2]]
    assert await statuses(shop, others) == [("failed", 1_000), ("failed", 70)]
    for other in others:
        assert (await shop.row("invoices", other))["next_try_at"] == at
    assert (await shop.row("invoices", invoices[1]))["next_try_at"] is None
    assert isinstance(await shop.ask(invoices[0]), Accepted)


async def test_money_for_one_that_was_voided_after_it_was_sent_belongs_to_nobody(
    shop: Shop,
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 250, 70)
    attempt = attempt_of(request)
    begun = await shop.sending.ask(attempt)
    await void(shop, invoices[1])
    await pay_by_hand(shop, invoices[2], 30)
    charged = await begun.provider.charge(begun.charge)
    await shop.settling.ask(Report(attempt, charged, Source.ANSWER))
    assert await statuses(shop, invoices) == [("succeeded", 0), ("pending", 0), ("succeeded", 0)]
    assert await status(shop, request) == "succeeded"
    told = await shop.owner.fetch("SELECT reason, unapplied_cents FROM contradictions")
    assert sum(row["unapplied_cents"] for row in told) == 250 + 30
    assert {row["reason"] for row in told} == {"invoice_was_voided", "more_than_was_due"}
    unapplied = await shop.owner.fetchval(
        "SELECT sum(amount_cents)::bigint FROM ledger_entries WHERE account = 'unapplied'"
    )
    assert unapplied == -280
    held = [(await shop.row("invoices", one))["held_because"] for one in invoices]
    assert held == [None, "contradicted", "contradicted"]  # the first has nothing to do with it
    assert len(await receipts(shop)) == 2


async def test_a_success_that_tells_of_less_is_raised(shop: Shop) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 250)
    await shop.sending.ask(attempt_of(request))
    told = Paid("ch_1", "succeeded", 1_100, "EUR")
    await shop.settling.ask(Report(attempt_of(request), told, Source.EVENT))
    assert await statuses(shop, invoices) == [("succeeded", 0), ("pending", 150)]
    reasons = await shop.owner.fetch("SELECT reason FROM contradictions")
    assert [row["reason"] for row in reasons] == ["another_amount_than_asked"]
    held = [(await shop.row("invoices", one))["held_because"] for one in invoices]
    assert held == ["contradicted", "contradicted"]
    # What is left of it is a person's: nobody pays it by hand past the request.
    assert await refused(pay_by_hand(shop, invoices[1], 150)) == "validation_errors"


async def test_a_late_failure_does_not_undo_it(shop: Shop) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 250)
    await shop.submit(attempt_of(request))
    late = Declined("card_declined", "No.")
    await shop.settling.ask(Report(attempt_of(request), late, Source.EVENT))
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    assert await status(shop, request) == "succeeded"


async def test_who_wants_their_payer_is_asked_for_all_once_more(
    shop: Shop, psp: SandboxServer
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_authentication_required", 1_000, 250)
    await shop.sending.ask(attempt_of(request))
    wants_payer = Declined("authentication_required", "Ask the payer.")
    await shop.settling.ask(Report(attempt_of(request), wants_payer, Source.ANSWER))
    second = await shop.owner.fetchrow("SELECT * FROM payments WHERE ask_id IS NOT NULL")
    assert second is not None
    assert (second["payment_request_id"], second["amount_cents"]) == (request.id, 1_250)
    assert await status(shop, request) == "pending"
    key = RowKey(shop.organization_id, second["id"])
    await shop.submit(key)
    assert await shop.state(key) == "customer_needed"
    assert await refused(requested(shop, invoices)) == NOT_READY
    told = Paid("ch_after", "succeeded", 1_250, "EUR")
    await shop.settling.ask(Report(key, told, Source.EVENT))
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    assert await status(shop, request) == "succeeded"
    assert [word for word in await shop.words() if word.endswith("failure")] == []


@pytest.mark.parametrize("linked", [True, False])
async def test_who_cannot_be_charged_is_asked_all_the_same(shop: Shop, *, linked: bool) -> None:
    invoices = await overdue(shop, await shop.customer(linked=linked), [1_000, 250])
    request = await requested(shop, invoices)
    assert await status(shop, request) == "pending"
    assert await shop.words() == ["payment_request.created"]
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 0
    assert await shop.owner.fetchval("SELECT count(*) FROM pgqueuer") == 0
    decided = await shop.owner.fetch("SELECT decided, because FROM decisions")
    because = "no_payment_method" if linked else "customer_must_have_payment_provider"
    assert {(row["decided"], row["because"]) for row in decided} == {("no_attempt", because)}
    # It holds nothing: they pay each as they like.
    await pay_by_hand(shop, invoices[0], 1_000)
    assert await shop.shown(invoices[0]) == ("succeeded", 0)


async def test_an_invoice_to_be_paid_by_hand_is_charged_on_no_card(shop: Shop) -> None:
    customer = await shop.customer("pm_sandbox_ok")
    invoices = [
        *await overdue(shop, customer, [1_000]),
        *await overdue(shop, customer, [250], payment_method_type="manual"),
    ]
    await requested(shop, invoices)
    assert await shop.owner.fetchval("SELECT count(*) FROM payments") == 0
    assert await shop.owner.fetchval("SELECT max(because) FROM decisions") == (
        "payment_method_is_manual"
    )


async def test_killed_after_it_was_sent_it_is_looked_up_and_never_sent_anew(
    shop: Shop, psp: SandboxServer
) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 250)
    attempt = attempt_of(request)
    begun = await shop.sending.ask(attempt)
    await begun.provider.charge(begun.charge)  # and who called has died: the answer is lost
    await shop.submit(attempt)
    assert await shop.state(attempt) == "sent"
    shop.clock.advance(seconds=31)
    await shop.look_up(attempt)
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2
    assert len(await psp.charges()) == 1


async def test_killed_before_it_commits_it_leaves_nothing(shop: Shop) -> None:
    invoices = await overdue(shop, await shop.customer("pm_sandbox_ok"), [1_000, 250])
    await shop.owner.execute("REVOKE INSERT ON pgqueuer FROM recoup_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await requested(shop, invoices)
    for table in ("payment_requests", "payments", "payment_invoices", "decisions", "events"):
        assert await shop.owner.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    await shop.owner.execute("GRANT INSERT ON pgqueuer TO recoup_app")
    await requested(shop, invoices)


async def test_killed_while_it_settles_it_pays_none(shop: Shop) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 250)
    attempt = attempt_of(request)
    await shop.sending.ask(attempt)
    told = Report(attempt, Paid("ch_1", "succeeded", 1_250, "EUR"), Source.ANSWER)
    await shop.owner.execute("REVOKE INSERT ON payment_receipts FROM recoup_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await shop.settling.ask(told)
    assert await statuses(shop, invoices) == [("pending", 1_000), ("pending", 250)]
    assert (await shop.state(attempt), await status(shop, request)) == ("sent", "pending")
    await shop.owner.execute("GRANT INSERT ON payment_receipts TO recoup_app")
    await shop.settling.ask(told)
    assert await statuses(shop, invoices) == [("succeeded", 0)] * 2


async def test_it_stays_unknown_for_as_long_as_nobody_answers(shop: Shop) -> None:
    invoices, request = await asked_of(shop, "pm_sandbox_ok", 1_000, 250)
    await shop.sending.ask(attempt_of(request))
    await shop.settling.ask(Report(attempt_of(request), Lost("TimeoutError"), Source.ANSWER))
    assert await statuses(shop, invoices) == [("pending", 1_000), ("pending", 250)]
    assert await status(shop, request) == "pending"
    assert await shop.words() == ["payment_request.created"]


Rival = Callable[[Shop, list[RowKey], Pool], Awaitable[object]]


async def _retry(shop: Shop, invoices: list[RowKey], pool: Pool) -> object:
    ask = Ask(invoices[1], clock.new_id(), AskedBy.API)
    return (await retry_payments(pool, [ask], now=shop.clock.now()))[0]


async def _other_request(shop: Shop, invoices: list[RowKey], pool: Pool) -> object:
    return await requested(shop, invoices[1:], pool=pool)


async def _manual(shop: Shop, invoices: list[RowKey], pool: Pool) -> object:
    return await pay_by_hand(shop, invoices[1], 250, pool=pool)


async def _void(shop: Shop, invoices: list[RowKey], pool: Pool) -> object:
    return await void(shop, invoices[1], pool=pool)


@pytest.mark.parametrize("rival", [_retry, _other_request, _manual, _void])
async def test_of_two_who_come_at_once_nobody_collects_twice(
    shop: Shop, psp: SandboxServer, scout: Pool, dsn: str, rival: Rival
) -> None:
    """Both wait for the second invoice; whoever is let in first, the books are right at the end."""
    invoices = await overdue(shop, await shop.customer("pm_sandbox_ok"), [1_000, 250, 70])
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(patient(dsn)) for _ in range(2)]
        async with shop.owner.transaction():
            await shop.owner.execute(
                "SELECT FROM invoices WHERE id = $1 FOR UPDATE", invoices[1].id
            )
            asking = asyncio.gather(
                requested(shop, invoices, pool=pools[0]),
                rival(shop, invoices, pools[1]),
                return_exceptions=True,
            )
            stack.callback(asking.cancel)
            await eventually(lambda: both_wait(shop.owner), what="both wait for the invoice")
        answers = await asking
    assert not [
        one for one in answers
        if isinstance(one, BaseException) and not isinstance(one, Refused)
    ], answers  # fmt: skip
    assert not isinstance(answers[1], PageIsOpen)
    for row in await shop.owner.fetch("SELECT id FROM payments WHERE state = 'ready'"):
        await shop.submit(RowKey(shop.organization_id, row["id"]))
    collected = await shop.owner.fetchval("SELECT sum(paid_cents)::bigint FROM invoices")
    taken = sum(one["amount"] for one in await psp.charges() if one["status"] == "succeeded")
    by_hand = await shop.owner.fetchval(
        "SELECT coalesce(sum(amount_cents), 0)::bigint FROM payments WHERE payment_type = 'manual'"
    )
    assert collected == taken + by_hand
    assert await shop.owner.fetchval("SELECT count(*) FROM contradictions") == 0
    checked = await check_books(shop.pool, scout, now=shop.clock.now())
    assert set(checked.broken) <= {"receivable_is_what_is_due"}  # put there without their entries


async def both_wait(owner: asyncpg.Connection) -> bool:
    return await waiting_for_locks(owner) == 2
