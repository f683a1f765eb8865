"""Bring what a provider tells of charges to the one door for money, and find what is not alike.

Called by `reconcile_account`, page by page of the provider's list, and by `ask_for_findings`, for a
charge that was asked for by name.

What would surprise you: a charge that only the provider knows, since a restore has lost its
attempt, becomes an attempt again, from what was sent beside it, and goes through the door like any
other news. But not one of which a person has said that it is dealt with: it would be booked twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from recoup.flows.count_as_sent import LONG_AGO, count_as_sent
from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts_on
from recoup.flows.withdraw_attempts import withdraw
from recoup.providers.protocol import (
    CustomerNeeded,
    Declined,
    ListedCharge,
    Lost,
    Paid,
    Processing,
    Reversed,
)
from recoup.rules.attempt_state import State
from recoup.rules.manner import Manner
from recoup.rules.method_choice import NoAttempt
from recoup.rules.reconciliation import (
    CLOCKS_DIFFER,
    Judged,
    Listed,
    There,
    What,
    invoice_of,
    judge,
    states_differ,
)
from recoup.rules.records.collection import Attempt, Debt, attempt_of
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, collection, findings, new_attempts, payment_receipts
from recoup.store.db import Conn
from recoup.store.findings import Finding
from recoup.store.reconciliations import Reconciliation

_THERE: Final[Mapping[type, There]] = {
    Paid: There.PAID,
    Processing: There.PROCESSING,
    CustomerNeeded: There.CUSTOMER_NEEDED,
    Declined: There.DECLINED,
    Lost: There.UNREADABLE,
    Reversed: There.TAKEN_BACK,
}


class Taken(msgspec.Struct, frozen=True):
    """Which attempts of ours were told of, and how many charges are somebody else's."""

    ours: tuple[RowKey, ...]
    foreign: int


