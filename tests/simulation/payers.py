"""The payers of the world: who is sent to a hosted page, who pays there, and who retries past it.

They come in over the API's own process, which asks the provider while they wait: it stops between
its steps, and meanwhile the payer pays, the schedule tries, or the process dies.

What would surprise you: on a page a payer who is declined may try again, so their no ends nothing.
Some never come back; then only the clock ends the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from random import Random
from uuid import UUID

import asyncpg

from recoup.api.edge import Edge
from recoup.flows.open_payment_page import open_payment_page
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.sandbox.charges import Charge
from recoup.sandbox.tokens import ON_A_PAGE
from tests.simulation.crew import Crew, DrowsyPool, Visit
from tests.simulation.people import People
from tests.simulation.psp import Psp

_OPEN_PAGES = """
    SELECT pi.organization_id, pi.invoice_id
      FROM payments p
      JOIN payment_invoices pi ON (pi.organization_id, pi.payment_id) = (p.organization_id, p.id)
     WHERE p.organization_id = ANY ($1::uuid[]) AND p.manner = 'page' AND p.ended_at IS NULL
     ORDER BY p.created_at, p.id
"""
_PAYABLE = """
    SELECT i.organization_id, i.id, i.next_try_at
      FROM invoices i
     WHERE i.organization_id = ANY ($1::uuid[]) AND i.status = 'finalized' AND i.due_cents > 0
       AND i.payment_status <> 'succeeded' AND i.held_because IS NULL
       AND NOT EXISTS (SELECT FROM payment_invoices pi
              JOIN payments p ON (p.organization_id, p.id) = (pi.organization_id, pi.payment_id)
             WHERE (pi.organization_id, pi.invoice_id) = (i.organization_id, i.id) AND pi.open
               AND p.manner <> 'page')
     ORDER BY i.next_try_at IS NULL, i.created_at DESC, i.id LIMIT 8  -- planned tries first
"""
_TRIES_ON_PAGES = """
    SELECT i.next_try_at
      FROM payments p
      JOIN payment_invoices pi ON (pi.organization_id, pi.payment_id) = (p.organization_id, p.id)
      JOIN invoices i ON (i.organization_id, i.id) = (pi.organization_id, pi.invoice_id)
     WHERE p.organization_id = ANY ($1::uuid[]) AND p.manner = 'page' AND pi.open
       AND i.next_try_at < $2
     ORDER BY i.next_try_at
