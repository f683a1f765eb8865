"""Break calls the way networks and providers break them, before or after they are done.

A handler computes the true `Answer`; what the caller gets to see of it is decided here. Faults
of test tokens come with the answer, random ones are drawn, and one may be asked for by header.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, assert_never

from aiohttp import web

from recoup.sandbox.answers import Answer, Refused, error_answer, invalid_request
from recoup.sandbox.faults import (
    STRIKES_BEFORE,
    CallFault,
    CallTrouble,
    Faults,
    FaultsError,
    call_fault,
)

Sleep = Callable[[float], Awaitable[None]]
Think = Callable[[], Awaitable[None]]
Handler = Callable[[web.Request, Think], Awaitable[Answer]]

FAULT_HEADER: Final = "Sandbox-Fault"
RETRY_AFTER_SECONDS: Final = 1
ASKED_SLOW_SECONDS: Final = 0.5
INTERNAL_ERROR: Final = error_answer(
    500, "api_error", "internal_error", "Something went wrong on our side."
)
RATE_LIMITED: Final = error_answer(
    429, "rate_limit_error", "rate_limited", "Too many requests; try again in a moment."
)
PAGE: Final = "<!doctype html><title>Maintenance</title><p>We will be back in a minute.</p>\n"


class Trouble:
    """Stands between the handlers of the charges API and the connection."""

    def __init__(self, faults: Faults, rng: Random, *, sleep: Sleep, hang_seconds: float) -> None:
        self._faults = faults
        self._rng = rng
        self._sleep = sleep
        self._hang_seconds = hang_seconds
        self._closing = asyncio.Event()

    def end_hangs(self) -> None:
        """Let go of every caller that is being kept waiting: the sandbox is closing."""
        self._closing.set()

    def around(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Make a route's handler of one that only knows the truth.

        The handler is given `think`, to be awaited where it is still deciding: there a slow call
        spends its time, and a call that comes meanwhile overtakes it.
        """

        async def troubled(request: web.Request) -> web.StreamResponse:
            try:
                trouble = self._draw(request)
            except FaultsError as error:
                return plain(invalid_request("parameter_invalid", str(error)))
            if trouble.fault in STRIKES_BEFORE:
                return await self._send(request, INTERNAL_ERROR, trouble.fault)

            async def think() -> None:
                if trouble.slow_seconds:
                    self._faults.count(CallFault.SLOW)
                    await self._sleep(trouble.slow_seconds)

            try:
                answer = await handler(request, think)
            except Refused as refused:
                answer = refused.answer
            if answer.fault:  # a token's own: told apart from the random ones, so not counted
                return await self._break(request, answer, answer.fault)
            return await self._send(request, answer, trouble.fault)

        return troubled

    def _draw(self, request: web.Request) -> CallTrouble:
        asked_for = request.headers.get(FAULT_HEADER)
        if asked_for is None:
            return self._faults.draw_call(self._rng)
        fault = call_fault(asked_for)
        if fault is CallFault.SLOW:
            return CallTrouble(slow_seconds=ASKED_SLOW_SECONDS)
        return CallTrouble(fault=fault)

    async def _send(
        self, request: web.Request, answer: Answer, fault: CallFault | None
    ) -> web.StreamResponse:
        if fault is None:
            return plain(answer)
        self._faults.count(fault)
        return await self._break(request, answer, fault)

    async def _break(
        self, request: web.Request, answer: Answer, fault: CallFault
    ) -> web.StreamResponse:
        match fault:
            case CallFault.ERROR_BEFORE | CallFault.ERROR_AFTER:
                return plain(INTERNAL_ERROR)
            case CallFault.RATE_LIMITED:
                limited = plain(RATE_LIMITED)
                limited.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
                return limited
            case CallFault.DROP_BEFORE | CallFault.DROP_AFTER:
                return _drop(request)
            case CallFault.HANG_AFTER:
                await self._hang()
                return _drop(request)
            case CallFault.HTML:
                return web.Response(text=PAGE, content_type="text/html")
            case CallFault.TRUNCATED:
                return await _send_half(request, answer)
            case CallFault.SLOW:
                return plain(answer)  # its time was spent thinking
            case _:
                assert_never(fault)

    async def _hang(self) -> None:
        async def sleep() -> None:
            await self._sleep(self._hang_seconds)

        waits = {asyncio.create_task(sleep()), asyncio.create_task(self._closing.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def plain(answer: Answer) -> web.Response:
    """Send an answer as it is."""
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers=answer.headers,
        content_type="application/json",
    )


def _drop(request: web.Request) -> web.Response:
    if request.transport is not None:  # None: the caller has hung up first
        request.transport.abort()
    return web.Response()  # goes nowhere


async def _send_half(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_type = "application/json"
    response.content_length = len(answer.body)
    with contextlib.suppress(ConnectionError):  # the caller has hung up first
        await response.prepare(request)
        await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()  # not abort: the half that is written shall arrive
    return response
