"""A tenant that sells through the sandbox, for tests of flows: made with few rows, by hand.

What is tested goes through the flows; what is merely there beforehand is inserted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import msgspec
from aiohttp import web

from recoup import clock
from recoup.flows.add_provider_account import add_provider_account
from recoup.flows.batches import Batches
from recoup.flows.begin_sending import begin_sending
from recoup.flows.create_organization import NewOrganization, create_organization
from recoup.flows.look_up_attempt import look_up_attempt
from recoup.flows.open_provider import Providers
from recoup.flows.retry_payment import Accepted, Answer, Ask, retry_payments
from recoup.flows.settle_attempt import settle_attempts
from recoup.flows.submit_attempt import submit_attempt
from recoup.rules.method_choice import Wish
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.sandbox.books import Books
from recoup.sandbox.faults import Faults
from recoup.sandbox.program import ERRANDS, make_app
from recoup.store import db
from recoup.store.db import Pool
from recoup.store.secret_box import SecretBox

BOX = SecretBox.from_text(SecretBox.new_key())
NO_WISH = Wish()
# What is told of an invoice that is paid at its first try.
PAID_WORDS = ["invoice.payment_status_updated", "payment.succeeded", "payment_receipt.created"]
START = datetime(2027, 3, 1, 12, tzinfo=UTC)


class MovableClock:
    """Stands still until a test moves it."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, **by: float) -> None:
        self.at += timedelta(**by)


