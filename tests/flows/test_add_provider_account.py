"""Provider accounts: what is stored of their secrets, and which codes are taken."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.add_provider_account import add_provider_account, open_secrets
from recoup.flows.create_organization import NewOrganization, create_organization
from recoup.rules.account_secrets import with_made_up
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.refusal import Refused
from recoup.store import db, provider_accounts
from recoup.store.db import Pool
from recoup.store.secret_box import SecretBox, WrongSecretKeyError
from tests.account_secrets import SECRETS_OF

BOX = SecretBox.from_text(SecretBox.new_key())
SECRETS = SECRETS_OF["stripe"]


@pytest_asyncio.fixture
async def tenant(pool: Pool) -> UUID:
    return await new_tenant(pool)


async def new_tenant(pool: Pool) -> UUID:
    asked = NewOrganization(
        "Acme", clock.new_id(), clock.new_id(), clock.new_id(),
        clock.new_secret("k"), clock.new_secret(""),
    )  # fmt: skip
    await create_organization(pool, asked, box=BOX, now=clock.now())
    return asked.organization_id


async def add(
    pool: Pool, tenant: UUID, kind: str = "stripe", code: str = "eu", **secrets: str
) -> ProviderAccount:
    async with db.transaction(pool, tenants=[tenant]) as conn:
        return await add_provider_account(
            conn, tenant, kind, code, "Europe", {**SECRETS_OF.get(kind, {}), **secrets},
            box=BOX, account_id=clock.new_id(), now=clock.now(),
        )  # fmt: skip


async def test_secrets_are_sealed_and_open_for_their_own_account_only(
    pool: Pool, owner: asyncpg.Connection, tenant: UUID
) -> None:
    added = await add(pool, tenant)
    async with db.transaction(pool, tenants=[tenant]) as conn:
        found = (await provider_accounts.by_ids(conn, [added.key]))[added.key]
    assert found == added
    assert open_secrets(found, BOX) == SECRETS
    assert b"moon" not in await owner.fetchval("SELECT secrets_sealed FROM provider_accounts")
    other = await add(pool, tenant, code="us")
    await owner.execute(
        "UPDATE provider_accounts SET secrets_sealed = $1 WHERE id = $2",
        added.secrets_sealed, other.id,
    )  # fmt: skip
    async with db.transaction(pool, tenants=[tenant]) as conn:
        swapped = (await provider_accounts.by_ids(conn, [other.key]))[other.key]
    with pytest.raises(WrongSecretKeyError):
        open_secrets(swapped, BOX)


@pytest.mark.parametrize(
    ("kind", "code", "details"),
    [
        ("sandbox", "eu", {"code": ["value_already_exist"]}),
        ("paypal", "us", {"provider_type": ["value_is_invalid"]}),
        ("adyen", " ", {"code": ["value_is_mandatory"]}),
    ],
)
async def test_a_refused_account_is_not_stored(
    pool: Pool, owner: asyncpg.Connection, tenant: UUID, kind: str, code: str, details: Any
) -> None:
    await add(pool, tenant)
    with pytest.raises(Refused) as refused:
        await add(pool, tenant, kind, code)
    assert refused.value.refusal.details == details
    assert await owner.fetchval("SELECT count(*) FROM provider_accounts") == 1


async def test_codes_belong_to_a_tenant_and_are_free_again_after_deletion(
    pool: Pool, owner: asyncpg.Connection, tenant: UUID
) -> None:
    first = await add(pool, tenant)
    await add(pool, await new_tenant(pool))
    await owner.execute("UPDATE provider_accounts SET deleted_at = now() WHERE id = $1", first.id)
    second = await add(pool, tenant)
    async with db.transaction(pool, tenants=[tenant]) as conn:
        assert await provider_accounts.live(conn, tenant) == [second]
        # What was sent to a deleted account is still looked up there.
        assert set(await provider_accounts.by_ids(conn, [first.key, second.key])) == {
            first.key, second.key,
        }  # fmt: skip


async def test_an_account_is_found_by_code_or_as_the_only_one(pool: Pool, tenant: UUID) -> None:
    eu = await add(pool, tenant)
    async with db.transaction(pool, tenants=[tenant]) as conn:
        assert await provider_accounts.of_code(conn, tenant, "stripe", None) == [eu]
    await add(pool, tenant, code="us")
    async with db.transaction(pool, tenants=[tenant]) as conn:
        assert await provider_accounts.of_code(conn, tenant, "stripe", "eu") == [eu]
        assert await provider_accounts.of_code(conn, tenant, "stripe", None) == []
        assert await provider_accounts.of_code(conn, tenant, "adyen", "eu") == []


@pytest.mark.parametrize(
    ("kind", "secrets", "details"),
    [
        ("stripe", {"webhook_secret": ""}, {"webhook_secret": ["value_is_mandatory"]}),
        ("stripe", {"secret_key": "sk_canary\n"}, {"secret_key": ["value_is_invalid"]}),
        ("stripe", {"secret_key": "sk_canary\0"}, {"secret_key": ["value_is_invalid"]}),
        ("stripe", {"secret_key": "sk_canaré"}, {"secret_key": ["value_is_invalid"]}),
        ("stripe", {"secret_key": "canary" * 171}, {"secret_key": ["value_is_too_long"]}),
        ("adyen", {"hmac_key": "canary"}, {"hmac_key": ["value_is_invalid"]}),
        ("adyen", {"live_prefix": "canary.test/"}, {"live_prefix": ["value_is_invalid"]}),
        ("sandbox", {"sk_canary": "x"},
         {"secrets": ["contains unknown names; known are: api_key, webhook_secret,"
                      " previous_webhook_secret"]}),
    ],
    ids=["blank", "newline", "nul", "no_ascii", "too_long", "no_hex", "no_label", "unknown_name"],
)  # fmt: skip
async def test_wrong_secrets_are_named_and_not_repeated(
    pool: Pool, owner: asyncpg.Connection, tenant: UUID, kind: str, secrets: Any, details: Any
) -> None:
    with pytest.raises(Refused) as refused:
        await add(pool, tenant, kind, **secrets)
    assert refused.value.refusal.details == details
    assert "canary" not in f"{refused.value!r} {refused.value.refusal}"
    assert await owner.fetchval("SELECT count(*) FROM provider_accounts") == 0


@pytest.mark.parametrize("kind", sorted(SECRETS_OF))
async def test_each_kind_needs_its_secrets_but_the_sandbox_whose_are_made_up(
    pool: Pool, tenant: UUID, kind: str
) -> None:
    made = with_made_up(kind, {}, clock.new_secret)
    async with db.transaction(pool, tenants=[tenant]) as conn:
        adding = add_provider_account(
            conn, tenant, kind, "eu", "Europe", made,
            box=BOX, account_id=clock.new_id(), now=clock.now(),
        )  # fmt: skip
        if kind == "sandbox":
            kept = open_secrets(await adding, BOX)
            assert kept == made
            assert kept["api_key"].startswith("sk_sandbox_")
        else:
            with pytest.raises(Refused) as refused:
                await adding
            missing = {name: ["value_is_mandatory"] for name in SECRETS_OF[kind]}
            assert refused.value.refusal.details == missing


async def test_who_adds_an_account_is_written_down_without_its_secrets(
    pool: Pool, owner: asyncpg.Connection, tenant: UUID
) -> None:
    added = await add(pool, tenant)
    [entry] = await owner.fetch("SELECT actor, action, object_id, detail FROM audit_log")
    assert tuple(entry)[:3] == ("operator", "payment_provider.added", added.id)
    assert json.loads(entry["detail"]) == {
        "code": "eu", "settings": {}, "secrets_given": ["secret_key", "webhook_secret"],
    }  # fmt: skip
