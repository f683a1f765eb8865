"""Names are resolved over real sockets, and a silent name server keeps nobody waiting."""

import asyncio
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
import pytest_asyncio

from recoup.senders.addresses import NotAllowed, callable_addresses
from recoup.senders.host_names import HostNames


@pytest_asyncio.fixture
async def names() -> AsyncIterator[HostNames]:
    """Names as the system's files have them."""
    opened = HostNames()
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def silent_names() -> AsyncIterator[HostNames]:
    """Names of a server that takes every question and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        opened = HostNames(nameservers=["127.0.0.1"], udp_port=port, timeout=30.0)
        yield opened
        await opened.close()


@pytest.mark.parametrize("host", ["nobody.invalid", "..", "a..b", "x" * 70, "a b", "%6c",
                                  "é" * 70 + ".test", "\u2028.test"])  # fmt: skip
async def test_a_name_without_address_is_an_answer(names: HostNames, host: str) -> None:
    found = await callable_addresses(host, 443, allowed=(), resolve=names.resolve)
    assert found == NotAllowed("the host's name has no address")


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1"])
async def test_short_numbers_are_judged_as_the_system_reads_them(
    names: HostNames, host: str
) -> None:
    assert await names.resolve(host, 80) == [ip_address("127.0.0.1")]


async def test_the_hosts_file_is_read(names: HostNames) -> None:
    assert ip_address("127.0.0.1") in await names.resolve("localhost", 80)


async def test_silent_name_servers_keep_nobody_waiting(
    names: HostNames, silent_names: HostNames
) -> None:
    """Far more questions than any pool has threads, and then one of everybody else's."""
    waiting = [
        asyncio.create_task(silent_names.resolve(f"{number}.test", 443)) for number in range(500)
    ]
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        assert await names.resolve("localhost", 80)
        # What else goes by a thread: a connection to a database by name, for one.
        assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
