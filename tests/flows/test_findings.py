"""What a comparison found closes when it is so no more, and stays closed on a person's word."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recoup import clock
from recoup.flows.release_quarantine import release_quarantine
from recoup.flows.resolve_finding import Resolved, resolve_finding
from recoup.flows.submit_refund import look_up_refund, submit_refund
from recoup.providers.protocol import Charge, Order, Processing
from recoup.rules.records.collection import idempotency_key
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import refund_key
from recoup.rules.refusal import Refused
from recoup.sandbox.tokens import STOLEN_CARD
from recoup.store import db, provider_accounts
from recoup.store.db import Pool
from recoup.store.findings import KeptFinding
from tests.flows.debits import Debits
from tests.flows.test_reconcile_account import (
    account,
    charge_behind_our_back,
    compare,
    hold_back,
    is_held_back,
)
from tests.flows.test_submit_refund import surprise
from tests.shop import SandboxServer, Shop

ANN = Resolved(by=" ann ", reason="paid back at the provider")


async def found(shop: Shop) -> list[dict[str, Any]]:
    rows = await shop.owner.fetch("SELECT * FROM reconciliation_findings ORDER BY found_at, id")
    return [dict(row) for row in rows]


async def open_ones(shop: Shop) -> list[tuple[str, str]]:
    return [(one["what"], one["detail"]) for one in await found(shop) if not one["resolved_at"]]


async def closed_because(shop: Shop) -> str | None:
    [one] = await found(shop)
    return one["resolved_because"]


async def resolve(shop: Shop, said: Resolved = ANN) -> KeptFinding:
    """A person's word about the one finding that is open."""
    [finding] = [one["id"] for one in await found(shop) if not one["resolved_at"]]
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        return await resolve_finding(
            conn, RowKey(shop.organization_id, finding), said, audit_id=clock.new_id(),
            now=shop.clock.now(),
        )  # fmt: skip


def at_the_provider(folder: Path, statement: str, *values: object) -> None:
    """Change the sandbox's books behind everybody's back."""
    with sqlite3.connect(folder / "sandbox.sqlite") as books:
        assert books.execute(statement, values).rowcount == 1


async def charge_of(shop: Shop, attempt: RowKey) -> str:
    return (await shop.row("payments", attempt))["provider_payment_id"]


async def of_no_invoice(shop: Shop) -> str:
    return await charge_behind_our_back(shop, RowKey(shop.organization_id, clock.new_id()))


async def test_what_a_person_resolved_stays_so_until_its_facts_change(
    shop: Shop, tmp_path: Path
) -> None:
    key = await of_no_invoice(shop)
    await compare(shop)
    assert await open_ones(shop) == [("unknown_here", "invoice_unknown")]
    resolved = await resolve(shop)
    assert (resolved.resolved_by, resolved.resolved_because) == ("ann", "a_person_said_so")
    for _ in range(2):
        await compare(shop)
    assert await open_ones(shop) == []
    at_the_provider(tmp_path, "UPDATE charges SET amount = 900 WHERE idempotency_key = ?", key)
    await compare(shop)
    first, second = await found(shop)
    assert (first["resolved_by"], first["amount_cents"]) == ("ann", 1_000)
    assert (second["resolved_at"], second["amount_cents"]) == (None, 900)


async def test_a_persons_word_says_who_and_why_once_and_is_audited(shop: Shop) -> None:
    await of_no_invoice(shop)
    await compare(shop)
    for said in (Resolved(by="", reason="x"), Resolved(by="ann", reason=" "),
                 Resolved(by="a\0", reason="x")):  # fmt: skip
        with pytest.raises(Refused, match="validation_errors"):
            await resolve(shop, said)
    assert await open_ones(shop) == [("unknown_here", "invoice_unknown")]
    resolved = await resolve(shop)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        for finding, code in (
            (resolved.id, "reconciliation_finding_not_open"),
            (clock.new_id(), "reconciliation_finding_not_found"),
        ):
            key = RowKey(shop.organization_id, finding)
            with pytest.raises(Refused, match=code):
                await resolve_finding(conn, key, ANN, audit_id=clock.new_id(), now=shop.clock.now())
    [entry] = await shop.owner.fetch(
        "SELECT actor, action, object_id, detail FROM audit_log WHERE actor = 'ann'"
    )
    assert tuple(entry)[:3] == ("ann", "reconciliation_finding.resolved", resolved.id)
    assert "paid back at the provider" in entry["detail"]


ENDS_AT = "UPDATE charges SET settles_at = ? WHERE status = 'processing'"
NEVER = 9_000_000_000_000_000


