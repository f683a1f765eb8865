"""Fetch a small picture from a URL that a tenant has chosen: a logo for its documents.

Called by `flows/make_document`, outside of any transaction. As `senders/webhooks` has it: the
address is judged and then called by its number, on a connection of its own, and no redirect is
followed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from yarl import URL

from recoup.senders import addresses
from recoup.senders.addresses import Network, NotAllowed, Resolve
from recoup.senders.host_names import HostNames

DEADLINE_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5.0
ADDRESSES_TRIED: Final = 3
USER_AGENT: Final = "Recoup-Documents"


class NotFetched(msgspec.Struct, frozen=True):
    """There is no picture; `why` is for whoever set the URL, and holds nothing of an answer."""

    why: str


class PictureFetcher:
    """Fetches pictures. Made inside the event loop that uses it; to be closed."""

    def __init__(
        self,
        *,
        most_bytes: int,
        allowed: Sequence[Network] = (),
        resolve: Resolve | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """
        :param most_bytes: of a picture; what is larger is not read to its end.
        :param allowed: networks that may be called although they are not public.
        :param resolve: finds a host's addresses; None: as `resolv.conf` and `/etc/hosts` say.
        """
        self._most_bytes = most_bytes
        self._allowed = tuple(allowed)
        self._names = HostNames()
        self._resolve = resolve or self._names.resolve
        self._deadline_seconds = deadline_seconds
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                force_close=True, limit=0, ssl=ssl.create_default_context()
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # what is small on the wire stays small
            trust_env=False,  # a proxy would resolve the name again, on its side of the filter
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            skip_auto_headers=("Accept-Encoding",),
            headers={"User-Agent": USER_AGENT, "Accept": "image/png, image/jpeg, image/svg+xml"},
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

    async def fetch(self, text: str) -> bytes | NotFetched:
        """Fetch what is at a URL, within the deadline. Nothing the world does is raised."""
        try:
            url = URL(text)
        except ValueError:
            return NotFetched("the URL cannot be read")
        if url.scheme not in ("http", "https") or not url.raw_host or not url.port:
            return NotFetched("the URL is no whole http or https address")
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._fetch(url)
        except TimeoutError:
            return NotFetched(f"no answer within {self._deadline_seconds:g} s")

    async def _fetch(self, url: URL) -> bytes | NotFetched:
        assert url.raw_host is not None
        assert url.port is not None
        found = await addresses.callable_addresses(
            url.raw_host, url.port, allowed=self._allowed, resolve=self._resolve
        )
        if isinstance(found, NotAllowed):
            return NotFetched(found.why)
        for address in found[:ADDRESSES_TRIED]:
            try:
                async with self._session.get(
                    url.with_host(str(address)),
                    headers={"Host": url.host_port_subcomponent or ""},
                    server_hostname=url.raw_host if url.scheme == "https" else None,
                    allow_redirects=False,  # each would be another URL to judge
                ) as answer:
                    return await self._read(answer)
            except aiohttp.ClientSSLError as error:
                return NotFetched(f"no secure connection: {type(error).__name__}")
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                continue
            except TimeoutError:
                raise
            except Exception as error:  # noqa: BLE001  whatever a stranger's bytes do to a parser
                return NotFetched(f"no proper answer: {type(error).__name__}")
        return NotFetched("no connection to the host")

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes | NotFetched:
        if answer.status != 200:
            return NotFetched(f"it answered {answer.status}")
        content = bytearray()
        while chunk := await answer.content.read(64 * 1024):
            content += chunk
            if len(content) > self._most_bytes:
                return NotFetched(f"it has more than {self._most_bytes // 1024} kB")
        return bytes(content)
