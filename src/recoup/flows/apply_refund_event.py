"""Apply what an event of a provider says of a refund. Called by `apply_event` alone.

What would surprise you: the event may be of a refund that we believe to be unsent. That the
provider tells of it shows that it was sent, so it counts as that before the event is settled: it
would be sent again, and the event be old news.
"""

from __future__ import annotations

from datetime import datetime

from recoup.flows.refund_as_sent import count_refund_as_sent, render_refund
from recoup.flows.reports import Source
from recoup.flows.settle_refund import RefundReport, settle_refund_on
from recoup.providers.protocol import Provider, RefundNotice
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow, refund_of
from recoup.rules.refund_state import RefundState
from recoup.store import quarantines, refunds
from recoup.store.db import Conn


async def apply_to_refund(
    conn: Conn, provider: Provider, account: RowKey, said: RefundNotice, *, now: datetime
) -> str | None:
    """Do what the event says, in a word; None: what it is about may become known."""
    held = await _refund(conn, account, said)
    if held is None:
        # In quarantine its charge may be told of yet, and be paid back under the same key.
        is_held_back = account in await quarantines.live(conn, [account.organization_id])
        may_be_known = said.idempotency_key is None or is_held_back
        return None if may_be_known else "no_such_refund"
    if held.state is RefundState.READY:
        request = await render_refund(conn, provider, held)
        await count_refund_as_sent(conn, held.key, request, now=now)
    told = RefundReport(held.key, said.outcome, Source.EVENT)
    return (await settle_refund_on(conn, told, now=now)).word


async def _refund(conn: Conn, account: RowKey, said: RefundNotice) -> RefundRow | None:
    """The refund that is meant, if it is this tenant's and this account's."""
    if said.idempotency_key is None:
        asked = await refunds.by_provider_id(conn, account, said.provider_refund_id)
    else:
        refund_id = refund_of(said.idempotency_key)
        asked = RowKey(account.organization_id, refund_id) if refund_id else None
    held = (await refunds.find(conn, [asked])).get(asked) if asked else None
    return held if held and held.provider_account_id == account.id else None
