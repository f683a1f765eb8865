"""Everything that is sealed is sealed anew: nothing forgotten, nobody waited for, nothing twice."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from recoup import clock
from recoup.flows import rotate_secret_key
from recoup.flows.add_provider_account import add_provider_account, open_secrets
from recoup.flows.create_organization import NewOrganization, create_organization
from recoup.flows.prepare_installation import SecretKeyChangedError, prepare
from recoup.flows.rotate_secret_key import Resealed, count_left, reseal
from recoup.rules.refusal import Refused
from recoup.store import db, provider_accounts
from recoup.store.db import Pool
from recoup.store.sealed_columns import SEALED
from recoup.store.secret_box import SecretBox

OLD, NEW = SecretBox.new_key(), SecretBox.new_key()
BEFORE, BETWEEN, AFTER = (
    SecretBox.from_text(OLD), SecretBox.from_text(NEW, previous=OLD), SecretBox.from_text(NEW),
)  # fmt: skip
# Bytes that are no sealed values: what was answered under a key, and the job queue's payloads.
OTHER_BYTES = {"idempotency_keys.body", "pgqueuer.payload"}


async def with_tenants(pool: Pool, many: int) -> list[Any]:
    """Organizations with an account each, sealed with the old key; the installation, too."""
    await prepare(pool, box=BEFORE, now=clock.now())
    accounts = []
    for number in range(many):
        asked = NewOrganization(
            f"Shop {number}", clock.new_id(), clock.new_id(), clock.new_id(),
            clock.new_secret("k"), clock.new_secret(""),
        )  # fmt: skip
        await create_organization(pool, asked, box=BEFORE, now=clock.now())
        async with db.transaction(pool, tenants=[asked.organization_id]) as conn:
            account = await add_provider_account(
                conn, asked.organization_id, "sandbox", "eu", "Europe",
                {"api_key": f"moon {number}", "webhook_secret": "sun"},
                box=BEFORE, account_id=clock.new_id(), now=clock.now(),
            )  # fmt: skip
        accounts.append(account)
    return accounts


async def run(pool: Pool, scout: Pool, box: SecretBox = BETWEEN) -> Resealed:
    return await reseal(pool, scout, box=box, by="ops", new_id=clock.new_id, now=clock.now())


async def test_the_list_has_every_column_of_sealed_values(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch(
        """SELECT table_name || '.' || column_name AS name FROM information_schema.columns
            WHERE table_schema = 'public' AND data_type = 'bytea'"""
    )
    assert {row["name"] for row in rows} == {one.name for one in SEALED} | OTHER_BYTES
    named = await owner.fetch(
        """SELECT table_name || '.' || column_name AS name FROM information_schema.columns
            WHERE table_schema = 'public' AND column_name LIKE '%sealed%'"""
    )
    assert {row["name"] for row in named} <= {one.name for one in SEALED}


async def test_all_is_sealed_anew_and_the_old_key_is_needed_no_more(
    pool: Pool, scout: Pool, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotate_secret_key, "TENANTS_AT_ONCE", 2)
    accounts = await with_tenants(pool, 5)
    # A deleted account is still looked up at its provider.
    await owner.execute(
        "UPDATE provider_accounts SET deleted_at = now() WHERE id = $1", accounts[0].id
    )
    assert sum((await count_left(pool, scout, box=BETWEEN)).values()) == 12
    done = await run(pool, scout)
    assert (done.resealed, done.is_done, done.unreadable) == (12, True, ())
    assert set(done.left) == {one.name for one in SEALED}
    installation = await prepare(pool, box=AFTER, now=clock.now())
    assert b"PRIVATE KEY" in AFTER.open(
        installation.jwt_key_sealed, organization_id=None, row=None, field="jwt_key"
    )
    with pytest.raises(SecretKeyChangedError):
        await prepare(pool, box=BEFORE, now=clock.now())
    async with db.transaction(pool, tenants=[one.organization_id for one in accounts]) as conn:
        found = await provider_accounts.by_ids(conn, [one.key for one in accounts])
    for number, account in enumerate(accounts):
        assert open_secrets(found[account.key], AFTER)["api_key"] == f"moon {number}"
    entries = await owner.fetch(
        "SELECT actor, action, detail FROM audit_log WHERE actor <> 'operator'"
    )
    assert len(entries) == 5
    assert {(one["actor"], one["action"]) for one in entries} == {("ops", "secrets.resealed")}
    assert {json.loads(one["detail"])["values"] for one in entries} == {2}
    again = await run(pool, scout)
    assert (again.resealed, again.is_done) == (0, True)
    assert await owner.fetchval("SELECT count(*) FROM audit_log WHERE actor <> 'operator'") == 5


async def test_who_does_not_say_who_they_are_changes_nothing(
    pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    [account] = await with_tenants(pool, 1)
    with pytest.raises(Refused):
        await reseal(pool, scout, box=BETWEEN, by=" ", new_id=clock.new_id, now=clock.now())
    kept = await owner.fetchval("SELECT secrets_sealed FROM provider_accounts")
    assert kept == account.secrets_sealed


async def test_a_row_that_somebody_holds_is_left_and_found_by_the_next_run(
    pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    [account, _] = await with_tenants(pool, 2)
    async with owner.transaction():
        await owner.execute("SELECT 1 FROM provider_accounts WHERE id = $1 FOR UPDATE", account.id)
        done = await run(pool, scout)
        assert (done.resealed, done.is_done) == (5, False)
        assert done.left["provider_accounts.secrets_sealed"] == 1
    done = await run(pool, scout)
    assert (done.resealed, done.is_done) == (1, True)


async def test_what_opens_with_neither_key_is_named_and_keeps_nothing_else(
    pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    [account, other] = await with_tenants(pool, 2)
    await owner.execute(
        "UPDATE provider_accounts SET secrets_sealed = $1 WHERE id = $2",
        other.secrets_sealed, account.id,
    )  # fmt: skip
    done = await run(pool, scout)
    assert done.unreadable == (f"provider_accounts.secrets_sealed of {account.id}",)
    assert (done.resealed, done.is_done) == (5, False)
    kept = await owner.fetchval(
        "SELECT secrets_sealed FROM provider_accounts WHERE id = $1", account.id
    )
    assert kept == other.secrets_sealed


async def test_a_run_that_dies_half_way_is_gone_on_with(
    pool: Pool, scout: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotate_secret_key, "TENANTS_AT_ONCE", 1)
    await with_tenants(pool, 3)
    ids = iter([clock.new_id()])  # the second tenant's entry finds none

    def killed() -> Any:
        return next(ids)

    with pytest.raises(RuntimeError):
        await reseal(pool, scout, box=BETWEEN, by="ops", new_id=killed, now=clock.now())
    left = await count_left(pool, scout, box=BETWEEN)
    assert left["organizations.hmac_key_sealed"] == 2
    assert left["installation.key_check"] == 1
    done = await run(pool, scout)
    assert (done.resealed, done.is_done) == (6, True)
