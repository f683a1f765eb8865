"""`POST /webhooks/{provider}/{organization_id}?code=…` on the wire (contract section 6)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import httpx
import msgspec
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.add_provider_account import add_provider_account
from recoup.flows.apply_event import apply_event
from recoup.flows.open_provider import Providers
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Pool
from tests.account_secrets import spoiled
from tests.api.billing import count
from tests.api.conftest import BOX, Tenant
from tests.flows.test_provider_events import paid, signature
from tests.own_shop import NOWHERE
from tests.shop import MovableClock, Shop

NOBODYS = UUID("00000000-0000-7000-8000-00000000abcd")
OURS, THEIRS = "whsec_ours", "whsec_theirs"
NOT_TAKEN = 400, b'{"status":400,"error":"Bad Request"}'


class Sender(msgspec.Struct, frozen=True):
    """Whoever calls the address that a provider is given: without a key."""

    client: httpx.AsyncClient
    tenant: UUID

    async def send(
        self,
        body: bytes,
        *,
        to: object = None,
        kind: str = "sandbox",
        code: str | None = "sandbox",
        secret: str = OURS,
        late: timedelta = timedelta(),
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send an event; signed with `secret`, unless `headers` are given."""
        signed = signature(body, secret=secret, at=int((clock.now() - late).timestamp()))
        return await self.client.post(
            f"/webhooks/{kind}/{to or self.tenant}",
            params={"code": code} if code else {},
            content=body,
            headers=signed if headers is None else headers,
        )


@pytest_asyncio.fixture
async def shop(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> AsyncIterator[Shop]:
    """The tenant as a shop that sells through the sandbox, as the other tenant does."""
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base=NOWHERE)
        shop = Shop(pool, owner, providers, MovableClock(clock.now()))
        shop.organization_id = tenant.organization_id
        shop.entity_id = await owner.fetchval(
            "SELECT id FROM billing_entities WHERE organization_id = $1", tenant.organization_id
        )
        await add_account(pool, tenant, shop.account_id, OURS)
        await add_account(pool, other_tenant, clock.new_id(), THEIRS)
        yield shop


async def add_account(
    pool: Pool, tenant: Tenant, account_id: UUID, secret: str, code: str = "sandbox"
) -> None:
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await add_provider_account(
            conn, tenant.organization_id, kind="sandbox", code=code, name="Sandbox",
            secrets={"api_key": "sk", "webhook_secret": secret}, box=BOX, account_id=account_id,
            now=clock.now(),
        )  # fmt: skip


@pytest_asyncio.fixture
async def provider(app: Any, tenant: Tenant) -> AsyncIterator[Sender]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://recoup.test") as client:
        yield Sender(client, tenant.organization_id)


async def sent(shop: Shop) -> RowKey:
    """An attempt that was sent and has not been answered."""
    attempt = await shop.begun(await shop.sell("pm_sandbox_ok"))
    await shop.sending.ask(attempt)
    return attempt


async def apply(shop: Shop) -> list[str | None]:
    """Apply every event that is kept, as the worker does; answer what each did."""
    kept = await shop.owner.fetch("SELECT organization_id, id FROM provider_events")
    return [
        await apply_event(
            shop.pool,
            shop.providers,
            RowKey(*event),
            jitter=timedelta(),
            new_id=clock.new_id,
            now=clock.now(),
        )
        for event in kept
    ]


async def test_an_event_is_answered_at_once_kept_once_and_applied_later(
    shop: Shop, provider: Sender
) -> None:
    attempt = await sent(shop)
    for _ in range(2):
        answer = await provider.send(paid(attempt))
        assert (answer.status_code, answer.content) == (200, b"")
    assert await shop.state(attempt) == "sent", "someone else's request is no place to think"
    [event] = await shop.owner.fetch("SELECT id, body FROM provider_events")
    assert event["body"] == paid(attempt).decode()
    promised = await shop.owner.fetch(
        "SELECT payload FROM pgqueuer WHERE entrypoint = 'apply_event'"
    )
    assert [job["payload"].decode() for job in promised] == [f"{provider.tenant}/{event['id']}"]
    assert await apply(shop) == ["moved_to_succeeded"]
    assert await shop.state(attempt) == "succeeded"


