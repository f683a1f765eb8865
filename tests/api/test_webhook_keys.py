"""The key with which a receiver verifies our webhooks."""

from __future__ import annotations

import base64

import httpx

from recoup import clock
from recoup.flows.prepare_installation import prepare
from recoup.store.db import Pool
from tests.api.conftest import BOX, Tenant


async def test_the_public_key_is_told_in_both_forms(tenant: Tenant, pool: Pool) -> None:
    made = await prepare(pool, box=BOX, now=clock.now())
    as_json = await tenant.get("/webhooks/json_public_key")
    assert list(as_json.json()) == ["webhook"]
    told = as_json.json()["webhook"]["public_key"]
    assert base64.b64decode(told).decode() == made.jwt_public_key
    assert {len(line) for line in told.splitlines()[:-1]} == {60}
    assert told.endswith("\n")
    as_text = await tenant.get("/webhooks/public_key")
    assert as_text.headers["content-type"].startswith("text/plain")
    assert as_text.text == told


async def test_the_public_key_wants_an_api_key(tenant: Tenant) -> None:
    no_key = {"Authorization": ""}
    for name in ["json_public_key", "public_key"]:
        answer: httpx.Response = await tenant.client.get(f"/api/v1/webhooks/{name}", headers=no_key)
        assert answer.status_code == 401
