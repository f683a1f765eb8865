"""Withdraw attempts that were never sent, since there is nothing left to charge.

Called by `begin_sending`, and by `mend_from_list` where the charge was made before.

What would surprise you: a payment request collects all its invoices or none, so it is withdrawn as
a whole where one of them was settled otherwise. The others are as they were before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from recoup.flows.retry_payment import payment_failure
from recoup.flows.tell import News, tell
from recoup.flows.tell_requests import end_requests, request_failure
from recoup.rules.lago.failures import ProviderError
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
    of_requests = {one: held[key] for key in withdrawn if (one := held[key].request_key)}
    news = [
        _failure(held[key], covered[key], links[held[key].customer_key], because)
        for key, because in withdrawn.items()
        if held[key].answers
    ]
    news += await end_requests(conn, dict.fromkeys(of_requests, "failed"), of_requests, now=now)
    await tell(conn, news, now=now)


def _failure(attempt: Attempt, covered: Sequence[Covered], link: Link, because: str) -> News:
    if attempt.payment_request_id is not None:
        return request_failure(
            attempt,
            covered,
            link,
            error_details={"code": because},
            provider_error=ProviderError(message="Nothing was charged.", error_code=because),
        )
    return payment_failure(
        covered[0].debt,
        link,
        cause=attempt.id,
        ask_id=attempt.answers,
        error_details={"code": because},
    )
