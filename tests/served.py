"""Recoup as it is served: `recoup serve` and `recoup sandbox` as processes, on a real PostgreSQL.

For tests that see it from outside, as integrators do. Whoever needs an organization makes one of
its own; the processes are shared. What a client cannot bring about, the passing of days above all,
is done in the database, and said so.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from demo.processes import Program, own_environment
from recoup import clock
from recoup.flows.add_provider_account import add_provider_account
from recoup.flows.create_organization import NewOrganization, create_organization
from recoup.flows.mark_overdue import mark_overdue
from recoup.rules.records.keys import RowKey
from recoup.store import db
from recoup.store.secret_box import SecretBox
from tests.databases import as_owner
from tests.providers.gocardless_stub import TOKEN, Stub, gocardless_stub


@dataclass(frozen=True)
class Organization:
    """An organization, with the accounts `cards` at the sandbox and `debits` at GoCardless."""

    id: str
    api_key: str


@dataclass(frozen=True)
class Served:
    """Where it answers, and the database behind it."""

    api: str
    sandbox: str
    debits: Stub
    dsn: str
    owner: asyncpg.Connection  # sees everything
    holder: asyncpg.Connection  # is in a transaction that does not end
    environment: dict[str, str]

    async def organization(self, name: str) -> Organization:
        """Make an organization and its accounts at two providers."""
        new = NewOrganization(
            name, clock.new_id(), clock.new_id(), clock.new_id(),
            clock.new_secret("recoup_"), clock.new_secret(""),
        )  # fmt: skip
        box = SecretBox.from_text(self.environment["RECOUP_SECRET_KEY"])
        play = {"api_key": clock.new_secret("sk_sandbox_"), "webhook_secret": "whsec_sandbox"}
        accounts = {
            ("sandbox", "cards"): play,
            ("gocardless", "debits"): {"access_token": TOKEN, "webhook_secret": "whsec"},
        }
        pool = await db.connect(self.dsn, most=2)
        try:
            await create_organization(pool, new, box=box, now=clock.now())
            async with db.transaction(pool, tenants=[new.organization_id]) as conn:
                for (kind, code), secrets in accounts.items():
                    await add_provider_account(
                        conn, new.organization_id, kind, code, code.title(), secrets,
                        box=box, account_id=clock.new_id(), now=clock.now(),
                    )  # fmt: skip
        finally:
            await pool.close()
        return Organization(str(new.organization_id), new.api_key)

    async def fall_due(self, *invoices: Any) -> None:
        """Let the due dates of these invoices pass, and the clock's job mark them."""
        ids = [UUID(invoice["lago_id"]) for invoice in invoices]
        rows = await self.owner.fetch(
            "UPDATE invoices SET issuing_date = issuing_date - 60,"
            " payment_due_date = payment_due_date - 60 WHERE id = ANY ($1)"
            " RETURNING organization_id, id",
            ids,
        )
        pool = await db.connect(self.dsn, most=2)
        try:
            keys = [RowKey(row["organization_id"], row["id"]) for row in rows]
            await mark_overdue(pool, keys, now=clock.now())
        finally:
            await pool.close()

    async def let_dunning_rest(self, customer: Any) -> None:
        """Let the days pass for which a campaign leaves this customer alone, and the clock look."""
        for statement in (
            "UPDATE payment_requests SET created_at = created_at - interval '60 days'"
            " WHERE customer_id = $1",
            "UPDATE dunnings SET look_at = now() WHERE customer_id = $1",
        ):
            await self.owner.execute(statement, UUID(customer["lago_id"]))

    async def change(self, table: str, thing: Any, **columns: Any) -> None:
        """Change a row behind everybody's back."""
        sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
        await self.owner.execute(
            f"UPDATE {table} SET {sets} WHERE id = $1", UUID(thing["lago_id"]), *columns.values()
        )

    async def hold(self, table: str, thing: Any) -> None:
        """Lock a row until the end, as somebody who changes it and does not finish."""
        await self.holder.fetchrow(
            f"SELECT 1 FROM {table} WHERE id = $1 FOR UPDATE", UUID(thing["lago_id"])
        )


@asynccontextmanager
async def serving(dsn: str) -> AsyncIterator[Served]:
    """Serve from this migrated database until the end."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recoup-served-")))
        environment = own_environment(
            folder, RECOUP_DATABASE_URL=dsn, RECOUP_SECRET_KEY=SecretBox.new_key()
        )

        async def start(*arguments: str, **settings: str) -> str:
            log = folder / f"{arguments[0]}.log"
            program = Program(*arguments, environment=environment | settings, log=log)
            stack.enter_context(program)
            return await asyncio.to_thread(program.wait_until_ready)

        debits = await stack.enter_async_context(gocardless_stub())
        debits.mandate("MD1")
        sandbox = await start("sandbox", "--port", "0", "--ledger", str(folder / "sandbox.sqlite"))
        api = await start(
            "serve", "--port", "0",
            RECOUP_SANDBOX_API_BASE=sandbox,
            RECOUP_GOCARDLESS_API_BASE=debits.base,
            RECOUP_STRIPE_API_BASE="http://127.0.0.1:9",  # nobody answers there
            RECOUP_WEBHOOK_ALLOW_NETWORKS="127.0.0.0/8",
        )  # fmt: skip
        owner = await asyncpg.connect(as_owner(dsn))
        stack.push_async_callback(owner.close)
        holder = await asyncpg.connect(as_owner(dsn))
        stack.push_async_callback(holder.close)
        await stack.enter_async_context(holder.transaction())
        yield Served(api, sandbox, debits, dsn, owner, holder, environment)
