"""Provider accounts: what is stored of their secrets, and which codes are taken."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.add_provider_account import add_provider_account, open_secrets
from recoup.flows.create_organization import NewOrganization, create_organization
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.refusal import Refused
from recoup.store import db, provider_accounts
from recoup.store.db import Pool
from recoup.store.secret_box import SecretBox, WrongSecretKeyError

BOX = SecretBox.from_text(SecretBox.new_key())
SECRETS = {"secret_key": "sk_test_moon", "webhook_secret": "whsec_sun"}


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


async def add(pool: Pool, tenant: UUID, kind: str = "stripe", code: str = "eu") -> ProviderAccount:
    async with db.transaction(pool, tenants=[tenant]) as conn:
        return await add_provider_account(
            conn, tenant, kind, code, "Europe", SECRETS,
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
        ("paypal", "us", {"kind": ["value_is_invalid"]}),
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
        assert await provider_accounts.by_code(conn, tenant, "stripe", None) == eu
    await add(pool, tenant, code="us")
    async with db.transaction(pool, tenants=[tenant]) as conn:
        assert await provider_accounts.by_code(conn, tenant, "stripe", "eu") == eu
        assert await provider_accounts.by_code(conn, tenant, "stripe", None) is None
        assert await provider_accounts.by_code(conn, tenant, "adyen", "eu") is None
