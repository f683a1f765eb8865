"""A person settles what no provider tells any more: once, by the one door, and on record."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from recoup import clock
from recoup.flows.open_payment_page import open_payment_page
from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts
from recoup.flows.settle_by_hand import (
    Decided,
    list_open_attempts,
    settle_by_hand,
    settle_by_hand_on,
)
from recoup.providers.protocol import Paid
from recoup.rules.attempt_state import State, Verdict
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payments import PaymentDetails
from recoup.rules.refusal import Refusal, RefusalKind, Refused
from recoup.store import db
from tests.shop import PAID_WORDS, SandboxServer, Shop


class _UndoneError(Exception):
    """Rolls a transaction back."""


PAID = Decided(verdict=Verdict.PAID, by="ann", reason="ticket 7", provider_payment_id="ch_7")
FAILED = Decided(verdict=Verdict.FAILED, by="ann", reason="ticket 7")


async def in_review(shop: Shop) -> tuple[RowKey, RowKey]:
    """An invoice whose attempt no provider knows, nor ever will."""
    invoice = await shop.sell("pm_sandbox_timeout_not_charged")
    attempt = await shop.collect(invoice)
    for _ in range(3):
        shop.clock.advance(hours=21)
        await shop.look_up(attempt)
    assert await shop.state(attempt) == "needs_review"
    return invoice, attempt


async def settle(shop: Shop, attempt: RowKey, decided: Decided) -> State:
    return await settle_by_hand(
        shop.pool, attempt, decided, audit_id=clock.new_id(), now=shop.clock.now()
    )


async def refusal_of(shop: Shop, attempt: RowKey, decided: Decided) -> Refusal:
    with pytest.raises(Refused) as refused:
        await settle(shop, attempt, decided)
    return refused.value.refusal


async def test_what_a_person_found_paid_pays_the_invoice(shop: Shop) -> None:
    invoice, attempt = await in_review(shop)
    assert await settle(shop, attempt, PAID) is State.SUCCEEDED
    assert await shop.shown(invoice) == ("succeeded", 0)
    row = await shop.row("payments", attempt)
    assert (row["state"], row["provider_payment_id"]) == ("succeeded", "ch_7")
    assert sorted(await shop.words()) == PAID_WORDS
    entries = await shop.owner.fetch("SELECT account, amount_cents FROM ledger_entries")
    assert {tuple(entry) for entry in entries} == {("at_provider", 1_000), ("receivable", -1_000)}


async def test_what_a_person_found_failed_may_be_tried_again(shop: Shop) -> None:
    invoice, attempt = await in_review(shop)
    assert await settle(shop, attempt, FAILED) is State.FAILED
    assert await shop.shown(invoice) == ("failed", 1_000)
    [(kind, failure)] = await shop.told()
    assert (kind, failure["error_details"]["code"]) == (
        "invoice.payment_failure", "settled_by_hand",
    )  # fmt: skip
    assert await shop.begun(invoice) != attempt


async def test_who_settled_and_why_is_kept(shop: Shop) -> None:
    _, attempt = await in_review(shop)
    await settle(shop, attempt, PAID)
    [kept] = await shop.owner.fetch("SELECT * FROM audit_log WHERE actor <> 'operator'")
    assert (kept["organization_id"], kept["object_id"]) == (shop.organization_id, attempt.id)
    assert (kept["actor"], kept["action"]) == ("ann", "payment.settled_by_hand")
    assert msgspec.json.decode(kept["detail"]) == {
        "outcome": "paid", "reason": "ticket 7", "provider_payment_id": "ch_7",
    }  # fmt: skip
    assert kept["at"] == shop.clock.now()


async def test_the_provider_confirming_it_later_is_no_second_charge(shop: Shop) -> None:
    _, attempt = await in_review(shop)
    await settle(shop, attempt, PAID)
    late = Paid("ch_7", "succeeded", 1_000, "EUR")
    await shop.settling.ask(Report(attempt, late, Source.EVENT))
    assert await shop.owner.fetchval("SELECT count(*) FROM contradictions") == 0
    await shop.settling.ask(
        Report(attempt, msgspec.structs.replace(late, provider_payment_id="ch_8"), Source.EVENT)
    )
    assert await shop.owner.fetchval("SELECT reason FROM contradictions") == "a_second_charge"


async def test_only_what_waits_for_a_person_is_settled_by_one(
    shop: Shop, psp: SandboxServer
) -> None:
    await psp.faults("drop_before=1")
    unknown = await shop.collect(await shop.sell("pm_sandbox_ok"))
    await psp.faults("")
    paid = await shop.collect(await shop.sell("pm_sandbox_ok"))
    ready = await shop.begun(await shop.sell("pm_sandbox_ok"))
    before = await shop.words()
    for attempt in (unknown, paid, ready):
        refusal = await refusal_of(shop, attempt, PAID)
        assert (refusal.kind, refusal.code) == (RefusalKind.NOT_ALLOWED, "payment_not_in_review")
    _, reviewed = await in_review(shop)
    await settle(shop, reviewed, FAILED)
    assert (await refusal_of(shop, reviewed, PAID)).code == "payment_not_in_review"
    assert await shop.state(unknown) == "unknown"
    assert await shop.words() == [*before, "invoice.payment_failure"]
    assert (
        await shop.owner.fetchval("SELECT count(*) FROM audit_log WHERE actor <> 'operator'") == 1
    )


async def test_another_tenants_attempt_is_not_found(shop: Shop) -> None:
    _, attempt = await in_review(shop)
    other = await Shop(shop.pool, shop.owner, shop.providers, shop.clock).open()
    stranger = RowKey(other.organization_id, attempt.id)
    assert (await refusal_of(shop, stranger, PAID)).code == "payment_not_found"
    assert await shop.state(attempt) == "needs_review"
    assert await listed(other, needs_review=True) == []


async def test_a_verdict_says_who_why_and_where(shop: Shop) -> None:
    _, attempt = await in_review(shop)
    paid = await shop.collect(await shop.sell("pm_sandbox_ok"))
    taken = (await shop.row("payments", paid))["provider_payment_id"]
    for change, field, code in [
        ({"by": " "}, "by", "value_is_mandatory"),
        ({"reason": ""}, "reason", "value_is_mandatory"),
        ({"provider_payment_id": None}, "provider_payment_id", "value_is_mandatory"),
        ({"provider_payment_id": taken}, "provider_payment_id", "value_already_exist"),
    ]:
        refusal = await refusal_of(shop, attempt, msgspec.structs.replace(PAID, **change))
        assert refusal.details == {field: [code]}
    assert await shop.state(attempt) == "needs_review"
    assert (
        await shop.owner.fetchval("SELECT count(*) FROM audit_log WHERE actor <> 'operator'") == 0
    )


async def test_open_attempts_are_listed_oldest_first(shop: Shop) -> None:
    _, reviewed = await in_review(shop)
    shop.clock.advance(seconds=1)
    await shop.collect(await shop.sell("pm_sandbox_ok"))
    waiting = await shop.collect(await shop.sell("pm_sandbox_processing_ok"))
    shop.clock.advance(seconds=1)
    ready = await shop.begun(await shop.sell("pm_sandbox_ok"))
    found = await listed(shop, needs_review=False)
    assert [one.id for one in found] == [reviewed.id, waiting.id, ready.id]
    [one] = await listed(shop, needs_review=True)
    assert (one.id, one.state, one.amount_cents) == (reviewed.id, State.NEEDS_REVIEW, 1_000)


async def test_the_list_for_a_person_has_exactly_what_a_person_may_settle(shop: Shop) -> None:
    await in_review(shop)
    for state, manner in [("ready", "off_session"), ("sent", "off_session"),
                          ("unknown", "off_session"), ("processing", "off_session"),
                          ("customer_needed", "on_session")]:  # fmt: skip
        for hours in (23, 24):
            attempt = await shop.begun(await shop.sell("pm_sandbox_ok"))
            if state != "ready":
                sent_at = shop.clock.now() - timedelta(hours=hours)
                await shop.change(
                    "payments", attempt, state="sent", sent_at=sent_at, request="{}", manner=manner
                )
                await shop.change("payments", attempt, state=state)
    may = [
        one.id
        for one in await listed(shop, needs_review=False)
        if await can_be_settled(shop, RowKey(shop.organization_id, one.id))
    ]
    assert len(may) == 5
    assert [one.id for one in await listed(shop, needs_review=True)] == may


async def can_be_settled(shop: Shop, attempt: RowKey) -> bool:
    """Whether a person's word is taken; nothing is changed by asking."""
    try:
        async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
            await settle_by_hand_on(
                conn, attempt, FAILED, audit_id=clock.new_id(), now=shop.clock.now()
            )
            raise _UndoneError
    except _UndoneError:
        return True
    except Refused:
        return False


