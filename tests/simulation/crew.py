"""The workers of the world: real ones, whose jobs stop before and after every call to a provider.

Between two stops anything may happen: the worker dies or sleeps for hours, its job is done by
another, the invoice is voided. The queue is PgQueuer's table; what PgQueuer does with its rows is
done here by hand, since its own timing is the database's clock's.

The API's own process is here as well, for what asks a provider while its caller waits: `Visit`.

What would surprise you: before a charge they stop where it is committed as sent, and the worker has
not yet looked how late it is. A worker that stands still between that look and its call, for hours,
is not in this world: nothing that it could do would help.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import asyncpg

from recoup.flows.batches import Batches
from recoup.flows.begin_sending import Begun, ToSend
from recoup.flows.keep_methods import ProviderSilentError
from recoup.flows.open_provider import Providers
from recoup.providers.protocol import (
    Charge,
    NotKnown,
    Outcome,
    Provider,
    Refund,
    RefundOutcome,
)
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.store.jobs import Job
from recoup.workers.duties import Duties
from tests.simulation.psp import Psp

_WAITING = """
    SELECT id, entrypoint, payload FROM pgqueuer
     WHERE status = 'queued' AND entrypoint <> 'make_document'  -- papers move no money
       AND split_part(convert_from(payload, 'UTF8'), '/', 1)::uuid = ANY ($1::uuid[])
     ORDER BY entrypoint, payload
"""


class Errand:
    """A job that a worker has taken, up to where it has stopped."""

    def __init__(self, row: int, job: Job, key: RowKey) -> None:
        self.row = row
        self.job = job
        self.key = key
        self.at = "the queue"
        self.stirred = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.gate: asyncio.Future[None] | None = None
        self.turn = asyncio.Lock()  # some close several pages: one call after the other

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end."""
        return self.task is not None and self.task.done()

    @property
    def is_held(self) -> bool:
        """Whether the provider keeps it waiting."""
        return not self.is_over and self.gate is None

    async def stop(self, at: str) -> None:
        """Wait here until somebody lets it go on."""
        self.at = at
        self.gate = asyncio.get_running_loop().create_future()
        self.stirred.set()
        await self.gate


class Visit(Errand):
    """A call to the API that asks a provider while its caller waits. No queue knows of it."""

    def __init__(self, what: str, key: RowKey, act: Callable[[], Awaitable[str]]) -> None:
        super().__init__(0, what, key)
        self.act = act
        self.answer = "nothing: its process died"


_ERRAND: ContextVar[Errand] = ContextVar("errand")


class _Watched:
    """A provider whose callers stop before and after every call."""

    def __init__(self, provider: Provider, psp: Psp) -> None:
        self._provider = provider
        self._psp = psp

    async def charge(self, charge: Charge) -> Outcome:
        what = "re-send" if charge.sent_before else "charge"
        if isinstance(_ERRAND.get(), Visit):
            what = "opening"
        return await self._stopping(what, partial(self._provider.charge, charge))

    async def look_up(self, charge: Charge) -> Outcome | NotKnown:
        call = partial(self._provider.look_up, charge)
        return await self._stopping("look-up", call, stops_before=True)

    async def cancel(self, charge: Charge) -> Outcome:
        call = partial(self._provider.cancel, charge)
        return await self._stopping("cancellation", call, stops_before=True)

    async def refund(self, refund: Refund) -> RefundOutcome:
        call = partial(self._provider.refund, refund)
        return await self._stopping("re-sent refund" if refund.sent_before else "refund", call)

    async def look_up_refund(self, refund: Refund) -> RefundOutcome | NotKnown:
        call = partial(self._provider.look_up_refund, refund)
        return await self._stopping("look-up", call, stops_before=True)

    async def _stopping(
        self, what: str, call: Callable[[], Awaitable[Any]], *, stops_before: bool = False
    ) -> Any:
        errand = _ERRAND.get()
        async with errand.turn:
            if stops_before:
                await errand.stop(f"before its {what}")
            errand.at = f"in its {what}"
            self._psp.caller = errand.stirred
            told = await call()
            await errand.stop(f"after its {what}: {type(told).__name__}")
            return told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)  # what calls nobody


class WatchedProviders(Providers):
    """Providers as the workers of the world see them."""

    def __init__(self, psp: Psp, http: Any, box: Any) -> None:
        super().__init__(http, box, sandbox_base=psp.base)
        self._psp = psp

    def of(self, account: ProviderAccount) -> Provider:
        return _Watched(super().of(account), self._psp)


