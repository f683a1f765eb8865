"""A dump, and a recovery to a point in time, while the provider's books have gone on.

The backup is made while charges are under way, so some are on both sides of it, and some on the
provider's alone.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import aiohttp
import pytest

from recoup.store.secret_box import SecretBox
from tests.conftest import eventually
from tests.processes.conftest import Installation, Program, Tenant, free_port
from tests.processes.own_postgres import OwnPostgres, own_postgres

SEED = 20_270_303
CUSTOMERS, EACH = 4, 6
BEFORE, DURING, AFTER = 4, 8, 8  # of the invoices, when they are charged; four are left


class Dumped:
    """`pg_dump`, and `pg_restore` into a new database."""

    sign = "another_database"

    async def prepare(self, server: OwnPostgres) -> None:
        """A dump needs nothing before it."""

    async def back_up(self, server: OwnPostgres) -> None:
        await server.dump()

    async def bring_back(self, server: OwnPostgres) -> None:
        await server.restore_dump()


class Recovered:
    """`pg_basebackup` and the archived WAL, up to a point that an operator has named."""

    sign = "another_timeline"

    async def prepare(self, server: OwnPostgres) -> None:
        await server.back_up()

    async def back_up(self, server: OwnPostgres) -> None:
        await server.ask("SELECT pg_create_restore_point('before_the_trouble')")

    async def bring_back(self, server: OwnPostgres) -> None:
        await server.recover("before_the_trouble")


async def charge(shop: Tenant, invoices: list[str]) -> None:
    answers = await asyncio.gather(*(shop.retry(one) for one in invoices))
    assert {status for status, _, _ in answers} == {200}


async def all_succeeded(shop: Tenant, count: int) -> None:
    async def have_succeeded() -> bool:
        return await shop.count("succeeded") == count

    await eventually(have_succeeded, what=f"{count} invoices are paid", within_seconds=90)


async def told(server: Program) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/health") as answer:
        return (await answer.json()).get("details", "")


@pytest.mark.parametrize("way", [Dumped(), Recovered()], ids=["pg_dump", "point_in_time"])
async def test_what_was_charged_after_the_backup_is_found_and_not_charged_again(
    installation: Installation, way: Any
) -> None:
    async with own_postgres() as database:
        installation.environment |= {
            "RECOUP_DATABASE_URL": database.dsn, "RECOUP_SECRET_KEY": SecretBox.new_key(),
        }  # fmt: skip
        sandbox = await installation.start_sandbox("--seed", str(SEED))
        server = await installation.start("serve", "--port", str(free_port()))
        shop = await installation.new_tenant(server.url, sandbox.url)
        invoices = await shop.invoices(["pm_sandbox_ok"] * CUSTOMERS, each=EACH)
        Random(SEED).shuffle(invoices)
        await way.prepare(database)
        await charge(shop, invoices[:BEFORE])
        await all_succeeded(shop, BEFORE)
        during = invoices[BEFORE : BEFORE + DURING]
        await asyncio.gather(charge(shop, during), way.back_up(database))
        await charge(shop, invoices[BEFORE + DURING : BEFORE + DURING + AFTER])
        await all_succeeded(shop, BEFORE + DURING + AFTER)
        assert await server.end() == 0
        await way.bring_back(database)
        lost = AFTER - int(await database.ask("SELECT count(*) FROM payments")) + BEFORE + DURING
        assert lost >= AFTER

        await server.start()
        assert f'"because": "{way.sign}"' in server.log.read_text()
        charged = installation.charge_count()
        answers = await asyncio.gather(*(shop.retry(one) for one in invoices))
        assert {status for status, _, _ in answers} <= {200, 405}
        assert "1 provider accounts are not charged" in await told(server)
        assert installation.charge_count() == charged == BEFORE + DURING + AFTER

        await all_succeeded(shop, len(invoices))
        assert await shop.paid() == dict.fromkeys(invoices, 1)
        assert await told(server) == ""
        made_anew = await database.ask(
            "SELECT count(*) FROM reconciliation_findings WHERE resolved_because = 'made_anew'"
        )
        assert int(made_anew) >= AFTER
        by = await database.ask(
            "SELECT DISTINCT actor FROM audit_log WHERE action LIKE 'quarantine.%'"
        )
        assert by == "recoup"
        status, checked = await installation.run("check")
        assert (status, checked["ok"]) == (0, True), checked
        await shop.close()
        assert await server.end() == 0
