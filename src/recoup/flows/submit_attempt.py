"""Send an attempt to its provider, and settle what comes back.

Called by the worker, once per promised attempt. In three steps: commit `sent` (or `withdrawn`),
call the provider outside any transaction, settle through the one door. Whatever dies between them,
the row says how far it came: what is `sent` is never sent anew, only looked up.

What would surprise you: an attempt found in `sent` is somebody else's, who died. It is looked up.
So is one of our own whose commit and call lie too far apart: whoever wakes up late may find that
others have sent it since, or that its key has died at the provider.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import assert_never

from recoup.flows.batches import Batches
from recoup.flows.begin_sending import Begun, NothingToDo, ToLookUp, ToSend
from recoup.flows.call_first import call_first
from recoup.flows.reports import Report, Settled, Source
from recoup.rules.look_up_schedule import may_still_send
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool


async def submit_attempt(
    pool: Pool,
    attempt: RowKey,
    *,
    sending: Batches[RowKey, Begun],
    settling: Batches[Report, Settled],
    jitter: timedelta,
    now: Callable[[], datetime],
) -> Begun:
    """Send one attempt and settle the answer; say what there was to do.

    `sending` shares the transactions of `begin_sending`, `settling` those of `settle_attempts`.
    The caller looks up what is `ToLookUp`. `now` is the edge's clock, and not its reading: it is
    looked at just before the call.
    """
    begun = await sending.ask(attempt)
    if isinstance(begun, ToSend) and not may_still_send(sent_at=begun.sent_at, now=now()):
        begun.ended()
        return ToLookUp()
    match begun:
        case ToSend():
            await call_first(
                pool,
                attempt,
                begun.charge,
                provider=begun.provider,
                account=begun.account,
                was_troubled=begun.was_troubled,
                ended=begun.ended,
                settle=lambda told: settling.ask(Report(attempt, told, Source.ANSWER, jitter)),
                now=now,
            )
        case ToLookUp() | NothingToDo():
            pass
        case _:
            assert_never(begun)
    return begun
