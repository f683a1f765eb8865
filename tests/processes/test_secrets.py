"""Secrets stay where they belong: not in a log, not in a command line, not in an answer."""

from __future__ import annotations

import base64
import sqlite3
import stat
from contextlib import closing, suppress
from typing import Any
from uuid import UUID

import aiohttp
import psutil
import pytest

from recoup.flows.add_provider_account import open_secrets
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.store import db, provider_accounts
from recoup.store.embedded_postgres import EmbeddedPostgres
from recoup.store.secret_box import SecretBox
from tests.conftest import eventually
from tests.processes.conftest import Installation, Tenant

MISTYPED = "recoup_a-key-with-a-slip-in-it"
NOBODYS = "00000000-0000-7000-8000-00000000abcd"


async def sandbox_secrets(installation: Installation, organization_id: str) -> dict[str, str]:
    """What `recoup provider add` made up and told nobody, read with the installation's key."""
    box = SecretBox.from_text((installation.data_dir / "secret.key").read_text())
    async with await EmbeddedPostgres.start(installation.data_dir) as postgres:
        pool = await db.connect(postgres.dsn, most=1)
        try:
            async with db.transaction(pool, tenants=[UUID(organization_id)]) as conn:
                account = await provider_accounts.by_code(
                    conn, UUID(organization_id), ProviderKind.SANDBOX, "sandbox"
                )
        finally:
            await pool.close()
    assert account
    return open_secrets(account, box)


async def refusals(api: str, made: Any, invoice: str) -> dict[str, str]:
    """Go wrong in every way that comes near a secret; answer what each was told."""
    good = {"Authorization": f"Bearer {made['api_key']}"}
    forged = {"Sandbox-Signature": "t=1,v1=00"}
    v1, hook = f"{api}/api/v1", f"{api}/webhooks/sandbox/{made['organization_id']}?code=sandbox"
    async with aiohttp.ClientSession() as http:
        calls = {
            "a wrong key": http.get(f"{v1}/taxes", headers={"Authorization": f"Bearer {MISTYPED}"}),
            "a bad signature": http.post(hook, data=b"{}", headers=forged),
            "no JSON": http.post(f"{v1}/taxes", data=b"{", headers=good),
            "broken rules": http.post(
                f"{v1}/webhook_endpoints", json={"webhook_endpoint": {"name": "x"}}, headers=good
            ),
            "a retry of what is paid": http.post(
                f"{v1}/invoices/{invoice}/retry_payment", headers=good
            ),
            "a retry of nothing": http.post(f"{v1}/invoices/{NOBODYS}/retry_payment", headers=good),
        }
        told = {}
        for what, call in calls.items():
            async with call as answer:
                assert answer.status >= 400, what
                told[f"the answer to {what}"] = f"{answer.headers}{await answer.text()}"
        return told


async def has_rows(installation: Installation, rows: str) -> bool:
    """Whether the sandbox's books have these."""
    books = sqlite3.connect(f"file:{installation.folder / 'sandbox.sqlite'}?mode=ro", uri=True)
    with closing(books):
        return bool(books.execute(f"SELECT EXISTS (SELECT 1 FROM {rows})").fetchone()[0])


def command_lines() -> str:
    """How everything that runs on this machine was started."""
    lines = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            lines.append(" ".join(process.cmdline()))
    return "\n".join(lines)


@pytest.mark.slow
async def test_a_secret_is_neither_logged_nor_shown_nor_told(installation: Installation) -> None:
    installation.environment |= {
        "RECOUP_LOG_LEVEL": "DEBUG", "RECOUP_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
    }  # fmt: skip
    sandbox = await installation.start_sandbox()
    server = await installation.start("serve", "--port", "0")
    _, made = await installation.run("organization", "create", "Shop")
    whose = ("--organization", made["organization_id"])
    await installation.run("provider", "add", "sandbox", *whose, "--code", "sandbox")
    shop = Tenant(server.url, sandbox.url, made["api_key"])
    try:
        # Nobody answers there, which is worth a line in the log; and it is signed by the hmac_key.
        endpoint = {"webhook_url": f"{sandbox.url}/nowhere", "signature_algo": "hmac"}
        await shop.post("/webhook_endpoints", {"webhook_endpoint": endpoint})
        fields = {"name": "W", "code": "work", "amount_cents": 1_000, "amount_currency": "EUR"}
        await shop.post("/add_ons", {"add_on": fields})
        await eventually(
            lambda: has_rows(installation, "endpoints"), what="the sandbox knows whom to tell"
        )
        [invoice] = await shop.invoices(["pm_sandbox_fail_once"], each=1)
        for ending in ("failed", "succeeded"):
            await shop.retry(invoice)

            async def has_come(ending: str = ending) -> bool:
                return await shop.count(ending) == 1

            await eventually(has_come, within_seconds=60, what=f"the invoice shows {ending}")

        delivered = "deliveries WHERE state = 'delivered'"
        await eventually(
            lambda: has_rows(installation, delivered), what="the sandbox has told of a charge"
        )
        shown = await refusals(server.url, made, invoice)
    finally:
        await shop.close()
    shown["a command line"] = command_lines()
    for program in (server, sandbox):
        shown[program.log.name] = program.log.read_text()
    assert shown[server.log.name], "a log without a line hides nothing"
    secrets = {
        "the API key": made["api_key"],
        "the hmac_key": made["hmac_key"],
        "a mistyped key": MISTYPED,
        "the secret key": (installation.data_dir / "secret.key").read_text().strip(),
        **await sandbox_secrets(installation, made["organization_id"]),
    }
    assert len(secrets) == 6
    for name, secret in secrets.items():
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            holders = [where for where, text in shown.items() if form in text]
            assert not holders, name


@pytest.mark.slow
async def test_the_secret_key_is_its_owners_to_read(installation: Installation) -> None:
    status, checked = await installation.run("check")  # the first command makes it
    assert status == 0, checked
    [key] = installation.data_dir.glob("secret.key*")
    assert (key.name, stat.S_IMODE(key.stat().st_mode)) == ("secret.key", 0o600)
    SecretBox.from_text(key.read_text())