class Mending:
    """What a provider tells of one account's charges, taken in within one transaction."""

    def __init__(self, conn: Conn, one: Reconciliation, *, now: datetime) -> None:
        self._conn = conn
        self._one = one
        self._account = one.account
        self._now = now
        self._counted: set[RowKey] = set()  # as sent, or made anew: once, however many charges

    async def take(self, charges: Sequence[ListedCharge]) -> Taken:
        """Mend what can be mended, find what cannot, and close what is so no more."""
        keys = {key for charge in charges if (key := self._key(charge))}
        known = await attempts.find(self._conn, keys)
        sorted_out: dict[Judged, list[ListedCharge]] = {what: [] for what in Judged}
        for charge in charges:
            sorted_out[self._judge(charge, known)].append(charge)
        # All invoices first, and in the common order: a page must not deadlock with a batch, nor
        # with another page. Whatever locks some of them further on holds them already.
        lost = self._invoices(sorted_out[Judged.LOST])
        await collection.lock_together(self._conn, lost, list(known))
        known = await attempts.lock(self._conn, known)  # one may have been sent meanwhile
        debts = await collection.find(self._conn, lost)
        customers = {debt.customer_key for debt in debts.values()}
        customers |= self._newly_paid_by(sorted_out[Judged.KNOWN], known)
        # Their receipts are numbered one by one, as the list has them.
        await payment_receipts.lock_counters(self._conn, customers)
        for charge in sorted_out[Judged.KNOWN]:
            await self._tell(charge, known)
        await self._compare(sorted_out[Judged.KNOWN])
        await self._make_anew(sorted_out[Judged.LOST])  # an invoice may be free by now
        await self._find(
            [_finding(charge, What.UNREADABLE) for charge in sorted_out[Judged.UNREADABLE]]
            + [
                _finding(charge, What.UNKNOWN_HERE, detail=Judged.UNEXPLAINED)
                for charge in sorted_out[Judged.UNEXPLAINED]
            ]
        )
        await self._resolve(sorted_out[Judged.NOTHING], because="no_money_there")
        return Taken(ours=tuple(known), foreign=len(sorted_out[Judged.FOREIGN]))

    def _key(self, charge: ListedCharge) -> RowKey | None:
        attempt_id = attempt_of(charge.idempotency_key or "")
        return RowKey(self._account.organization_id, attempt_id) if attempt_id else None

    def _our_key(self, charge: ListedCharge) -> RowKey:
        key = self._key(charge)
        assert key is not None, "it would be foreign"
        return key

    def _judge(self, charge: ListedCharge, known: Mapping[RowKey, Attempt]) -> Judged:
        return judge(
            Listed(
                idempotency_key=charge.idempotency_key,
                metadata=charge.metadata,
                is_readable=not isinstance(charge.outcome, Lost),
                is_declined=isinstance(charge.outcome, Declined),
            ),
            is_known=self._key(charge) in known,
            organization_id=self._account.organization_id,
        )

    def _newly_paid_by(
        self, told: Sequence[ListedCharge], known: Mapping[RowKey, Attempt]
    ) -> set[RowKey]:
        """The customers whose attempts succeed by what is told of them."""
        paid = {self._our_key(one) for one in told if isinstance(one.outcome, Paid | Reversed)}
        return {known[key].customer_key for key in paid if known[key].state is not State.SUCCEEDED}

    async def _tell(self, charge: ListedCharge, known: Mapping[RowKey, Attempt]) -> None:
        """Bring what is told of an attempt that we know to the door, which knows what is news."""
        key = self._our_key(charge)
        if known[key].state is State.READY and key not in self._counted:
            self._counted.add(key)
            await count_as_sent(
                self._conn,
                known[key],
                self._account,
                amount_cents=charge.amount_cents,
                now=self._now,
            )
        await self._settle(key, charge)

    async def _settle(self, key: RowKey, charge: ListedCharge) -> None:
        assert not isinstance(charge.outcome, Lost), "it would be unreadable"
        report = Report(key, charge.outcome, Source.EVENT)
        await settle_attempts_on(self._conn, [report], now=self._now)

    async def _compare(self, told: Sequence[ListedCharge]) -> None:
        """Find where both sides know a charge, and still do not say the same of it."""
        keys = [self._our_key(charge) for charge in told]
        held = await attempts.find(self._conn, keys)
        # What has ended since may be newer than the list, which was asked for before.
        before = self._one.began_at - CLOCKS_DIFFER
        ended = await attempts.ended_before(self._conn, keys, before=before)
        alike: list[ListedCharge] = []
        unlike: list[Finding] = []
        for charge, key in zip(told, keys, strict=True):
            differs = _what_differs(held[key], charge, has_ended=key in ended)
            if differs:
                here = held[key]
                unlike.append(
                    msgspec.structs.replace(
                        _finding(charge, What.DIFFERS, detail=differs),
                        here=here.state.value,
                        here_cents=here.amount_cents,
                    )
                )
            else:
                alike.append(charge)
        await self._resolve(alike, because="known_on_both_sides")
        await self._find(unlike)

    async def _debts(self, lost: Sequence[ListedCharge]) -> dict[RowKey, Debt]:
        """The invoices that these charges were for, as they are now."""
        return await collection.find(self._conn, self._invoices(lost))

    def _invoices(self, lost: Sequence[ListedCharge]) -> set[RowKey]:
        invoices = {invoice for charge in lost if (invoice := invoice_of(charge.metadata))}
        return {RowKey(self._account.organization_id, invoice) for invoice in invoices}

    async def _make_anew(self, lost: Sequence[ListedCharge]) -> None:
        """Make the attempts of these charges anew where that can be, and settle them."""
        found = [(charge, _finding(charge, What.UNKNOWN_HERE)) for charge in lost]
        dealt_with = await findings.resolved_by_hand(
            self._conn,
            self._account.organization_id,
            [one.id_in(self._account) for _, one in found],
        )
        debts = await self._debts(lost)
        for charge, finding in found:
            if finding.id_in(self._account) in dealt_with:
                continue
            key = self._our_key(charge)
            if key in self._counted:  # a second charge of the same attempt: the door raises it
                await self._settle(key, charge)
                continue
            assert finding.invoice_id is not None, "it would be unexplained"
            debt = debts.get(RowKey(self._account.organization_id, finding.invoice_id))
            because = await self._make_one_anew(charge, debt)
            await self._find([msgspec.structs.replace(finding, detail=because or "")])
            if because is None:
                self._counted.add(key)
                await self._settle(key, charge)
                await self._resolve([charge], because="made_anew")

    async def _make_one_anew(self, charge: ListedCharge, debt: Debt | None) -> str | None:
        """Make the lost attempt anew, as sent; or say why that cannot be, or not yet."""
        if debt is None:
            return "invoice_unknown"
        if debt.currency != charge.currency.upper() or charge.amount_cents <= 0:
            return "another_currency"
        busy = await collection.open_attempt(self._conn, debt.key)
        if busy is not None:
            held = (await attempts.lock(self._conn, [busy]))[busy]
            if held.state is not State.READY:
                return "invoice_busy"  # its own look-ups end it, and the next comparison goes on
            covered = await collection.lock_covered(self._conn, [busy])
            links = await collection.links(self._conn, {held.customer_key}, ())
            withdrawn = {busy: NoAttempt.CHARGED_BEFORE.value}
            await withdraw(self._conn, withdrawn, {busy: held}, covered, links, now=self._now)
        assert not isinstance(charge.outcome, Declined | Lost), "money is on its way"
        await new_attempts.recreate(
            self._conn,
            self._our_key(charge),
            debt,
            account_id=self._account.id,
            provider_customer_id="",
            amount_cents=charge.amount_cents,
            currency=debt.currency,
            manner=_manner(charge),
            sent_at=self._now - LONG_AGO,
            now=self._now,
        )
        return None

    async def _find(self, found: Sequence[Finding]) -> None:
        await findings.find(self._conn, self._account, found, now=self._now)

    async def _resolve(self, charges: Sequence[ListedCharge], *, because: str) -> None:
        keys = [charge.idempotency_key or "" for charge in charges]
        await findings.resolve(self._conn, self._account, keys, because=because, now=self._now)


def _manner(charge: ListedCharge) -> Manner:
    """In what manner it was sent, as far as the list can tell."""
    is_transfer = isinstance(charge.outcome, CustomerNeeded) and charge.outcome.takes_days
    return Manner.TRANSFER if is_transfer else Manner.OFF_SESSION


def _what_differs(here: Attempt, charge: ListedCharge, *, has_ended: bool) -> str | None:
    if here.currency != charge.currency.upper():
        return "currency"
    if here.amount_cents != charge.amount_cents:
        return "amount"
    there = _THERE[type(charge.outcome)]
    if here.manner is Manner.PAGE and there is There.CUSTOMER_NEEDED:
        return None  # whether its page is still open the list does not tell
    return "state" if has_ended and states_differ(here.state, there) else None


def _finding(charge: ListedCharge, what: What, *, detail: str = "") -> Finding:
    return Finding(
        what=what,
        idempotency_key=charge.idempotency_key or "",
        charge_known_as=charge.provider_payment_id,
        amount_cents=charge.amount_cents,
        currency=charge.currency.upper(),
        there=_THERE[type(charge.outcome)].value,
        invoice_id=invoice_of(charge.metadata),
        detail=detail,
    )
