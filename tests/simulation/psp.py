"""The sandbox inside the world: over real HTTP, on the world's clock, and never by itself.

A call that the sandbox is slow with, or never answers, is held until the world's clock has passed
its time: meanwhile others call, workers die, and the held call still gets its charge made. Events
come to a mailbox, from which the world delivers them in the order it likes.

What would surprise you: it may contradict itself, which no sandbox does. A charge that failed is
paid after all, or another one is made under its key; then its books say so as well. Or it says of a
charge that was paid that it failed, and its books do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
from aiohttp import web

from recoup.sandbox.books import Books
from recoup.sandbox.charge_book import Entry
from recoup.sandbox.charges import OPEN, Charge, Refund, Status, account_of, event_id_for
from recoup.sandbox.errands import Errands, signature
from recoup.sandbox.faults import Faults
from recoup.sandbox.program import ERRANDS, make_app
from recoup.sandbox.tokens import CANCELED
from tests.shop import MovableClock

CALLERS_WAIT_SECONDS = 12.0  # as long as our adapters do, so a hanging call ends when they give up
WATCHED = ("/v1/charges", "/v1/refunds")  # what jobs stop at, before or after
_EVERY_EVENT = "SELECT body FROM events ORDER BY seq"
_PAY_AFTER_ALL = "UPDATE charges SET status = 'succeeded', decline = NULL WHERE id = ?"


class Account(msgspec.Struct, frozen=True):
    """A tenant's account at the provider."""

    tenant: UUID
    id: UUID
    code: str
    api_key: str
    secret: str

    @property
    def name_there(self) -> str:
        """What the provider's books call it."""
        return account_of(self.api_key)

    def signed(self, body: bytes, *, at: datetime) -> dict[str, str]:
        """The headers of an event that this account is told of."""
        return {"sandbox-signature": signature(self.secret, body, at=at)}


class Letter(msgspec.Struct, frozen=True):
    """An event on its way to an account's webhook address."""

    tenant: UUID
    code: str
    body: bytes
    is_registered: bool = False  # it does not get lost: only its books can tell of it otherwise


class Thing(msgspec.Struct, frozen=True):
    """What an event tells of."""

    charge: Charge | None = None


class Told(msgspec.Struct, frozen=True):
    """An event as the books have it."""

    created_at: datetime
    data: Thing


class FickleBooks(Books):
    """Books in which a no is not the last word."""

    def told(self) -> list[bytes]:
        """Every event that was written, sent or not, oldest first."""
        return [body for (body,) in self.file.db.execute(_EVERY_EVENT)]

    def pay_after_all(self, charge: Charge) -> None:
        """Write down that a charge that failed is paid."""
        with self.file.transaction():
            self.file.db.execute(_PAY_AFTER_ALL, (charge.id,))


class Call:
    """One call to the charges API, as the sandbox sees it. It goes on when its caller is dead."""

    def __init__(self, caller: asyncio.Event | None) -> None:
        self.caller = caller
        self.stirred = asyncio.Event()

    def stir(self) -> None:
        """Say that the call is being held, or is over."""
        self.stirred.set()
        if self.caller:
            self.caller.set()


class Held:
    """A call that is kept waiting."""

    def __init__(self, call: Call, until: datetime) -> None:
        self.call = call
        self.until = until
        self.go_on: asyncio.Future[None] = asyncio.get_running_loop().create_future()


_CALL: ContextVar[Call] = ContextVar("call")


