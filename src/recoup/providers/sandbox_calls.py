"""How the sandbox is called: over HTTP, and never for longer than `TIMEOUT`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

import aiohttp
import msgspec
from yarl import URL

from recoup.providers.protocol import LONGEST_CALL, Lost
from recoup.providers.reading import decode
from recoup.providers.sandbox_answers import (
    ChargesAnswer,
    ErrorAnswer,
    MethodsAnswer,
    RefundsAnswer,
)

TIMEOUT: Final = aiohttp.ClientTimeout(
    connect=2, sock_connect=2, sock_read=10, total=LONGEST_CALL.total_seconds()
)
MOST_ANSWER_BYTES: Final = 1_000_000
Found = TypeVar("Found", ChargesAnswer, RefundsAnswer, MethodsAnswer)


class Answer(msgspec.Struct, frozen=True):
    """An answer, as it came."""

    status: int
    body: bytes
    retry_after: str | None


class SandboxCalls:
    """The calls of one account."""

    def __init__(self, http: aiohttp.ClientSession, base: str, api_key: str) -> None:
        self._http = http
        self.v1 = URL(f"{base.rstrip('/')}/v1")
        self._authorization = f"Bearer {api_key}"

    async def post(self, what: str, request: str, key: str) -> Answer | Lost:
        """Ask for something new, once per key."""
        headers = {"Idempotency-Key": key}
        return await self.call("POST", self.v1 / what, request.encode(), headers)

    async def get(self, what: str, kind: type[Found], **query: str) -> Found | Lost:
        """Ask for what is there, and read it as this."""
        url = self.v1.joinpath(what, encoded=True)
        answer = await self.call("GET", url.with_query(query))
        if isinstance(answer, Lost):
            return answer
        if answer.status != 200:
            return lost(answer)
        return decode(answer.body, kind) or Lost("unreadable_answer")

    async def call(
        self, method: str, url: URL, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Answer | Lost:
        """Make a call, whatever the world does."""
        try:
            async with self._http.request(
                method,
                url,
                data=body,
                headers={
                    "Authorization": self._authorization,
                    "Content-Type": "application/json",
                    **headers,
                },
                timeout=TIMEOUT,
                allow_redirects=False,
            ) as response:
                read = await response.content.read(MOST_ANSWER_BYTES)
                while not response.content.at_eof() and len(read) < MOST_ANSWER_BYTES:
                    read += await response.content.read(MOST_ANSWER_BYTES - len(read))
                return Answer(response.status, read, response.headers.get("Retry-After"))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return Lost(type(error).__name__, is_outage=True)


def lost(answer: Answer) -> Lost:
    """An answer that says nothing of what was asked."""
    seconds = (answer.retry_after or "") if answer.status == 429 else ""
    is_readable = seconds.isascii() and seconds.isdigit() and len(seconds) < 10
    return Lost(
        f"http_{answer.status}",
        float(seconds) if is_readable else None,
        is_outage=answer.status >= 500,
        key_refused=answer.status == 401 and decode(answer.body, ErrorAnswer) is not None,
    )
