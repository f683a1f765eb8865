"""Compare an account's list of charges with ours, in both directions, and mend what can be mended.

Called by the worker: daily for every account, and each minute for one in quarantine, which ends it
once nothing is left that the provider alone knows. Page by page: where the list goes on is a row,
so whoever comes after a killed worker goes on there. What the list does not tell (a charge that it
lacks, one that is older than its window, any refund) is asked for by name.

What would surprise you: a provider without a list leaves its account in quarantine until a person
has compared, and says so: that is a finding, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from recoup.flows.ask_for_findings import ask_for_findings
from recoup.flows.call_account import AccountLine, LeftAlone
from recoup.flows.compare_refunds import compare_refunds
from recoup.flows.keep_methods import ProviderSilentError
from recoup.flows.mend_from_list import Mending
from recoup.flows.open_provider import Providers
from recoup.providers.protocol import CannotList, ChargeList, Lost, Provider
from recoup.rules.reconciliation import CLOCKS_DIFFER, DAILY_WINDOW, HOLDS_BACK, What
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.store import db, findings, provider_accounts, quarantines, reconciliations
from recoup.store.db import Pool
from recoup.store.findings import Finding
from recoup.store.quarantines import Quarantine
from recoup.store.reconciliations import Reconciliation

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

    :raises ProviderSilentError: the provider does not answer, or may not be asked yet; what was
        done stays done.
    """
    begun = await _begin(pool, account, id=new_id(), now=now())
    if begun is None:
        return
    one, found = begun
    page_after = one.next_page
    line = AccountLine(pool, providers, found, now=now)
    while True:
        page = await line.ask(_listing(one, page_after))
        if isinstance(page, LeftAlone):
            raise ProviderSilentError("left_alone")
        if isinstance(page, Lost):
            raise ProviderSilentError(page.why)
        if isinstance(page, CannotList):
            await _end_without_a_list(pool, one, now=now())
            return
        await _take_page(pool, one, page, page_after, now=now())
        if page.after is None:
            break
        page_after = page.after
    await ask_for_findings(pool, line, one, now=now)
    await compare_refunds(pool, line, one, now=now)
    await _end(pool, one, now=now())


async def _begin(
    pool: Pool, account: RowKey, *, id: UUID, now: datetime
) -> tuple[Reconciliation, ProviderAccount] | None:
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
        return one, found


def _listing(
    one: Reconciliation, after: str | None
) -> Callable[[Provider], Awaitable[ChargeList | CannotList | Lost]]:
    return lambda provider: provider.list_charges(since=one.since, before=one.before, after=after)


def _may_wait(last: Reconciliation, held: Quarantine, *, now: datetime) -> bool:
    """Whether asking again so soon would tell nothing new; a list may be long."""
    if last.ended_at is None or last.began_at <= held.began_at:
        return False
    return last.state == "cannot_list" or now < last.ended_at + ASK_AGAIN_AFTER


async def _take_page(
    pool: Pool,
    begun: Reconciliation,
    page: ChargeList,
    page_after: str | None,
    *,
    now: datetime,
) -> None:
    """Take one page in, in one transaction; after the last one, find what no page has named."""
    account = begun.account
    async with db.transaction(pool, tenants=[account.organization_id]) as conn:
        one = await reconciliations.under_way(conn, account)
        if one is None or one.next_page != page_after:
            return  # another worker has taken this page
        taken = await Mending(conn, one, now=now).take(page.charges)
        await reconciliations.turn_page(
            conn,
            one,
            next_page=page.after,
            listed=len(page.charges),
            foreign=taken.foreign,
            ours=[key.id for key in taken.ours],
        )
        if page.after is None:
            ours_alone = await reconciliations.not_listed(
                conn, one, since=one.since + CLOCKS_DIFFER, before=one.before - CLOCKS_DIFFER
            )
            await findings.find(conn, account, ours_alone, now=now)


async def _end(pool: Pool, begun: Reconciliation, *, now: datetime) -> None:
    """End a comparison, and let an account go of which nothing is unknown any more."""
    account = begun.account
    async with db.transaction(pool, tenants=[account.organization_id]) as conn:
        one = await reconciliations.under_way(conn, account)
        if one is None or one.id != begun.id:
            return  # another worker has come to its end
        await reconciliations.end(conn, one, state="complete", now=now)
        held = (await quarantines.live(conn, [account.organization_id])).get(account)
        if held is None or one.since > held.compare_since or one.began_at < held.began_at:
            return
        if not await findings.any_open(conn, account, HOLDS_BACK):
            await quarantines.release(conn, held, because="compared", now=now)


async def _end_without_a_list(pool: Pool, one: Reconciliation, *, now: datetime) -> None:
    """Say that nothing was compared, and where the account is held back, that a person must."""
    account = one.account
    async with db.transaction(pool, tenants=[account.organization_id]) as conn:
        await reconciliations.end(conn, one, state="cannot_list", now=now)
        held = (await quarantines.live(conn, [account.organization_id])).get(account)
        if held is not None:
            nothing_compared = Finding(what=What.CANNOT_LIST, idempotency_key=held.finding_key)
            await findings.find(conn, account, [nothing_compared], now=now)
