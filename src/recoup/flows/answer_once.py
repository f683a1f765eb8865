"""Do what a call asks in one transaction, and once only where it carries an `Idempotency-Key`.

Retries do not come through here: `retry_payment` keeps its answers in its own batch's transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from recoup.rules.refusal import Refusal, RefusalKind, Refused
from recoup.store import db, idempotency_keys
from recoup.store.db import Conn, Pool
from recoup.store.idempotency_keys import KeptAnswer, Receipt

KEPT_FOR: Final = timedelta(days=30)
REUSED: Final = Refusal(RefusalKind.INVALID, "idempotency_key_reused")
IN_USE: Final = Refusal(RefusalKind.CONFLICT, "idempotency_key_in_use")


async def answer_once(
    pool: Pool,
    organization_id: UUID,
    do: Callable[[Conn], Awaitable[bytes]],
    *,
    receipt: Receipt | None,
    now: datetime,
) -> tuple[bytes, bool]:
    """Run `do` in a transaction and answer its body, and whether it was kept from before.

    Only an answer that succeeds is kept: a refusal rolls back, and stores nothing.

    :raises Refused: what `do` refused; `idempotency_key_reused` for another body under the same
        key; `idempotency_key_in_use` while the first call still runs.
    """
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        if receipt is None:
            return await do(conn), False
        if not (await idempotency_keys.claim(conn, [receipt]))[0]:
            raise Refused(IN_USE)
        kept = (await idempotency_keys.find(conn, [receipt])).get(receipt.scope)
        if kept is not None:
            if kept.body_digest != receipt.body_digest:
                raise Refused(REUSED)
            return kept.body, True
        body = await do(conn)
        answer = KeptAnswer(receipt.body_digest, 200, {}, body)
        await idempotency_keys.keep(conn, [(receipt, answer)], now=now)
        return body, False
