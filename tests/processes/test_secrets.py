"""Secrets stay where they belong: nowhere but in ciphertext, whatever goes wrong.

Secrets that can be recognised are planted wherever Recoup takes one, over HTTP and at the command
line. Then it is used, and everything goes wrong that comes near them: providers that repeat them,
forged webhooks, slips, bugs, what cannot be opened. That the search finds what is there is
`test_canaries`' to prove, and that it looks in the right places is `tests/planted`'s.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest

from recoup.rules.account_secrets import ACCOUNT_SECRETS
from recoup.store.embedded_postgres import EmbeddedPostgres
from recoup.store.secret_box import SecretBox
from tests.api.test_forged_webhooks import webhook
from tests.conftest import eventually
from tests.processes.canaries import ODD, Canaries
from tests.processes.conftest import RECOUP, Installation, Program
from tests.processes.repeater import METHODS, Repeater

KINDS = sorted(ACCOUNT_SECRETS)
NO_SECRETS = {"merchant_account": "Acme", "live_prefix": ""}  # words that providers show around
BEGINNINGS = {
    ("stripe", "secret_key"): "sk_test_", ("gocardless", "access_token"): "sandbox_",
    ("sandbox", "api_key"): "sk_sandbox_",
}  # fmt: skip
CUSTOMERS = {"stripe": "cus_ada", "adyen": "ada", "gocardless": "CUada", "sandbox": "cus_ada"}
# Of the sandbox's methods: paid, declined, no answer though paid, and a break in the answer.
SANDBOX_METHODS = [
    "pm_sandbox_ok", "pm_sandbox_fail_once", "pm_sandbox_timeout_charged",
    "pm_sandbox_error_charged",
]  # fmt: skip
INVOICES_EACH = 6

REFUSED_CHARGES = """
    SELECT DISTINCT a.kind FROM payments p
      JOIN provider_accounts a ON a.id = p.provider_account_id
     WHERE p.state = 'failed'
