"""The people of the world: who issues invoices, asks for retries, and changes their mind meanwhile.

Each act is one call of the API's flows, and answers what came of it, in a line for the trace. What
was accepted is noted, since each such ask must end in one event; and what was billed, paid by hand
and taken off again, since only so much of an invoice may be charged.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeAlias, TypeVar
from uuid import UUID, uuid5

import asyncpg

from recoup.flows.attach_payment_method import attach_payment_method
from recoup.flows.create_credit_note import create_credit_note, standings
from recoup.flows.create_invoice import create_invoice
from recoup.flows.credit_voided_invoice import AskedBack
from recoup.flows.delete_customer import delete_customer
from recoup.flows.manage_add_ons import AddOnInput, create_add_on
from recoup.flows.manage_dunning_campaigns import (
    create_dunning_campaign,
    delete_dunning_campaign,
)
from recoup.flows.manage_payment_methods import delete_payment_method, set_default_payment_method
from recoup.flows.open_provider import Providers
from recoup.flows.record_manual_payment import PaymentInput, record_manual_payment
from recoup.flows.request_payment import PagesAreOpen, request_payment
from recoup.flows.retry_payment import Accepted, Answer, Ask, retry_payments, retry_payments_on
from recoup.flows.update_invoice import InvoiceChange, update_invoice
from recoup.flows.upsert_customer import upsert_customer
from recoup.flows.void_invoice import void_invoice
from recoup.rules.credit_note_asks import CreditNoteInput
from recoup.rules.customer_changes import BillingConfigurationInput, CustomerInput
from recoup.rules.dunning_campaigns import DunningCampaignInput, ThresholdInput
from recoup.rules.method_choice import NOBODYS_METHOD, Wish
from recoup.rules.one_off_asks import FeeInput, InvoiceInput
from recoup.rules.payment_requests import PaymentRequestInput
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.sandbox.tokens import ON_A_PAGE, TOKENS
from recoup.store import db
from recoup.store.db import ROW_IS_HELD, Conn, Pool
from recoup.store.idempotency_keys import Receipt
from tests.conftest import waiting_for_locks
from tests.shop import MovableClock

TURNED_AWAY = "pm_that_the_sandbox_turns_away"
METHODS = (
    *(token for token in TOKENS if token != ON_A_PAGE),
    *["pm_sandbox_ok"] * 3,
    *["pm_sandbox_authentication_required"] * 2,
    "pm_sandbox_fail_once",
    "pm_sandbox_stolen_card",
    "pm_sandbox_processing_ok",
    TURNED_AWAY,
)
CURRENCIES = ("EUR", "USD", "JPY")
# Whatever else of an invoice's customer may be asked for beside it.
_BESIDE = """
    SELECT i.id, i.currency, c.external_id
      FROM invoices asked
      JOIN invoices i ON (i.organization_id, i.customer_id, i.currency)
                       = (asked.organization_id, asked.customer_id, asked.currency)
      JOIN customers c ON (c.organization_id, c.id) = (i.organization_id, i.customer_id)
     WHERE asked.organization_id = $1 AND asked.id = $2 AND i.status = 'finalized'
       AND i.payment_status <> 'succeeded' AND i.due_cents > 0 AND i.held_because IS NULL
     ORDER BY i.id LIMIT 5
