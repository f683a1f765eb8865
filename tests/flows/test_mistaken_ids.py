"""A person types another attempt's charge: it is refused where that is known, else corrected."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from recoup.flows.check_books import check_books
from recoup.flows.release_invoice import list_held_invoices
from recoup.flows.reports import Report, Source
from recoup.providers.protocol import Declined, Fate, Paid, Processing, Reversed
from recoup.rules.attempt_state import Contradicted, Repeated, State, Verdict
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.flows.test_provider_events import apply, paid, receive, the_event
from tests.flows.test_reconcile_account import charge_behind_our_back, compare, findings
from tests.flows.test_settle_by_hand import FAILED, PAID, in_review, refusal_of, settle
from tests.shop import SandboxServer, Shop


async def known_as(shop: Shop, attempt: RowKey) -> str | None:
    return (await shop.row("payments", attempt))["provider_payment_id"]


async def lost_charge(shop: Shop, psp: SandboxServer) -> tuple[RowKey, RowKey, str]:
    """An invoice and its attempt, which was charged, and whose answer was lost; the charge's id."""
    invoice = await shop.sell("pm_sandbox_timeout_charged")
    attempt = await shop.collect(invoice)
    [charge] = await psp.charges()
    return invoice, attempt, charge["id"]


async def mistake(shop: Shop, attempt: RowKey, charge: str, verdict: Verdict) -> None:
    said = replace(PAID, verdict=verdict, provider_payment_id=charge)
    await settle(shop, attempt, said)


async def raised(shop: Shop) -> list[tuple[object, ...]]:
    rows = await shop.owner.fetch(
        "SELECT payment_id, reason, amount_cents, provider_payment_id FROM contradictions"
    )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("verdict", [*Verdict])
async def test_the_other_attempt_settles_and_the_mistake_is_raised(
    shop: Shop, psp: SandboxServer, scout: Pool, verdict: Verdict
) -> None:
    mistaken_invoice, mistaken = await in_review(shop)
    invoice, attempt, charge = await lost_charge(shop, psp)
    await mistake(shop, mistaken, charge, verdict)
    shop.clock.advance(minutes=1)
    for _ in range(2):
        await shop.look_up(attempt)
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert await known_as(shop, attempt) == charge
    assert await known_as(shop, mistaken) is None
    reason = "another_payment_has_this_id"
    assert await raised(shop) == [(mistaken.id, reason, 0, charge)]
    held = await list_held_invoices(shop.pool, shop.organization_id)
    assert [one.debt.key for one in held] == [mistaken_invoice]
    [told] = held[0].told
    assert (told.contradiction.reason, told.contradiction.provider_payment_id) == (reason, charge)
    checked = await check_books(shop.pool, scout, now=shop.clock.now())
    assert set(checked.broken) <= {"receivable_is_what_is_due"}  # its invoices are made by hand


async def test_an_event_settles_it_too_and_is_applied_once(shop: Shop, psp: SandboxServer) -> None:
    _, mistaken = await in_review(shop)
    _, attempt, charge = await lost_charge(shop, psp)
    await mistake(shop, mistaken, charge, Verdict.PAID)
    await receive(shop, paid(attempt, charge=charge))
    event = await the_event(shop)
    assert await apply(shop, event) == "moved_to_succeeded"
    assert await apply(shop, event) is None
    assert len(await raised(shop)) == 1


async def test_a_charge_that_a_restore_has_lost_is_made_anew_all_the_same(
    shop: Shop, psp: SandboxServer
) -> None:
    _, mistaken = await in_review(shop)
    invoice = await shop.sell("pm_sandbox_ok")
    key = await charge_behind_our_back(shop, invoice)
    [charge] = await psp.charges()
    await mistake(shop, mistaken, charge["id"], Verdict.PAID)
    await compare(shop)
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert await known_as(shop, RowKey.read(f"{shop.organization_id}/{key[8:]}")) == charge["id"]
    assert ("unknown_here", "", "made_anew") in await findings(shop)
    assert [one[1] for one in await raised(shop)] == ["another_payment_has_this_id"]