"""


class Shop:
    """An organization with secrets everywhere, and all that is ever answered to anybody."""

    def __init__(self, canaries: Canaries, repeater: Repeater) -> None:
        self.canaries = canaries
        self.repeater = repeater
        self.api = ""
        self.api_key = ""
        self.organization_id = ""
        self.shown: dict[str, str] = {}
        self.statuses: set[int] = set()
        self._http = aiohttp.ClientSession()

    async def close(self) -> None:
        await self._http.close()

    async def call(self, method: str, path: str, **sent: Any) -> Any:
        """Make a call and keep what it shows; answer its JSON, None where there is none."""
        headers = {"Authorization": f"Bearer {self.api_key}"} | sent.pop("headers", {})
        async with self._http.request(
            method, f"{self.api}{path}", headers=headers, **sent
        ) as answer:
            text = await answer.text()
            self.statuses.add(answer.status)
            self.shown[f"answer {len(self.shown)}: {answer.status} to {method} {path[:40]}"] = (
                f"{answer.headers}\n{text}"
            )
            is_json = answer.content_type == "application/json" and text
            return await answer.json() if is_json else None

    async def v1(self, method: str, path: str, body: Any = None, **sent: Any) -> Any:
        return await self.call(method, f"/api/v1{path}", json=body, **sent)

    def secrets_for(self, kind: str, whose: str) -> dict[str, str]:
        """Every secret that an account of this kind can have."""
        made = {}
        for one in ACCOUNT_SECRETS[kind]:
            if one.name in NO_SECRETS:
                made[one.name] = NO_SECRETS[one.name]
                continue
            token = secrets.token_hex(16)
            if "hmac" not in one.name:
                # What goes into a header keeps to what a header can hold; the others are odd.
                odd = ODD if "webhook" in one.name else "+/="
                token = f"{BEGINNINGS.get((kind, one.name), '')}canary{odd}{token}"
            made[one.name] = self.canaries.plant(f"{whose}'s {kind} {one.name}", token)
        return {name: secret for name, secret in made.items() if secret}


async def run(shop: Shop, installation: Installation, *words: str, **variables: str) -> str:
    """Run a command with these variables; keep and answer all that it says."""
    process = await asyncio.create_subprocess_exec(
        RECOUP, *words,
        env=installation.environment | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, complaints = await process.communicate()
    said = f"{out.decode()}\n{complaints.decode()}"
    shop.shown[f"command {len(shop.shown)}: {' '.join(words[:3])}"] = said
    return said


async def connect_by_command(shop: Shop, installation: Installation) -> dict[str, dict[str, str]]:
    """Add an account of each kind, and make every slip; answer the secrets by kind."""
    whose = ("--organization", shop.organization_id)
    connected = {kind: shop.secrets_for(kind, "the command's") for kind in KINDS}

    async def add(kind: str) -> None:
        variables = {one.name: one.variable for one in ACCOUNT_SECRETS[kind]}
        words = ("provider", "add", kind, *whose, "--code", f"command-{kind}", "--json")
        environment = {variables[name]: secret for name, secret in connected[kind].items()}
        added = await run(shop, installation, *words, **environment)
        assert '"secrets_set"' in added, added

    await asyncio.gather(*map(add, KINDS))
    shown = await run(shop, installation, "provider", "list", *whose)
    assert "command-adyen" in shown
    return connected


async def connect_over_http(shop: Shop) -> dict[str, dict[str, str]]:
    """Connect an account of each kind, change its secrets, and make every slip."""
    connected = {}
    for kind in KINDS:
        given = connected[kind] = shop.secrets_for(kind, "HTTP's")
        asked = {"provider_type": kind, "code": kind, "secrets": given}
        once = {"Idempotency-Key": f"connect-{kind}"}
        for _ in range(2):
            made = await shop.v1(
                "POST", "/payment_providers", {"payment_provider": asked}, headers=once
            )
        path = f"/payment_providers/{made['payment_provider']['lago_id']}"
        hook = "hmac_key" if kind == "adyen" else "webhook_secret"
        new = shop.secrets_for(kind, "HTTP's next")[hook]
        next_one = {"secrets": {hook: new}, "name": "Next"}
        third = await shop.v1("PUT", path, {"payment_provider": next_one})
        assert list(third["error_details"]) == [hook], third  # two are good already
        next_one["drop_previous_secret"] = True
        changed = await shop.v1("PUT", path, {"payment_provider": next_one})
        assert changed["payment_provider"]["previous_secret_is_good"] is True, changed
        given[hook] = new
        some = next(iter(given.values()))
        for slip in (
            {"secrets": {some: some}},
            {"secrets": {hook: [new]}},
            {"secrets": {hook: new * 30}},
            {"secrets": new},
            {"name": "\0", "secrets": {hook: f"{new}\n"}},
            {"code": "another", "secrets": given},
        ):
            await shop.v1("PUT", path, {"payment_provider": slip})
            await shop.v1("POST", "/payment_providers", {"payment_provider": asked | slip})
        await shop.call("POST", "/api/v1/payment_providers", data=f'{{"a": "{some}'.encode())
        await shop.v1("GET", f"/payment_providers/{some.encode().hex()}")
        await shop.v1("GET", path, params={"code": new})
        await shop.v1("GET", path, headers={"Authorization": f"Bearer {some}"})
    return connected


async def sell(shop: Shop) -> None:
    """Charge customers of every account in every way that there is."""
    fields = {"name": "W", "code": "work", "amount_cents": 1_000, "amount_currency": "EUR"}
    await shop.v1("POST", "/add_ons", {"add_on": fields})
    for algorithm in ("hmac", "jwt"):
        url = f"{shop.repeater.base}/told?{algorithm}"
        endpoint = {"webhook_url": url, "signature_algo": algorithm}
        await shop.v1("POST", "/webhook_endpoints", {"webhook_endpoint": endpoint})
    for number, (kind, method) in enumerate(
        [*METHODS.items(), *(("sandbox", method) for method in SANDBOX_METHODS)]
    ):
        link = {
            "payment_provider": kind, "payment_provider_code": kind,
            "provider_customer_id": CUSTOMERS[kind],
        }  # fmt: skip
        customer = {"external_id": f"c{number}", "currency": "EUR", "billing_configuration": link}
        await shop.v1("POST", "/customers", {"customer": customer})
        attached = {"payment_method": {"provider_method_id": method}}
        kept = await shop.v1("POST", f"/customers/c{number}/payment_methods", attached)
        assert "payment_method" in kept, (kind, kept)
        line = {"external_customer_id": f"c{number}", "fees": [{"add_on_code": "work"}]}
        for _ in range(INVOICES_EACH if kind in METHODS else 1):
            made = await shop.v1("POST", "/invoices", {"invoice": line})
            await shop.v1("POST", f"/invoices/{made['invoice']['lago_id']}/payment_url")
        await shop.v1("POST", f"/customers/c{number}/checkout_url")
        synced = {"external_id": f"s{number}", "name": "S", "email": "s@example.com"}
        link = link | {"provider_customer_id": None, "sync_with_provider": True}
        await shop.v1("POST", "/customers", {"customer": synced | {"billing_configuration": link}})


async def tell(shop: Shop, connected: dict[str, dict[str, str]], prefix: str) -> None:
    """Send each account a true webhook, and forged ones that hold its secrets."""
    for kind, given in connected.items():
        secret = given["hmac_key" if kind == "adyen" else "webhook_secret"]
        path = f"/webhooks/{kind}/{shop.organization_id}?code={prefix}{kind}"
        body, headers = webhook(kind, secret)
        before = len(shop.shown)
        await shop.call("POST", path, data=body, headers=headers)
        assert list(shop.shown)[before].split(": ")[1].startswith("200"), f"{kind}: it is true"
        for forged in (f'{{"id": "{secret.encode().hex()}"}}'.encode(), secret.encode(), b""):
            await shop.call("POST", path, data=forged, headers={"Sandbox-Signature": secret})
        await shop.call("POST", f"{path}{secret.encode().hex()}", data=body, headers=headers)


@asynccontextmanager
async def the_database(installation: Installation) -> AsyncIterator[tuple[asyncpg.Connection, str]]:
    """The installation's database as its owner, and the address of it."""
    async with await EmbeddedPostgres.start(installation.data_dir) as postgres:
        conn = await asyncpg.connect(postgres.dsn)
        try:
            yield conn, postgres.dsn
        finally:
            await conn.close()