class Psp:
    """The sandbox, what it keeps waiting, and what it has told."""

    def __init__(self, faults: Faults, chance: Random, clock: MovableClock) -> None:
        self.books = FickleBooks(":memory:")
        self.faults = faults
        self.chance = chance
        self.clock = clock
        self.base = ""
        self.held: list[Held] = []
        self.mailbox: list[Letter] = []
        self.mailbox_is_away = False
        self.caller: asyncio.Event | None = None  # who calls at this moment: one at a time
        self.second_charges: list[Entry] = []
        self.contradicted: set[str] = set()  # the keys of which it has told what cannot be true
        self._errands: Errands | None = None
        self._http: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Psp]:
        """Answer on a free port of the loopback."""
        app = make_app(
            self.books,
            faults=self.faults,
            rng=self.chance,
            now=self.clock.now,
            sleep=self._hold,
            hang_seconds=CALLERS_WAIT_SECONDS,
            runs_errands=False,
            sends_at_once=1,  # one after the other, so that a seed replays
        )
        app.middlewares.append(self._watched)
        app.router.add_post("/mailbox/{tenant}/{code}", self._take_in)
        self._errands = app[ERRANDS]
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession() as self._http:
                yield self
        finally:
            self.let_go()
            await runner.cleanup()

    @web.middleware
    async def _watched(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        call = Call(self.caller if request.path.startswith(WATCHED) else None)
        _CALL.set(call)
        try:
            return await handler(request)
        finally:
            call.stirred.set()

    async def _hold(self, seconds: float) -> None:
        held = Held(_CALL.get(), self.clock.now() + timedelta(seconds=seconds))
        self.held.append(held)
        held.call.stir()
        await held.go_on

    async def _take_in(self, request: web.Request) -> web.Response:
        if self.mailbox_is_away:
            return web.Response(status=503)
        address = request.match_info
        self.mailbox.append(Letter(UUID(address["tenant"]), address["code"], await request.read()))
        return web.Response()

    async def release(self, held: Held) -> None:
        """Let a held call go on, until it is over or held again."""
        self.held.remove(held)
        held.call.stirred.clear()
        held.go_on.set_result(None)
        await held.call.stirred.wait()

    def let_go(self) -> None:
        """Let every held call go on: the world ends."""
        for held in self.held:
            held.go_on.cancel()
        self.held.clear()

    def due(self, by: datetime) -> Held | None:
        """The held call whose time is over first, if one's is by then."""
        over = [held for held in self.held if held.until <= by]
        return min(over, key=lambda held: held.until) if over else None

    async def run_errands(self) -> None:
        """Settle what has been processing long enough, and send every event that is due."""
        assert self._errands, "it is open"
        await self._errands.run_due()
        while not self.mailbox_is_away and self.books.events.endpoints_with_work(self.clock.now()):
            await self._errands.run_due()

    def entries(self) -> list[Entry]:
        """The books: every charge, and through whose account it was made."""
        return [*self.books.charges.all(), *self.second_charges]

    def ended(self) -> dict[str, datetime]:
        """When each charge ended that had begun as an open one, by its id."""
        told = [msgspec.json.decode(body, type=Told) for body in self.books.told()]
        return {
            charge.id: one.created_at
            for one in told
            if (charge := one.data.charge) and charge.status not in OPEN
        }

    def refunds(self) -> dict[str, Refund]:
        """Every refund in the books, by its idempotency key."""
        return {refund.idempotency_key: refund for refund in self.books.refunds.all()}

    def waiting_for_payers(self) -> list[Charge]:
        """The charges that wait for their payer on the hosted page."""
        charges = (entry.charge for entry in self.books.charges.all())
        return [one for one in charges if one.status is Status.REQUIRES_ACTION]

    async def payer(self, charge: Charge, *, says: str) -> None:
        """The payer presses a button of the hosted page: `approve` or `decline`."""
        assert self._http, "it is open"
        async with self._http.post(f"{self.base}/pay/{charge.id}/{says}") as answer:
            assert answer.status == 200, await answer.text()

    # What no provider should do.

    def pay_after_all(self, failed: Charge) -> Charge:
        """Take a no back; the books hold the money from now on."""
        self.books.pay_after_all(failed)
        return self._contradict(failed, status=Status.SUCCEEDED, decline=None)

    def charge_again(self, entry: Entry) -> Charge:
        """Make another charge of the same order, under the same key."""
        again = self._contradict(
            entry.charge, id=f"{entry.charge.id}_again", status=Status.SUCCEEDED, decline=None
        )
        self.second_charges.append(Entry(entry.account, again))
        return again

    def take_back(self, paid: Charge) -> Charge:
        """Say that a paid charge has failed. The books know better."""
        return self._contradict(paid, status=Status.FAILED, decline=CANCELED)

    def _contradict(self, charge: Charge, **changes: Any) -> Charge:
        self.contradicted.add(charge.idempotency_key)
        return msgspec.structs.replace(charge, **changes)

    def done(self) -> dict[str, Any]:
        """How often each fault has struck."""
        return {str(fault): times for fault, times in self.faults.done.items()}


def event_of(charge: Charge, *, at: datetime) -> bytes:
    """The event that tells how a charge stands, as the sandbox writes it."""
    told = {
        "id": event_id_for(charge),
        "type": f"charge.{charge.status}",
        "created_at": at,
        "data": {"charge": charge},
    }
    return msgspec.json.encode(told)