async def test_whoever_is_not_the_provider_gets_one_answer_and_nothing_is_kept(
    shop: Shop, provider: Sender, other_tenant: Tenant
) -> None:
    body, theirs = paid(await sent(shop)), other_tenant.organization_id
    before = [dict(row) for row in await shop.owner.fetch("SELECT * FROM payments")]
    answers = {
        "no signature": await provider.send(body, headers={}),
        "no signature that can be read": await provider.send(
            body, headers={"sandbox-signature": "t=now,v1=yes"}
        ),
        "a forged one": await provider.send(body, secret="whsec_guessed"),
        "one of another body": await provider.send(
            body, headers=signature(b"{}", secret=OURS, at=int(clock.now().timestamp()))
        ),
        "an old one": await provider.send(body, late=timedelta(minutes=6)),
        "another tenant's": await provider.send(body, secret=THEIRS),
        "ours, to another tenant": await provider.send(body, to=theirs),
        "ours, to nobody": await provider.send(body, to=NOBODYS),
        "ours, to no id": await provider.send(body, to="acme"),
        "ours, to an unknown account": await provider.send(body, code="unknown"),
        "ours, by another provider's name": await provider.send(body, kind="stripe"),
        "ours, and no event": await provider.send(b"[]"),
    }
    wanted = answers["a forged one"].headers
    for how, answer in answers.items():
        assert (answer.status_code, answer.content) == NOT_TAKEN, how
        assert answer.headers == wanted, how
    assert await count(shop.owner, "provider_events") == 0
    assert await count(shop.owner, "pgqueuer WHERE entrypoint = 'apply_event'") == 0
    assert [dict(row) for row in await shop.owner.fetch("SELECT * FROM payments")] == before


async def test_an_event_about_another_tenants_attempt_is_about_nothing(
    shop: Shop, provider: Sender, other_tenant: Tenant
) -> None:
    attempt = await sent(shop)
    there = other_tenant.organization_id
    for number, named in enumerate([attempt, RowKey(there, NOBODYS)]):
        body = paid(named, event=f"evt_{number}")
        answer = await provider.send(body, to=there, secret=THEIRS)
        assert (answer.status_code, answer.content) == (200, b"")
    assert await apply(shop) == ["no_such_attempt"] * 2
    assert await shop.state(attempt) == "sent"


@pytest.mark.parametrize(("accounts", "status"), [(1, 200), (2, 400)])
async def test_the_code_may_be_left_out_where_there_is_one_account(
    accounts: int, status: int, shop: Shop, provider: Sender, tenant: Tenant, pool: Pool
) -> None:
    if accounts == 2:
        await add_account(pool, tenant, clock.new_id(), OURS, code="second")
    answer = await provider.send(paid(await sent(shop)), code=None)
    assert answer.status_code == status


async def test_the_body_is_kept_to_the_letter(shop: Shop, provider: Sender) -> None:
    """Its signature is of these bytes, and whoever asks what was told wants to see them."""
    spaced = json.dumps(json.loads(paid(await sent(shop))), indent=3).encode()
    assert (await provider.send(spaced)).status_code == 200
    assert await shop.owner.fetchval("SELECT body FROM provider_events") == spaced.decode()


async def test_no_webhook_secret_ends_before_somebody_says_that_it_is_over(
    shop: Shop, provider: Sender, tenant: Tenant
) -> None:
    attempt = await sent(shop)
    second, third, fourth = (f"{OURS}_{number}" for number in (2, 3, 4))

    async def change(**fields: Any) -> httpx.Response:
        path = f"/payment_providers/{shop.account_id}"
        return await tenant.put(path, {"payment_provider": fields})

    async def believed() -> list[str]:
        answers = {
            secret: await provider.send(paid(attempt, event=str(clock.new_id())), secret=secret)
            for secret in (OURS, second, third, fourth)
        }
        assert {answer.status_code for answer in answers.values()} <= {200, 400}
        return [secret for secret, answer in answers.items() if answer.status_code == 200]

    assert (await change(secrets={"webhook_secret": second})).status_code == 200
    assert await believed() == [OURS, second]
    refused = await change(secrets={"webhook_secret": third})
    assert refused.status_code == 422
    [why] = refused.json()["error_details"].pop("webhook_secret")
    assert "drop_previous_secret" in why
    assert OURS not in refused.text
    assert await believed() == [OURS, second], "the provider may still sign with the first"
    changed = await change(secrets={"webhook_secret": third}, drop_previous_secret=True)
    assert changed.json()["payment_provider"]["previous_secret_is_good"] is True
    assert await believed() == [second, third], "what was in force is not over by that"
    assert (await change(drop_previous_secret=True)).status_code == 200
    assert await believed() == [third]


async def test_an_event_for_secrets_that_do_not_open_is_to_come_again(
    shop: Shop, provider: Sender, tenant: Tenant, pool: Pool
) -> None:
    body, account = paid(await sent(shop)), RowKey(provider.tenant, shop.account_id)
    kept = await shop.owner.fetchval(
        "SELECT secrets_sealed FROM provider_accounts WHERE id = $1", shop.account_id
    )
    await shop.change("provider_accounts", account, secrets_sealed=spoiled(kept))
    for secret in (OURS, "whsec_guessed"):
        answer = await provider.send(body, secret=secret)
        assert (answer.status_code, answer.json()) == (
            503, {"status": 503, "error": "Service Unavailable", "code": "secrets_do_not_open"},
        )  # fmt: skip
    assert await count(shop.owner, "provider_events") == 0
    await shop.change("provider_accounts", account, deleted_at=clock.now())
    await add_account(pool, tenant, clock.new_id(), OURS)  # in its place, with the same secret
    assert (await provider.send(body)).status_code == 200
    forged = await provider.send(body, secret="whsec_guessed")
    assert forged.status_code == 503, "the removed one may know it"
