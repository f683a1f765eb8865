"""How many attempts one worker settles per second, the provider answering at once.

Attempts and jobs wait before the worker starts. The time is the database's own: from the first
attempt sent to the last one ended, so that starting up does not count.
"""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
import msgspec

from bench.bulk import retry_in_bulk
from bench.installation import Shop
from bench.processes import Program
from bench.stock import Stock

SETTLED_WITHIN_SECONDS: Final = 180.0
LOOK_EVERY_SECONDS: Final = 0.25

_OPEN: Final = "SELECT count(*) FROM payments WHERE state IN ('ready', 'sent') AND ended_at IS NULL"
_MEASURED: Final = """
    SELECT count(*) AS settled,
           count(*) FILTER (WHERE state = 'succeeded') AS paid,
           count(DISTINCT provider_payment_id) AS charges,
           extract(epoch FROM max(ended_at) - min(sent_at))::float8 AS seconds
      FROM payments
     WHERE organization_id = $1 AND asked_by = 'bulk' AND created_at > $2
"""


class NotSettledError(Exception):
    """The worker did not settle all, or not by one charge each."""


class Settled(msgspec.Struct, frozen=True):
    """What one worker did in one round."""

    per_second: float
    worker_megabytes: float


async def settle(shop: Shop, stock: Stock, psp: Program, number: int) -> Settled:
    """Let a worker settle so many attempts.

    :raises NotSettledError: it did not, or the provider was not asked once for each.
    """
    began_at = await shop.owner.fetchval("SELECT clock_timestamp()")
    before = await _counts(psp)
    await retry_in_bulk(shop, stock, number)
    async with shop.installation.running("work") as worker:
        try:
            async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
                while await shop.owner.fetchval(_OPEN):  # noqa: ASYNC110  seen from outside
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        except TimeoutError:
            raise NotSettledError(
                f"{await shop.owner.fetchval(_OPEN)} of {number} attempts are still open after"
                f" {SETTLED_WITHIN_SECONDS:.0f} s"
            ) from None
        megabytes = worker.resident_megabytes()
    row = await shop.owner.fetchrow(_MEASURED, shop.organization_id, began_at)
    assert row is not None, "an aggregate has one row"
    after = await _counts(psp)
    seen = (
        row["settled"], row["paid"], row["charges"],
        after["charges"] - before["charges"], after["asked"] - before["asked"],
    )  # fmt: skip
    if set(seen) != {number}:
        raise NotSettledError(
            f"of {number} attempts: settled, paid, charges here, charges there, asked: {seen}"
        )
    return Settled(number / row["seconds"], megabytes)


async def _counts(psp: Program) -> dict[str, int]:
    async with aiohttp.ClientSession() as http, http.get(f"{psp.address}/counts") as answer:
        counts: dict[str, int] = await answer.json()
        return counts
