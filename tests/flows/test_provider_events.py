"""Webhooks of a provider: who may speak, kept once, and applied to nobody else's money."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from recoup import clock
from recoup.flows.add_provider_account import add_provider_account
from recoup.flows.apply_event import apply_event
from recoup.flows.notice_restore import hold_all_back
from recoup.flows.receive_event import NOT_TAKEN, receive_event
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store import db
from recoup.store.db import Pool
from tests.provider_signatures import dated
from tests.shop import BOX, Shop, sent

NO_TIME = timedelta()


def paid(attempt: RowKey, *, event: str = "evt_1", charge: str = "ch_1") -> bytes:
    """The sandbox's event that an attempt was paid."""
    body = {
        "id": charge, "amount": 1_000, "currency": "EUR", "status": "succeeded",
        "idempotency_key": f"payment-{attempt.id}",
    }  # fmt: skip
    return json.dumps({"id": event, "type": "charge.succeeded", "data": {"charge": body}}).encode()


def signature(body: bytes, *, secret: str = "whsec", at: int) -> dict[str, str]:
    return {"sandbox-signature": dated(body, secret, at=at)}


async def receive(
    shop: Shop,
    body: bytes,
    *,
    to: UUID | None = None,
    code: str | None = "sandbox",
    headers: dict[str, str] | None = None,
    **signed: Any,
) -> int:
    signed = {"at": int(shop.clock.now().timestamp())} | signed
    return await receive_event(
        shop.pool, shop.providers, to or shop.organization_id, kind="sandbox", code=code,
        body=body, headers=signature(body, **signed) if headers is None else headers,
        new_id=clock.new_id, now=shop.clock.now(),
    )  # fmt: skip


async def apply(shop: Shop, event_id: UUID, organization_id: UUID | None = None) -> str | None:
    key = RowKey(organization_id or shop.organization_id, event_id)
    return await apply_event(
        shop.pool, shop.providers, key, jitter=NO_TIME, new_id=clock.new_id, now=shop.clock.now()
    )


async def the_event(shop: Shop) -> UUID:
    return await shop.owner.fetchval("SELECT id FROM provider_events")


async def test_a_signed_event_settles_the_attempt_that_it_is_about(shop: Shop) -> None:
    invoice, attempt = await sent(shop)
    assert await receive(shop, paid(attempt)) == 1
    assert await shop.state(attempt) == "sent"  # someone else's request is no place to think
    assert await apply(shop, await the_event(shop)) == "moved_to_succeeded"
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert await apply(shop, await the_event(shop)) is None  # once


async def test_an_event_that_comes_twice_is_kept_and_promised_once(shop: Shop) -> None:
    _, attempt = await sent(shop)
    assert [await receive(shop, paid(attempt)) for _ in range(3)] == [1, 0, 0]
    assert await shop.owner.fetchval("SELECT count(*) FROM provider_events") == 1
    jobs = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'apply_event'"
    assert await shop.owner.fetchval(jobs) == 1


async def test_a_second_charge_is_called_a_contradiction(shop: Shop) -> None:
    _, attempt = await sent(shop)
    await receive(shop, paid(attempt))
    await apply(shop, await the_event(shop))
    await receive(shop, paid(attempt, event="evt_2", charge="ch_2"))
    second = await shop.owner.fetchval(
        "SELECT id FROM provider_events WHERE provider_event_id = 'evt_2'"
    )
    assert await apply(shop, second) == "contradicts_succeeded"


async def test_nobody_but_the_provider_is_listened_to(shop: Shop) -> None:
    _, attempt = await sent(shop)
    body, now = paid(attempt), int(shop.clock.now().timestamp())
    forged: list[dict[str, Any]] = [
        {"secret": "other"},
        {"at": now - 301},  # it may be a replay
        {"at": now + 301},
        {"headers": {}},
        {"headers": signature(b"another body", at=now)},
        {"code": "nobody"},
        {"to": clock.new_id()},
    ]
    for how in forged:
        with pytest.raises(Refused) as refused:
            await receive(shop, body, **how)
        assert refused.value.refusal == NOT_TAKEN, how
    assert await shop.owner.fetchval("SELECT count(*) FROM provider_events") == 0
    assert await shop.owner.fetchval(
        "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'apply_event'"
    ) == 0  # fmt: skip


