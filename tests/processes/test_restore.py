"""A backup is put back while the provider's books have gone on: nobody is charged twice."""

from __future__ import annotations

import asyncio
from random import Random

import aiohttp

from tests.conftest import eventually
from tests.processes.conftest import Installation, free_port

SEED = 20_270_302
CUSTOMERS, EACH = 12, 8


async def test_after_a_copied_folder_is_put_back_no_invoice_is_charged_twice(
    installation: Installation,
) -> None:
    chance = Random(SEED)
    sandbox = await installation.start_sandbox("--seed", str(SEED))
    words = ("serve", "--port", str(free_port()))
    server = await installation.start(*words)
    shop = await installation.new_tenant(server.url, sandbox.url)
    invoices = await shop.invoices(["pm_sandbox_ok"] * CUSTOMERS, each=EACH)
    chance.shuffle(invoices)
    before = chance.randint(10, 50)
    await asyncio.gather(*(shop.retry(one) for one in invoices[:before]))
    assert await server.end() == 0  # in the middle of it
    await _run("cp", "-a", str(installation.data_dir), str(installation.folder / "backup"))
    await server.start()
    later = invoices[before : before + 30]
    await asyncio.gather(*(shop.retry(one) for one in later))

    async def all_charged() -> bool:
        return await shop.count("succeeded") == before + len(later)

    await eventually(all_charged, what="everything was charged")
    assert await server.end() == 0
    installation.data_dir.rename(installation.folder / "lost")
    (installation.folder / "backup").rename(installation.folder / "kept")
    await _run("cp", "-a", str(installation.folder / "kept"), str(installation.data_dir))
    await server.start()
    assert '"event": "quarantine_begun"' in server.log.read_text()
    charged = installation.charge_count()
    answers = await asyncio.gather(*(shop.retry(one) for one in invoices))
    assert {status for status, _, _ in answers} <= {200, 405}
    assert installation.charge_count() == charged
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/health") as answer:
        assert "1 provider accounts are not charged" in (await answer.json())["details"]

    async def all_paid() -> bool:
        return await shop.count("succeeded") == len(invoices)

    await eventually(all_paid, what="everything was paid", within_seconds=90)
    assert await shop.paid() == dict.fromkeys(invoices, 1)
    status, checked = await installation.run("check")
    assert (status, checked["ok"]) == (0, True)
    await shop.close()


async def test_an_ordinary_restart_is_no_restore(installation: Installation) -> None:
    await installation.start_sandbox()
    server = await installation.start("serve", "--port", "0")
    _, made = await installation.run("organization", "create", "Shop")
    organization = ("--organization", made["organization_id"])
    await installation.run("provider", "add", "sandbox", *organization, "--code", "sandbox")
    await server.kill_and_start_again()
    assert await server.end() == 0
    await server.start()
    _, said = await installation.run("quarantine", "status", *organization)
    assert said == {"accounts": []}
    _, said = await installation.run("quarantine", "begin", "--by", "ann", "--reason", "a drill")
    assert said["quarantine"]
    _, said = await installation.run("quarantine", "status", *organization)
    assert [one["because"] for one in said["accounts"]] == ["a drill"]
    word = ("--by", "ann", "--reason", "it was a drill")
    assert (await installation.run("quarantine", "release", *organization, *word))[1] == {
        "released": 1
    }


async def _run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words)
    assert await process.wait() == 0
