"""Killed without a warning, again and again: nothing is charged twice, lost, or left untold."""

from __future__ import annotations

import asyncio
import os
import signal
from random import Random

import psutil
import pytest

from tests.conftest import eventually
from tests.processes.conftest import Installation, Receiver, Tenant, free_port
from tests.processes.rush import SETTLED_WITHIN_SECONDS, Rush, kill_at, moments_of

SEED = 20_270_301
INVOICES = 1_000
KILLS_OF_API, KILLS_OF_WORKER = 12, 18
ASKING_AT_ONCE = 16
# A quarter of the calls go wrong, half of them after the money has moved.
FAULTS = (
    "drop_before=0.04,error_before=0.04,rate_limited=0.03,drop_after=0.04,error_after=0.04,"
    "html=0.03,truncated=0.03,hang_after=0.01,slow=0.05,"
    "webhook_drop=0.1,webhook_twice=0.1,webhook_late=0.1,webhook_shuffle=0.1"
)
FEWEST_FAULTS = 150
PAYING = [
    *["pm_sandbox_ok"] * 12,
    *["pm_sandbox_processing_ok"] * 2,
    "pm_sandbox_timeout_charged",
    "pm_sandbox_timeout_not_charged",
    *["pm_sandbox_error_charged"] * 2,
]  # each of them pays in the end
DECLINED = ["pm_sandbox_stolen_card", "pm_sandbox_processing_fail"]  # and neither of these
METHODS = PAYING + DECLINED
PAID = INVOICES * len(PAYING) // len(METHODS)
ENDS = ["payment.succeeded", "invoice.payment_failure"]


@pytest.mark.slow
async def test_kills_and_faults_cost_no_charge_and_make_none_and_every_end_is_told(
    installation: Installation,
) -> None:
    async with Receiver.open() as receiver:
        await _kill_while_everybody_asks(installation, receiver)


async def _kill_while_everybody_asks(installation: Installation, receiver: Receiver) -> None:
    chance = Random(SEED)
    sandbox = await installation.start_sandbox("--seed", str(SEED))
    port = free_port()
    installation.environment["RECOUP_PUBLIC_URL"] = f"http://127.0.0.1:{port}"
    installation.environment["RECOUP_WEBHOOK_ALLOW_NETWORKS"] = "127.0.0.0/8"
    api = await installation.start("api", "--port", str(port))
    worker = await installation.start("work")
    shop = await installation.new_tenant(api.url, sandbox.url)
    try:
        invoices = await shop.invoices(METHODS, each=INVOICES // len(METHODS))
        pays = dict.fromkeys(invoices[:PAID], 1)  # they come in the order of their methods
        chance.shuffle(invoices)
        endpoint = {"webhook_url": receiver.url, "event_types": ENDS}
        await shop.post("/webhook_endpoints", {"webhook_endpoint": endpoint})
        await shop.faults(FAULTS)
        rush = Rush(shop, api, invoices, at_once=ASKING_AT_ONCE)

        async with asyncio.TaskGroup() as together:
            together.create_task(rush.run())
            moments = moments_of(chance, KILLS_OF_API, until=INVOICES - ASKING_AT_ONCE)
            together.create_task(kill_at(api, moments, lambda: rush.heard))
            moments = moments_of(chance, KILLS_OF_WORKER, until=INVOICES * 6 // 10)
            together.create_task(
                kill_at(
                    worker, moments, installation.charge_count,
                    every_second_when=receiver.is_called,
                )
            )  # fmt: skip
        assert rush.unheard, "no kill has hit anybody who was asking"
        struck = await shop.faults("")
        assert sum(struck.values()) >= FEWEST_FAULTS, struck
        assert len(struck) == len(FAULTS.split(",")), "one of the faults has never struck"

        async def all_have_ended() -> bool:
            ended = (await shop.count("succeeded"), await shop.count("failed"))
            return ended == (PAID, INVOICES - PAID)

        await eventually(
            all_have_ended, within_seconds=SETTLED_WITHIN_SECONDS, what="every invoice has ended"
        )
        assert await shop.paid() == pays

        async def all_is_told() -> bool:
            return len(receiver.told) >= INVOICES

        await eventually(
            all_is_told, within_seconds=SETTLED_WITHIN_SECONDS, what="every end is told"
        )
        ends = [(ENDS[0 if one in pays else 1], rush.attempts[one]) for one in invoices]
        assert sorted((told, attempt) for _, told, attempt in receiver.told) == sorted(ends)
    finally:
        await shop.close()
    status, checked = await installation.run("check")
    assert status == 0, checked
    assert (await api.end(), await worker.end()) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("with_postgres", [False, True])
async def test_after_a_kill_it_answers_again_at_the_same_place(
    installation: Installation, with_postgres: bool
) -> None:
    sandbox = await installation.start_sandbox()
    words = ("serve", "--port", str(free_port()), "--data-dir", str(installation.data_dir))
    server = await installation.start(*words)
    shop = await installation.new_tenant(server.url, sandbox.url)
    try:
        [invoice] = await shop.invoices(["pm_sandbox_ok"], each=1)
        before = installation.postmaster()
        assert await server.end(signal.SIGKILL) == -signal.SIGKILL
        if with_postgres:
            os.kill(before, signal.SIGKILL)
        else:
            assert psutil.pid_exists(before), "PostgreSQL outlives whom it serves"
        await server.start()
        assert (installation.postmaster() == before) is not with_postgres
        status, attempt, _ = await shop.retry(invoice)
        assert (status, bool(attempt)) == (200, True)

        async def is_paid() -> bool:
            return await shop.count("succeeded") == 1

        await eventually(is_paid, within_seconds=60, what="the invoice is paid")
    finally:
        await shop.close()
    assert await server.end() == 0
    assert await sandbox.end() == 0
    assert installation.processes() == []


@pytest.mark.slow
async def test_two_servers_that_start_at_once_share_a_folder(installation: Installation) -> None:
    first, second = await asyncio.gather(
        *(installation.start("serve", "--port", "0") for _ in range(2))
    )
    _, made = await installation.run("organization", "create", "Shop")
    for server in (first, second):
        shop = Tenant(server.url, "", made["api_key"])
        assert await shop.answers()
        await shop.close()
    assert await first.end() == 0
    shop = Tenant(second.url, "", made["api_key"])
    assert await shop.answers(), "the one that stays keeps the database"
    await shop.close()
    assert await second.end() == 0
    assert installation.processes() == []
