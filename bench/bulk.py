"""Retries by the bulk path: `POST /api/v1/invoices/retry_payments`, 10,000 invoices a call."""

from __future__ import annotations

import time
from typing import Final

import aiohttp
import msgspec

from bench.installation import Shop
from bench.numbered import Kind, numbered_id
from bench.stock import Stock

MOST_PER_CALL: Final = 10_000
_TIMEOUT: Final = aiohttp.ClientTimeout(total=120)


class _Result(msgspec.Struct):
    lago_id: str
    accepted: bool
    payment_id: str | None


class _Results(msgspec.Struct):
    results: list[_Result]


class NotAcceptedError(Exception):
    """A bulk call refused what it should accept."""


async def retry_in_bulk(shop: Shop, stock: Stock, number: int) -> float:
    """Retry so many fresh invoices, call after call; answer how many per second.

    :raises NotAcceptedError: one was refused, or had no attempt.
    """
    await stock.lay_in(number)
    first = stock.used
    bodies = [
        msgspec.json.encode(
            {
                "invoice_ids": [
                    numbered_id(Kind.INVOICE, one)
                    for one in range(start, min(start + MOST_PER_CALL, first + number))
                ]
            }
        )
        for start in range(first, first + number, MOST_PER_CALL)
    ]
    headers = {"Authorization": f"Bearer {shop.api_key}", "Content-Type": "application/json"}
    url = f"{shop.api.address}/api/v1/invoices/retry_payments"
    answers = []
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as http:
        started = time.perf_counter()
        for body in bodies:
            async with http.post(url, data=body) as response:
                answers.append((response.status, await response.read()))
        seconds = time.perf_counter() - started
    _check(answers, number)
    await stock.count_used()
    return number / seconds


def _check(answers: list[tuple[int, bytes]], number: int) -> None:
    begun = 0
    for status, answer in answers:
        if status != 200:
            raise NotAcceptedError(f"{status}: {answer[:500]!r}")
        results = msgspec.json.decode(answer, type=_Results).results
        begun += sum(1 for one in results if one.accepted and one.payment_id)
    if begun != number:
        raise NotAcceptedError(f"{begun} of {number} were accepted")
