"""The worker: queues of promises, which it keeps until it is stopped.

Any number of workers run on any number of hosts. A job that raises comes back; a worker that dies
leaves jobs that others take over once its heart has not beaten for `DEAD_AFTER`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

import structlog
from pgqueuer import PgQueuer
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job as QueuedJob

from recoup.flows.calls_under_way import SLOTS
from recoup.flows.keep_methods import ProviderSilentError
from recoup.rules.records.keys import RowKey
from recoup.store.db import DATABASE_AWAY, ROW_IS_HELD, Pool
from recoup.store.jobs import Job
from recoup.workers.duties import Duties
from recoup.workers.rounds import Rounds

log = structlog.get_logger()

WORDS: Final = frozenset({Job.DELIVER_WEBHOOK, Job.SEND_MAIL})
PAPERS: Final = frozenset({Job.MAKE_DOCUMENT})
MONEY: Final = frozenset(Job) - WORDS - PAPERS
DEAD_AFTER: Final = timedelta(seconds=15)
LOOK_FOR_JOBS_EVERY: Final = timedelta(seconds=2)  # beside being notified
JOBS_PER_ROUND: Final = 100
WORDS_AT_ONCE: Final = 400
PAPERS_AT_ONCE: Final = 4  # one is typeset while others are fetched for or kept
RESTART_AFTER_SECONDS: Final = 1.0
COMES_BACK_AT_MOST: Final = timedelta(seconds=30)


def comes_back_after(tries: int) -> timedelta:
    """How long a job waits that has failed `tries` times before: for ever, if need be, and soon.

    PgQueuer's own executor doubles without end, and gives a job up when the number gets too large.
    """
    doubled: int = 2 ** min(tries, 5)
    return min(timedelta(seconds=doubled), COMES_BACK_AT_MOST)


class Worker:
    """Keeps what was promised, until it is stopped."""

    def __init__(
        self, queue: Pool, duties: Duties, rounds: Rounds, *, money_jobs_at_once: int = SLOTS
    ) -> None:
        """
        :param queue: connections that do not plan by index.
        """
        self._queue = queue
        self._duties = duties
        self._rounds = rounds
        self._money_jobs_at_once = money_jobs_at_once
        self._stopping = asyncio.Event()
        self._running: list[PgQueuer] = []

    async def run(self) -> None:
        """Work until `stop`. Money, webhooks and documents have job slots apart, so none waits.

        Of those for money no account has all: `flows/calls_under_way` keeps some free of each.
        """
        queues = [
            self._keep_running(self._money, self._money_jobs_at_once),
            self._keep_running(lambda: self._queue_of(WORDS), WORDS_AT_ONCE),
        ]
        if self._duties.makes_documents:
            queues.append(self._keep_running(lambda: self._queue_of(PAPERS), PAPERS_AT_ONCE))
        await asyncio.gather(*queues)

    def stop(self) -> None:
        """Take no more jobs; `run` returns when those under way are done."""
        self._stopping.set()
        for queuer in self._running:
            queuer.shutdown.set()

    async def _keep_running(self, make: Callable[[], PgQueuer], at_once: int) -> None:
        """Run a queue, and begin again when the database went away under it."""
        while not self._stopping.is_set():
            queuer = make()
            self._running.append(queuer)
            try:
                await queuer.run(
                    dequeue_timeout=LOOK_FOR_JOBS_EVERY,
                    batch_size=min(JOBS_PER_ROUND, at_once // 2),
                    max_concurrent_tasks=at_once,
                    heartbeat_timeout=DEAD_AFTER,
                )
            except Exception as error:  # noqa: BLE001  whatever it was, the promises still stand
                log.warning("queue_interrupted", error=type(error).__name__)
                await self._pause()
            finally:
                self._running.remove(queuer)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(RESTART_AFTER_SECONDS):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _money(self) -> PgQueuer:
        queuer = self._queue_of(MONEY)
        self._rounds.begin(queuer)
        return queuer

    def _queue_of(self, jobs: Collection[Job]) -> PgQueuer:
        queuer = PgQueuer.from_asyncpg_pool(self._queue)
        for job in sorted(jobs):
            self._register(queuer, job)
        return queuer

    def _register(self, queuer: PgQueuer, job: Job) -> None:
        keep = self._duties.of(job)

        async def run(queued: QueuedJob) -> None:
            assert queued.payload is not None, "a job names its row"
            key = RowKey.read(queued.payload.decode())
            try:
                await keep(key)
            except Exception as error:  # said here, and the job comes back: the queue is silent
                expected = isinstance(error, (*DATABASE_AWAY, *ROW_IS_HELD, ProviderSilentError))
                log.warning(
                    "job_comes_back",
                    job=job.value,
                    row=str(key),
                    tries=queued.attempts,
                    error=type(error).__name__,
                    exc_info=None if expected else error,
                )
                # Without a reason: the text of an error can hold a whole request.
                raise RetryRequested(delay=comes_back_after(queued.attempts)) from None

        queuer.entrypoint(job.value, accepts_context=False)(run)