@pytest.mark.parametrize(
    "outcome",
    [
        Processing("ch_7", "pending"),
        Declined("do_not_honor", provider_payment_id="ch_7"),
        Reversed("ch_7", "disputed", 1_000, "EUR", "fraudulent"),
    ],
    ids=["processing", "declined", "reversed"],
)
async def test_whatever_the_provider_tells_of_it_by_that_id_is_taken(
    shop: Shop, outcome: Fate
) -> None:
    _, mistaken = await in_review(shop)
    attempt = await shop.collect(await shop.sell("pm_sandbox_timeout_not_charged"))
    await settle(shop, mistaken, PAID)
    await shop.settling.ask(Report(attempt, outcome, Source.EVENT))
    assert await shop.state(attempt) not in {"sent", "unknown"}
    assert (await known_as(shop, attempt), await known_as(shop, mistaken)) == ("ch_7", None)
    assert (mistaken.id, "another_payment_has_this_id", 0, "ch_7") in await raised(shop)


async def test_what_has_lost_its_id_is_known_by_the_one_that_its_provider_tells(
    shop: Shop, psp: SandboxServer
) -> None:
    _, mistaken = await in_review(shop)
    _, attempt, charge = await lost_charge(shop, psp)
    await mistake(shop, mistaken, charge, Verdict.PAID)
    shop.clock.advance(minutes=1)
    await shop.look_up(attempt)
    own = Paid("ch_own", "succeeded", 1_000, "EUR")
    others = Paid(charge, "succeeded", 1_000, "EUR")
    second = Paid("ch_second", "succeeded", 1_000, "EUR")
    settled = [
        await shop.settling.ask(Report(mistaken, told, Source.EVENT))
        for told in (others, own, own, second)
    ]
    again = Contradicted(was=State.SUCCEEDED, told=State.SUCCEEDED)
    assert settled == [Repeated(), Repeated(), Repeated(), again]
    assert (await known_as(shop, mistaken), await known_as(shop, attempt)) == ("ch_own", charge)
    assert [one[1:3] for one in await raised(shop)] == [
        ("another_payment_has_this_id", 0), ("a_second_charge", 1_000),
    ]  # fmt: skip


async def test_what_is_known_to_be_anothers_is_refused(shop: Shop, psp: SandboxServer) -> None:
    _, mistaken = await in_review(shop)
    other = await shop.collect(await shop.sell("pm_sandbox_ok"))
    charge = await known_as(shop, other)
    for word in (PAID, FAILED):
        refusal = await refusal_of(shop, mistaken, replace(word, provider_payment_id=charge))
        assert refusal.details == {"provider_payment_id": ["value_already_exist"]}
    assert await shop.state(mistaken) == "needs_review"
    assert (await known_as(shop, other), await raised(shop)) == (charge, [])


async def test_a_second_charge_of_another_is_known_to_be_that(shop: Shop) -> None:
    _, mistaken = await in_review(shop)
    other = await shop.collect(await shop.sell("pm_sandbox_ok"))
    second = Paid("ch_7", "succeeded", 1_000, "EUR")
    await shop.settling.ask(Report(other, second, Source.EVENT))
    refusal = await refusal_of(shop, mistaken, PAID)
    assert refusal.details == {"provider_payment_id": ["value_already_exist"]}
    assert await shop.state(mistaken) == "needs_review"
    stranger = await Shop(shop.pool, shop.owner, shop.providers, shop.clock).open()
    _, theirs = await in_review(stranger)
    assert await settle(stranger, theirs, PAID) is State.SUCCEEDED, "at another account it is free"


async def test_money_whose_id_a_person_mistyped_is_not_paid_back_by_itself(shop: Shop) -> None:
    await shop.owner.execute("UPDATE provider_accounts SET refund_surprises = true")
    invoice, attempt = await in_review(shop)
    await settle(shop, attempt, replace(PAID, provider_payment_id="ch_7_mistyped"))
    told = Report(attempt, Paid("ch_7", "succeeded", 1_000, "EUR"), Source.EVENT)
    assert isinstance(await shop.settling.ask(told), Contradicted)
    assert await raised(shop) == [(attempt.id, "a_second_charge", 1_000, "ch_7")]
    held = await list_held_invoices(shop.pool, shop.organization_id)
    assert [one.debt.key for one in held] == [invoice]
    assert await shop.owner.fetchval("SELECT count(*) FROM refunds") == 0
