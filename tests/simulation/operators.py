"""The operators of the world: they settle what no provider tells of, pay back, and let go.

They look at the provider's own books before they decide. The one thing that they cannot know is
what a payer will still do: who gives up on one may be wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import asyncpg

from recoup.flows.refund_payment import refund_contradiction
from recoup.flows.release_invoice import list_held_invoices, release_invoice
from recoup.flows.settle_by_hand import Decided, settle_by_hand
from recoup.rules.attempt_state import Verdict
from recoup.rules.records.collection import idempotency_key
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.sandbox.charges import Status
from recoup.sandbox.tokens import ON_A_PAGE
from recoup.store import db
from recoup.store.db import Pool
from tests.shop import MovableClock
from tests.simulation.psp import Psp

ALL_LOOK_UPS_TAKE = timedelta(hours=24)  # what is settled by hand was sent before that


class Operators:
    """Those who run the service, and see all its tenants."""

    def __init__(
        self,
        pool: Pool,
        owner: asyncpg.Connection,
        psp: Psp,
        tenants: Sequence[UUID],
        chance: Random,
        clock: MovableClock,
        *,
        new_id: Callable[[], UUID],
        name: Callable[[UUID], str],
        happened: Counter[str],
    ) -> None:
        self._pool = pool
        self._owner = owner
        self._psp = psp
        self._tenants = tenants
        self._chance = chance
        self._clock = clock
        self._new_id = new_id
        self._name = name
        self._happened = happened
        self.called_failed: set[UUID] = set()  # attempts; what has a payer may be paid yet
        self.released: dict[UUID, list[datetime]] = {}  # invoices

    async def settle(self) -> str | None:
        """Settle an open attempt by hand, where that is allowed; what is on its way is not."""
        open_now = await self._owner.fetch(
            "SELECT organization_id, id, state, sent_at FROM payments"
            " WHERE organization_id = ANY ($1::uuid[]) AND ended_at IS NULL"
            " ORDER BY state <> 'needs_review', sent_at NULLS LAST, id LIMIT 3",
            self._tenants,
        )
        if not open_now:
            return None
        row = self._chance.choice(open_now)
        key = RowKey(row["organization_id"], row["id"])
        if self._has_an_open_page(key.id):
            return f"{self._name(key.id)} is on a page, and may be paid yet"
        decided = self._look(key.id)
        now = self._clock.now()
        is_old = row["sent_at"] is not None and now >= row["sent_at"] + ALL_LOOK_UPS_TAKE
        may_be = is_old or row["state"] == "needs_review"
        try:
            settled = await settle_by_hand(
                self._pool, key, decided, audit_id=self._new_id(), now=now
            )
        except Refused:
            settled = None
        assert may_be == (settled is not None), f"{self._name(key.id)} is {row['state']}"
        if settled is None:
            return f"nobody may settle {self._name(key.id)} yet"
        if decided.verdict is Verdict.FAILED:
            self.called_failed.add(key.id)
        self._happened["settled_by_hand"] += 1
        return f"{self._name(key.id)} is settled by hand: {settled}"

    async def release(self) -> str | None:
        """Let a held invoice be collected again."""
        tenant = self._chance.choice(self._tenants)
        held = await list_held_invoices(self._pool, tenant)
        if not held:
            return None
        invoice = self._chance.choice(held).debt.key
        now = self._clock.now()
        await release_invoice(
            self._pool, invoice, by="Ada", reason="It was paid back.",
            audit_id=self._new_id(), now=now,
        )  # fmt: skip
        self.released.setdefault(invoice.id, []).append(now)
        self._happened["released"] += 1
        return f"{self._name(invoice.id)} is let go"

    async def pay_back(self) -> str | None:
        """Pay back what a contradiction has brought in; a second time it is refused."""
        found = await self._owner.fetch(
            "SELECT organization_id, id FROM contradictions"
            " WHERE organization_id = ANY ($1::uuid[]) AND unapplied_cents > 0"
            " ORDER BY created_at DESC, id LIMIT 4",
            self._tenants,
        )
        if not found:
            return None
        tenant, contradiction = self._chance.choice(found)
        refund, told = self._new_id(), "done"
        try:
            async with db.transaction(self._pool, tenants=[tenant]) as conn:
                await refund_contradiction(
                    conn, tenant, contradiction, refund_id=refund, now=self._clock.now()
                )
        except Refused as no:
            told = no.refusal.code
        self._happened["refund_asked" if told == "done" else "refund_refused"] += 1
        return f"{self._name(refund)} pays back what {self._name(contradiction)} brought in: {told}"

    def _has_an_open_page(self, attempt: UUID) -> bool:
        return any(
            charge.idempotency_key == idempotency_key(attempt)
            for charge in self._psp.waiting_for_payers()
            if charge.payment_method == ON_A_PAGE
        )

    def _look(self, attempt: UUID) -> Decided:
        """What the provider's own pages say: a charge that is paid, or none that is."""
        paid = [
            entry.charge.id
            for entry in self._psp.entries()
            if entry.charge.idempotency_key == idempotency_key(attempt)
            and entry.charge.status is Status.SUCCEEDED
        ]
        return Decided(
            verdict=Verdict.PAID if paid else Verdict.FAILED,
            by="Ada",
            reason="The provider's pages say so.",
            provider_payment_id=paid[0] if paid else None,
        )