async def dump(installation: Installation, dsn: str) -> str:
    """All of the database, by the pg_dump that stands beside the server that runs."""
    programs = Path(psutil.Process(installation.postmaster()).exe()).parent
    process = await asyncio.create_subprocess_exec(
        programs / "pg_dump", "--dbname", dsn, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def break_things(shop: Shop, owner: asyncpg.Connection) -> None:
    """Have bugs, and what cannot be opened, in the middle of calls that hold secrets."""
    given = shop.secrets_for("stripe", "a bug's")
    asked = {"payment_provider": {"provider_type": "stripe", "code": "bug", "secrets": given}}
    await owner.execute("ALTER TABLE audit_log RENAME TO away")
    await shop.v1("POST", "/payment_providers", asked, headers={"Idempotency-Key": "bug"})
    await owner.execute("ALTER TABLE away RENAME TO audit_log")
    await shop.v1("POST", "/payment_providers", asked)
    await owner.execute(
        "UPDATE provider_accounts SET secrets_sealed = secrets_sealed || 'x' WHERE code = 'bug'"
    )
    found = (await shop.v1("GET", "/payment_providers"))["payment_providers"]
    [bug] = [one for one in found if one["code"] == "bug"]
    await shop.v1("PUT", f"/payment_providers/{bug['lago_id']}", asked)
    body, headers = webhook("stripe", given["webhook_secret"])
    path = f"/webhooks/stripe/{shop.organization_id}?code=bug"
    await shop.call("POST", path, data=body, headers=headers)
    assert 500 in shop.statuses, "nothing was broken"


def command_lines() -> str:
    """How everything that runs on this machine was started."""
    lines = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            lines.append(" ".join(process.cmdline()))
    return "\n".join(lines)


def books_have(installation: Installation, rows: str) -> bool:
    """Whether the sandbox's books have these."""
    books = sqlite3.connect(f"file:{installation.folder / 'sandbox.sqlite'}?mode=ro", uri=True)
    with closing(books):
        return bool(books.execute(f"SELECT EXISTS (SELECT 1 FROM {rows})").fetchone()[0])


async def all_has_happened(installation: Installation, shop: Shop, owner: Any) -> None:
    """Wait until every provider has answered in every way, and somebody was told how it ended."""

    missing = ["all of it"]

    async def is_so() -> bool:
        delivered = await owner.fetchval(
            "SELECT count(DISTINCT endpoint_id) FROM webhook_deliveries WHERE state = 'delivered'"
        )
        states = {row[0] for row in await owner.fetch("SELECT DISTINCT state FROM payments")}
        refused = {row[0] for row in await owner.fetch(REFUSED_CHARGES)}
        happened = {
            f"answers in every way: {shop.repeater.seen}": shop.repeater.was_asked_in_every_way(),
            f"a no to a charge of each: {refused}": refused >= METHODS.keys(),
            f"every end: {states}": {"succeeded", "failed", "unknown"} <= states,
            "a webhook of each algorithm": delivered == 2,
            "an event of the sandbox's": books_have(
                installation, "deliveries WHERE state = 'delivered'"
            ),
        }
        missing[:] = [what for what, has in happened.items() if not has]
        return not missing

    with suppress(AssertionError):
        await eventually(is_so, within_seconds=40, what="everything has gone wrong once")
    assert not missing


async def private_key(owner: asyncpg.Connection, master_key: str) -> str:
    """The key that signs our webhooks, whose middle is enough to know it by."""
    sealed = await owner.fetchval("SELECT jwt_key_sealed FROM installation")
    box = SecretBox.from_text(master_key)
    pem = box.open(sealed, organization_id=None, row=None, field="jwt_key").decode()
    return pem.splitlines()[len(pem.splitlines()) // 2]


@pytest.mark.slow
async def test_no_secret_is_anywhere_but_in_ciphertext(installation: Installation) -> None:
    canaries = Canaries()
    async with Repeater.open() as repeater:
        shop = Shop(canaries, repeater)
        try:
            await use_it_all(installation, shop)
        finally:
            await shop.close()
    assert len(canaries) > 40
    assert {200, 400, 401, 404, 422, 500} <= shop.statuses
    assert canaries.found(shop.shown) == []


async def use_it_all(installation: Installation, shop: Shop) -> None:
    """Live a whole life with secrets, and keep in `shop.shown` all that it leaves behind."""
    keys = {
        "RECOUP_SECRET_KEY": SecretBox.new_key(),
        "RECOUP_PREVIOUS_SECRET_KEY": SecretBox.new_key(),
    }
    for name, key in keys.items():
        shop.canaries.plant(name, key)
    base = shop.repeater.base
    installation.environment |= keys | {
        "RECOUP_LOG_LEVEL": "DEBUG", "RECOUP_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        "RECOUP_STRIPE_API_BASE": f"{base}/stripe", "RECOUP_ADYEN_API_BASE": f"{base}/adyen",
        "RECOUP_GOCARDLESS_API_BASE": base,
    }  # fmt: skip
    sandbox = await installation.start_sandbox()
    server = await installation.start("serve", "--port", "0")
    shop.api = server.url
    _, made = await installation.run("organization", "create", "Shop")
    shop.organization_id = made["organization_id"]
    shop.api_key = shop.canaries.plant("the API key", made["api_key"])
    shop.canaries.plant("the hmac_key", made["hmac_key"])
    async with the_database(installation) as (owner, dsn):
        shop.canaries.plant("the JWT key", await private_key(owner, keys["RECOUP_SECRET_KEY"]))
        by_command, over_http = await asyncio.gather(
            connect_by_command(shop, installation), connect_over_http(shop)
        )
        told = partial(installation.is_told, accounts=2)
        await eventually(told, within_seconds=60, what="the sandbox knows our address")
        await sell(shop)
        await tell(shop, by_command, "command-")
        await tell(shop, over_http, "")
        await break_things(shop, owner)
        await all_has_happened(installation, shop, owner)
        for path in ("/health", "/ready", "/metrics", "/nothing", "/api/v1/openapi.json"):
            await shop.call("GET", path)
        for path in ("invoices", "payments", "customers", "payment_providers", "organizations",
                     "webhook_endpoints", "contradictions", "refunds"):  # fmt: skip
            await shop.v1("GET", f"/{path}")
        await run(shop, installation, "secrets", "reseal")
        shop.shown["command lines"] = command_lines()
        await end(shop, server, sandbox)
        shop.shown["the database"] = dumped = await dump(installation, dsn)
        for table in (
            "payments",
            "audit_log",
            "idempotency_keys",
            "pgqueuer",
            "webhook_deliveries",
        ):
            assert f"COPY public.{table} " in dumped
    shop.shown["our webhooks"] = "\n".join(shop.repeater.told)
    assert shop.repeater.told


async def end(shop: Shop, *programs: Program) -> None:
    """End the programs, and keep what they have logged."""
    for program in programs:
        await program.end()
        shop.shown[program.log.name] = program.log.read_text()
        assert '"debug"' in shop.shown[program.log.name] or "sandbox" in program.log.name


@pytest.mark.slow
async def test_the_secret_key_is_its_owners_to_read(installation: Installation) -> None:
    status, checked = await installation.run("check")  # the first command makes it
    assert status == 0, checked
    [key] = installation.data_dir.glob("secret.key*")
    assert (key.name, stat.S_IMODE(key.stat().st_mode)) == ("secret.key", 0o600)
    SecretBox.from_text(key.read_text())