"""


class Payers:
    """Those who pay on pages, and the API's process that sends them there."""

    def __init__(
        self,
        owner: asyncpg.Connection,
        edge: Callable[[], Edge],
        crew: Crew,
        psp: Psp,
        everybody: Sequence[People],
        chance: Random,
        *,
        name: Callable[[UUID], str],
        happened: Counter[str],
    ) -> None:
        self._owner = owner
        self._make_edge = edge
        self._edge = edge()
        self._crew = crew
        self._psp = psp
        self._everybody = {people.tenant: people for people in everybody}
        self._chance = chance
        self._name = name
        self._happened = happened
        self._is_coming_back: dict[str, bool] = {}  # by charge, once the bad luck is over
        self.given: dict[str, int] = {}  # how often each page's address was given

    async def open_page(self) -> str | None:
        """Somebody sends the payer of a recent invoice to the provider's page."""
        payable = await self._owner.fetch(_PAYABLE, [*self._everybody])
        if not payable:
            return None
        planned = [row for row in payable if row["next_try_at"]]
        row = self._chance.choice(planned if planned and self._chance.random() < 0.5 else payable)
        return await self.open_page_of(RowKey(row["organization_id"], row["id"]))

    async def open_page_of(self, invoice: RowKey) -> str:
        """Somebody sends the payer of this invoice there."""
        edge, pool = self._edge, DrowsyPool(self._edge.pool, self._chance)

        async def act() -> str:
            try:
                page = await open_payment_page(
                    pool, edge.providers, invoice.organization_id, invoice.id,
                    new_id=edge.new_id, now=edge.now,
                )  # fmt: skip
            except Refused as no:
                self._happened["page_refused"] += 1
                return str(no.refusal.details or no.refusal.code)
            self.given[page.url] = self.given.get(page.url, 0) + 1
            self._happened["page_given" if self.given[page.url] == 1 else "page_given_again"] += 1
            return "a page"

        return await self._visit(Visit("open_payment_page", invoice, act))

    async def retry_past_a_page(self) -> str | None:
        """Somebody retries, over the API, what a payer may be paying on a page."""
        pages = await self._owner.fetch(_OPEN_PAGES, [*self._everybody])
        if not pages:
            return None
        row = self._chance.choice(pages)
        return await self._retry(RowKey(row["organization_id"], row["invoice_id"]))

    async def pay_while_it_is_closed(self) -> str | None:
        """The payer pays at the very moment when somebody is about to close their page."""
        closing = [
            one
            for one in self._crew.under_way()
            if one.at in {"before its cancellation", "before its look-up"}
        ]
        pages = [one for one in self._psp.waiting_for_payers() if one.payment_method == ON_A_PAGE]
        invoices = {str(one.key.id) for one in closing}
        fitting = [
            page
            for page in pages
            if {page.metadata["lago_invoice_id"], page.metadata["lago_payment_id"]} & invoices
        ]
        if not fitting:
            return None
        await self._psp.payer(self._chance.choice(fitting), says="approve")
        self._happened["page_paid_while_it_is_closed"] += 1
        return "a payer pays on a page that is about to be closed"

    async def decide(self) -> str | None:
        """Somebody who has the provider's page before them says yes or no."""
        waiting = self._psp.waiting_for_payers()
        if not waiting:
            return None
        on_pages = [charge for charge in waiting if charge.payment_method == ON_A_PAGE]
        others = [charge for charge in waiting if charge.payment_method != ON_A_PAGE]
        charge = self._chance.choice(self._chance.choice([on_pages or others, others or on_pages]))
        says = self._chance.choice(["approve", "decline"])
        await self._psp.payer(charge, says=says)
        which = "page_payer" if charge.payment_method == ON_A_PAGE else "payer"
        self._happened[f"{which}_says_{says}"] += 1
        return f"a payer says {says}{' on a page' if which == 'page_payer' else ''}"

    async def decide_at_last(self) -> None:
        """Everybody who waits says something; of those with a page, half never come back."""
        for charge in self._psp.waiting_for_payers():
            if self._comes_back(charge):
                await self._psp.payer(charge, says=self._chance.choice(["approve", "decline"]))

    async def tries_on_pages(self, *, before: datetime) -> list[datetime]:
        """When the schedule tries what a payer may be paying on a page, soonest first."""
        rows = await self._owner.fetch(_TRIES_ON_PAGES, [*self._everybody], before)
        return [row["next_try_at"] for row in rows]

    async def the_api_dies(self) -> str | None:
        """The API's process is killed, with everything that it was asked."""
        if not self._crew.visits:
            return None
        dead = await self._crew.kill_the_api()
        self._edge = self._make_edge()
        for visit in dead:
            self._happened[f"api_killed_{visit.at.partition(':')[0].replace(' ', '_')}"] += 1
        self._happened["api_killed"] += 1
        told = "; ".join(f"{one.job} {self._name(one.key.id)} ({one.at})" for one in dead)
        return f"the API dies with {told}"

    def hear(self) -> list[str]:
        """What the API has answered meanwhile, in lines for the trace."""
        return [
            f"{visit.job} {self._name(visit.key.id)} is answered: {visit.answer}"
            for visit in self._crew.answered()
        ]

    async def _retry(self, invoice: RowKey) -> str:
        edge, people = self._edge, self._everybody[invoice.organization_id]
        ask = people.ask(invoice)

        async def act() -> str:
            answer = await edge.retry(ask)
            people.note([ask], [answer])
            self._happened["retried_past_a_page"] += 1
            return people.told_of([ask], [answer])

        return await self._visit(Visit("retry_payment", invoice, act))

    async def _visit(self, visit: Visit) -> str:
        await self._crew.receive(visit)
        return f"{visit.job} {self._name(visit.key.id)} comes to {visit.at}"

    def _comes_back(self, charge: Charge) -> bool:
        if charge.payment_method != ON_A_PAGE:
            return True
        if charge.id not in self._is_coming_back:
            self._is_coming_back[charge.id] = self._chance.random() < 0.5
            if not self._is_coming_back[charge.id]:
                self._happened["page_abandoned"] += 1
        return self._is_coming_back[charge.id]