"""
_BECOME_OVERDUE = """
    WITH late AS (
        SELECT id FROM invoices WHERE organization_id = $1 AND id = ANY ($2::uuid[])
         ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE invoices i SET payment_overdue = true FROM late
     WHERE i.organization_id = $1 AND i.id = late.id
"""
DUNNED_EACH = timedelta(days=2)
Done = TypeVar("Done")
Meanwhile: TypeAlias = Callable[[], Awaitable[None]]  # what happens just before a commit


class People:
    """Everybody who calls the API of one tenant."""

    def __init__(
        self,
        pool: Pool,
        owner: asyncpg.Connection,
        chance: Random,
        clock: MovableClock,
        tenant: UUID,
        accounts: Sequence[str],
        *,
        new_id: Callable[[], UUID],
        name: Callable[[UUID], str],
        happened: Counter[str],
    ) -> None:
        self._pool = pool
        self._owner = owner
        self._chance = chance
        self._clock = clock
        self.tenant = tenant
        self._accounts = accounts  # their codes
        self._new_id = new_id
        self._name = name
        self._happened = happened
        self.customers: dict[str, list[UUID]] = {}  # the live ones, with every method they had
        self.invoices: list[RowKey] = []
        self.billed: dict[UUID, int] = {}  # of invoices, in minor units
        self.paid_by_hand: dict[UUID, list[tuple[datetime, int]]] = {}  # of invoices
        self.offset_by_notes: dict[UUID, list[tuple[datetime, int]]] = {}  # of invoices
        self.meddled: set[RowKey] = set()  # voided, paid by hand, or of a status that was set
        self.declared: dict[UUID, list[tuple[datetime, str]]] = {}  # of invoices, in order
        self.voided: dict[UUID, datetime] = {}
        self.accepted: dict[UUID, Accepted] = {}  # by the ask's id
        self.requested: dict[UUID, set[UUID]] = {}  # by payment requests, of which invoices
        self.refused: set[UUID] = set()
        self.unasked: set[UUID] = set()  # first charges that came to nothing: nobody is told
        # What others do with an invoice, so that two act on it at one moment.
        self.comes_second: list[Callable[[RowKey], Awaitable[str | None]]] = []
        self._keyed: list[tuple[Ask, Accepted]] = []
        self._unheard: list[tuple[Ask, Accepted]] = []
        self._numbers = 0

    async def move_in(self, providers: Providers) -> None:
        """Make the add-on that everything is billed as."""
        self._providers = providers
        asked = AddOnInput(name="Work", code="work", amount_cents=1_000, amount_currency="EUR")
        await self._do(
            lambda conn: create_add_on(
                conn, self.tenant, asked, add_on_id=self._new_id(), now=self._now()
            )
        )

    async def new_customer(self) -> str:
        self._numbers += 1
        external_id = f"customer-{self._numbers}"
        self.customers[external_id] = []
        if self._chance.random() < 0.9:
            await self._link(external_id)
            for _ in range(self._chance.choice([0, 1, 1, 1, 2])):
                await self._attach(external_id)
        else:
            await self._upsert(external_id, BillingConfigurationInput())
        return f"{external_id} comes, with {len(self.customers[external_id])} methods"

    async def relink(self) -> str:
        external_id = self._somebody()
        await self._link(external_id)
        if self._chance.random() < 0.8:
            await self._attach(external_id)
        return f"{external_id} is linked to another customer at the provider"

    async def unlink(self) -> str:
        external_id = self._somebody()
        await self._upsert(external_id, BillingConfigurationInput(payment_provider=None))
        return f"{external_id} is unlinked"

    async def delete_customer(self) -> str:
        external_id = self._somebody()
        await self._do(
            lambda conn: delete_customer(conn, self.tenant, external_id, now=self._now())
        )
        del self.customers[external_id]
        return f"{external_id} is deleted"

    async def attach_method(self) -> str:
        external_id = self._somebody()
        return f"{external_id} brings {await self._attach(external_id)}"

    async def choose_method(self) -> str:
        external_id = self._somebody()
        method = self._method_of(external_id)
        done = await self._try(
            lambda conn: set_default_payment_method(conn, self.tenant, external_id, method)
        )
        return f"{external_id} prefers {self._name(method)}: {done}"

    async def delete_method(self) -> str:
        external_id = self._somebody()
        method = self._method_of(external_id)
        done = await self._try(
            lambda conn: delete_payment_method(
                conn, self.tenant, external_id, method, now=self._now()
            )
        )
        return f"{external_id} takes back {self._name(method)}: {done}"

    async def new_invoice(self) -> str:
        return await self._issue(
            self._somebody(),
            self._chance.choice(CURRENCIES),
            skip_psp=self._chance.random() < 0.4,
        )

    async def _issue(self, external_id: str, currency: str, *, skip_psp: bool) -> str:
        invoice_id, ask_id = self._new_id(), self._new_id()
        asked = InvoiceInput(
            external_customer_id=external_id,
            currency=currency,
            skip_psp=skip_psp,
            fees=[FeeInput(add_on_code="work", unit_amount_cents=self._chance.randint(1, 9_999))],
            payment_method=self._chance.choice([None] * 9 + [{"payment_method_type": "manual"}]),
        )
        begun: list[Answer] = []

        async def collect(conn: Conn, invoice: RowKey) -> None:
            ask = Ask(invoice, ask_id, AskedBy.CREATION)
            begun.extend(await retry_payments_on(conn, [ask], now=self._now()))

        made = await self._do(
            lambda conn: create_invoice(
                conn, self.tenant, asked, invoice_id=invoice_id, collect=collect, now=self._now()
            )
        )
        self.invoices.append(RowKey(self.tenant, invoice_id))
        self.billed[invoice_id] = made.invoice.total_cents
        for answer in begun:
            if isinstance(answer, Accepted) and answer.attempt_id:
                self.accepted[ask_id] = answer
            else:
                self.unasked.add(ask_id)
        told = f"{external_id} owes {made.invoice.total_cents} for {self._name(invoice_id)}"
        return f"{told}: {', '.join(self._told(answer) for answer in begun) or 'not charged'}"

    async def pay_by_hand(self) -> str | None:
        return await self._pay(self.some_invoice())

    async def pay_a_part_before_it_is_sent(self) -> str | None:
        """Somebody transfers a part of what an attempt that waits to be sent was begun for."""
        ready = await self._ready()
        if not ready:
            return None
        told = await self._pay(self._chance.choice(ready), wholly=False)
        if told and told.endswith("done"):
            self._happened["paid_in_part_before_it_is_sent"] += 1
        return told

    async def make_a_note(self) -> str | None:
        """Of a recent invoice, or of one that was paid, of which something may go back."""
        paid = await self._owner.fetch(
            "SELECT id FROM invoices WHERE organization_id = $1 AND paid_cents > 0 ORDER BY id",
            self.tenant,
        )
        if not paid or self._chance.random() < 0.5:
            return await self._note(self.some_invoice())
        return await self._note(RowKey(self.tenant, self._chance.choice(paid)["id"]))

    async def offset_a_part_before_it_is_sent(self) -> str | None:
        """Somebody takes a part off what an attempt that waits to be sent was begun for."""
        ready = await self._ready()
        if not ready:
            return None
        told = await self._note(self._chance.choice(ready), only="offset")
        if told and told.endswith("done"):
            self._happened["offset_before_it_is_sent"] += 1
        return told

    async def begin_to_dun(self) -> None:
        """Have a campaign ask whoever is late: two times, two days apart."""
        asked = DunningCampaignInput(
            name="Late", code="late", days_between_attempts=DUNNED_EACH.days, max_attempts=2,
            thresholds=[ThresholdInput(one, 500) for one in CURRENCIES],
            applied_to_organization=True,
        )  # fmt: skip
        async with db.transaction(self._pool, tenants=[self.tenant]) as conn:
            await create_dunning_campaign(
                conn, self.tenant, asked, campaign_id=self._new_id(), now=self._now()
            )

    async def dun_no_more(self) -> None:
        """Delete the campaign; what it has asked for goes on."""
        async with db.transaction(self._pool, tenants=[self.tenant]) as conn:
            await delete_dunning_campaign(conn, self.tenant, "late", now=self._now())

    async def request_payment(self) -> str | None:
        """Ask a customer for what they owe in one currency, all at once: mostly more than one."""
        invoice = self.some_invoice()
        async with db.transaction(self._pool, tenants=[self.tenant]) as conn:
            beside = await conn.fetch(_BESIDE, self.tenant, invoice.id)
        if len(beside) == 1 and beside[0]["external_id"] in self.customers:
            await self._issue(beside[0]["external_id"], beside[0]["currency"], skip_psp=True)
        return await self._request(invoice)

    async def void(self) -> str:
        return await self._void(self.some_invoice())

    async def set_status(self) -> str:
        return await self._declare(self.some_invoice())

    async def at_the_same_moment(self) -> str:
        """Two act on one invoice: the second begins when the first has all but committed.

        It waits for the first one's lock, or has nothing to wait for: either way a seed replays.
        """
        invoice = self.some_invoice()
        acts: list[Callable[..., Awaitable[str | None]]] = [
            *[self._retry_of] * 3, *[self._request] * 2, self._pay, self._declare, self._void,
            self._note,
        ]  # fmt: skip
        first, second = self._chance.choice(acts), self._chance.choice([*acts, *self.comes_second])
        others: list[asyncio.Task[str | None]] = []

        async def meanwhile() -> None:
            other = asyncio.create_task(second(invoice))
            others.append(other)
            while not (other.done() or await self._somebody_waits_for_a_lock()):
                await asyncio.sleep(0)

        told = [await first(invoice, meanwhile=meanwhile)]
        told += [await other for other in others]
        if others:
            self._happened["at_the_same_moment"] += 1
        return f"at the same moment: {' | '.join(map(str, told))}"

    async def _request(self, invoice: RowKey, *, meanwhile: Meanwhile | None = None) -> str | None:
        """Request this one, and whatever else of its customer may be asked for beside it.

        The clock has made all of it overdue: here that is merely written down.
        """
        async with db.transaction(self._pool, tenants=[self.tenant]) as conn:
            beside = await conn.fetch(_BESIDE, self.tenant, invoice.id)
        if not beside:
            return None
        ids = {row["id"] for row in beside}
        request_id, at = self._new_id(), self._now()

        async def act(conn: Conn) -> None:
            await conn.execute(
                "UPDATE invoices SET payment_overdue = true WHERE id = ANY ($1)", ids
            )
            asked = PaymentRequestInput(external_customer_id=beside[0]["external_id"])
            await request_payment(conn, self.tenant, asked, ids, request_id=request_id, now=at)

        try:
            done = await self._try(act, meanwhile)
        except PagesAreOpen:
            done = "a page is open"
        if done == "done":
            self.requested[request_id] = ids
            self._happened["several_requested" if len(ids) > 1 else "one_requested"] += 1
        else:
            self._happened["request_refused"] += 1
        told = ", ".join(self._name(one) for one in sorted(ids))
        return f"{self._name(request_id)} asks for {told}: {done}"

    async def _pay(
        self, invoice: RowKey, *, wholly: bool | None = None, meanwhile: Meanwhile | None = None
    ) -> str | None:
        due = await self._owed(invoice)
        if wholly is None:
            wholly = self._chance.random() < 0.5
        if due < (1 if wholly else 2):
            return None
        amount = due if wholly else self._chance.randint(1, due - 1)
        asked = PaymentInput(str(invoice.id), amount, "by hand")
        payment_id, at = self._new_id(), self._now()
        done = await self._try(
            lambda conn: record_manual_payment(
                conn, self.tenant, asked, invoice_id=invoice.id, payment_id=payment_id, now=at
            ),
            meanwhile,
        )
        if done == "done":
            self.meddled.add(invoice)
            self.paid_by_hand.setdefault(invoice.id, []).append((at, amount))
        return f"{amount} of {due} of {self._name(invoice.id)} are paid by hand: {done}"

    async def _note(
        self, invoice: RowKey, *, only: str | None = None, meanwhile: Meanwhile | None = None
    ) -> str | None:
        """Take something off an invoice again, in one of the three ways; seldom too much."""
        async with db.transaction(self._pool, tenants=[self.tenant]) as conn:
            held = await standings(conn, self.tenant, invoice.id)
        left = {
            "credit": held.standing.remaining_cents,
            "refund": held.standing.refundable_cents,
            "offset": held.standing.offsettable_cents,
        }
        part = only or self._chance.choice(["credit", "refund", "refund", "offset", "offset"])
        if left[part] < 1:
            return None
        cents = self._chance.choice([left[part], self._chance.randint(1, left[part])])
        if self._chance.random() < 0.1:
            cents += 2
        asked = CreditNoteInput(
            invoice_id=str(invoice.id),
            items=[{"fee_id": str(held.fees[0].id), "amount_cents": cents}],
            **{f"{part}_amount_cents": cents},
        )
        note_id, at = self._new_id(), self._now()
        done = await self._try(
            lambda conn: create_credit_note(
                conn, self.tenant, asked, read_id=UUID, note_id=note_id, now=at
            ),
            meanwhile,
        )
        self._happened[f"note_{part}" if done == "done" else "note_refused"] += 1
        if done == "done" and part == "offset":
            self.meddled.add(invoice)
            self.offset_by_notes.setdefault(invoice.id, []).append((at, cents))
        return f"{self._name(note_id)}, a {part} of {cents} of {self._name(invoice.id)}: {done}"

    async def _void(self, invoice: RowKey, *, meanwhile: Meanwhile | None = None) -> str:
        """Void an invoice; now and then all that was paid of it goes back."""
        at = self._now()
        async with db.transaction(self._pool, tenants=[self.tenant]) as conn:
            standing = (await standings(conn, self.tenant, invoice.id)).standing
        asked_back = None
        if self._chance.random() < 0.5:
            asked_back = AskedBack(refund_amount=standing.refundable_cents)
        done = await self._try(
            lambda conn: void_invoice(conn, self.tenant, invoice.id, asked_back=asked_back, now=at),
            meanwhile,
        )
        if done == "done" and asked_back and standing.refundable_cents:
            self._happened["void_gives_back"] += 1
        if done == "done":
            self.meddled.add(invoice)
            self.voided[invoice.id] = at
        return f"{self._name(invoice.id)} is voided: {done}"

    async def _declare(self, invoice: RowKey, *, meanwhile: Meanwhile | None = None) -> str:
        change = InvoiceChange(self._chance.choice(["pending", "failed", "succeeded"]))
        change_id, at = self._new_id(), self._now()
        done = await self._try(
            lambda conn: update_invoice(
                conn, self.tenant, invoice.id, change, change_id=change_id, now=at
            ),
            meanwhile,
        )
        if done == "done":
            self.meddled.add(invoice)
            self.declared.setdefault(invoice.id, []).append((at, str(change.payment_status)))
        return f"{self._name(invoice.id)} is said to be {change.payment_status}: {done}"

    async def retry_one(self) -> str:
        return await self._retry(self.asks(1))

    async def retry_what_is_held(self) -> str | None:
        """Somebody who does not know of it asks for what a contradiction holds."""
        held = await self._owner.fetch(
            "SELECT id FROM invoices WHERE organization_id = $1 AND held_because IS NOT NULL"
            "   AND status = 'finalized' AND payment_status <> 'succeeded' ORDER BY id",
            self.tenant,
        )
        if not held:
            return None
        self._happened["held_is_asked_for"] += len(held)
        return await self._retry([self.ask(RowKey(self.tenant, row["id"])) for row in held])

    async def retry_several(self) -> str:
        return await self._retry(self.asks(self._chance.randint(2, 6)))

    async def repeat(self) -> str | None:
        """The same key again, seldom with another body."""
        if not self._keyed:
            return None
        ask, first = self._chance.choice(self._keyed)
        assert ask.receipt, "it came with a key"
        is_other = self._chance.random() < 0.2
        receipt = _receipt(ask.invoice, ask.receipt.key, "another body" if is_other else "")
        again = Ask(ask.invoice, self._new_id(), AskedBy.API, ask.wish, receipt)
        [answer] = await retry_payments(self._pool, [again], now=self._now())
        self.refused.add(again.attempt_id)  # of its own it leaves nothing
        if is_other:
            assert not isinstance(answer, Accepted), "another body is another ask"
            self._happened["key_reused"] += 1
        else:
            assert isinstance(answer, Accepted), answer
            assert (answer.attempt_id, answer.replayed) == (first.attempt_id, True)
            self._happened["key_repeated"] += 1
        return f"{self._name(ask.invoice.id)} again with its key: {self._told(answer)}"

    async def ask_unheard(self) -> str:
        """The answer to the COMMIT is lost, so what was asked will be asked again."""
        asks = self.asks(self._chance.randint(1, 3))
        answers = await self._answers(asks)
        self._unheard += [
            (ask, answer)
            for ask, answer in zip(asks, answers, strict=True)
            if isinstance(answer, Accepted)
        ]
        return f"unheard: {self.told_of(asks, answers)}"

    async def ask_again_what_was_unheard(self) -> str | None:
        """The same asks, with the same ids: the same answers, whatever has changed meanwhile."""
        if not self._unheard:
            return None
        unheard, self._unheard = self._unheard, []
        again = await retry_payments(self._pool, [ask for ask, _ in unheard], now=self._now())
        for (ask, first), answer in zip(unheard, again, strict=True):
            assert isinstance(answer, Accepted), (ask, first, answer)
            assert answer.attempt_id == first.attempt_id, (ask, first, answer)
            self._happened["commit_unheard"] += 1
        return f"heard at last: {', '.join(self._name(ask.invoice.id) for ask, _ in unheard)}"

    async def _retry(self, asks: list[Ask]) -> str:
        return self.told_of(asks, await self._answers(asks))

    async def _retry_of(self, invoice: RowKey, *, meanwhile: Meanwhile | None = None) -> str:
        asks = [self.ask(invoice)]

        async def act(conn: Conn) -> list[Answer]:
            return await retry_payments_on(conn, asks, now=self._now())

        answers = await self._do(act, meanwhile)
        self.note(asks, answers)
        return self.told_of(asks, answers)

    async def _answers(self, asks: list[Ask]) -> list[Answer]:
        answers = await retry_payments(self._pool, asks, now=self._now())
        self.note(asks, answers)
        return answers

    def asks(self, number: int) -> list[Ask]:
        """So many asks for a retry of recent invoices, some of them twice."""
        return [self.ask(self.some_invoice()) for _ in range(number)]

    def note(self, asks: Sequence[Ask], answers: Sequence[Answer]) -> None:
        """Remember what these people's asks were answered: each that is accepted has one end."""
        for ask, answer in zip(asks, answers, strict=True):
            if not isinstance(answer, Accepted):
                self._happened["ask_refused"] += 1
                self.refused.add(ask.attempt_id)
                continue
            assert not answer.replayed, "each of them had a new key, or none"
            self._happened["ask_accepted"] += 1
            self.accepted[ask.attempt_id] = answer
            if ask.receipt:
                self._keyed.append((ask, answer))

    def ask(self, invoice: RowKey) -> Ask:
        """An ask for a retry, which may wish for a method and may bring a key of its caller's."""
        receipt = None
        if self._chance.random() < 0.4:
            receipt = _receipt(invoice, f"key-{self._chance.getrandbits(64)}")
        return Ask(invoice, self._new_id(), AskedBy.API, self._wish(), receipt)

    def _wish(self) -> Wish:
        luck = self._chance.random()
        if luck < 0.7:
            return Wish()
        if luck < 0.75:
            return Wish(manual=True)
        if luck < 0.8:
            return Wish(method_id=NOBODYS_METHOD)
        return Wish(method_id=self._method_of(self._somebody()))  # another's too, or a deleted one

    def told_of(self, asks: Sequence[Ask], answers: Sequence[Answer]) -> str:
        """A line for the trace."""
        told = [
            f"{self._name(ask.invoice.id)}: {self._told(answer)}"
            for ask, answer in zip(asks, answers, strict=True)
        ]
        return f"asked for {', '.join(told)}"

    def _told(self, answer: Answer) -> str:
        if isinstance(answer, Accepted):
            return self._name(answer.attempt_id) if answer.attempt_id else answer.because
        return getattr(answer, "code", "a page is open")

    async def _ready(self) -> list[RowKey]:
        """The invoices of attempts that wait to be sent."""
        ready = await self._owner.fetch(
            "SELECT pi.invoice_id FROM payments p"
            "  JOIN payment_invoices pi"
            "    ON (pi.organization_id, pi.payment_id) = (p.organization_id, p.id)"
            " WHERE p.organization_id = $1 AND p.state = 'ready' ORDER BY p.id",
            self.tenant,
        )
        return [RowKey(self.tenant, row["invoice_id"]) for row in ready]

    async def _owed(self, invoice: RowKey) -> int:
        async with db.transaction(self._pool, tenants=[self.tenant]) as conn:
            due: int = await conn.fetchval(
                "SELECT due_cents FROM invoices WHERE organization_id = $1 AND id = $2",
                self.tenant, invoice.id,
            )  # fmt: skip
        return due

    async def _somebody_waits_for_a_lock(self) -> bool:
        return await waiting_for_locks(self._owner) > 0

    async def _link(self, external_id: str) -> None:
        provider_customer = f"cus_{self._chance.getrandbits(32):08x}"
        await self._upsert(
            external_id,
            BillingConfigurationInput(
                payment_provider="sandbox",
                payment_provider_code=self._chance.choice(self._accounts),
                provider_customer_id=provider_customer,
            ),
        )

    async def _upsert(self, external_id: str, billing: BillingConfigurationInput) -> None:
        asked = CustomerInput(external_id=external_id, billing_configuration=billing)
        await self._do(
            lambda conn: upsert_customer(
                conn, self.tenant, asked, change_id=self._new_id(), now=self._now()
            )
        )

    async def _attach(self, external_id: str) -> str:
        token, method_id = self._chance.choice(METHODS), self._new_id()
        done = "done"
        try:
            await self._attach_until_it_is_free(external_id, token, method_id)
        except Refused as no:
            done = no.refusal.code
        self.customers[external_id].append(method_id)
        return f"{token}: {done}"

    async def _attach_until_it_is_free(self, external_id: str, token: str, method_id: UUID) -> None:
        while True:
            try:
                await attach_payment_method(
                    self._pool, self._providers, self.tenant, external_id, token,
                    method_id=method_id, now=self._now(),
                )  # fmt: skip
            except ROW_IS_HELD:
                continue  # as in `_do`
            return

    async def _do(
        self, act: Callable[[Conn], Awaitable[Done]], meanwhile: Meanwhile | None = None
    ) -> Done:
        while True:
            try:
                async with db.transaction(self._pool, tenants=[self.tenant]) as conn:
                    done = await act(conn)
                    if meanwhile:
                        await meanwhile()
                    return done
            except ROW_IS_HELD:
                continue  # this machine was slow, and whoever waited for a lock lost patience

    async def _try(
        self, act: Callable[[Conn], Awaitable[Any]], meanwhile: Meanwhile | None = None
    ) -> str:
        try:
            await self._do(act, meanwhile)
        except Refused as no:
            return no.refusal.code
        return "done"

    def _somebody(self) -> str:
        return self._chance.choice([*self.customers])

    def some_invoice(self) -> RowKey:
        """A recent one: old ones rest."""
        return self._chance.choice(self.invoices[-6:])

    def _method_of(self, external_id: str) -> UUID:
        return self._chance.choice(self.customers[external_id] or [NOBODYS_METHOD])

    def _now(self) -> datetime:
        return self._clock.now()


def _receipt(invoice: RowKey, key: str, body: str = "") -> Receipt:
    path = f"/api/v1/invoices/{invoice.id}/retry_payment"
    return Receipt(invoice.organization_id, "POST", path, key, body_digest=body or "a body")


def requested_id(request_id: UUID, invoice_id: UUID) -> UUID:
    """The id of the decision that a payment request leaves about one of its invoices."""
    return uuid5(request_id, f"asked/{invoice_id}")


def attempt_of(request_id: UUID) -> UUID:
    """The first attempt to collect for a payment request."""
    return uuid5(request_id, "attempt")


def asked_id(ask_id: UUID) -> UUID:
    """The id of the decision that an accepted ask leaves."""
    return uuid5(ask_id, "asked")
