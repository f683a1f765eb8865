"""The sandbox is told where an account's events go, by an address that leads back to it."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import aiohttp

from recoup import clock
from recoup.flows.add_provider_account import add_provider_account, open_secrets
from recoup.flows.open_provider import Providers
from recoup.flows.register_sandbox_webhooks import AGAIN_AFTER, register_sandbox_webhooks
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.db import Pool
from recoup.store.secret_box import SecretBox
from tests.shop import BOX, SandboxServer, Shop

OTHER_BOX = SecretBox.from_text(SecretBox.new_key())
ODD_CODE = "a b&code=c#d+e%20/é"


async def register(
    shop: Shop, scout: Pool, told: dict[RowKey, datetime], providers: Providers | None = None
) -> int:
    return await register_sandbox_webhooks(
        shop.pool, scout, providers or shop.providers, told,
        public_url="http://recoup.test", now=shop.clock.now(),
    )  # fmt: skip


async def endpoints(psp: SandboxServer, api_key: str) -> list[str]:
    headers = {"Authorization": f"Bearer {api_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{psp.base}/v1/webhook_endpoints") as answer,
    ):
        return [one["url"] for one in (await answer.json())["webhook_endpoints"]]


async def test_an_accounts_code_comes_back_as_it_is_however_odd(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        account = await add_provider_account(
            conn, shop.organization_id, kind="sandbox", code=ODD_CODE, name="Odd",
            secrets={"api_key": clock.new_secret("sk_sandbox_"), "webhook_secret": "whsec"},
            box=BOX, account_id=clock.new_id(), now=shop.clock.now(),
        )  # fmt: skip
    told: dict[RowKey, datetime] = {}
    assert await register(shop, scout, told) == 0
    [url] = await endpoints(psp, open_secrets(account, BOX)["api_key"])
    assert urlsplit(url).path == f"/webhooks/sandbox/{shop.organization_id}"
    assert parse_qs(urlsplit(url).query) == {"code": [ODD_CODE]}
    assert len(told) == 2


async def test_one_that_was_not_told_is_told_again_and_the_others_now_and_then(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    told: dict[RowKey, datetime] = {}
    async with aiohttp.ClientSession() as http:
        nobody = Providers(http, BOX, sandbox_base="http://127.0.0.1:9")
        assert await register(shop, scout, told, nobody) == 1
        assert told == {}
        assert await register(shop, scout, told) == 0
        assert await register(shop, scout, told, nobody) == 0  # told already: nobody is asked
        shop.clock.advance(seconds=AGAIN_AFTER.total_seconds())
        assert await register(shop, scout, told, nobody) == 1


async def test_one_whose_secrets_do_not_open_keeps_nobody_from_being_told(
    shop: Shop, psp: SandboxServer, scout: Pool
) -> None:
    for code, box in (("before", OTHER_BOX), ("after", BOX)):
        async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
            await add_provider_account(
                conn, shop.organization_id, kind="sandbox", code=code, name=code,
                secrets={"api_key": shop.api_key, "webhook_secret": "whsec"},
                box=box, account_id=clock.new_id(), now=shop.clock.now(),
            )  # fmt: skip
    told: dict[RowKey, datetime] = {}
    assert await register(shop, scout, told) == 1
    assert len(told) == 2
