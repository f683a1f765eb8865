"""A key that its provider refuses is nobody's decline: who would be charged waits for another."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import httpx
import pytest
import structlog

from recoup import clock
from recoup.api.app import make_app
from recoup.api.edge import Edge
from recoup.flows.manage_keys import create_key
from recoup.flows.manage_provider_accounts import (
    AccountChange,
    change_provider_account,
    try_new_secrets,
)
from recoup.flows.note_outcome import note_outcome
from recoup.flows.reports import Report, Settled
from recoup.flows.submit_refund import submit_refund
from recoup.flows.sweep import sweep
from recoup.providers.protocol import Lost
from recoup.rules.provider_key import TRY_EVERY
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Pool
from tests.flows.test_provider_pace import another_provider, begin, due, ready, states
from tests.flows.test_submit_refund import surprise
from tests.shop import BOX, SandboxServer, Shop

ERROR: Final = "payment_provider.error"


async def refused_at(shop: Shop) -> object:
    return await shop.owner.fetchval("SELECT key_refused_at FROM provider_health")


async def refused(shop: Shop) -> RowKey:
    """An attempt whose charge was refused for the key."""
    async with another_provider(shop, 401):
        [key] = await ready(shop, 1)
        await shop.submit(key)
    return key


async def test_it_waits_and_is_nobodys_decline(shop: Shop, psp: SandboxServer) -> None:
    key = await refused(shop)
    row = await shop.row("payments", key)
    assert (row["state"], row["look_up_at"]) == ("ready", None)
    assert row["send_at"] == shop.clock.now() + TRY_EVERY
    assert await shop.words() == [ERROR]
    assert await refused_at(shop) == shop.clock.now()
    waiting = await ready(shop, 10)
    assert await begin(shop, waiting) == 0
    assert await states(shop) == {"ready": 11}


async def test_its_organization_is_told_once_however_many_find_out_at_once(
    shop: Shop, psp: SandboxServer
) -> None:
    other = await Shop(shop.pool, shop.owner, shop.providers, shop.clock).open()
    for one in (shop, other):
        await shop.owner.execute(
            "INSERT INTO webhook_endpoints (organization_id, id, webhook_url, created_at)"
            " VALUES ($1, $2, 'https://example.com/hook', $3)",
            one.organization_id, clock.new_id(), shop.clock.now(),
        )  # fmt: skip
    account = RowKey(shop.organization_id, shop.account_id)
    refusal = Lost("authentication_error", key_refused=True)
    # A moment apart, as real calls are: the event's name is made of its time.
    moments = [shop.clock.now() + timedelta(microseconds=one) for one in range(10)]
    await asyncio.gather(
        *(
            note_outcome(shop.pool, account, refusal, was_troubled=False, now=moment)
            for moment in moments
        )
    )
    assert await shop.told() == [
        (
            ERROR,
            {
                "lago_payment_provider_id": str(shop.account_id),
                "payment_provider_code": "sandbox",
                "payment_provider_name": "Sandbox",
                "source": "sandbox",
                "action": "payment_provider.authenticate",
                "provider_error": {
                    "message": "The provider refuses our key."
                    " Charges and refunds wait until it is taken.",
                    "code": "key_refused",
                },
            },
        )
    ]
    hearers = await shop.owner.fetch("SELECT organization_id FROM webhook_deliveries")
    assert [row["organization_id"] for row in hearers] == [shop.organization_id]
    promised = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'deliver_webhook'"
    assert await shop.owner.fetchval(promised) == 1


async def test_it_is_told_again_only_after_the_key_was_taken(
    shop: Shop, psp: SandboxServer
) -> None:
    key = await refused(shop)
    async with another_provider(shop, 401) as calls:
        for _ in range(3):
            shop.clock.advance(seconds=TRY_EVERY.total_seconds())
            await shop.submit(key)
        assert len(calls) == 3
    assert await shop.words() == [ERROR]
    shop.clock.advance(seconds=TRY_EVERY.total_seconds())
    await shop.submit(key)
    assert await refused_at(shop) is None
    shop.clock.advance(minutes=1)
    await refused(shop)
    assert (await shop.words()).count(ERROR) == 2


async def test_that_another_key_is_refused_too_is_told(shop: Shop, psp: SandboxServer) -> None:
    key = await refused(shop)
    await change(shop, AccountChange(by="ann", secrets={"api_key": "sk_sandbox_next"}))
    shop.clock.advance(seconds=1)
    async with another_provider(shop, 401):
        await shop.submit(key)
    assert await shop.words() == [ERROR, ERROR]


async def test_one_call_now_and_then_tries_the_key(shop: Shop, psp: SandboxServer) -> None:
    key = await refused(shop)
    waiting = [key, *await ready(shop, 10)]
    async with another_provider(shop, 401) as calls:
        for tries in range(1, 4):
            shop.clock.advance(seconds=TRY_EVERY.total_seconds())
            for one in waiting:
                await shop.submit(one)
            assert len(calls) == tries
    assert await states(shop) == {"ready": 11}
    shop.clock.advance(seconds=TRY_EVERY.total_seconds())
    await shop.submit(waiting[0])
    assert await refused_at(shop) is None
    for one in await due(shop):
        await shop.submit(one)
    assert await states(shop) == {"succeeded": 11}
    assert len(await psp.charges()) == 11


async def change(shop: Shop, asked: AccountChange) -> None:
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await change_provider_account(conn, shop.organization_id, "sandbox", asked, box=BOX,
                                      audit_id=clock.new_id(), now=shop.clock.now())  # fmt: skip
    account = RowKey(shop.organization_id, shop.account_id)
    await try_new_secrets(shop.pool, account, asked.secrets, now=shop.clock.now())


async def test_another_key_is_tried_at_once(shop: Shop, psp: SandboxServer, scout: Pool) -> None:
    await refused(shop)
    await shop.owner.execute("DELETE FROM pgqueuer")
    await change(shop, AccountChange(by="ann", secrets={"api_key": "sk_sandbox_next"}))
    assert await refused_at(shop) is None
    await sweep(shop.pool, scout, new_id=clock.new_id, now=shop.clock.now())
    promised = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'submit_attempt'"
    assert await shop.owner.fetchval(promised) == 1
    [key] = await due(shop)
    await shop.submit(key)
    assert await states(shop) == {"succeeded": 1}


@pytest.mark.parametrize(
    "asked",
    [
        AccountChange(by="ann", secrets={"webhook_secret": "whsec_3"}, drops_previous=True),
        AccountChange(by="ann", drops_previous=True),
        AccountChange(by="ann", name="Play"),
    ],
    ids=["new_webhook_secret", "drops_previous", "name"],
)
async def test_what_makes_no_call_is_no_other_key(shop: Shop, asked: AccountChange) -> None:
    await change(shop, AccountChange(by="ann", secrets={"webhook_secret": "whsec_2"}))
    key = await refused(shop)
    waiting = (await shop.row("payments", key))["send_at"]
    await change(shop, asked)
    await change(shop, AccountChange(by="ann", secrets={"api_key": shop.api_key}))  # the same
    assert await refused_at(shop) is not None
    assert (await shop.row("payments", key))["send_at"] == waiting


async def test_another_key_that_is_given_over_the_api_is_tried_at_once(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    key = await refused(shop)
    assert await due(shop) == []
    secret = clock.new_secret("recoup_")
    await create_key(shop.pool, shop.organization_id, key_id=clock.new_id(), key=secret, name="",
                     expires_at=None, by="ann", audit_id=clock.new_id(),
                     now=shop.clock.now())  # fmt: skip
    edge = Edge(shop.pool, scout=scout, providers=shop.providers,
                now=shop.clock.now, new_id=clock.new_id)  # fmt: skip
    transport = httpx.ASGITransport(make_app(edge, servers=[]))
    async with httpx.AsyncClient(transport=transport, base_url="http://recoup.test") as caller:
        answer = await caller.put(
            f"/api/v1/payment_providers/{shop.account_id}",
            json={"payment_provider": {"secrets": {"api_key": clock.new_secret("sk_sandbox_")}}},
            headers={"Authorization": f"Bearer {secret}"},
        )
    assert answer.status_code == 200, answer.text
    assert await refused_at(shop) is None
    assert await due(shop) == [key]


async def test_after_a_lost_call_it_says_nothing_of_that(shop: Shop, psp: SandboxServer) -> None:
    """The first call may have got in: a refused re-send leaves it unknown, whatever the key."""
    [key] = await ready(shop, 1)
    await psp.faults("drop_after=1")
    await shop.submit(key)
    await psp.faults("")
    shop.clock.advance(minutes=1)
    async with another_provider(shop, 401):
        await shop.look_up(key)
    assert await states(shop) == {"unknown": 1}
    shop.clock.advance(minutes=5)
    await shop.look_up(key)
    assert await states(shop) == {"succeeded": 1}
    assert len(await psp.charges()) == 1
    assert await refused_at(shop) is None


async def test_what_is_looked_up_already_is_not_taken_back(shop: Shop) -> None:
    """Whoever looks it up may have sent it again: it stays unknown."""
    [key] = await ready(shop, 1)
    async with another_provider(shop, 401):
        begun = await shop.sending.ask(key)
        await shop.change("payments", key, state="unknown")

        class Late:
            """A batch that was committed before somebody else looked the attempt up."""

            async def ask(self, _attempt: RowKey) -> object:
                return begun

        shop.sending = Late()
        await shop.submit(key)
    assert await states(shop) == {"unknown": 1}


async def test_a_look_up_sends_nothing_of_what_was_taken_back_meanwhile(
    shop: Shop, psp: SandboxServer
) -> None:
    """The first call ends late, in a refused key: it is ready, and whoever sends it asks anew."""
    [key] = await ready(shop, 1)
    await shop.sending.ask(key)

    class Overtaken:
        """Settles what is said after the first call has ended."""

        async def ask(self, report: Report) -> Settled:
            await shop.change("payments", key, state="ready", look_up_at=None)
            return await settling.ask(report)

    settling, shop.settling = shop.settling, Overtaken()
    await shop.look_up(key)
    assert await states(shop) == {"ready": 1}
    assert await psp.charges() == []


async def test_a_refund_waits_as_well(shop: Shop, psp: SandboxServer) -> None:
    refund = await surprise(shop)
    async with another_provider(shop, 401):
        await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    row = await shop.row("refunds", refund)
    assert (row["state"], row["send_at"]) == ("ready", shop.clock.now() + TRY_EVERY)
    shop.clock.advance(seconds=TRY_EVERY.total_seconds())
    await submit_refund(shop.pool, shop.providers, refund, now=shop.clock.now)
    assert (await shop.row("refunds", refund))["state"] == "succeeded"
    assert await refused_at(shop) is None


async def test_it_is_said_once_per_change(shop: Shop, psp: SandboxServer) -> None:
    with structlog.testing.capture_logs() as said:
        key = await refused(shop)
        async with another_provider(shop, 401):
            for _ in range(3):
                shop.clock.advance(seconds=TRY_EVERY.total_seconds())
                await shop.submit(key)
        shop.clock.advance(seconds=timedelta(minutes=5).total_seconds())
        await shop.submit(key)
    events = [one["event"] for one in said]
    assert events == ["provider_refuses_key", "provider_takes_key_again"]


async def test_health_and_metrics_tell_the_two_troubles_apart(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    await refused(shop)
    edge = Edge(shop.pool, scout=scout, providers=shop.providers,
                now=shop.clock.now, new_id=clock.new_id)  # fmt: skip
    transport = httpx.ASGITransport(make_app(edge, servers=[]))
    async with httpx.AsyncClient(transport=transport, base_url="http://recoup.test") as visitor:
        health, figures = await visitor.get("/health"), (await visitor.get("/metrics")).text
        assert health.status_code == 200
        refuses = "1 accounts at sandbox are left alone: it refuses our key."
        assert health.json()["details"] == refuses
        assert 'recoup_provider_keys_refused{provider="sandbox"} 1.0' in figures
        assert 'recoup_provider_accounts_down{provider="sandbox"} 0.0' in figures
        await shop.owner.execute("UPDATE provider_health SET open_until = now()")
        down = "1 accounts at sandbox are left alone: it does not answer."
        assert (await visitor.get("/health")).json()["details"] == f"{down} {refuses}"
        await shop.owner.execute("UPDATE provider_accounts SET deleted_at = now()")
        assert "details" not in (await visitor.get("/health")).json(), "nobody calls it any more"
        figures = (await visitor.get("/metrics")).text
        assert 'recoup_provider_keys_refused{provider="sandbox"} 0.0' in figures
        assert 'recoup_provider_accounts_down{provider="sandbox"} 0.0' in figures
