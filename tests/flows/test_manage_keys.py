"""Keys are changed by what is said of them, and by nothing else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from recoup import clock
from recoup.flows.manage_keys import change_key, create_key, list_keys, revoke_key
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store import api_keys, db
from recoup.store.api_keys import ApiKey, KeyChange
from recoup.store.db import Pool
from tests.conftest import eventually, waiting_for_locks
from tests.shop import Shop

SOON = clock.now().replace(microsecond=0) + timedelta(days=1)


async def new_key(shop: Shop, pool: Pool, **fields: Any) -> RowKey:
    key = RowKey(shop.organization_id, clock.new_id())
    given: dict[str, Any] = {"name": "till", "expires_at": None, "permissions": ["tax:read"],
                             "by": " eve "}  # fmt: skip
    await create_key(
        pool, key.organization_id, key_id=key.id, key=clock.new_secret("recoup_"), now=clock.now(),
        audit_id=clock.new_id(), **given | fields,
    )  # fmt: skip
    return key


async def change(pool: Pool, key: RowKey, *, by: str = "ann", **said: Any) -> ApiKey:
    audit_id, now = clock.new_id(), clock.now()
    return await change_key(pool, key, KeyChange(**said), by=by, audit_id=audit_id, now=now)


async def revoke(pool: Pool, key: RowKey, *, by: str = "bob") -> None:
    await revoke_key(pool, key, by=by, audit_id=clock.new_id(), now=clock.now())


async def kept(pool: Pool, key: RowKey) -> tuple[Any, ...]:
    [one] = [one for one in await list_keys(pool, key.organization_id) if one.id == key.id]
    return one.name, one.expires_at, one.permissions


async def noted(owner: asyncpg.Connection) -> list[asyncpg.Record]:
    return await owner.fetch(
        "SELECT actor, object_id, detail FROM audit_log WHERE action = 'api_key.changed'"
    )


async def test_what_is_said_is_changed_and_the_rest_stays(shop: Shop, pool: Pool) -> None:
    key = await new_key(shop, pool)
    changed = await change(pool, key, expires_at=SOON)
    assert (changed.name, changed.expires_at, changed.permissions) == await kept(pool, key)
    assert await kept(pool, key) == ("till", SOON, ("tax:read",))
    await change(pool, key, permissions=("invoice", "tax:read"))
    assert await kept(pool, key) == (
        "till", SOON, ("invoice:read", "invoice:write", "tax:read"),
    )  # fmt: skip
    await change(pool, key, name="", permissions=None)
    assert await kept(pool, key) == ("", SOON, None)
    await change(pool, key, permissions=(), expires_at=None)
    assert await kept(pool, key) == ("", None, ())


async def test_two_changes_at_once_are_both_kept(
    shop: Shop, pool: Pool, owner: asyncpg.Connection
) -> None:
    key = await new_key(shop, pool)

    async def second_waits() -> bool:
        return await waiting_for_locks(owner) == 1

    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        await api_keys.change(conn, key, KeyChange(name="kiosk"))
        second = asyncio.create_task(change(pool, key, permissions=("fee:read",)))
        await eventually(second_waits, what="the second change waits for the first")
    await second
    assert await kept(pool, key) == ("kiosk", None, ("fee:read",))


async def test_a_change_is_kept_in_the_audit_log(
    shop: Shop, pool: Pool, owner: asyncpg.Connection
) -> None:
    key = await new_key(shop, pool)
    await change(pool, key, by=" ann ", permissions=("tax",), expires_at=SOON)
    [entry] = await noted(owner)
    assert tuple(entry)[:2] == ("ann", key.id)
    for said in ('"tax": ["read", "write"]', f'"expires_at": "{SOON.isoformat()}"'):
        assert said in entry["detail"]
    assert "name" not in entry["detail"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"by": " ", "name": "x"}, "validation_errors"),
        ({"by": "a\0", "name": "x"}, "validation_errors"),
        ({}, "validation_errors"),
        ({"expires_at": clock.now() - timedelta(seconds=1)}, "validation_errors"),
        ({"permissions": ("invoices:read",)}, "validation_errors"),
    ],
)
async def test_a_change_that_says_nothing_or_nonsense_is_refused(
    shop: Shop, pool: Pool, owner: asyncpg.Connection, said: Any, code: str
) -> None:
    key = await new_key(shop, pool)
    with pytest.raises(Refused) as refused:
        await change(pool, key, **said)
    assert refused.value.refusal.code == code
    assert await kept(pool, key) == ("till", None, ("tax:read",))
    assert await noted(owner) == []


async def test_a_key_that_is_revoked_or_anothers_is_not_found_and_nothing_is_noted(
    shop: Shop, pool: Pool, owner: asyncpg.Connection
) -> None:
    key = await new_key(shop, pool)
    await revoke(pool, key)
    for none in (key, RowKey(shop.organization_id, clock.new_id()), RowKey(clock.new_id(), key.id)):
        with pytest.raises(Refused) as refused:
            await change(pool, none, name="mine")
        assert refused.value.refusal.code == "api_key_not_found"
    assert (await kept(pool, key))[0] == "till"
    assert await noted(owner) == []


async def test_who_made_a_key_and_who_revoked_it_is_kept_in_the_audit_log(
    shop: Shop, pool: Pool, owner: asyncpg.Connection
) -> None:
    key = await new_key(shop, pool)
    await revoke(pool, key)
    with pytest.raises(Refused):
        await revoke(pool, key)
    entries = await owner.fetch(
        "SELECT organization_id, actor, action, object_id, detail FROM audit_log"
        " WHERE object_id = $1 ORDER BY at, id", key.id,
    )  # fmt: skip
    assert [tuple(entry)[:4] for entry in entries] == [
        (key.organization_id, "eve", "api_key.created", key.id),
        (key.organization_id, "bob", "api_key.revoked", key.id),
    ]
    assert '"tax": ["read"]' in entries[0]["detail"]


async def test_a_key_is_neither_made_nor_revoked_by_nobody(shop: Shop, pool: Pool) -> None:
    key = await new_key(shop, pool)
    before = await list_keys(pool, shop.organization_id)
    with pytest.raises(Refused) as refused:
        await new_key(shop, pool, by=" ")
    assert refused.value.refusal.code == "validation_errors"
    with pytest.raises(Refused) as refused:
        await revoke(pool, key, by=" ")
    assert refused.value.refusal.code == "validation_errors"
    assert await list_keys(pool, shop.organization_id) == before