async def busy(shop: Shop, folder: Path) -> tuple[RowKey, RowKey, str]:
    """An invoice whose attempt is under way, and which a lost attempt has been paid for."""
    invoice = await shop.sell("pm_sandbox_processing_fail")
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "processing"
    at_the_provider(folder, ENDS_AT, NEVER)
    key = await charge_behind_our_back(shop, invoice)
    await compare(shop)
    assert await open_ones(shop) == [("unknown_here", "invoice_busy")]
    return invoice, attempt, key


async def test_what_waited_for_a_busy_invoice_is_booked_when_it_is_on_no_list_any_more(
    shop: Shop, psp: SandboxServer, tmp_path: Path
) -> None:
    invoice, attempt, key = await busy(shop, tmp_path)
    shop.clock.advance(days=6)
    await compare(shop)
    assert await open_ones(shop) == [("unknown_here", "invoice_busy")]
    at_the_provider(tmp_path, ENDS_AT, 0)
    await psp.run_errands()
    await shop.look_up(attempt)
    assert await shop.state(attempt) == "failed"
    await compare(shop)
    assert await closed_because(shop) == "made_anew"
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert await shop.state(RowKey.read(f"{shop.organization_id}/{key[8:]}")) == "succeeded"


async def test_what_a_person_has_dealt_with_is_not_booked_as_well(
    shop: Shop, psp: SandboxServer, tmp_path: Path
) -> None:
    invoice, attempt, _ = await busy(shop, tmp_path)
    await resolve(shop)
    shop.clock.advance(days=1)
    at_the_provider(tmp_path, ENDS_AT, 0)
    await psp.run_errands()
    await shop.look_up(attempt)
    await compare(shop)
    assert await open_ones(shop) == []
    assert await shop.shown(invoice) == ("failed", 1_000)


async def test_what_only_we_know_closes_when_the_provider_tells_of_it_after_all(
    shop: Shop, tmp_path: Path
) -> None:
    attempt = await shop.collect(await shop.sell("pm_sandbox_ok"))
    key = idempotency_key(attempt.id)
    hidden = "UPDATE charges SET idempotency_key = ? WHERE idempotency_key = ?"
    at_the_provider(tmp_path, hidden, "payment-hidden", key)
    shop.clock.advance(hours=1)
    await compare(shop)
    shop.clock.advance(days=10)
    await compare(shop)
    assert await open_ones(shop) == [("unknown_there", "")]
    at_the_provider(tmp_path, hidden, key, "payment-hidden")
    await compare(shop)
    assert await closed_because(shop) == "known_on_both_sides"


@pytest.mark.parametrize("days", [0, 10])
async def test_what_only_we_know_closes_when_no_money_moves_here_either(
    shop: Shop, tmp_path: Path, days: int
) -> None:
    attempt = await shop.collect(await shop.sell("pm_sandbox_processing_fail"))
    key = idempotency_key(attempt.id)
    at_the_provider(tmp_path, "DELETE FROM charges WHERE idempotency_key = ?", key)
    shop.clock.advance(hours=1)
    await compare(shop)
    assert await open_ones(shop) == [("unknown_there", "")]
    await shop.owner.execute("UPDATE payments SET state = 'failed', ended_at = now()")
    shop.clock.advance(days=days)
    await compare(shop)
    assert await closed_because(shop) == "no_money_here"


async def test_what_the_provider_declined_in_the_end_is_no_finding_any_more(
    shop: Shop, tmp_path: Path
) -> None:
    key = await of_no_invoice(shop)
    await compare(shop)
    at_the_provider(
        tmp_path,
        "UPDATE charges SET status = 'failed', decline = ? WHERE idempotency_key = ?",
        msgspec.json.encode(STOLEN_CARD).decode(),
        key,
    )
    shop.clock.advance(days=10)
    await compare(shop)
    assert await closed_because(shop) == "no_money_there"


async def test_what_both_know_and_do_not_say_alike_is_found_until_they_do(
    shop: Shop, tmp_path: Path
) -> None:
    attempt = await shop.collect(await shop.sell("pm_sandbox_ok"))
    change = "UPDATE charges SET amount = ? WHERE id = ?"
    charge = await charge_of(shop, attempt)
    at_the_provider(tmp_path, change, 900, charge)
    for _ in range(2):
        await compare(shop)
    [one] = await found(shop)
    assert (one["what"], one["detail"]) == ("differs", "amount")
    assert (one["amount_cents"], one["here_cents"]) == (900, 1_000)
    assert (one["here"], one["there"]) == ("succeeded", "paid")
    at_the_provider(tmp_path, change, 800, charge)
    await compare(shop)
    before, after = await found(shop)
    assert (before["resolved_because"], after["resolved_at"]) == ("found_otherwise", None)
    at_the_provider(tmp_path, change, 1_000, charge)
    shop.clock.advance(days=10)
    await compare(shop)
    assert await open_ones(shop) == []