class SandboxServer:
    """The sandbox over real HTTP, on a clock that a test moves."""

    def __init__(self, books: Books, app: web.Application, base: str, at: MovableClock) -> None:
        self.books = books
        self.app = app
        self.base = base
        self.clock = at

    async def charges(self) -> list[dict[str, Any]]:
        """The sandbox's books."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.base}/charges") as answer:
            return (await answer.json())["charges"]

    async def faults(self, text: str, seed: int = 1) -> None:
        """Change the faults at run time."""
        body = {"faults": text, "seed": seed}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.base}/_faults", json=body) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def run_errands(self) -> None:
        """Settle what has been processing long enough, and send the events that are due."""
        await self.app[ERRANDS].run_due()


@asynccontextmanager
async def sandbox_server(
    folder: Path, now: MovableClock, *, faults: str = "", hang_seconds: float = 30.0
) -> AsyncIterator[SandboxServer]:
    """Run a sandbox on a free port of the loopback."""
    books = Books(folder / "sandbox.sqlite")

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    app = make_app(
        books,
        faults=Faults(faults),
        rng=Random(1),
        now=now.now,
        sleep=at_once,  # a hang ends at once, with the connection dropped: no test waits for it
        hang_seconds=hang_seconds,
        runs_errands=False,
        sends_at_once=1,
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield SandboxServer(books, app, f"http://127.0.0.1:{port}", now)
    finally:
        await runner.cleanup()
        books.close()


class Shop:
    """An organization with the sandbox as its provider, on a clock that a test moves."""

    def __init__(
        self, pool: Pool, owner: asyncpg.Connection, providers: Providers, at: MovableClock
    ) -> None:
        self.pool = pool
        self.owner = owner
        self.providers = providers
        self.clock = at
        self.organization_id = clock.new_id()
        self.entity_id = clock.new_id()
        self.account_id = clock.new_id()
        self.api_key = clock.new_secret("sk_sandbox_")
        self.numbers = 0
        # Looked at for each batch: a test may exchange the providers.
        self.sending = Batches(lambda keys: begin_sending(pool, self.providers, keys, now=at.now()))
        self.settling = Batches(lambda reports: settle_attempts(pool, reports, now=at.now()))

    async def open(self) -> Shop:
        """Make the organization and its account at the sandbox."""
        asked = NewOrganization(
            "Shop", self.organization_id, self.entity_id, clock.new_id(),
            clock.new_secret("recoup_"), clock.new_secret(""),
        )  # fmt: skip
        await create_organization(self.pool, asked, box=BOX, now=self.clock.now())
        async with db.transaction(self.pool, tenants=[self.organization_id]) as conn:
            await add_provider_account(
                conn, self.organization_id, kind="sandbox", code="sandbox", name="Sandbox",
                secrets={"api_key": self.api_key, "webhook_secret": "whsec"},
                box=BOX, account_id=self.account_id, now=self.clock.now(),
            )  # fmt: skip
        return self

    def through(self, providers: Providers) -> None:
        """Call these from now on."""
        self.providers = providers

    async def moves_to(self, kind: str, secrets: Mapping[str, str]) -> None:
        """Have the account at another kind of provider, with these secrets."""
        sealed = BOX.seal(
            msgspec.json.encode(dict(secrets)), organization_id=self.organization_id,
            row=self.account_id, field="secrets",
        )  # fmt: skip
        await self.owner.execute(
            "UPDATE provider_accounts SET kind = $1, secrets_sealed = $2", kind, sealed
        )

    async def customer(self, *methods: str, linked: bool = True) -> UUID:
        """A customer with these sandbox methods; the first one is the default."""
        self.numbers += 1
        customer_id, link_id = clock.new_id(), clock.new_id()
        now = self.clock.now()
        await self.owner.execute(
            """INSERT INTO customers (organization_id, id, external_id, sequential_id, slug,
                      billing_entity_id, payment_provider, payment_provider_code, created_at,
                      updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)""",
            self.organization_id, customer_id, f"customer-{self.numbers}", self.numbers,
            f"SHO-{self.numbers:03}", self.entity_id, "sandbox" if linked else None,
            "sandbox" if linked else None, now,
        )  # fmt: skip
        if linked:
            await self.owner.execute(
                """INSERT INTO provider_customers (organization_id, id, customer_id,
                          provider_account_id, provider_customer_id, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6)""",
                self.organization_id, link_id, customer_id, self.account_id,
                f"cus_{customer_id.hex}", now,
            )  # fmt: skip
            for position, method in enumerate(methods):
                await self.owner.execute(
                    """INSERT INTO payment_methods (organization_id, id, customer_id,
                              provider_customer_id, provider_method_id, is_default, created_at)
                       VALUES ($1, $2, $3, $4, $5, $6, $7)""",
                    self.organization_id, clock.new_id(), customer_id, link_id, method,
                    position == 0, now,
                )  # fmt: skip
        return customer_id

    async def attach(self, customer_id: UUID, method: str) -> None:
        """Another sandbox method of a linked customer, and the default from now on."""
        await self.owner.execute(
            "UPDATE payment_methods SET is_default = false WHERE customer_id = $1", customer_id
        )
        await self.owner.execute(
            """INSERT INTO payment_methods (organization_id, id, customer_id,
                      provider_customer_id, provider_method_id, is_default, created_at)
               SELECT organization_id, $2, customer_id, id, $3, true, $4
                 FROM provider_customers WHERE customer_id = $1""",
            customer_id, clock.new_id(), method, self.clock.now(),
        )  # fmt: skip

    async def invoice(self, customer_id: UUID, *, cents: int = 1_000, **fields: Any) -> RowKey:
        """A finalized invoice that owes `cents`; `fields` are further columns of the row."""
        self.numbers += 1
        key = RowKey(self.organization_id, clock.new_id())
        row: dict[str, Any] = {
            "organization_id": key.organization_id,
            "id": key.id,
            "customer_id": customer_id,
            "billing_entity_id": self.entity_id,
            "sequential_id": self.numbers,
            "number": f"SHO-{self.numbers:03}",
            "status": "finalized",
            "payment_status": "pending",
            "issuing_date": self.clock.now().date(),
            "payment_due_date": self.clock.now().date(),
            "currency": "EUR",
            "total_cents": cents,
            "sub_total_including_taxes_amount_cents": cents,
            "created_at": self.clock.now(),
            "updated_at": self.clock.now(),
        } | fields
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await self.owner.execute(
            f"INSERT INTO invoices ({', '.join(row)}) VALUES ({places})", *row.values()
        )
        return key

    async def sell(self, method: str, *, cents: int = 1_000, **fields: Any) -> RowKey:
        """An invoice of a new customer who pays by this sandbox method."""
        return await self.invoice(await self.customer(method), cents=cents, **fields)

    async def ask(self, invoice: RowKey, wish: Wish = NO_WISH) -> Answer:
        """Ask for a retry, as the API does."""
        ask = Ask(invoice, clock.new_id(), AskedBy.API, wish)
        return (await retry_payments(self.pool, [ask], now=self.clock.now()))[0]

    async def begun(self, invoice: RowKey, wish: Wish = NO_WISH) -> RowKey:
        """Ask for a retry that must be accepted with an attempt, and answer the attempt."""
        answer = await self.ask(invoice, wish)
        assert isinstance(answer, Accepted), answer
        assert answer.attempt_id, answer
        return RowKey(invoice.organization_id, answer.attempt_id)

    async def submit(self, attempt: RowKey) -> Any:
        """Send an attempt, as the worker does."""
        return await submit_attempt(
            self.pool,
            attempt,
            sending=self.sending,
            settling=self.settling,
            jitter=timedelta(),
            now=self.clock.now,
        )

    async def look_up(self, attempt: RowKey) -> Any:
        """Look up an attempt, as the worker does."""
        return await look_up_attempt(
            self.pool, self.providers, attempt, settling=self.settling, jitter=timedelta(),
            now=self.clock.now,
        )  # fmt: skip

    async def collect(self, invoice: RowKey) -> RowKey:
        """Ask and send: one whole retry."""
        attempt = await self.begun(invoice)
        await self.submit(attempt)
        return attempt

    async def row(self, table: str, key: RowKey) -> asyncpg.Record:
        """A row as it really is."""
        found = await self.owner.fetchrow(f"SELECT * FROM {table} WHERE id = $1", key.id)
        assert found is not None, f"{table} has no {key}"
        return found

    async def state(self, attempt: RowKey) -> str:
        """Where an attempt stands."""
        return (await self.row("payments", attempt))["state"]

    async def shown(self, invoice: RowKey) -> tuple[str, int]:
        """An invoice's payment status and what it still owes."""
        row = await self.row("invoices", invoice)
        return row["payment_status"], row["due_cents"]

    async def told(self, about: RowKey | None = None) -> list[tuple[str, dict[str, Any]]]:
        """The events told so far: type and payload, oldest first; of one object if it is named."""
        rows = await self.owner.fetch(
            "SELECT webhook_type, body FROM events WHERE $1::uuid IS NULL OR object_id = $1"
            " ORDER BY created_at, webhook_type",
            about.id if about else None,
        )
        bodies = [(row["webhook_type"], msgspec.json.decode(row["body"])) for row in rows]
        return [(kind, body[body["object_type"]]) for kind, body in bodies]

    async def words(self) -> list[str]:
        """The types of the events told so far, oldest first."""
        return [kind for kind, _ in await self.told()]

    async def change(self, table: str, key: RowKey, **fields: Any) -> None:
        """Change a row behind everybody's back."""
        sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(fields, 2))
        await self.owner.execute(
            f"UPDATE {table} SET {sets} WHERE id = $1", key.id, *fields.values()
        )


async def sent(shop: Shop, **invoice: Any) -> tuple[RowKey, RowKey]:
    """An invoice, and its attempt that was sent and has not been answered."""
    owed = await shop.sell("pm_sandbox_ok", **invoice)
    attempt = await shop.begun(owed)
    await shop.sending.ask(attempt)
    return owed, attempt
