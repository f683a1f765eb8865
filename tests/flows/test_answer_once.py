"""Under one key a call that works in pieces is done once; what was refused may be corrected."""

from __future__ import annotations

import asyncio

import pytest

from recoup.flows.answer_once import IN_USE, REUSED, answer_once_in_pieces
from recoup.rules.refusal import Refused, invalid
from recoup.store.idempotency_keys import KeptAnswer, Receipt
from tests.shop import Shop

WRONG = invalid({"provider_method_id": ["value_is_invalid"]})


def receipt(shop: Shop, body: str) -> Receipt:
    return Receipt(shop.organization_id, "POST", "/somewhere", "key", body)


async def kept(shop: Shop) -> list[int]:
    """The status of each answer that is kept, 0 for a call that has begun."""
    rows = await shop.owner.fetch("SELECT http_status FROM idempotency_keys")
    return [row["http_status"] for row in rows]


async def succeed(_begun: KeptAnswer) -> tuple[bytes, bool]:
    return b"done", True


async def refuse(_begun: KeptAnswer) -> tuple[bytes, bool]:
    raise Refused(WRONG)


async def die(_begun: KeptAnswer) -> tuple[bytes, bool]:
    raise OSError


async def test_what_was_refused_may_be_corrected_under_the_same_key(shop: Shop) -> None:
    now = shop.clock.now()
    with pytest.raises(Refused) as refused:
        await answer_once_in_pieces(shop.pool, receipt(shop, "mistyped"), refuse, now=now)
    assert refused.value.refusal == WRONG
    assert await kept(shop) == []
    corrected = receipt(shop, "corrected")
    for replayed in (False, True):
        assert await answer_once_in_pieces(shop.pool, corrected, succeed, now=now) == (
            b"done",
            replayed,
        )
    with pytest.raises(Refused) as reused:
        await answer_once_in_pieces(shop.pool, receipt(shop, "mistyped"), succeed, now=now)
    assert reused.value.refusal == REUSED


async def test_a_call_that_died_half_way_still_holds_its_key(shop: Shop) -> None:
    now = shop.clock.now()
    with pytest.raises(OSError):
        await answer_once_in_pieces(shop.pool, receipt(shop, "first"), die, now=now)
    assert await kept(shop) == [0]
    with pytest.raises(Refused) as reused:
        await answer_once_in_pieces(shop.pool, receipt(shop, "another"), succeed, now=now)
    assert reused.value.refusal == REUSED
    assert await answer_once_in_pieces(shop.pool, receipt(shop, "first"), succeed, now=now) == (
        b"done",
        False,
    )


async def test_while_a_call_is_being_refused_its_key_is_in_use(shop: Shop) -> None:
    now = shop.clock.now()
    is_at_work, may_end = asyncio.Event(), asyncio.Event()

    async def refuse_in_a_while(_begun: KeptAnswer) -> tuple[bytes, bool]:
        is_at_work.set()
        await may_end.wait()
        raise Refused(WRONG)

    first = asyncio.create_task(
        answer_once_in_pieces(shop.pool, receipt(shop, "first"), refuse_in_a_while, now=now)
    )
    await is_at_work.wait()
    for body in ("first", "corrected"):
        with pytest.raises(Refused) as refused:
            await answer_once_in_pieces(shop.pool, receipt(shop, body), succeed, now=now)
        assert refused.value.refusal == IN_USE
    assert await kept(shop) == [0]
    may_end.set()
    with pytest.raises(Refused):
        await first
    assert await kept(shop) == []
    corrected = receipt(shop, "corrected")
    assert await answer_once_in_pieces(shop.pool, corrected, succeed, now=now) == (b"done", False)
    assert await kept(shop) == [200]