async def test_what_only_we_know_and_the_provider_has_otherwise_is_one_finding(
    shop: Shop, tmp_path: Path
) -> None:
    attempt = await shop.collect(await shop.sell("pm_sandbox_ok"))
    key = idempotency_key(attempt.id)
    hidden = "UPDATE charges SET idempotency_key = ?, amount = 900 WHERE idempotency_key = ?"
    at_the_provider(tmp_path, hidden, "payment-hidden", key)
    charge = await charge_of(shop, attempt)
    await shop.change("payments", attempt, provider_payment_id=None)
    shop.clock.advance(hours=1)
    await compare(shop)
    assert await open_ones(shop) == [("unknown_there", "")]
    await shop.change("payments", attempt, provider_payment_id=charge)
    at_the_provider(tmp_path, hidden, key, "payment-hidden")
    await compare(shop)
    assert await open_ones(shop) == [("differs", "amount")]


async def test_a_difference_that_a_person_has_resolved_is_not_opened_again(
    shop: Shop, tmp_path: Path
) -> None:
    attempt = await shop.collect(await shop.sell("pm_sandbox_ok"))
    charge = await charge_of(shop, attempt)
    at_the_provider(tmp_path, "UPDATE charges SET amount = 900 WHERE id = ?", charge)
    await compare(shop)
    await resolve(shop)
    for _ in range(2):
        await compare(shop)
    [one] = await found(shop)
    assert (one["resolved_by"], one["resolved_because"]) == ("ann", "a_person_said_so")


async def test_an_end_that_the_provider_has_otherwise_is_found_once_it_cannot_be_just_newer(
    shop: Shop, tmp_path: Path
) -> None:
    attempt = await shop.collect(await shop.sell("pm_sandbox_ok"))
    at_the_provider(
        tmp_path,
        "UPDATE charges SET status = 'processing', settles_at = ? WHERE id = ?",
        NEVER,
        await charge_of(shop, attempt),
    )
    await compare(shop)
    assert await open_ones(shop) == []
    shop.clock.advance(minutes=10)
    await compare(shop)
    assert await open_ones(shop) == [("differs", "state")]
    assert await shop.state(attempt) == "succeeded"


async def debit(debits: Debits, attempt: RowKey, invoice: RowKey, *, key: str = "") -> str:
    """Charge what a restore has lost, and answer how GoCardless knows it."""
    shop = debits.shop
    debits.stub.now = shop.clock.now()
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        ours = await provider_accounts.by_ids(conn, [account(shop)])
    provider = shop.providers.of(ours[account(shop)])
    request = provider.render(
        Order(
            attempt_id=attempt.id, amount_cents=1_000, currency="EUR",
            provider_customer_id="CU1", provider_method_id="MD1", reference="r",
            metadata={"lago_invoice_id": str(invoice.id)},
        )
    )  # fmt: skip
    assert isinstance(request, str)
    taken = await provider.charge(Charge(key or idempotency_key(attempt.id), request))
    assert isinstance(taken, Processing)
    return taken.provider_payment_id


async def lost_debit(debits: Debits) -> tuple[RowKey, RowKey, str]:
    """An invoice, the attempt that a restore has lost, and how GoCardless knows its payment."""
    invoice = await debits.shop.sell("MD1")
    lost = RowKey(invoice.organization_id, clock.new_id())
    return invoice, lost, await debit(debits, lost, invoice)


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "ready"])
async def test_two_charges_that_name_one_attempt_are_one_attempt_and_a_contradiction(
    debits: Debits, *, is_lost: bool
) -> None:
    shop = debits.shop
    invoice = await shop.sell("MD1")
    await shop.owner.execute("UPDATE customers SET payment_provider = 'gocardless'")
    lost = RowKey(invoice.organization_id, clock.new_id())
    attempt = lost if is_lost else await shop.begun(invoice)
    for key in ("", "after-the-life-of-the-key"):
        debits.stub.become(await debit(debits, attempt, invoice, key=key), "paid_out")
    for _ in range(2):
        await compare(shop)
    assert await shop.state(attempt) == "succeeded"
    reasons = await shop.owner.fetch("SELECT reason FROM contradictions")
    assert [one["reason"] for one in reasons] == ["a_second_charge"]
    assert await open_ones(shop) == []