async def test_an_account_settles_only_what_was_sent_through_it(shop: Shop) -> None:
    """Who has one account's secret has no say about the others'."""
    _, attempt = await sent(shop)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await add_provider_account(
            conn, shop.organization_id, kind="sandbox", code="second", name="Second",
            secrets={"api_key": "sk_sandbox_2", "webhook_secret": "second"},
            box=BOX, account_id=clock.new_id(), now=shop.clock.now(),
        )  # fmt: skip
    assert await receive(shop, paid(attempt), code="second", secret="second") == 1
    assert await apply(shop, await the_event(shop)) == "no_such_attempt"
    assert await shop.state(attempt) == "sent"


async def test_a_tenant_settles_only_its_own(shop: Shop) -> None:
    _, attempt = await sent(shop)
    other = await Shop(shop.pool, shop.owner, shop.providers, shop.clock).open()
    assert await receive(other, paid(attempt)) == 1
    assert await apply(other, await the_event(shop)) == "no_such_attempt"
    assert await shop.state(attempt) == "sent"


@pytest.mark.parametrize("key", ["", "payment-", "order-7", f"payment-{UUID(int=7)}"])
async def test_an_event_about_nothing_of_ours_is_kept_and_does_nothing(
    shop: Shop, key: str
) -> None:
    _, attempt = await sent(shop)
    body = paid(attempt).replace(f"payment-{attempt.id}".encode(), key.encode())
    assert await receive(shop, body) == 1
    assert await apply(shop, await the_event(shop)) == "no_such_attempt"
    assert await shop.state(attempt) == "sent"


async def test_an_event_of_what_a_restore_has_made_unsent_is_no_second_charge(shop: Shop) -> None:
    """The provider tells of an attempt that is `ready` here: so it was sent, and ends now."""
    invoice = await shop.sell("pm_sandbox_ok")
    attempt = await shop.begun(invoice)
    await receive(shop, paid(attempt))
    assert await apply(shop, await the_event(shop)) == "moved_to_succeeded"
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert await shop.owner.fetchval("SELECT count(*) FROM contradictions") == 0
    await shop.submit(attempt)
    assert await shop.owner.fetchval("SELECT sum(amount_cents) FROM ledger_entries"
                                     " WHERE account = 'at_provider'") == 1_000  # fmt: skip


async def test_nor_is_one_whose_invoice_was_voided_since(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    attempt = await shop.begun(invoice)
    await shop.change("invoices", invoice, status="voided")
    await receive(shop, paid(attempt))
    assert await apply(shop, await the_event(shop)) == "moved_to_succeeded"
    reasons = await shop.owner.fetch("SELECT reason FROM contradictions")
    assert [row["reason"] for row in reasons] == ["invoice_was_voided"]


async def test_a_removed_account_is_listened_to_for_what_it_has_sent(shop: Shop) -> None:
    invoice, attempt = await sent(shop)
    await shop.owner.execute("UPDATE provider_accounts SET deleted_at = now()")
    assert await receive(shop, paid(attempt)) == 1
    assert await apply(shop, await the_event(shop)) == "moved_to_succeeded"
    assert await shop.shown(invoice) == ("succeeded", 0)


async def test_an_account_added_anew_does_not_hide_the_one_before(shop: Shop) -> None:
    invoice, attempt = await sent(shop)
    await shop.owner.execute("UPDATE provider_accounts SET deleted_at = now()")
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await add_provider_account(
            conn, shop.organization_id, kind="sandbox", code="sandbox", name="Sandbox",
            secrets={"api_key": "sk_sandbox_1", "webhook_secret": "whsec"}, box=BOX,
            account_id=clock.new_id(), now=shop.clock.now(),
        )  # fmt: skip
    assert await receive(shop, paid(attempt)) == 2
    words = [
        await apply(shop, row["id"])
        for row in await shop.owner.fetch("SELECT id FROM provider_events")
    ]
    assert sorted(map(str, words)) == ["moved_to_succeeded", "no_such_attempt"]
    assert await shop.shown(invoice) == ("succeeded", 0)


async def test_what_a_restore_may_have_lost_waits_for_the_end_of_the_quarantine(
    shop: Shop, scout: Pool
) -> None:
    lost = RowKey(shop.organization_id, clock.new_id())
    now = shop.clock.now()
    await hold_all_back(
        shop.pool, scout, because="another_cluster", by="ann", since=now, new_id=clock.new_id,
        now=now,
    )  # fmt: skip
    await receive(shop, paid(lost))
    for _ in range(3):
        assert await apply(shop, await the_event(shop)) is None
        shop.clock.advance(hours=30)
    await shop.owner.execute(
        "UPDATE quarantines SET released_at = now(), released_because = 'by_hand'"
    )
    assert await apply(shop, await the_event(shop)) == "no_such_attempt"
