"""Accounts at one provider share what costs much to make, and nothing that can run out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from recoup import clock
from recoup.flows.add_provider_account import seal_secrets
from recoup.flows.calls_under_way import SLOTS, CallsUnderWay
from recoup.flows.open_provider import Providers
from recoup.providers.protocol import Provider, StoredMethod
from recoup.rules.records.provider_accounts import ProviderAccount, ProviderKind
from tests.conftest import eventually
from tests.flows.cards import StripeBooks
from tests.shop import BOX

IN_TIME_SECONDS = 5.0  # less than half of what a call may last


class HalfSilent(StripeBooks):
    """Stripe that answers the calls of one key, and nobody else's."""

    def __init__(self) -> None:
        super().__init__()
        self.hanging = 0
        self.let_go = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] != "Bearer sk_test_quick":
            self.hanging += 1
            await self.let_go.wait()
        return await super().answer(request)


@asynccontextmanager
async def half_silent() -> AsyncIterator[HalfSilent]:
    stripe = HalfSilent()
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", stripe.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stripe.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stripe
    finally:
        stripe.let_go.set()
        await runner.cleanup()


def account(providers: Providers, secret_key: str) -> Provider:
    """Another tenant's account at Stripe."""
    tenant, account_id = clock.new_id(), clock.new_id()
    secrets = {"secret_key": secret_key, "webhook_secret": "whsec"}
    return providers.of(
        ProviderAccount(
            organization_id=tenant, id=account_id, kind=ProviderKind.STRIPE, code="stripe",
            name="Stripe", created_at=clock.now(),
            secrets_sealed=seal_secrets(secrets, tenant, account_id, BOX),
        )
    )  # fmt: skip


async def test_an_account_with_all_the_calls_it_may_have_leaves_others_their_connections() -> None:
    async with half_silent() as stripe, aiohttp.ClientSession() as http:
        stripe.keep("cus_1", "pm_1")
        providers = Providers(http, BOX, sandbox_base=stripe.base, stripe_base=stripe.base)
        slow, quick = account(providers, "sk_test_slow"), account(providers, "sk_test_quick")
        most = CallsUnderWay(SLOTS).room(object(), now=clock.now())  # type: ignore[arg-type]
        stuck = [asyncio.create_task(slow.find_method("pm_1", None)) for _ in range(most)]

        async def all_hang() -> bool:
            return stripe.hanging == most

        await eventually(all_hang, what="all the calls of one account to hang")
        async with asyncio.timeout(IN_TIME_SECONDS):
            assert isinstance(await quick.find_method("pm_1", None), StoredMethod)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        await providers.close()
