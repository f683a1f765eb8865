"""Who may call: a key that is known, not revoked, and not past its end (contract section 1.2)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from recoup import clock
from recoup.flows.manage_keys import revoke_key
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused, not_found
from recoup.store import api_keys, db
from recoup.store.db import Pool
from tests.api.conftest import Tenant

MINUTE = timedelta(minutes=1)
WELCOME = 200, None
REFUSED = 401, b'{"status":401,"error":"Unauthorized"}'


async def new_key(tenant: Tenant, pool: Pool, *, ends: timedelta | None = None) -> tuple[UUID, str]:
    """Another key of the tenant, and its id; it ends that long from now, or never."""
    key_id, key, now = clock.new_id(), clock.new_secret("recoup_"), clock.now()
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await api_keys.insert(
            conn, tenant.organization_id, key_id, key, name="another",
            expires_at=now + ends if ends else None, now=now,
        )  # fmt: skip
    return key_id, key


async def shown(tenant: Tenant, authorization: str | None) -> tuple[int, bytes | None]:
    """The status of a call that shows this, and the bytes of a refusal."""
    request = tenant.client.build_request("GET", "/api/v1/organizations")
    del request.headers["authorization"]
    if authorization is not None:
        request.headers["authorization"] = authorization
    answer = await tenant.client.send(request)
    if answer.status_code == 200:
        assert answer.json()["organization"]["lago_id"] == str(tenant.organization_id)
    return answer.status_code, None if answer.status_code == 200 else answer.content


async def revoke(pool: Pool, key: RowKey) -> None:
    await revoke_key(pool, key, by="ann", audit_id=clock.new_id(), now=clock.now())


async def test_a_revoked_key_is_refused_at_the_next_call(tenant: Tenant, pool: Pool) -> None:
    key_id, key = await new_key(tenant, pool)
    assert await shown(tenant, f"Bearer {key}") == WELCOME
    await revoke(pool, RowKey(tenant.organization_id, key_id))
    assert await shown(tenant, f"Bearer {key}") == REFUSED
    assert await shown(tenant, f"Bearer {tenant.api_key}") == WELCOME, "the others are as they were"


@pytest.mark.parametrize(("ends", "expected"), [(-MINUTE, REFUSED), (MINUTE, WELCOME)])
async def test_a_key_is_good_until_its_end(
    tenant: Tenant, pool: Pool, ends: timedelta, expected: tuple[int, bytes | None]
) -> None:
    _, key = await new_key(tenant, pool, ends=ends)
    assert await shown(tenant, f"Bearer {key}") == expected


async def test_nobody_revokes_another_tenants_key(
    tenant: Tenant, other_tenant: Tenant, pool: Pool
) -> None:
    key_id, key = await new_key(tenant, pool)
    for unknown in (key_id, clock.new_id()):
        with pytest.raises(Refused) as refused:
            await revoke(pool, RowKey(other_tenant.organization_id, unknown))
        assert refused.value.refusal == not_found("api_key")
    assert await shown(tenant, f"Bearer {key}") == WELCOME


@pytest.mark.parametrize(
    "authorization", ["Bearer {key}", "bearer {key}", "Token {key}", "{key} {key}",
                      "Bearer {key} and more", "Bearer   {key}"],
)  # fmt: skip
async def test_the_second_word_is_the_key_whatever_the_others_are(
    tenant: Tenant, authorization: str
) -> None:
    assert await shown(tenant, authorization.format(key=tenant.api_key)) == WELCOME


@pytest.mark.parametrize(
    "authorization", [None, "", "{key}", "Bearer", "Bearer more {key}", "Bearer {key}x",
                      "Bearer recoup_of_nobody", "Bearer {id}"],
)  # fmt: skip
async def test_without_a_key_that_we_know_nothing_is_answered(
    tenant: Tenant, authorization: str | None
) -> None:
    words = {"key": tenant.api_key, "id": tenant.organization_id}
    assert await shown(tenant, authorization and authorization.format(**words)) == REFUSED
