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
from recoup.store.idempotency_keys import BEGUN, KeptAnswer, Receipt

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
        kept = await _claim(conn, receipt)
        if kept is not None:
            return kept.body, True
        body = await do(conn)
        answer = KeptAnswer(receipt.body_digest, 200, {}, body)
        await idempotency_keys.keep(conn, [(receipt, answer)], now=now)
        return body, False


async def answer_once_in_pieces(
    pool: Pool,
    receipt: Receipt,
    do: Callable[[KeptAnswer], Awaitable[tuple[bytes, bool]]],
    *,
    now: datetime,
) -> tuple[bytes, bool]:
    """The same for work that commits in pieces, while its key is held by a connection of its own.

    `do` is given the note that the call has begun, by which it makes its ids: sent again after we
    died half way, it comes to the same. It says whether its answer is the last word; one that is
    not is not kept, and the same key goes on.

    :raises Refused: what `do` refused; `idempotency_key_reused`, `idempotency_key_in_use`.
    """
    async with db.transaction(pool, tenants=[receipt.organization_id], may_idle=True) as conn:
        kept = await _claim(conn, receipt)
        if kept is not None and kept.http_status != BEGUN:
            return kept.body, True
        begun = kept or KeptAnswer(receipt.body_digest, BEGUN, {}, b"", began_at=now)
        if kept is None:
            async with db.transaction(pool, tenants=[receipt.organization_id]) as at_once:
                await idempotency_keys.keep(at_once, [(receipt, begun)], now=now)
        try:
            body, is_last_word = await do(begun)
        except Refused:  # a refusal stores nothing: what is corrected may come under the same key
            async with db.transaction(pool, tenants=[receipt.organization_id]) as at_once:
                await idempotency_keys.forget_begun(at_once, receipt)
            raise
        if is_last_word:
            answer = KeptAnswer(receipt.body_digest, 200, {}, body)
            await idempotency_keys.keep(conn, [(receipt, answer)], now=now)
        return body, False


async def _claim(conn: Conn, receipt: Receipt) -> KeptAnswer | None:
    """Take the key until the transaction ends, and read what is kept under it."""
    if not (await idempotency_keys.claim(conn, [receipt]))[0]:
        raise Refused(IN_USE)
    kept = (await idempotency_keys.find(conn, [receipt])).get(receipt.scope)
    if kept is not None and kept.body_digest != receipt.body_digest:
        raise Refused(REUSED)
    return kept
