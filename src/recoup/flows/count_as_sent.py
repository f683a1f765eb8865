"""Take an attempt that looks as if nobody had sent it for sent, since its provider has it.

A restore, or a standby that was behind, has lost the commit before the call. Without this the
attempt would be sent again, where the provider may have forgotten its key.

What would surprise you: how much of it was for which invoice is not known either. What the attempt
covers adds up to its amount all the same; where that is not what the provider took, it is raised.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from recoup.rules.records.collection import Attempt
from recoup.rules.records.keys import RowKey
from recoup.rules.settlement import shares_as_sent
from recoup.store import attempts, collection
from recoup.store.attempts import Sent
from recoup.store.db import Conn

# It counts as sent before any key's life: it is asked about, and never re-sent.
LONG_AGO: Final = timedelta(days=60)


async def count_as_sent(
    conn: Conn, attempt: Attempt, account: RowKey, *, amount_cents: int, now: datetime
) -> None:
    """Move a locked attempt that is `ready` to `sent`. What exactly was sent is not known.

    Its invoices are locked. `amount_cents` is what the provider took, as far as that is known.
    """
    covered = (await collection.lock_covered(conn, [attempt.key]))[attempt.key]
    shares = shares_as_sent(covered, amount_cents)
    row = Sent(
        key=attempt.key,
        amount_cents=sum(shares.values()),
        provider_account_id=account.id,
        provider_customer_id="",
        payment_method_id=attempt.payment_method_id,
        provider_method_id=attempt.provider_method_id,
        request="",
        manner=attempt.manner,
    )
    await attempts.send(conn, [row], look_up_at=now, now=now - LONG_AGO)
    await attempts.cover(conn, attempt.key, shares)
