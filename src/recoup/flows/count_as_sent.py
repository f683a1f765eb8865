"""Take an attempt that looks as if nobody had sent it for sent, since its provider has it.

A restore, or a standby that was behind, has lost the commit before the call. Without this the
attempt would be sent again, where the provider may have forgotten its key.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from recoup.rules.records.collection import Attempt
from recoup.rules.records.keys import RowKey
from recoup.store import attempts
from recoup.store.attempts import Sent
from recoup.store.db import Conn

# It counts as sent before any key's life: it is asked about, and never re-sent.
LONG_AGO: Final = timedelta(days=60)


async def count_as_sent(
    conn: Conn, attempt: Attempt, account: RowKey, *, amount_cents: int, now: datetime
) -> None:
    """Move a locked attempt that is `ready` to `sent`. What exactly was sent is not known."""
    row = Sent(
        key=attempt.key,
        amount_cents=amount_cents,
        provider_account_id=account.id,
        provider_customer_id="",
        payment_method_id=attempt.payment_method_id,
        provider_method_id=attempt.provider_method_id,
        request="",
        manner=attempt.manner,
    )
    await attempts.send(conn, [row], look_up_at=now, now=now - LONG_AGO)