async def listed(shop: Shop, *, needs_review: bool) -> list[PaymentDetails]:
    return await list_open_attempts(
        shop.pool, shop.organization_id, needs_review=needs_review, now=shop.clock.now()
    )


async def test_a_person_decides_where_the_provider_refuses_every_look_up(
    shop: Shop, psp: SandboxServer
) -> None:
    """A revoked key answers 401 for ever: the steps never end, and the door opens all the same."""
    attempt = await shop.collect(await shop.sell("pm_sandbox_timeout_not_charged"))
    await psp.faults("error_before=1")
    word = Decided(verdict=Verdict.FAILED, by="ann", reason="asked the provider by phone")
    with pytest.raises(Refused):
        await settle_by_hand(
            shop.pool, attempt, word, audit_id=clock.new_id(), now=shop.clock.now()
        )
    shop.clock.advance(hours=25)
    await shop.look_up(attempt)
    assert await shop.state(attempt) == "unknown"
    await settle_by_hand(shop.pool, attempt, word, audit_id=clock.new_id(), now=shop.clock.now())
    assert await shop.state(attempt) == "failed"


async def test_of_a_page_the_person_must_tell_the_payments_own_id(shop: Shop) -> None:
    """By the page's id the provider's own word would be other money: a second charge."""
    invoice = await shop.sell("pm_sandbox_ok")
    await open_payment_page(
        shop.pool, shop.providers, invoice.organization_id, invoice.id,
        new_id=clock.new_id, now=shop.clock.now,
    )  # fmt: skip
    attempt = RowKey(*await shop.owner.fetchrow("SELECT organization_id, id FROM payments"))
    shop.clock.advance(days=3)
    nameless = msgspec.structs.replace(PAID, provider_payment_id=None)
    refused = await refusal_of(shop, attempt, nameless)
    assert refused.details == {"provider_payment_id": ["value_is_mandatory"]}
    assert await settle(shop, attempt, PAID) is State.SUCCEEDED
    told = Report(attempt, Paid("ch_7", "succeeded", 1_000, "EUR"), Source.EVENT)
    await settle_attempts(shop.pool, [told], now=shop.clock.now())
    assert (await shop.row("invoices", invoice))["held_because"] is None
