"""Resolve the host names of URLs that tenants have chosen, however many of them are silent.

What surprises: the system's own `getaddrinfo` is not asked. It blocks a thread for as long as a
name server likes, and the threads are few: eight names whose server is silent kept everybody
else's webhooks waiting, and calls to providers with them. c-ares asks over a socket, so that a
question that nobody answers costs nothing but itself. It reads `/etc/hosts` and `resolv.conf`,
and nothing else that a system may know names by.
"""

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

import aiodns

from recoup.senders.addresses import Address

ANSWER_SECONDS: Final = 2.0
TRIES: Final = 2


class HostNames:
    """Finds addresses. Made inside the event loop that uses it; to be closed."""

    def __init__(self, **options: Any) -> None:
        """
        :param options: aiodns's own, such as `nameservers`; those of `resolv.conf` otherwise.
        """
        self._dns = aiodns.DNSResolver(**{"timeout": ANSWER_SECONDS, "tries": TRIES} | options)

    async def close(self) -> None:
        """Give up what is still being asked."""
        await self._dns.close()

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """A host's addresses, in the order to be tried, each once.

        :raises OSError: the name has none, or nobody answered.
        """
        if (written := _as_number(host, port)) is not None:
            return written
        try:
            found = await self._dns.getaddrinfo(host, port=port, type=socket.SOCK_STREAM)
        except (aiodns.error.DNSError, UnicodeError) as error:  # the second: no name can be so
            raise socket.gaierror(socket.EAI_NONAME, "no address") from error
        return list(dict.fromkeys(ip_address(node.addr[0].decode()) for node in found.nodes))


def _as_number(host: str, port: int) -> Sequence[Address] | None:
    """Read an address in any form that the system's own connections take: `0x7f.1`, `127.1`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None  # a name, or no such thing as a name: asked for nowhere as yet
    return list(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in found))
