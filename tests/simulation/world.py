"""A world in which the service collects: people, workers, a provider, time, and bad luck.

Two tenants share it, each with two accounts at the provider, and the same workers serve both.
Everything happens in one asyncio task and by one seeded chance, so that a seed replays. `step` lets
one thing happen; `settle_down` ends the bad luck and lets every promise be kept. Whether the books
agree then is for `audit`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from random import Random
from uuid import UUID

import aiohttp
import asyncpg
from cryptography.hazmat.primitives.asymmetric import rsa

from recoup.api.edge import Edge
from recoup.flows.add_provider_account import add_provider_account
from recoup.flows.create_organization import NewOrganization, create_organization
from recoup.flows.deliver_webhook import WebhookSigner
from recoup.flows.mark_overdue import mark_all_overdue
from recoup.flows.open_provider import Providers
from recoup.flows.retry_payment import retry_payments
from recoup.flows.sweep import sweep
from recoup.rules.look_up_schedule import PAYER_HAS, RE_SEND_WITHIN
from recoup.sandbox.faults import CallFault, Faults, WebhookFault
from recoup.senders.webhook_headers import JwtSigner
from recoup.senders.webhooks import WebhookSender
from recoup.store import db
from recoup.store.db import Pool
from recoup.store.jobs import Job
from tests.databases import as_owner
from tests.shop import BOX, MovableClock
from tests.simulation.crew import Crew, DrowsyWorker, Errand, WatchedProviders, new_chance
from tests.simulation.operators import Operators
from tests.simulation.payers import Payers
from tests.simulation.people import TURNED_AWAY, People
from tests.simulation.post import Post
from tests.simulation.psp import Account, Psp

JWT_SIGNER = JwtSigner(rsa.generate_private_key(65537, 2048), issuer="http://recoup.test")
UNKNOWN_IS_SETTLED_WITHIN = timedelta(minutes=5)
EVERYTHING_IS_SETTLED_WITHIN = timedelta(hours=60)
MOST_ROUNDS = 150
TENANTS = 2
ACCOUNTS = ("sandbox", "another")  # of each tenant
A_TICK = timedelta(milliseconds=1)  # between any two things that happen

WEATHERS = {
    "calm": "",
    "mild": ",".join(f"{fault}=0.04" for fault in (*CallFault, *WebhookFault)),
    "rough": ",".join(f"{fault}=0.1" for fault in (*CallFault, *WebhookFault)),
    "away": "drop_before=0.5,error_before=0.5,webhook_late=0.5",
    "forgetful": "webhook_drop=0.3,webhook_twice=0.3,drop_after=0.2,truncated=0.2,html=0.1",
    "drowsy": "slow=0.5,hang_after=0.3,webhook_shuffle=0.5",
}


class Database:
    """A database that many worlds share, one after the other, each with a tenant of its own."""

    def __init__(self, pool: Pool, scout: Pool, owner: asyncpg.Connection) -> None:
        self.pool = pool
        self.scout = scout
        self.owner = owner

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str) -> AsyncIterator[Database]:
        """Open it. Nobody cuts its power, so it need not wait for the disk."""
        async with AsyncExitStack() as stack:
            owner = await asyncpg.connect(as_owner(dsn))
            stack.push_async_callback(owner.close)
            name = await owner.fetchval("SELECT current_database()")
            await owner.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
            pool = await db.connect(dsn, most=6)
            stack.push_async_callback(pool.close)
            scout = await db.connect(dsn, role="recoup_scout", most=1)
            stack.push_async_callback(scout.close)
            yield cls(pool, scout, owner)


class World:
    """A world of its own tenants. Make it with `open_world`."""

    def __init__(
        self,
        database: Database,
        http: aiohttp.ClientSession,
        sender: WebhookSender,
        seed: int,
        tell: Callable[[str], object] | None,
    ) -> None:
        self.chance = Random(seed)
        self.clock = MovableClock()
        self.happened: Counter[str] = Counter()
        self.trace: list[str] = []
        self.given_ids: set[UUID] = set()
        self.tenants = [self.new_id() for _ in range(TENANTS)]
        self.accounts = [
            Account(
                tenant, self.new_id(), code, f"sk_sandbox_{self.new_id().hex}",
                f"whsec_{self.new_id().hex}",
            )
            for tenant in self.tenants
            for code in ACCOUNTS
        ]  # fmt: skip
        self.owner = database.owner
        self.pool = database.pool
        self._database = database
        self._http = http
        self._tell = tell
        self._sender = sender
        self._names: dict[UUID, str] = {}
        self._is_settling = False
        self.psp = Psp(Faults(), new_chance(self.chance), self.clock)
        self.everybody = [
            People(
                database.pool, database.owner, new_chance(self.chance), self.clock, tenant,
                ACCOUNTS, new_id=self.new_id, name=self.name, happened=self.happened,
            )
            for tenant in self.tenants
        ]  # fmt: skip
        self.operators = Operators(
            database.pool, database.owner, self.psp, self.tenants, new_chance(self.chance),
            self.clock, new_id=self.new_id, name=self.name, happened=self.happened,
        )  # fmt: skip

    def new_id(self) -> UUID:
        """An id that the seed brings back."""
        made = UUID(int=self.chance.getrandbits(128), version=4)
        self.given_ids.add(made)
        return made

    def name(self, row: UUID) -> str:
        """A short name for the trace."""
        return self._names.setdefault(row, f"#{len(self._names) + 1}")

    async def open(self) -> None:
        """Open everybody's business: accounts at the provider, customers, invoices, workers."""
        providers = Providers(self._http, BOX, sandbox_base=self.psp.base)
        for people in self.everybody:
            asked = NewOrganization(
                "World", people.tenant, self.new_id(), self.new_id(),
                f"recoup_{self.new_id().hex}", self.new_id().hex,
            )  # fmt: skip
            await create_organization(self.pool, asked, box=BOX, now=self.clock.now())
        for account in self.accounts:
            await self._open_account(account, providers)
        self.crew = Crew(self.owner, self._hire, self.psp, self.tenants)
        self.payers = Payers(
            self.owner, self._open_api, self.crew, self.psp, self.everybody,
            new_chance(self.chance), name=self.name, happened=self.happened,
        )  # fmt: skip
        self.post = Post(
            self.pool, self.owner, providers, self.psp, self.accounts, new_chance(self.chance),
            self.clock, new_id=self.new_id, happened=self.happened,
        )  # fmt: skip
        for people in self.everybody:
            people.comes_second.append(self.payers.open_page_of)
            await people.move_in(providers)
            await people.begin_to_dun()
            for _ in range(3):
                self._note(await people.new_customer())
            for _ in range(3):
                self._note(await people.new_invoice())
        self._note(await self.the_weather_changes())

    async def _open_account(self, account: Account, providers: Providers) -> None:
        async with db.transaction(self.pool, tenants=[account.tenant]) as conn:
            added = await add_provider_account(
                conn, account.tenant, kind="sandbox", code=account.code, name=account.code,
                secrets={"api_key": account.api_key, "webhook_secret": account.secret},
                box=BOX, account_id=account.id, now=self.clock.now(),
            )  # fmt: skip
        address = f"{self.psp.base}/mailbox/{account.tenant}/{account.code}"
        assert await providers.sandbox(added).register_webhook(address)

    def _hire(self) -> DrowsyWorker:
        return DrowsyWorker(
            self.pool,
            providers=WatchedProviders(self.psp, self._http, BOX),
            sender=self._sender,
            signer=WebhookSigner(BOX, JWT_SIGNER),
            now=self.clock.now,
            new_id=self.new_id,
            chance=new_chance(self.chance),
        )

    def _open_api(self) -> Edge:
        """The API's process, which knows nothing of what another one did."""
        return Edge(
            self.pool,
            scout=self._database.scout,
            providers=WatchedProviders(self.psp, self._http, BOX),
            now=self.clock.now,
            new_id=self.new_id,
        )

    # What may happen next, and how often.

    async def step(self) -> None:
        """Let one thing happen. What has nothing to happen to is None, and another is drawn."""
        self._tick()
        people, post = self.chance.choice(self.everybody), self.post
        happenings: dict[Callable[[], Awaitable[str | None]], int] = {
            people.retry_one: 12,
            people.retry_several: 4,
            self.retry_together: 4,
            people.retry_what_is_held: 3,
            people.at_the_same_moment: 6,
            people.repeat: 3,
            people.ask_unheard: 3,
            people.ask_again_what_was_unheard: 3,
            people.new_invoice: 14,
            people.new_customer: 1,
            people.relink: 2,
            people.unlink: 1,
            people.delete_customer: 1,
            people.attach_method: 2,
            people.choose_method: 1,
            people.delete_method: 1,
            people.request_payment: 6,
            people.pay_by_hand: 3,
            people.pay_a_part_before_it_is_sent: 3,
            people.make_a_note: 3,
            people.offset_a_part_before_it_is_sent: 1,
            people.void: 2,
            people.set_status: 2,
            self.take_jobs: 26,
            self.a_job_is_taken_twice: 2,
            self.a_queue_is_cut_off: 3,
            self.a_sleeper_is_believed_dead: 2,
            self.go_on: 40,
            self.a_worker_dies: 13,
            self.the_dead_are_missed: 5,
            self.a_job_is_lost: 1,
            self.sweep: 10,
            self.a_moment_passes: 10,
            self.a_minute_passes: 6,
            self.hours_pass: 2,
            self.days_pass: 2,
            self.the_weather_changes: 5,
            post.the_mailbox_is_away: 2,
            post.news_is_sent: 8,
            post.news_arrives: 14,
            post.old_news_arrives: 2,
            post.another_account_tells: 3,
            post.the_provider_contradicts_itself: 7,
            self.payers.open_page: 7,
            self.payers.retry_past_a_page: 5,
            self.payers.pay_while_it_is_closed: 4,
            self.payers.the_api_dies: 2,
            self.payers.decide: 9,
            self.the_schedule_meets_a_page: 3,
            self.operators.settle: 3,
            self.operators.release: 8,
            self.operators.pay_back: 4,
        }
        if len(people.customers) < 2:
            happenings[people.delete_customer] = 0
        line = None
        while line is None:
            [happening] = self.chance.choices([*happenings], [*happenings.values()])
            line = await happening()
        self._note(line)
        await self._clear_away()

    async def retry_together(self) -> str:
        """Callers of both tenants ask at once, so that one batch serves them."""
        asks = [(people, ask) for people in self.everybody for ask in people.asks(2)]
        self.chance.shuffle(asks)
        answers = await retry_payments(self.pool, [ask for _, ask in asks], now=self.clock.now())
        told = []
        for (people, ask), answer in zip(asks, answers, strict=True):
            people.note([ask], [answer])
            told.append(people.told_of([ask], [answer]))
        return "; ".join(told)

    async def take_jobs(self) -> str | None:
        """A worker takes something from the queue; attempts to send it takes several at once."""
        waiting = await self.crew.waiting()
        if not waiting:
            return None
        first = self.chance.choice(waiting)
        taken = [first]
        if first.job is Job.SUBMIT_ATTEMPT:
            others = [one for one in waiting if one.job is first.job and one is not first]
            taken += self.chance.sample(others, min(len(others), self.chance.randrange(4)))
        if len({one.key.organization_id for one in taken}) > 1:
            self.happened["tenants_in_one_batch"] += 1
        number = self.chance.randrange(len(self.crew.workers))
        await self.crew.take(number, taken)
        return f"worker {number} takes {'; '.join(map(self._told, taken))}"

    async def a_job_is_taken_twice(self) -> str | None:
        """The queue hands a job out a second time, and both ask in one batch."""
        waiting = await self._to_submit()
        if not waiting:
            return None
        errand = self.chance.choice(waiting)
        number = self.chance.randrange(len(self.crew.workers))
        await self.crew.take(number, [errand, Errand(errand.row, errand.job, errand.key)])
        self.happened["job_taken_twice"] += 1
        return f"worker {number} takes twice {self._told(errand)}"

    async def a_queue_is_cut_off(self) -> str | None:
        """A worker loses its queue and finds it again: what it was at comes back to it."""
        waiting = await self._to_submit()
        if len(waiting) < 2:
            return None
        first, cut_off = self.chance.sample(waiting, 2)
        number = self.chance.randrange(len(self.crew.workers))
        await self.crew.take_after_a_cut(number, first, cut_off)
        self.happened["job_cut_off"] += 1
        return f"worker {number} takes {self._told(first)}; {self._told(cut_off)} after a cut"

    async def _to_submit(self) -> list[Errand]:
        return [one for one in await self.crew.waiting() if one.job is Job.SUBMIT_ATTEMPT]

    async def a_sleeper_is_believed_dead(self) -> str | None:
        """Its heart is not heard, so others take up what it has not let go of."""
        asleep = self.crew.asleep()
        if not asleep:
            return None
        errand = self.chance.choice(asleep)
        await self.crew.believe_dead(errand)
        self.happened["believed_dead"] += 1
        return f"{self._told(errand)} is on the queue again, and its worker lives"

    async def go_on(self) -> str | None:
        """A job goes on from where it has stopped; some that were answered settle together."""
        stopped = self.crew.under_way()
        if not stopped:
            return None
        chosen = [self.chance.choice(stopped)]
        if chosen[0].at.startswith("after its charge"):
            chosen += [
                one
                for one in stopped
                if one is not chosen[0]
                and one.at.startswith("after its charge")
                and self.chance.random() < 0.5
            ]
        was_at = [one.at for one in chosen]
        await self.crew.go_on(chosen)
        self.happened["woke_up_late"] += sum(
            was == "before its charge" and one.at == "before its look-up"
            for was, one in zip(was_at, chosen, strict=True)
        )
        return f"on goes {'; '.join(map(self._told, chosen))}"

    async def a_worker_dies(self) -> str | None:
        """Killed, with everything that it was at."""
        busy = [number for number, at in enumerate(self.crew.errands) if at]
        if not busy:
            return None
        number = self.chance.choice(busy)
        dead = await self.crew.kill(number)
        self.happened["worker_killed"] += 1
        for errand in dead:
            self.happened["killed_" + errand.at.partition(":")[0].replace(" ", "_")] += 1
        return f"worker {number} dies with {'; '.join(map(self._told, dead)) or 'nothing'}"

    async def the_dead_are_missed(self) -> str | None:
        """A dead worker's heart beats no more: its job goes back to the queue, or is lost."""
        if not self.crew.orphans:
            return None
        orphan = self.chance.choice(self.crew.orphans)
        is_lost = self.chance.random() < 0.3
        await self.crew.miss(orphan, lost=is_lost)
        self.happened["job_lost" if is_lost else "job_taken_again"] += 1
        return f"{self._told(orphan)} {'is lost' if is_lost else 'is on the queue again'}"

    async def a_job_is_lost(self) -> str | None:
        """Somebody empties a part of the queue by mistake."""
        waiting = await self.crew.waiting()
        if not waiting:
            return None
        lost = self.chance.choice(waiting)
        await self.crew.lose(lost)
        self.happened["job_lost"] += 1
        return f"{self._told(lost)} is lost"

    async def sweep(self) -> str:
        """What is due is promised."""
        now = self.clock.now()
        self.happened["try_met_a_page"] += len(await self.payers.tries_on_pages(before=now))
        due = await sweep(self.pool, self._database.scout, new_id=self.new_id, now=self.clock.now())
        return f"{due} are due"

    async def the_schedule_meets_a_page(self) -> str | None:
        """The time comes when the schedule tries what a payer may be paying on a page."""
        soon = self.clock.now() + PAYER_HAS
        if not (tries := await self.payers.tries_on_pages(before=soon)):
            return None
        await self._pass(max(tries[0] - self.clock.now(), timedelta()) + A_TICK)
        return f"the schedule meets a page: {await self.sweep()}"

    async def a_moment_passes(self) -> str:
        return await self._pass(timedelta(seconds=self.chance.uniform(0.1, 5)))

    async def a_minute_passes(self) -> str:
        return await self._pass(timedelta(seconds=self.chance.uniform(10, 200)))

    async def hours_pass(self) -> str:
        """Hours in which nobody works."""
        longest = self.chance.choice([12, 12, 30])  # beyond the life of a key
        told = await self._pass(timedelta(hours=self.chance.uniform(0.2, longest)))
        await mark_all_overdue(self.pool, self._database.scout, now=self.clock.now())
        return told

    async def days_pass(self) -> str:
        """Days in which the workers work, so that what the schedule planned is tried."""
        for _ in range(self.chance.randint(4, 16)):
            await self._pass(timedelta(hours=6))
            await self.sweep()
            await self._work_off()
        return f"days pass, and it is {self.clock.now():%d %b %H:%M}"

    async def the_weather_changes(self) -> str:
        """The provider has good days and bad ones."""
        weather = self.chance.choice([*WEATHERS])
        self.psp.faults.change(WEATHERS[weather])
        return f"the provider is {weather}"

    # The end: the bad luck is over, and every promise is kept.

    async def settle_down(self) -> None:
        """End the faults, and go on until nothing is left to do.

        What is unknown by then is settled within minutes: that is asserted here. Then everything
        that is held is asked for once more, by people who do not know of it.
        """
        self._note("the bad luck is over")
        self._is_settling = True
        self.psp.faults.change("")
        self.psp.mailbox_is_away = False
        self._note(await self.payers.the_api_dies() or "the API is idle")
        for number in range(len(self.crew.workers)):
            await self.crew.kill(number)
        for orphan in [*self.crew.orphans]:
            await self.crew.miss(orphan)
        for people in self.everybody:
            await people.dun_no_more()
        calm_since = self.clock.now()
        patience = calm_since + UNKNOWN_IS_SETTLED_WITHIN
        while self.clock.now() < patience:
            await self._keep_promises()
            due = await self._next_due() or patience
            soon = self.clock.now() + timedelta(seconds=15)
            await self._pass(min(max(due, soon), patience) - self.clock.now())
        await self._keep_promises()
        for people in self.everybody:
            self._note(await people.retry_what_is_held() or "nothing is held")
        await self._keep_promises()
        stuck = await self.owner.fetch(
            "SELECT id, state FROM payments"
            " WHERE organization_id = ANY ($1::uuid[]) AND created_at <= $2"
            " AND state IN ('ready', 'sent', 'unknown')"
            " AND coalesce(sent_at > $3, true) AND provider_method_id IS DISTINCT FROM $4",
            self.tenants, calm_since, self.clock.now() - RE_SEND_WITHIN, TURNED_AWAY,
        )  # fmt: skip
        assert not stuck, [(self.name(row["id"]), row["state"]) for row in stuck]
        for number in range(MOST_ROUNDS):
            if (due := await self._next_due()) is None:
                break
            late = calm_since + EVERYTHING_IS_SETTLED_WITHIN
            assert due < late, f"something is only looked at in {due - self.clock.now()}"
            # What is turned away may have got in before: it is asked about until its key dies.
            at_least = timedelta(seconds=1) if number < 50 else timedelta(hours=1)
            await self._pass(max(due - self.clock.now(), at_least))
            await self._keep_promises()
        else:
            raise AssertionError("there is always something left to do")
        assert not await self.crew.waiting(), "the queue is empty"
        self._note("all is settled")

    async def _keep_promises(self) -> None:
        await self.sweep()
        await self._work_off()
        await self.payers.decide_at_last()
        await self.psp.run_errands()
        await self.post.all_news_arrives()
        await self._work_off()

    async def _next_due(self) -> datetime | None:
        """When the next attempt or refund that has not ended is looked at."""
        at: datetime | None = await self.owner.fetchval(
            "SELECT min(coalesce(look_up_at, $2)) FROM ("
            "   SELECT organization_id, look_up_at, ended_at, state FROM payments"
            "   UNION ALL SELECT organization_id, look_up_at, ended_at, state FROM refunds) AS one"
            " WHERE organization_id = ANY ($1::uuid[])"
            "   AND ended_at IS NULL AND state <> 'needs_review'",
            self.tenants, self.clock.now(),
        )  # fmt: skip
        return at

    async def retire(self) -> None:
        """Leave nothing in the database that the next world's sweep would find."""
        await self.crew.dismiss()
        for statement in (
            "DELETE FROM pgqueuer"
            " WHERE split_part(convert_from(payload, 'UTF8'), '/', 1)::uuid = ANY ($1::uuid[])",
            "UPDATE payments SET state = 'withdrawn', ended_at = created_at"
            " WHERE organization_id = ANY ($1::uuid[]) AND state = 'ready'",
            "UPDATE payments SET look_up_at = NULL WHERE organization_id = ANY ($1::uuid[])",
            "DELETE FROM refunds WHERE organization_id = ANY ($1::uuid[]) AND state = 'ready'",
            "UPDATE refunds SET look_up_at = NULL WHERE organization_id = ANY ($1::uuid[])",
            "UPDATE invoices SET next_try_at = NULL, payment_overdue = true"
            " WHERE organization_id = ANY ($1::uuid[])",
            "DELETE FROM dunning_counters WHERE organization_id = ANY ($1::uuid[])",
            "DELETE FROM dunnings WHERE organization_id = ANY ($1::uuid[])",
            "UPDATE provider_events SET applied_at = received_at"
            " WHERE organization_id = ANY ($1::uuid[])",
        ):
            await self.owner.execute(statement, self.tenants)

    def digest(self) -> str:
        """The trace in one word: two worlds with the same one were the same world."""
        return sha256("\n".join(self.trace).encode()).hexdigest()

    # Inside.

    def _tick(self) -> None:
        """No two things happen at one instant, so that what came first can be told."""
        self.clock.at += A_TICK

    async def _pass(self, time: timedelta) -> str:
        """Let time pass, and the provider go on, each at its time, with calls that it has held."""
        then = self.clock.at + time
        while held := self.psp.due(then):
            self.clock.at = max(self.clock.at, held.until)
            await self.crew.end_call(held)
        self.clock.at = then
        await self._clear_away()
        return f"it is {self.clock.now():%d %b %H:%M:%S}"

    async def _work_off(self) -> None:
        """Let a worker do everything that is on the queue, from beginning to end."""
        for errand in self.crew.under_way():
            await self._finish(errand)
        while waiting := await self.crew.waiting():
            errand = self.chance.choice(waiting)
            await self.crew.take(0, [errand])
            await self._finish(errand)
            await self._clear_away()

    async def _finish(self, errand: Errand) -> None:
        self._tick()
        while not errand.is_over:
            if errand.is_held:
                [held] = [one for one in self.psp.held if one.call.caller is errand.stirred]
                await self._pass(max(held.until - self.clock.now(), timedelta()))
            else:
                await self.crew.go_on([errand])
        self._note(f"done: {self._told(errand)}")

    async def _clear_away(self) -> None:
        """Take finished jobs off the queue; some finish unheard, and are done again."""
        for errand in self.crew.over():
            unheard = not self._is_settling and self.chance.random() < 0.05
            if unheard:
                self.happened["job_done_unheard"] += 1
            await self.crew.hand_in(errand, and_forget=unheard)
        for line in self.payers.hear():
            self._note(line)

    def _told(self, errand: Errand) -> str:
        where = "over" if errand.is_over else errand.at
        return f"{errand.job} {self.name(errand.key.id)} ({where})"

    def _note(self, line: str) -> None:
        self.trace.append(f"{len(self.trace):4} {self.clock.now():%d %b %H:%M:%S}  {line}")
        if self._tell:
            self._tell(self.trace[-1])


@asynccontextmanager
async def open_world(
    database: Database, seed: int, *, tell: Callable[[str], object] | None = None
) -> AsyncIterator[World]:
    """Open the world of this seed; at its end it leaves nothing undone in the database.

    `tell` is told every line of the trace when it happens.
    """
    async with AsyncExitStack() as stack:
        # A connection of its own for each call: nothing is left of one that has been broken.
        http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        await stack.enter_async_context(http)
        sender = WebhookSender()
        stack.push_async_callback(sender.close)
        world = World(database, http, sender, seed, tell)
        await stack.enter_async_context(world.psp.open())
        await world.open()
        try:
            yield world
        finally:
            await world.retire()