async def test_a_debit_made_anew_is_looked_up_until_it_has_ended(debits: Debits) -> None:
    shop = debits.shop
    invoice, lost, payment = await lost_debit(debits)
    await compare(shop)
    assert await shop.state(lost) == "processing"
    debits.stub.become(payment, "paid_out")
    shop.clock.advance(days=4)
    await shop.look_up(lost)
    assert await shop.shown(invoice) == ("succeeded", 0)


async def test_a_lost_debit_that_was_taken_back_is_made_anew_and_its_invoice_is_held(
    debits: Debits,
) -> None:
    shop = debits.shop
    invoice, lost, payment = await lost_debit(debits)
    debits.stub.become(payment, "paid_out")
    debits.stub.become(payment, "charged_back")
    for _ in range(2):
        await compare(shop)
    assert await shop.state(lost) == "succeeded"
    assert (await shop.row("invoices", invoice))["held_because"] is not None
    assert await shop.owner.fetchval("SELECT count(*) FROM contradictions") == 1
    assert await open_ones(shop) == []


async def test_a_refund_is_asked_for_by_name_and_its_end_is_taken_in(
    shop: Shop, psp: SandboxServer
) -> None:
    refund = await surprise(shop)
    await psp.faults("drop_after=1")
    await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    await psp.faults("")
    assert (await shop.row("refunds", refund))["state"] == "unknown"
    shop.clock.advance(hours=1)
    await compare(shop)
    assert (await shop.row("refunds", refund))["state"] == "succeeded"
    assert await found(shop) == []


async def test_a_refund_that_the_provider_does_not_know_is_found_until_it_does(
    shop: Shop, psp: SandboxServer, tmp_path: Path
) -> None:
    refund = await surprise(shop)
    await psp.faults("drop_before=1")
    await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    await psp.faults("")
    await compare(shop)
    assert await found(shop) == []  # it may still be on its way
    shop.clock.advance(minutes=10)
    await compare(shop)
    [one] = await found(shop)
    assert (one["what"], one["idempotency_key"]) == ("refund_unknown_there", refund_key(refund.id))
    await look_up_refund(shop.pool, shop.providers, refund, now=shop.clock.now)  # sends it again
    shop.clock.advance(days=10)
    await compare(shop)
    assert await closed_because(shop) == "known_on_both_sides"
    at_the_provider(tmp_path, "DELETE FROM refunds")
    await shop.owner.execute("UPDATE refunds SET ended_at = $1", shop.clock.now())
    await compare(shop)
    assert await open_ones(shop) == [("refund_unknown_there", "")]


async def test_where_there_is_no_list_a_person_lets_the_account_go(shop: Shop, scout: Pool) -> None:
    await shop.moves_to("adyen", {"api_key": "k", "merchant_account": "m"})
    await compare(shop)
    assert await found(shop) == []  # nobody is held back, so nobody has to compare
    await hold_back(shop, scout)
    for _ in range(2):
        await compare(shop)
    assert await open_ones(shop) == [("cannot_list", "")]
    assert await is_held_back(shop)
    await resolve(shop, Resolved(by="ann", reason="compared with the settlement report"))
    assert not await is_held_back(shop)
    await hold_back(shop, scout)  # another restore: the word was about the one before
    await compare(shop)
    assert await open_ones(shop) == [("cannot_list", "")]
    await release_quarantine(
        shop.pool, shop.organization_id, by="ann", reason="a drill", new_id=clock.new_id,
        now=shop.clock.now(),
    )  # fmt: skip
    assert await open_ones(shop) == []
    assert not await is_held_back(shop)


async def test_what_a_person_resolved_holds_no_account_back(shop: Shop, scout: Pool) -> None:
    await of_no_invoice(shop)
    await hold_back(shop, scout)
    await compare(shop)
    assert await is_held_back(shop)
    await resolve(shop)
    assert await is_held_back(shop)  # until the next comparison has found nothing else
    await compare(shop)
    assert not await is_held_back(shop)


async def test_a_quarantine_says_in_each_tenants_audit_log_who_began_it(
    shop: Shop, scout: Pool
) -> None:
    await hold_back(shop, scout)
    [entry] = await shop.owner.fetch(
        "SELECT actor, action, object_id, detail FROM audit_log WHERE actor = 'ann'"
    )
    assert tuple(entry)[:3] == ("ann", "quarantine.begun", account(shop).id)
    assert "another_cluster" in entry["detail"]