class DrowsyPool:
    """Connections for one visit, which may fall asleep after each transaction that it commits."""

    def __init__(self, pool: Any, chance: Random) -> None:
        self._pool = pool
        self._chance = chance

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Lend a connection, and stop when it has been given back."""
        async with self._pool.acquire() as conn:
            yield conn
        if self._chance.random() < 0.5:
            await _ERRAND.get().stop("after a transaction")


class _Drowsy:
    """A way to commit attempts as sent after which whoever asked stops, before they look up."""

    def __init__(self, sending: Batches[RowKey, Begun]) -> None:
        self._sending = sending

    async def ask(self, attempt: RowKey) -> Begun:
        begun = await self._sending.ask(attempt)
        if isinstance(begun, ToSend):
            await _ERRAND.get().stop("before its charge")
        return begun


class DrowsyWorker(Duties):
    """A worker who may fall asleep between the commit of `sent` and the call."""

    def __init__(self, *parts: Any, **by_name: Any) -> None:
        super().__init__(*parts, **by_name)
        self.sending = _Drowsy(self.sending)


class Crew:
    """A few workers and their queue, which all tenants share."""

    def __init__(
        self, owner: asyncpg.Connection, hire: Any, psp: Psp, tenants: Sequence[UUID]
    ) -> None:
        self._owner = owner
        self._hire = hire  # makes a new worker, which knows nothing of what others did
        self._psp = psp
        self._tenants = tenants
        self.workers: list[Duties] = [hire() for _ in range(3)]
        self.errands: list[list[Errand]] = [[] for _ in self.workers]
        self.visits: list[Visit] = []  # what the API's process is at
        self.orphans: list[Errand] = []  # taken by a worker who died, and not yet missed

    async def waiting(self) -> list[Errand]:
        """The jobs on the queue, in an order that chance has no part in."""
        rows = await self._owner.fetch(_WAITING, self._tenants)
        return [
            Errand(row["id"], Job(row["entrypoint"]), RowKey.read(row["payload"].decode()))
            for row in rows
        ]

    def under_way(self) -> list[Errand]:
        """The jobs and the visits that have stopped at a gate."""
        return [one for one in self._all() if one.gate is not None]

    def asleep(self) -> list[Errand]:
        """The jobs that have stopped at a gate."""
        return [one for one in self.under_way() if not isinstance(one, Visit)]

    async def take(self, number: int, taken: Sequence[Errand]) -> None:
        """Let one worker begin these jobs, all at once: their first transactions are one batch."""
        for errand in taken:
            await self._mark(errand, "picked")
        for errand in taken:
            self._begin(number, errand)
        await self._until_they_stop(taken)

    async def take_after_a_cut(self, number: int, first: Errand, cut_off: Errand) -> None:
        """Let a worker take two jobs; one is cut off while it waits for its turn, and comes back.

        The other one's transaction is under way, so both asks for the one that was cut off wait
        for the next: the one that nobody waits for any more, and the new one.
        """
        for errand in (first, cut_off):
            await self._mark(errand, "picked")
        self._begin(number, first)
        await _a_few_turns()
        lost = Errand(cut_off.row, cut_off.job, cut_off.key)
        lost.task = asyncio.create_task(self._run(self.workers[number], lost))
        await _a_few_turns()
        lost.task.cancel()
        self._begin(number, cut_off)
        await self._until_they_stop([first, cut_off])
        await asyncio.gather(lost.task, return_exceptions=True)

    async def receive(self, visit: Visit) -> None:
        """Let the API begin to answer a call, up to where it first asks a provider."""
        self.visits.append(visit)
        visit.task = asyncio.create_task(self._answer(visit))
        visit.task.add_done_callback(partial(_over, visit))
        await self._until_they_stop([visit])

    def answered(self) -> list[Visit]:
        """Take out the calls to the API that are over."""
        over = [one for one in self.visits if one.is_over]
        self.visits = [one for one in self.visits if not one.is_over]
        return over

    async def kill_the_api(self) -> list[Visit]:
        """End the API's process with everything that it was at: nobody gets an answer."""
        dead, self.visits = self.visits, []
        await self._end(dead)
        return dead

    async def believe_dead(self, errand: Errand) -> None:
        """A worker's heart is not heard, though it lives: its job goes back to the queue."""
        await self._mark(errand, "queued")

    async def go_on(self, errands: Sequence[Errand]) -> None:
        """Let these go on to where they stop next: several settle together, one at most calls."""
        for errand in errands:
            assert errand.gate, "it has stopped"
            gate, errand.gate = errand.gate, None
            errand.stirred.clear()
            gate.set_result(None)
        await self._until_they_stop(errands)
        self._psp.caller = None

    async def end_call(self, held: Any) -> None:
        """The provider goes on with a call that it has kept waiting, whoever still waits for it."""
        errand = next((one for one in self._all() if held.call.caller is one.stirred), None)
        if errand is None:
            await self._psp.release(held)
            return
        self._psp.caller = errand.stirred
        errand.stirred.clear()
        await self._psp.release(held)
        await errand.stirred.wait()
        self._psp.caller = None
        self._raise_bugs([errand])

    async def hand_in(self, errand: Errand, *, and_forget: bool = False) -> None:
        """A job is over. `and_forget`: its worker died before it could say so."""
        self._of(errand).remove(errand)
        if and_forget:
            self.orphans.append(errand)
        else:
            await self._delete(errand)

    async def kill(self, number: int) -> list[Errand]:
        """End a worker with everything that it was at, and hire another."""
        dead, self.errands[number] = self.errands[number], []
        await self._end(dead)
        self.workers[number] = self._hire()
        self.orphans += dead
        return dead

    async def miss(self, orphan: Errand, *, lost: bool = False) -> None:
        """A dead worker's job goes back to the queue; `lost`: nobody ever knows of it."""
        self.orphans.remove(orphan)
        if lost:
            await self._delete(orphan)
        else:
            await self._mark(orphan, "queued")

    async def lose(self, waiting: Errand) -> None:
        """A job that was waiting is gone."""
        await self._delete(waiting)

    async def dismiss(self) -> None:
        """The world ends: nobody goes on with anything."""
        await self.kill_the_api()
        for number in range(len(self.workers)):
            await self.kill(number)

    async def _end(self, dead: Sequence[Errand]) -> None:
        for errand in dead:
            assert errand.task, "it was begun"
            errand.task.cancel()
            for held in self._psp.held:
                if held.call.caller is errand.stirred:
                    held.call.caller = None  # the provider knows nothing of that death
        await asyncio.gather(*(one.task for one in dead if one.task), return_exceptions=True)

    def _begin(self, number: int, errand: Errand) -> None:
        self.errands[number].append(errand)
        errand.task = asyncio.create_task(self._run(self.workers[number], errand))
        errand.task.add_done_callback(partial(_over, errand))

    async def _until_they_stop(self, errands: Collection[Errand]) -> None:
        for errand in errands:
            await errand.stirred.wait()
        self._raise_bugs(errands)

    async def _run(self, worker: Duties, errand: Errand) -> None:
        _ERRAND.set(errand)
        match errand.job:
            case Job.SUBMIT_ATTEMPT:
                await worker.submit_attempt(errand.key)
            case Job.LOOK_UP_ATTEMPT:
                await worker.look_up_attempt(errand.key)
            case Job.APPLY_EVENT:
                await worker.apply_event(errand.key)
            case Job.SUBMIT_REFUND:
                await worker.submit_refund(errand.key)
            case Job.LOOK_UP_REFUND:
                await worker.look_up_refund(errand.key)
            case Job.CHECK_METHOD:
                with suppress(ProviderSilentError):  # it would come back: a method waits well
                    await worker.check_method(errand.key)
            case Job.COLLECT_FROM_CUSTOMER:
                await worker.collect_from_customer(errand.key)
            case Job.DUN_CUSTOMER:
                await worker.dun_customer(errand.key)
            case Job.WAKE_DUNNED:
                await worker.wake_dunned(errand.key)
            case Job.MAKE_PROVIDER_CUSTOMER:
                raise AssertionError("the sandbox knows any customer")
            case Job.FETCH_METHODS:
                raise AssertionError("the sandbox keeps no methods")
            case Job.DELIVER_WEBHOOK:
                raise AssertionError("nobody here has an endpoint")
            case Job.MAKE_DOCUMENT:
                raise AssertionError("papers are not taken here")

    async def _answer(self, visit: Visit) -> None:
        _ERRAND.set(visit)
        visit.answer = await visit.act()

    async def _mark(self, errand: Errand, status: str) -> None:
        sql = "UPDATE pgqueuer SET status = $2::pgqueuer_status WHERE id = $1"
        await self._owner.execute(sql, errand.row, status)

    async def _delete(self, errand: Errand) -> None:
        await self._owner.execute("DELETE FROM pgqueuer WHERE id = $1", errand.row)

    def _of(self, errand: Errand) -> list[Errand]:
        return next(errands for errands in self.errands if errand in errands)

    def _all(self) -> list[Errand]:
        return [*(one for errands in self.errands for one in errands), *self.visits]

    def over(self) -> list[Errand]:
        """The jobs that have come to their end, and are still on the queue."""
        return [one for errands in self.errands for one in errands if one.is_over]

    @staticmethod
    def _raise_bugs(errands: Collection[Errand]) -> None:
        for errand in errands:
            if errand.is_over and errand.task:
                errand.task.result()


def _over(errand: Errand, _task: asyncio.Task[None]) -> None:
    errand.gate = None
    errand.stirred.set()


async def _a_few_turns() -> None:
    """Let others run up to where they wait for the database, and not until it has answered."""
    for _ in range(3):
        await asyncio.sleep(0)


def new_chance(chance: Random) -> Random:
    """Chance of one's own, drawn from another's."""
    return Random(chance.getrandbits(64))
