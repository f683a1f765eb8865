"""A whole Stripe for tests: localstripe in its own process, our gate before it, and its payers.

`localstripe` runs the process, for as long as many tests; `stripe_world` empties it, and opens a
gate for one of them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
from aiohttp import web

from tests.providers.stripe_gate import SECRET_KEY, Gate
from tests.providers.stripe_schema import StripeSchema

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Carry: TypeAlias = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]
PROGRAM = Path(__file__).with_name("localstripe_program.py")
PAID, DECLINED, WANTS_PAYER = "4242424242424242", "4000000000000341", "4000002500003155"


@contextmanager
def localstripe() -> Iterator[str]:
    """Run localstripe on a free port of the loopback; yield its address."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout, "it was asked for"
            port = process.stdout.readline().strip()
            assert port.isdecimal(), "localstripe did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


class StripeWorld:
    """What a test does at Stripe that is not the adapter's to do."""

    secret_key = SECRET_KEY

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.base = gate.base

    async def customer(self) -> str:
        """A customer without a method."""
        _, told = await self.gate.ask("POST", "/v1/customers", {"email": "payer@customer.example"})
        return told["id"]

    async def card(
        self, customer_id: str, number: str = PAID, *, decline: Mapping[str, str] | None = None
    ) -> str:
        """A card of a customer. `decline` is what the issuer says where it says no."""
        card = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        _, method = await self.gate.ask(
            "POST", "/v1/payment_methods", {"type": "card", "card": card}
        )
        await self.attach(method["id"], customer_id)
        if decline:
            self.gate.declines[method["id"]] = decline
        return method["id"]

    async def attach(self, method_id: str, customer_id: str) -> None:
        """Give a method to a customer."""
        status, _ = await self.gate.ask(
            "POST", f"/v1/payment_methods/{method_id}/attach", {"customer": customer_id}
        )
        assert status == 200, "localstripe does not attach it"
        self.gate.methods.setdefault(customer_id, []).append(method_id)

    async def detach(self, method_id: str) -> None:
        """Take a method away from its customer."""
        await self.gate.ask("POST", f"/v1/payment_methods/{method_id}/detach", {})

    async def charges(self) -> list[dict[str, Any]]:
        """The payment intents in localstripe's books, oldest first."""
        return await self._books("payment_intents")

    async def refunds(self) -> list[dict[str, Any]]:
        """The refunds in localstripe's books, oldest first."""
        return sorted(await self._books("refunds"), key=lambda one: one["created"])

    async def _books(self, kind: str) -> list[dict[str, Any]]:
        _, told = await self.gate.ask("GET", f"/v1/{kind}?limit=1000000", {})
        assert not told["has_more"]
        return told["data"]


@asynccontextmanager
async def stripe_world(
    localstripe_base: str, description: Path | None, *, wire: Carry | None = None
) -> AsyncIterator[StripeWorld]:
    """Empty localstripe, and open a gate before it, which checks by Stripe's `description`.

    `wire` carries each call to the gate and its answer back, and may break either.
    """
    async with aiohttp.ClientSession() as http:
        async with http.delete(f"{localstripe_base}/_config/data") as answer:
            assert answer.status == 200
        gate = Gate(localstripe_base, http, StripeSchema(description) if description else None)
        app = gate.app()
        if wire is not None:
            app.middlewares.append(web.middleware(partial(wire)))  # it marks a function, no method
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        gate.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield StripeWorld(gate)
        finally:
            await runner.cleanup()
