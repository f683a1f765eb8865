"""Send one webhook to a URL that a tenant has chosen, and say what became of it.

Called by `flows/deliver_webhook`, outside of any transaction.

What surprises:
- The host is resolved here, judged, and called by the very address that was judged. aiohttp gets no
  name to resolve again, so a name that changes meanwhile changes nothing.
- Every call opens a connection of its own: one kept open would skip the judgement next time.
- The status line is the answer. What follows it is read only so that an ordinary receiver is not
  cut off, 64 kB of it at most, and is forgotten.
- Any port may be called: who hosts Recoup for themselves has receivers on odd ones, and what a
  port scan could find has public addresses only.
"""

import asyncio
import io
import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from yarl import URL

from recoup.senders import addresses
from recoup.senders.addresses import Network, NotAllowed, Resolve
from recoup.senders.host_names import HostNames

DELIVERED: Final = frozenset({200, 201, 202, 204})  # Lago's (contract, 7.3); no other 2xx
GONE: Final = 410
CONNECT_SECONDS: Final = 5.0
DEADLINE_SECONDS: Final = 15.0  # resolving, connecting, sending and the status, all together
ANSWER_SECONDS: Final = 1.0
ANSWER_BYTES: Final = 64 * 1024
ADDRESSES_TRIED: Final = 3
LONGEST_RETRY_AFTER: Final = 7 * 24 * 3600  # seconds; the schedule's patience ends there as well
USER_AGENT: Final = "Recoup-Webhooks"


class WebhookRequest(msgspec.Struct, frozen=True):
    """What goes out, byte for byte. Its headers: `senders/webhook_headers`."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Delivered(msgspec.Struct, frozen=True):
    """The receiver has it."""

    http_status: int


class NotDelivered(msgspec.Struct, frozen=True):
    """The receiver does not have it, or does not say so.

    `why` is for whoever set the URL, and holds nothing of what was answered. `gone`: it wants no
    webhook any more.
    """

    why: str
    http_status: int | None = None
    retry_after_seconds: int | None = None
    gone: bool = False


class WebhookSender:
    """Sends webhooks, any number at once. Made inside the event loop that uses it; to be closed."""

    def __init__(
        self,
        *,
        allowed: Sequence[Network] = (),
        resolve: Resolve | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """
        :param allowed: networks that may be called although they are not public.
        :param resolve: finds a host's addresses; None: as `resolv.conf` and `/etc/hosts` say.
        """
        self._allowed = tuple(allowed)
        self._names = HostNames()
        self._resolve = resolve or self._names.resolve
        self._deadline_seconds = deadline_seconds
        self._tls = ssl.create_default_context()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0, ssl=self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # nobody reads it, so a small answer stays small
            trust_env=False,  # a proxy would resolve the name again, on its side of the filter
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            skip_auto_headers=("Accept-Encoding",),
            headers={"User-Agent": USER_AGENT},
            requote_redirect_url=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cut off what is still under way."""
        await self._session.close()
        await self._names.close()

    async def send(self, request: WebhookRequest, *, now: datetime) -> Delivered | NotDelivered:
        """Send it once, and answer within the deadline. Nothing the world does is raised."""
        url = _parse(request.url)
        if isinstance(url, NotDelivered):
            return url
        try:
            async with asyncio.timeout(self._deadline_seconds):
                answer = await self._call(url, request)
        except TimeoutError:
            return NotDelivered(f"no answer within {self._deadline_seconds:g} s")
        if isinstance(answer, NotDelivered):
            return answer
        async with answer:
            await _read_and_forget(answer.content)
        return _read(answer.status, answer.headers.get("Retry-After"), now=now)

    async def _call(
        self, url: URL, request: WebhookRequest
    ) -> aiohttp.ClientResponse | NotDelivered:
        """Send it to the first of the host's addresses that can be connected to."""
        assert url.raw_host is not None
        assert url.port is not None
        found = await addresses.callable_addresses(
            url.raw_host, url.port, allowed=self._allowed, resolve=self._resolve
        )
        if isinstance(found, NotAllowed):
            return NotDelivered(found.why)
        for address in found[:ADDRESSES_TRIED]:
            try:
                return await self._session.post(
                    url.with_host(str(address)),
                    data=io.BytesIO(request.body),
                    headers={**request.headers, "Host": url.host_port_subcomponent or ""},
                    server_hostname=url.raw_host if url.scheme == "https" else None,
                    allow_redirects=False,  # each would be another URL to judge; Lago follows none
                )
            except aiohttp.ClientSSLError as error:
                return NotDelivered(f"no secure connection: {type(error).__name__}")
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                continue  # nothing was sent yet, so the next address may have it
            except Exception as error:  # noqa: BLE001  whatever a stranger's bytes do to a parser
                return NotDelivered(f"no proper answer: {type(error).__name__}")
        return NotDelivered("no connection to the host")


def _parse(text: str) -> URL | NotDelivered:
    try:
        url = URL(text)
    except ValueError:
        return NotDelivered("the URL cannot be read")
    if url.scheme not in ("http", "https"):
        return NotDelivered("the URL is neither https nor http")
    if not url.raw_host:
        return NotDelivered("the URL names no host")
    if not url.port:
        return NotDelivered("the URL's port is 0")
    return url


def _read(status: int, retry_after: str | None, *, now: datetime) -> Delivered | NotDelivered:
    if status in DELIVERED:
        return Delivered(status)
    return NotDelivered(
        "it sends us elsewhere, and redirects are not followed"
        if 300 <= status < 400
        else f"it answered {status}",
        http_status=status,
        retry_after_seconds=_retry_after_seconds(retry_after, now=now),
        gone=status == GONE,
    )


def _retry_after_seconds(value: str | None, *, now: datetime) -> int | None:
    """Read a Retry-After, seconds or a date (RFC 9110, 10.2.3); what is neither is no wish."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,18}", value.strip()):
        return min(int(value), LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)  # "-0000" is UTC, too
    return min(max(0, int((at - now).total_seconds())), LONGEST_RETRY_AFTER)


async def _read_and_forget(content: aiohttp.StreamReader) -> None:
    """Let a receiver finish; what breaks off, drips or lies about its length changes nothing."""
    left = ANSWER_BYTES
    with suppress(aiohttp.ClientError, OSError, ValueError):
        async with asyncio.timeout(ANSWER_SECONDS):
            while left > 0 and (chunk := await content.read(left)):
                left -= len(chunk)
