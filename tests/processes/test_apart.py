"""The programs apart, on a PostgreSQL of somebody else's: how Recoup runs on more than one host."""

from __future__ import annotations

import asyncio

import pytest

from recoup.store.secret_box import SecretBox
from tests.conftest import eventually
from tests.databases import own_database
from tests.processes.conftest import Installation


@pytest.mark.slow
async def test_programs_that_share_a_database_alone_get_a_declined_invoice_paid(
    installation: Installation, server_dsn: str
) -> None:
    async with own_database(server_dsn, "template1") as empty:
        installation.environment |= {
            "RECOUP_DATABASE_URL": empty,
            "RECOUP_SECRET_KEY": SecretBox.new_key(),
        }
        sandbox = await installation.start_sandbox()
        api, worker = await asyncio.gather(  # either may be the one that makes the tables
            installation.start("api", "--port", "0"), installation.start("work")
        )
        shop = await installation.new_tenant(api.url, sandbox.url)
        try:
            [invoice] = await shop.invoices(["pm_sandbox_fail_once"], each=1)
            for ending in ("failed", "succeeded"):
                status, attempt, said = await shop.retry(invoice)
                assert (status, bool(attempt)) == (200, True), said

                async def has_come(ending: str = ending) -> bool:
                    return await shop.count(ending) == 1

                await eventually(has_come, within_seconds=60, what=f"the invoice shows {ending}")
            assert await shop.paid() == {invoice: 1}
        finally:
            await shop.close()
        status, checked = await installation.run("check")
        assert (status, checked["ok"], checked["organizations"]) == (0, True, 1), checked
        for program in (api, worker, sandbox):
            assert await program.end() == 0, program.log.read_text()[-3_000:]
    beside = {path.name.partition("-")[0] for path in installation.data_dir.iterdir()}
    kept = {"documents", "last"}
    assert beside == kept, "beside the database its last beat is kept, and documents"
