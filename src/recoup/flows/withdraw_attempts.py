"""Withdraw attempts that were never sent, since there is nothing left to charge.

Called by `begin_sending`, and by `mend_from_list` where the charge was made before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from recoup.flows.retry_payment import payment_failure
from recoup.flows.tell import tell
from recoup.rules.records.collection import Attempt, Covered, Link
from recoup.rules.records.keys import RowKey
from recoup.store import attempts
from recoup.store.db import Conn


async def withdraw(
    conn: Conn,
    withdrawn: Mapping[RowKey, str],
    held: Mapping[RowKey, Attempt],
    covered: Mapping[RowKey, Sequence[Covered]],
    links: Mapping[RowKey, Link],
    *,
    now: datetime,
) -> None:
    """Withdraw these attempts for the reasons given, and tell of those that somebody asked for."""
    await attempts.withdraw(conn, withdrawn, now=now)
    news = [
        payment_failure(
            covered[key][0].debt,
            links[held[key].customer_key],
            cause=key.id,
            ask_id=held[key].answers,
            error_details={"code": because},
        )
        for key, because in withdrawn.items()
        if held[key].answers
    ]
    await tell(conn, news, now=now)
