"""What happens by the clock, for all tenants: each round finds what is due and has it done.

Two workers may go the same round at once: what is found is a promise, or is looked at once more
where it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog
from pgqueuer import PgQueuer
from pgqueuer.models import Schedule

from recoup.flows.finalize_draft import finalize_due_drafts
from recoup.flows.mark_overdue import mark_all_overdue
from recoup.flows.retry_payment import Ask, retry_payments_on
from recoup.flows.sweep import sweep
from recoup.flows.tidy import USUAL, Retention, tidy
from recoup.flows.wake_dunned import wake_forgotten
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.store import db, jobs, provider_accounts, quarantines
from recoup.store.db import Conn, Pool
from recoup.store.jobs import Job

log = structlog.get_logger()


class Rounds:
    """The rounds, and when each begins (UTC)."""

    def __init__(
        self,
        pool: Pool,
        scout: Pool,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
        retention: Retention = USUAL,
    ) -> None:
        self._pool = pool
        self._scout = scout
        self._now = now
        self._new_id = new_id
        self._retention = retention

    def begin(self, queuer: PgQueuer) -> None:
        """Go them on this queue's clock: each by one worker at a time, however many there are."""
        queuer.schedule("sweep", "* * * * * */2")(self._sweep)
        queuer.schedule("finalize_drafts", "* * * * *")(self._finalize_drafts)
        queuer.schedule("mark_overdue", "25 * * * *")(self._mark_overdue)
        queuer.schedule("tidy", "10 1 * * *")(self._tidy)
        queuer.schedule("reconcile_all", "40 2 * * *")(self._reconcile_all)
        queuer.schedule("reconcile_held", "* * * * * */15")(self._reconcile_held)

    async def finalize_drafts(self) -> None:
        """Finalize the drafts whose grace has ended, and begin to collect them."""

        async def collect(conn: Conn, invoice: RowKey) -> None:
            ask = Ask(invoice, self._new_id(), AskedBy.CREATION)
            await retry_payments_on(conn, [ask], now=self._now())

        await finalize_due_drafts(self._pool, self._scout, collect=collect, now=self._now())

    async def _sweep(self, _schedule: Schedule) -> None:
        await sweep(self._pool, self._scout, new_id=self._new_id, now=self._now())

    async def _finalize_drafts(self, _schedule: Schedule) -> None:
        await self.finalize_drafts()

    async def _mark_overdue(self, _schedule: Schedule) -> None:
        await mark_all_overdue(self._pool, self._scout, now=self._now())
        await wake_forgotten(self._pool, self._scout, now=self._now())

    async def _tidy(self, _schedule: Schedule) -> None:
        await tidy(self._pool, self._scout, keep=self._retention, now=self._now())

    async def _reconcile_all(self, _schedule: Schedule) -> None:
        async with db.nameless(self._scout) as conn:
            every = await provider_accounts.everybodys(conn)
        async with db.nameless(self._pool) as conn:
            await jobs.promise(conn, Job.RECONCILE_ACCOUNT, every)

    async def _reconcile_held(self, _schedule: Schedule) -> None:
        async with db.nameless(self._scout) as conn:
            held = await quarantines.accounts(conn)
        if held:
            log.warning("in_quarantine", accounts=len(held), do="see docs/restore.md")
            async with db.nameless(self._pool) as conn:
                await jobs.promise(conn, Job.RECONCILE_ACCOUNT, held)
