"""Begin an attempt to collect, for every ask that may have one: the one path that retries.

The endpoint's single ask, the bulk call, the schedule, the first charge of a new invoice and the
console are all this function. It charges nothing: it commits the attempt, and promises the work.

What would surprise you: an ask may be accepted without an attempt (no provider, no method, nothing
due). It then ends here, in one event that says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID, uuid5

import msgspec

from recoup.flows.answer_once import IN_USE, REUSED
from recoup.flows.tell import News, tell
from recoup.flows.tell_invoices import StatusChange, payment_status_updated
from recoup.rules.invoice_status import HANDLED, why_not_charge
from recoup.rules.lago.failures import OBJECT_TYPE, PaymentFailureObject
from recoup.rules.manner import Manner
from recoup.rules.method_choice import ByTransfer, NoAttempt, Wish, choose_method
from recoup.rules.records.collection import AskedBy, Debt, Link, Method
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal, not_found
from recoup.store import collection, db, idempotency_keys, jobs, new_attempts, tries
from recoup.store.collection import Decision, OpenAttempt
from recoup.store.db import Conn, Pool
from recoup.store.idempotency_keys import KeptAnswer, Receipt
from recoup.store.jobs import Job
from recoup.store.new_attempts import Begun

ATTEMPT_HEADER: Final = "Recoup-Payment-Id"


class Ask(msgspec.Struct, frozen=True):
    """One wish to collect an invoice. Repeated with the same `attempt_id`, it is the same ask."""

    invoice: RowKey
    attempt_id: UUID
    asked_by: AskedBy
    wish: Wish = Wish()
    receipt: Receipt | None = None  # of the caller's `Idempotency-Key`

    @property
    def decision_id(self) -> UUID:
        """The id of the decision that answers it: made before, it was asked before."""
        return uuid5(self.attempt_id, "asked")


class Accepted(msgspec.Struct, frozen=True):
    """The ask is taken. `attempt_id` is None where it ended without an attempt, `because`."""

    attempt_id: UUID | None
    because: str
    replayed: bool = False  # answered from before, under the same `Idempotency-Key`


class PageIsOpen(msgspec.Struct, frozen=True):
    """A payer may be paying the invoice on a hosted page: refused until that is closed.

    So it is where they were asked for a bank transfer, and are charged otherwise now.
    """

    page: RowKey  # its attempt
    expires_at: datetime | None


Answer: TypeAlias = Accepted | Refusal | PageIsOpen

NOTHING_DUE: Final = "nothing_due"
INVOICE_NOT_FOUND: Final = not_found("invoice")


async def retry_payments(pool: Pool, asks: Sequence[Ask], *, now: datetime) -> list[Answer]:
    """Begin an attempt for every ask that may have one; answer each, in the order given.

    A refused ask leaves nothing behind.
    """
    tenants = {ask.invoice.organization_id for ask in asks}
    async with db.transaction(pool, tenants=tenants) as conn:
        return await retry_payments_on(conn, asks, now=now)


async def retry_payments_on(conn: Conn, asks: Sequence[Ask], *, now: datetime) -> list[Answer]:
    """The same within the caller's transaction: for a new invoice's first charge."""
    desk = _Desk(now)
    answers = await desk.answer_kept(conn, asks)
    open_asks = [ask for ask, answer in zip(asks, answers, strict=True) if answer is None]
    if open_asks:
        invoices = {ask.invoice for ask in open_asks}
        locked = await collection.lock(conn, invoices)
        busy, decided = await collection.open_or_decided(
            conn, [ask.invoice for ask in open_asks], [ask.decision_id for ask in open_asks]
        )
        links = await _links(conn, locked, open_asks)
        for position, ask in enumerate(asks):
            if answers[position] is None:
                before = decided.get(ask.decision_id)
                answers[position] = (
                    Accepted(before.payment_id, before.because)  # the answer to our COMMIT was lost
                    if before
                    else desk.answer(ask, locked.get(ask.invoice), busy, links)
                )
        await desk.write(conn)
    return [answer for answer in answers if answer is not None]


async def _links(
    conn: Conn, locked: Mapping[RowKey, Debt], asks: Sequence[Ask]
) -> dict[RowKey, Link]:
    wanted = {ask.wish.method_id for ask in asks if ask.wish.method_id}
    wanted |= {debt.payment_method_id for debt in locked.values() if debt.payment_method_id}
    return await collection.links(conn, {debt.customer_key for debt in locked.values()}, wanted)


class _Desk:
    """Takes the asks of one batch one by one, and writes what they came to at the end."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._begun: list[Begun] = []
        self._at_zero: dict[RowKey, tuple[Ask, Debt]] = {}
        self._without: list[tuple[Ask, Debt, Link, NoAttempt]] = []
        self._decisions: list[Decision] = []
        self._to_keep: dict[tuple[UUID, str, str, str], tuple[Receipt, Accepted]] = {}

    async def answer_kept(self, conn: Conn, asks: Sequence[Ask]) -> list[Answer | None]:
        """Answer the asks whose `Idempotency-Key` is taken or was answered; None: still to do."""
        receipts = [ask.receipt for ask in asks if ask.receipt]
        if not receipts:
            return [None] * len(asks)
        claimed = iter(await idempotency_keys.claim(conn, receipts))
        kept = await idempotency_keys.find(conn, receipts)
        return [
            _from_before(ask.receipt, next(claimed), kept.get(ask.receipt.scope))
            if ask.receipt
            else None
            for ask in asks
        ]

    def answer(
        self,
        ask: Ask,
        debt: Debt | None,
        busy: dict[RowKey, OpenAttempt],
        links: Mapping[RowKey, Link],
    ) -> Answer:
        """Decide one ask, and remember what is to be written for it."""
        if debt is None:
            return INVOICE_NOT_FOUND
        if ask.receipt and (twin := self._to_keep.get(ask.receipt.scope)):
            receipt, answer = twin  # two of a pair in one batch get one answer
            same = receipt.body_digest == ask.receipt.body_digest
            return msgspec.structs.replace(answer, replayed=True) if same else REUSED
        paid = "succeeded" if ask.invoice in self._at_zero else debt.payment_status
        link = links[debt.customer_key]
        refusal = why_not_charge(debt.status, paid, attempt_is_open=ask.invoice in busy)
        if refusal is HANDLED and _may_be_closed(held := busy[ask.invoice], ask, debt, link):
            return PageIsOpen(RowKey(debt.organization_id, held.payment_id), held.expires_at)
        if refusal:
            return refusal
        answer = self._accept(ask, debt, link)
        if answer.attempt_id:  # a later ask of this batch is refused
            busy[ask.invoice] = OpenAttempt(answer.attempt_id)
        if ask.receipt:
            self._to_keep[ask.receipt.scope] = (ask.receipt, answer)
        return answer

    def _accept(self, ask: Ask, debt: Debt, link: Link) -> Accepted:
        if debt.status == "finalized" and debt.due_cents <= 0:
            self._at_zero[debt.key] = (ask, debt)
            return self._decided(ask, None, NOTHING_DUE)
        if debt.due_cents <= 0:  # taxes pending or failed: its total is not known yet
            choice = NoAttempt.NOT_COLLECTABLE
        else:
            chosen = choose_method(ask.wish, debt, link)
            if not isinstance(chosen, NoAttempt):
                key = RowKey(ask.invoice.organization_id, ask.attempt_id)
                self._begun.append(
                    Begun(
                        key=key,
                        debt=debt,
                        asked_by=ask.asked_by,
                        wanted_method_id=ask.wish.method_id,
                        link=link,
                        method=chosen if isinstance(chosen, Method) else None,
                        payment_status_before=debt.payment_status,
                        manner=_manner(chosen),
                    )
                )
                return self._decided(ask, ask.attempt_id, ask.asked_by)
            choice = chosen
        self._without.append((ask, debt, link, choice))
        return self._decided(ask, None, choice)

    def _decided(self, ask: Ask, attempt_id: UUID | None, because: str) -> Accepted:
        # Nobody asked for the first charge of a new invoice: it is told of, if it is made.
        is_told = attempt_id is not None or ask.asked_by is not AskedBy.CREATION
        self._decisions.append(
            Decision(
                invoice=ask.invoice,
                id=ask.decision_id,
                payment_id=attempt_id,
                decided="attempt" if attempt_id else "no_attempt",
                because=because,
                ask_id=ask.attempt_id if is_told else None,
            )
        )
        return Accepted(attempt_id, because)

    async def write(self, conn: Conn) -> None:
        """Write what the batch came to: attempts, their jobs, decisions, events, kept answers."""
        await new_attempts.begin(conn, self._begun, now=self._now)
        await jobs.promise(conn, Job.SUBMIT_ATTEMPT, [one.key for one in self._begun])
        await collection.settle_at_zero(conn, self._at_zero.keys(), now=self._now)
        await tries.plan_no_more_tries(conn, [debt.key for _, debt, _, _ in self._without])
        await collection.decide(conn, self._decisions, now=self._now)
        at_zero = [
            StatusChange(debt.key, cause=ask.attempt_id, ask_id=ask.attempt_id)
            for ask, debt in self._at_zero.values()
        ]
        # Nobody asked for the first charge of a new invoice, so nobody is told that there is none.
        told = [one for one in self._without if one[0].asked_by is not AskedBy.CREATION]
        await tell(
            conn,
            [
                *await payment_status_updated(conn, at_zero),
                *(_no_attempt(*one) for one in told),
            ],
            now=self._now,
        )
        await idempotency_keys.keep(
            conn,
            [(receipt, _kept(receipt, answer)) for receipt, answer in self._to_keep.values()],
            now=self._now,
        )


