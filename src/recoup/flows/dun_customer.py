"""Do what a dunning campaign wants done about one late customer by now.

Called by the worker, for whomever the sweep finds due, again and again until nothing is overdue.
What to do is `rules/dunning.py`; what is asked for is asked for by `flows/request_payment.py`, like
any other payment request, and charged by the same one attempt.

What would surprise you: everything is one transaction, the attempt that is counted and the requests
that it makes. Whoever is killed has done nothing or all of it; whoever comes twice finds that the
next look is another day's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from recoup.flows.request_payment import ForCampaign, request_payment
from recoup.flows.tell import News, tell
from recoup.rules.dunning import History, Plan, plan
from recoup.rules.lago.dunning import dunning_finished_object
from recoup.rules.manner import Manner
from recoup.rules.payment_requests import PaymentRequestInput
from recoup.rules.records.collection import Debt
from recoup.rules.records.dunning import Dunned, Dunning, Overdue
from recoup.rules.records.keys import RowKey
from recoup.store import collection, db, dunnings, tries
from recoup.store.collection import OpenAttempt
from recoup.store.db import Conn, Pool

AFTER_A_FAILURE: Final = timedelta(minutes=5)


async def dun_customer(
    pool: Pool,
    customer: RowKey,
    *,
    can_mail: bool,
    new_id: Callable[[], UUID],
    now: datetime,
) -> None:
    """Look at this customer, if that is due, and ask for what is to be asked for.

    `can_mail`: a mail server was named, so that whoever is not charged is reminded.
    """
    try:
        await _look(pool, customer, can_mail=can_mail, new_id=new_id, now=now)
    except Exception:
        # Or those who fail would be the first of everybody's at each sweep, and keep the others.
        async with db.transaction(pool, tenants=[customer.organization_id]) as conn:
            await dunnings.put_off(conn, customer, until=now + AFTER_A_FAILURE, now=now)
        raise


async def _look(
    pool: Pool,
    customer: RowKey,
    *,
    can_mail: bool,
    new_id: Callable[[], UUID],
    now: datetime,
) -> None:
    async with db.transaction(pool, tenants=[customer.organization_id]) as conn:
        owed = (await dunnings.lock_overdue(conn, [customer])).get(customer, [])
        dunning = (await dunnings.lock(conn, [customer])).get(customer)
        if dunning is None or dunning.look_at > now:
            return  # another was faster
        dunned = (await dunnings.dunned(conn, [customer])).get(customer)
        if dunned is None:  # deleted or excluded, or no campaign is applied any more
            await dunnings.forget(conn, [customer])
            return
        if not owed and await dunnings.is_late(conn, customer):
            return  # marked while we waited for the row: the clock comes again, and locks in order
        planned = await _plan(conn, dunning, dunned, owed, now=now)
        await _ask(conn, dunned, planned, can_mail=can_mail, new_id=new_id, now=now)
        if planned.dunning is None:
            await dunnings.forget(conn, [customer])
        else:
            await dunnings.write(conn, planned.dunning)
        if planned.is_finished:
            debts = [debt for debt, _ in owed]
            await tell(conn, [_finished(dunned, debts, now=now)], now=now)


async def _plan(
    conn: Conn,
    dunning: Dunning,
    dunned: Dunned,
    owed: Sequence[tuple[Debt, datetime | None]],
    *,
    now: datetime,
) -> Plan:
    keys = [debt.key for debt, _ in owed]
    # Statements of their own after the locks: what waited for those sees what was done meanwhile.
    busy, _ = await collection.open_or_decided(conn, keys, [])
    settled = await dunnings.settled(conn, [dunning.customer])
    return plan(
        dunning,
        dunned.campaign,
        [_overdue(debt, at, busy.get(debt.key)) for debt, at in owed],
        await _history(conn, dunning.customer, keys),
        settled=settled.get(dunning.customer, ()),
        now=now,
    )


def _overdue(debt: Debt, try_at: datetime | None, held: OpenAttempt | None) -> Overdue:
    is_awaited = held is not None and held.manner is Manner.TRANSFER and held.waits_for_payer
    return Overdue(
        debt=debt,
        try_at=try_at,
        is_open=held is not None and not is_awaited,
        is_awaited=is_awaited,
    )


async def _history(conn: Conn, customer: RowKey, invoices: Sequence[RowKey]) -> History:
    """How what a request would charge was declined, for these invoices and at last."""
    link = (await collection.links(conn, [customer], ()))[customer]
    if link.default is None or link.pays_by_transfer or not invoices:
        return History()
    return History(
        await tries.failures(conn, dict.fromkeys(invoices, link.default.id)),
        await tries.last_decline(conn, customer, link.default.id),
    )


async def _ask(
    conn: Conn,
    dunned: Dunned,
    planned: Plan,
    *,
    can_mail: bool,
    new_id: Callable[[], UUID],
    now: datetime,
) -> None:
    campaign = dunned.campaign
    for demand in planned.demands:
        await request_payment(
            conn,
            campaign.organization_id,
            PaymentRequestInput(external_customer_id=dunned.external_id),
            {invoice.id for invoice in demand.invoices},
            request_id=new_id(),
            campaign=ForCampaign(campaign.id, campaign.bcc_emails, demand.instead),
            can_mail=can_mail,
            now=now,
        )


def _finished(dunned: Dunned, overdue: Sequence[Debt], *, now: datetime) -> News:
    """`dunning_campaign.finished`."""
    customer = overdue[0].customer_key
    return News(
        organization_id=customer.organization_id,
        webhook_type="dunning_campaign.finished",
        object_type="dunning_campaign",
        payload=dunning_finished_object(dunned, overdue),
        object_id=customer.id,
        # Named by the time, too: a campaign that begins anew can come to another end.
        cause=uuid5(dunned.campaign.id, f"{customer.id}/{now.isoformat()}"),
    )
