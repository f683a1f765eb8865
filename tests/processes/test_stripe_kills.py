"""Stripe's SDK on a bad wire, and a service that is killed: one charge per invoice, none lost.

localstripe keeps the books, behind a gate that keeps idempotency keys. Its webhooks go nowhere, so
what became of a lost answer is told by look-ups and re-sends alone.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from aiohttp import web

from tests.conftest import eventually
from tests.processes.conftest import Installation, Program, Receiver, Tenant, free_port
from tests.processes.rush import SETTLED_WITHIN_SECONDS, Rush, kill_at, moments_of
from tests.providers.stripe_world import (
    DECLINED,
    PAID,
    SECRET_KEY,
    Handler,
    StripeWorld,
    localstripe,
    stripe_world,
)

SEED = 20_270_302
CUSTOMERS = 20
DECLINING = 3  # of them
EACH = 10
INVOICES = CUSTOMERS * EACH
LAST = 10  # of them, that may still be open when the faults end
KILLS_OF_API, KILLS_OF_WORKER = 6, 14
ENDS = ["payment.succeeded", "invoice.payment_failure"]
# A quarter of the calls go wrong, more than half of them after the money has moved.
FAULTS = {
    "drop_before": 0.04, "error_before": 0.03, "rate_limited": 0.03, "drop_after": 0.04,
    "error_after": 0.04, "html_after": 0.02, "truncated_after": 0.03, "hang_after": 0.02,
}  # fmt: skip
FEWEST_FAULTS = 20  # before the money has moved, and as many after
LONGEST_HANG_SECONDS = 30.0  # longer than any call of ours
DESCRIPTION = Path(os.environ.get("RECOUP_SHARED", "../shared")) / "psp/stripe-trim2.json"


class BadWire:
    """Breaks a quarter of the calls on their way to the gate, or of its answers, by chance."""

    def __init__(self, chance: Random) -> None:
        self.struck: Counter[str] = Counter()
        self._chance = chance
        self.open_calls = 0  # come in, and not answered yet
        self._called = asyncio.Event()
        self._is_bad = False
        self._is_over = asyncio.Event()

    def begin(self) -> None:
        """Break calls from now on."""
        self._is_bad = True

    def end(self) -> None:
        """Break nothing from now on, and keep nobody waiting."""
        self._is_bad = False
        self._is_over.set()

    async def is_called(self) -> None:
        """Return when the next call has come in, and is not answered yet."""
        while True:
            self._called.clear()
            await self._called.wait()
            if self.open_calls:
                return

    async def carry(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Carry a call there and back, or not."""
        self._called.set()
        self.open_calls += 1
        try:
            return await self._carry(request, handler)
        finally:
            self.open_calls -= 1

    async def _carry(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = self._drawn() if self._is_bad else None
        if fault is None:
            return await handler(request)
        self.struck[fault] += 1
        if fault == "rate_limited":
            return web.json_response(_error(), status=429)
        answer = await handler(request) if fault.endswith("_after") else None
        match fault:
            case "error_before" | "error_after":
                return web.json_response(_error(), status=500)
            case "html_after":
                return web.Response(text="<p>Maintenance</p>", content_type="text/html")
            case "truncated_after":
                assert isinstance(answer, web.Response)
                assert isinstance(answer.body, bytes)
                broken = web.StreamResponse(headers={"Content-Length": str(len(answer.body))})
                await broken.prepare(request)
                await broken.write(answer.body[: len(answer.body) // 2])
            case "hang_after":
                async with asyncio.timeout(LONGEST_HANG_SECONDS):
                    await self._is_over.wait()
        if request.transport:
            request.transport.abort()
        return web.Response()

    def _drawn(self) -> str | None:
        drawn = self._chance.random()
        for fault, share in FAULTS.items():
            drawn -= share
            if drawn < 0:
                return fault
        return None


@pytest.mark.slow
async def test_kills_and_a_bad_wire_cost_no_charge_at_stripe_and_make_none(
    installation: Installation,
) -> None:
    wire = BadWire(Random(SEED))
    description = DESCRIPTION if DESCRIPTION.exists() else None
    with localstripe() as base:
        async with (
            Receiver.open() as receiver,
            stripe_world(base, description, wire=wire.carry) as stripe,
        ):
            await _kill_while_everybody_asks(installation, receiver, stripe, wire)


async def _kill_while_everybody_asks(
    installation: Installation, receiver: Receiver, stripe: StripeWorld, wire: BadWire
) -> None:
    chance, port = Random(SEED), free_port()
    installation.environment |= {
        "RECOUP_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "RECOUP_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        "RECOUP_STRIPE_API_BASE": stripe.base,
        "RECOUP_STRIPE_SECRET_KEY": SECRET_KEY,
        "RECOUP_STRIPE_WEBHOOK_SECRET": "whsec_of_nobody",
    }
    api = await installation.start("api", "--port", str(port))
    worker = await installation.start("work")
    shop = await installation.new_tenant(api.url, "", kind="stripe")
    try:
        endpoint = {"webhook_url": receiver.url, "event_types": ENDS}
        await shop.post("/webhook_endpoints", {"webhook_endpoint": endpoint})
        pay, fail = await _bill(shop, stripe)
        invoices = pay + fail
        chance.shuffle(invoices)
        wire.begin()
        rush = Rush(shop, api, invoices, at_once=INVOICES)
        async with asyncio.TaskGroup() as together:
            together.create_task(rush.run())
            together.create_task(_kill_under_the_askers(api, rush, chance))
            together.create_task(_kill_in_calls(worker, wire, chance))
        assert rush.unheard, "no kill has hit anybody who was asking"

        async def nearly_all_have_ended() -> bool:
            return await shop.count("succeeded") + await shop.count("failed") >= INVOICES - LAST

        async def all_have_ended() -> bool:
            ended = (await shop.count("succeeded"), await shop.count("failed"))
            return ended == (len(pay), len(fail)) and len(receiver.told) >= INVOICES

        await eventually(
            nearly_all_have_ended,
            within_seconds=2 * SETTLED_WITHIN_SECONDS,
            what=f"all but {LAST} have ended",
        )
        # One in 256 meets four faults in a row, and is asked about once a minute from then on.
        wire.end()
        await eventually(
            all_have_ended, within_seconds=SETTLED_WITHIN_SECONDS, what="every end is told"
        )
        after = sum(times for fault, times in wire.struck.items() if fault.endswith("_after"))
        assert min(after, wire.struck.total() - after) >= FEWEST_FAULTS, wire.struck
        assert wire.struck.keys() == FAULTS.keys(), "one of the faults has never struck"
        ends = [(ENDS[0], rush.attempts[one]) for one in pay]
        ends += [(ENDS[1], rush.attempts[one]) for one in fail]
        assert sorted((told, attempt) for _, told, attempt in receiver.told) == sorted(ends)
        charged = Counter(
            (one["metadata"]["lago_invoice_id"], one["amount"])
            for one in await stripe.charges()
            if one["status"] == "succeeded"
        )
        assert charged == Counter((one, 1_000) for one in pay)
        # A look-up before each re-send hides a key that is drawn anew: the books alone do not tell.
        keys = {f"payment-{attempt}": 1 for attempt in rush.attempts.values()}
        assert stripe.gate.charges_under_key == keys
        assert stripe.gate.complaints == []
    finally:
        await shop.close()
    status, checked = await installation.run("check")
    assert status == 0, checked
    assert (await api.end(), await worker.end()) == (0, 0)


async def _bill(shop: Tenant, stripe: StripeWorld) -> tuple[list[str], list[str]]:
    """Bill every customer; answer the invoices that can be paid, and those that cannot."""
    pay: list[str] = []
    fail: list[str] = []
    for number in range(CUSTOMERS):
        is_declined = number < DECLINING
        theirs = await stripe.customer()
        card = await stripe.card(theirs, DECLINED if is_declined else PAID)
        external_id = f"customer-{number}"
        await shop.customer(external_id, card, provider_customer_id=theirs)
        billed = [await shop.invoice(external_id) for _ in range(EACH)]
        (fail if is_declined else pay).extend(billed)
    return pay, fail


async def _kill_under_the_askers(api: Program, rush: Rush, chance: Random) -> None:
    """Kill the API as soon as it has heard one of those who all ask at once, and again later."""
    async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
        await rush.first_heard.wait()
    await api.kill_and_start_again()
    moments = moments_of(chance, KILLS_OF_API - 1, until=INVOICES // 2)
    await kill_at(api, moments, lambda: rush.heard)


async def _kill_in_calls(worker: Program, wire: BadWire, chance: Random) -> None:
    """Kill the worker in the middle of a call, again and again.

    A call that was cut off is asked about later, so there is always another one to come.
    """
    for _ in range(KILLS_OF_WORKER):
        for _ in range(chance.randrange(1, 9)):
            async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
                await wire.is_called()
        assert wire.open_calls, "the kill is to strike in the middle of a call"
        await worker.kill_and_start_again()


def _error() -> dict[str, object]:
    return {"error": {"type": "api_error", "message": "Trouble."}}