def _may_be_closed(held: OpenAttempt, ask: Ask, debt: Debt, link: Link) -> bool:
    """Whether what is open gives way to the ask: a transfer does to a method, and to nothing."""
    if held.manner is not Manner.TRANSFER:
        return held.manner is Manner.PAGE
    return isinstance(choose_method(ask.wish, debt, link), Method)


def _manner(chosen: Method | ByTransfer) -> Manner:
    return Manner.TRANSFER if isinstance(chosen, ByTransfer) else Manner.OFF_SESSION


def _no_attempt(ask: Ask, debt: Debt, link: Link, because: NoAttempt) -> News:
    """`invoice.payment_failure` for an accepted ask that made no attempt: it says why."""
    known = None if because is NoAttempt.NO_PROVIDER else link.provider_customer_id
    return payment_failure(
        debt,
        link,
        cause=ask.attempt_id,
        ask_id=ask.attempt_id,
        error_details={"code": because.value},
        provider_customer_id=known,
    )


def payment_failure(
    debt: Debt,
    link: Link,
    *,
    cause: UUID,
    ask_id: UUID | None,
    error_details: Mapping[str, object],
    **said: object,
) -> News:
    """`invoice.payment_failure`, which ends the ask `ask_id`. `said` is what the provider said."""
    failure = PaymentFailureObject(
        lago_invoice_id=debt.id,
        lago_customer_id=debt.customer_id,
        external_customer_id=link.external_customer_id,
        payment_provider=link.payment_provider,
        payment_provider_code=link.payment_provider_code,
        error_details=error_details,
        **said,  # type: ignore[arg-type]
    )
    return News(
        organization_id=debt.organization_id,
        webhook_type="invoice.payment_failure",
        object_type=OBJECT_TYPE,
        payload=failure,
        object_id=debt.id,
        cause=cause,
        ask_id=ask_id,
    )


def _from_before(receipt: Receipt, ours: bool, kept: KeptAnswer | None) -> Answer | None:  # noqa: FBT001
    if not ours:
        return IN_USE
    if kept is None:
        return None
    if kept.body_digest != receipt.body_digest:
        return REUSED
    attempt = kept.headers.get(ATTEMPT_HEADER)
    return Accepted(UUID(attempt) if attempt else None, "", replayed=True)


def _kept(receipt: Receipt, answer: Accepted) -> KeptAnswer:
    headers = {ATTEMPT_HEADER: str(answer.attempt_id)} if answer.attempt_id else {}
    return KeptAnswer(receipt.body_digest, 200, headers, b"")
