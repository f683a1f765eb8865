"""Compare an account's list of charges with ours, in both directions, and mend what can be mended.

Called by the worker: daily for every account, and each minute for one in quarantine, which ends it
once nothing is left that the provider alone knows. Page by page: where the list goes on is a row,
so whoever comes after a killed worker goes on there.

What would surprise you: a charge that only the provider knows, since a restore has lost its
attempt, becomes an attempt again, from what was sent beside it, and goes through the one door for
money like any other news.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from recoup.flows.count_as_sent import LONG_AGO, count_as_sent
from recoup.flows.keep_methods import ProviderSilentError
from recoup.flows.open_provider import Providers
from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts_on
from recoup.flows.submit_attempt import withdraw
from recoup.providers.protocol import (
    CannotList,
    ChargeList,
    Declined,
    ListedCharge,
    Lost,
    Provider,
)
from recoup.rules.attempt_state import State
from recoup.rules.reconciliation import (
    CLOCKS_DIFFER,
    DAILY_WINDOW,
    Judged,
    Listed,
    What,
    invoice_of,
    judge,
)
from recoup.rules.records.collection import Attempt, Debt, attempt_of
from recoup.rules.records.keys import RowKey
from recoup.store import attempts, collection, db, provider_accounts, quarantines, reconciliations
from recoup.store.db import Conn, Pool
from recoup.store.quarantines import Quarantine
from recoup.store.reconciliations import Finding, Reconciliation

# A charge that was under way when the restore was noticed is on the provider's list by then.
UNDER_WAY_AT_MOST: Final = timedelta(seconds=15)
ASK_AGAIN_AFTER: Final = timedelta(minutes=1)


async def reconcile_account(
    pool: Pool,
    providers: Providers,
    account: RowKey,
    *,
    new_id: Callable[[], UUID],
    now: Callable[[], datetime],
) -> None:
    """Compare one account, from where it was left or from the beginning, to the end.

    :raises ProviderSilentError: the provider does not answer; what was done stays done.
    """
    begun = await _begin(pool, providers, account, id=new_id(), now=now())
    if begun is None:
        return
    one, provider = begun
    page_after = one.next_page
    while True:
        page = await provider.list_charges(since=one.since, before=one.before, after=page_after)
        if isinstance(page, Lost):
            raise ProviderSilentError(page.why)
        if isinstance(page, CannotList):
            async with db.transaction(pool, tenants=[account.organization_id]) as conn:
                await reconciliations.end(conn, one, state="cannot_list", now=now())
            return
        await _take_page(pool, account, page, page_after, now=now())
        if page.after is None:
            return
        page_after = page.after


async def _begin(
    pool: Pool, providers: Providers, account: RowKey, *, id: UUID, now: datetime
) -> tuple[Reconciliation, Provider] | None:
    async with db.transaction(pool, tenants=[account.organization_id]) as conn:
        found = (await provider_accounts.by_ids(conn, [account])).get(account)
        if found is None:
            return None
        held = (await quarantines.live(conn, [account.organization_id])).get(account)
        if held is not None and now < held.began_at + UNDER_WAY_AT_MOST:
            return None
        last = await reconciliations.last(conn, account)
        if held is not None and last is not None and _may_wait(last, held, now=now):
            return None
        since = min(now - DAILY_WINDOW, held.compare_since) if held else now - DAILY_WINDOW
        one = await reconciliations.begin(conn, account, id=id, since=since, before=now, now=now)
        return one, providers.of(found)


def _may_wait(last: Reconciliation, held: Quarantine, *, now: datetime) -> bool:
    """Whether asking again so soon would tell nothing new; a list may be long."""
    if last.ended_at is None or last.began_at < held.began_at:
        return False
    return last.state == "cannot_list" or now < last.ended_at + ASK_AGAIN_AFTER


async def _take_page(
    pool: Pool, account: RowKey, page: ChargeList, page_after: str | None, *, now: datetime
) -> None:
    """Take one page in, in one transaction; the last one ends the comparison."""
    async with db.transaction(pool, tenants=[account.organization_id]) as conn:
        one = await reconciliations.under_way(conn, account)
        if one is None or one.next_page != page_after:
            return  # another worker has taken this page
        keys = {
            RowKey(account.organization_id, attempt_id)
            for charge in page.charges
            if (attempt_id := attempt_of(charge.idempotency_key or ""))
        }
        known = await attempts.find(conn, keys)
        judged = [(charge, _judge(charge, known, account)) for charge in page.charges]
        findings = await _mend(conn, account, judged, known, now=now)
        await reconciliations.find(conn, account, findings, now=now)
        await reconciliations.turn_page(
            conn,
            one,
            next_page=page.after,
            listed=len(page.charges),
            foreign=sum(what is Judged.FOREIGN for _, what in judged),
            ours=[key.id for key in known],
        )
        if page.after is None:
            await _end(conn, one, account, now=now)


def _judge(charge: ListedCharge, known: Mapping[RowKey, Attempt], account: RowKey) -> Judged:
    attempt_id = attempt_of(charge.idempotency_key or "")
    return judge(
        Listed(
            idempotency_key=charge.idempotency_key,
            metadata=charge.metadata,
            is_readable=not isinstance(charge.outcome, Lost),
            is_declined=isinstance(charge.outcome, Declined),
        ),
        is_known=attempt_id is not None and RowKey(account.organization_id, attempt_id) in known,
        organization_id=account.organization_id,
    )


async def _mend(
    conn: Conn,
    account: RowKey,
    judged: Sequence[tuple[ListedCharge, Judged]],
    known: Mapping[RowKey, Attempt],
    *,
    now: datetime,
) -> list[Finding]:
    """Bring what the list tells to the one door; answer what could not be mended."""
    findings: list[Finding] = []
    mended: list[str] = []
    recreated: list[str] = []
    # All invoices first, and in the common order: a page must not deadlock with a batch.
    await collection.lock_covered(conn, list(known))
    lost = {
        RowKey(account.organization_id, invoice)
        for charge, what in judged
        if what is Judged.LOST and (invoice := invoice_of(charge.metadata))
    }
    debts = await collection.lock(conn, lost)
    for charge, what in judged:
        key = charge.idempotency_key or ""
        attempt_id = attempt_of(key)
        if what in {Judged.UNREADABLE, Judged.UNEXPLAINED}:
            unreadable = what is Judged.UNREADABLE
            findings.append(
                _finding(charge, What.UNREADABLE if unreadable else What.UNKNOWN_HERE, what.value)
            )
        if attempt_id is None or what not in {Judged.KNOWN, Judged.LOST}:
            continue
        attempt = RowKey(account.organization_id, attempt_id)
        if what is Judged.LOST:
            invoice = invoice_of(charge.metadata)
            assert invoice is not None, "it would be unexplained"
            debt = debts.get(RowKey(account.organization_id, invoice))
            because = await _recreate(conn, account, attempt, charge, debt, now=now)
            findings.append(_finding(charge, What.UNKNOWN_HERE, because or ""))
            if because:
                continue
            recreated.append(key)
        elif known[attempt].state is State.READY:
            await count_as_sent(
                conn, known[attempt], account, amount_cents=charge.amount_cents, now=now
            )
        assert not isinstance(charge.outcome, Lost), "it would be unreadable"
        await settle_attempts_on(conn, [Report(attempt, charge.outcome, Source.EVENT)], now=now)
        if what is Judged.KNOWN:
            mended.append(key)
    await reconciliations.resolve(conn, account, mended, because="known_on_both_sides", now=now)
    await reconciliations.find(
        conn, account, [one for one in findings if one.idempotency_key in recreated], now=now
    )
    await reconciliations.resolve(conn, account, recreated, because="made_anew", now=now)
    return [one for one in findings if one.idempotency_key not in recreated]


async def _recreate(
    conn: Conn,
    account: RowKey,
    attempt: RowKey,
    charge: ListedCharge,
    debt: Debt | None,
    *,
    now: datetime,
) -> str | None:
    """Make the lost attempt anew, as sent; or say why that cannot be, or not yet."""
    if debt is None:
        return "invoice_unknown"
    if debt.currency != charge.currency.upper() or charge.amount_cents <= 0:
        return "another_currency"
    assert not isinstance(charge.outcome, Declined | Lost), "money has moved, or may yet"
    busy = await collection.open_attempt(conn, debt.key)
    if busy is not None:
        held = (await attempts.lock(conn, [busy]))[busy]
        if held.state is not State.READY:
            return "invoice_busy"  # its own look-ups end it, and the next comparison goes on
        covered = await collection.lock_covered(conn, [busy])
        links = await collection.links(conn, {held.customer_key}, ())
        await withdraw(conn, {busy: "charged_before"}, {busy: held}, covered, links, now=now)
    await collection.recreate(
        conn,
        attempt,
        debt,
        account_id=account.id,
        provider_payment_id=charge.outcome.provider_payment_id,
        provider_customer_id="",
        amount_cents=charge.amount_cents,
        currency=debt.currency,
        sent_at=now - LONG_AGO,
        now=now,
    )
    return None


def _finding(charge: ListedCharge, what: What, detail: str) -> Finding:
    return Finding(
        what=what,
        idempotency_key=charge.idempotency_key or "",
        charge_known_as=charge.provider_payment_id,
        amount_cents=charge.amount_cents,
        currency=charge.currency.upper(),
        detail=detail,
    )


async def _end(conn: Conn, one: Reconciliation, account: RowKey, *, now: datetime) -> None:
    """Look for what we alone know, and let an account go of which nothing is unknown any more."""
    ours_alone = await reconciliations.not_listed(
        conn, one, since=one.since + CLOCKS_DIFFER, before=one.before - CLOCKS_DIFFER
    )
    await reconciliations.find(conn, account, ours_alone, now=now)
    await reconciliations.end(conn, one, state="complete", now=now)
    held = (await quarantines.live(conn, [account.organization_id])).get(account)
    if held is None or one.since > held.compare_since or one.began_at < held.began_at:
        return
    left = await reconciliations.open_findings(conn, account.organization_id, account.id)
    if not any(found.what is not What.UNKNOWN_THERE for found in left):
        await quarantines.release(conn, held, because="compared", now=now)
