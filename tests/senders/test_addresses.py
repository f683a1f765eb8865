"""Only public addresses are called, in whatever form the others come."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.senders.addresses import Address, NotAllowed, callable_addresses, why_refused

INNER = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200",
    "100.127.255.255", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255",
]  # fmt: skip
OUTER = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "168.63.129.15", "169.253.255.255", "169.255.0.0",
    "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
    "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
]  # fmt: skip
INNER_6 = [
    "::", "::1", "::2", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:0:808:808::f7f7:f7f7", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:808:808::1",
    "3fff::1", "3fff:fff::1", "4000::1", "5f00::1", "8000::1", "fc00::1", "fd00:ec2::254",
    "fdff::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
OUTER_6 = [
    "2001:200::1", "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450::1", "3ffe::1",
]  # fmt: skip


def _disguises(inner: IPv4Address) -> dict[str, IPv6Address]:
    number, teredo = int(inner), 0x20010000 << 96
    return {
        "mapped": IPv6Address((0xFFFF << 32) | number),
        "compatible": IPv6Address(number),
        "NAT64": IPv6Address(int(IPv6Address("64:ff9b::")) | number),
        "local NAT64": IPv6Address(int(IPv6Address("64:ff9b:1::")) | number),
        "6to4": IPv6Address((0x2002 << 112) | (number << 80)),
        "Teredo client": IPv6Address(teredo | (0x08080808 << 64) | (number ^ 0xFFFFFFFF)),
        "Teredo server": IPv6Address(teredo | (number << 64) | 0xF7F7F7F7),
    }


@pytest.mark.parametrize("address", INNER + INNER_6)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert why_refused(ip_address(address), allowed=())


@pytest.mark.parametrize("address", OUTER + OUTER_6)
def test_what_is_public_passes(address: str) -> None:
    assert why_refused(ip_address(address), allowed=()) is None


@pytest.mark.parametrize("kind", [*_disguises(IPv4Address(1))])
@pytest.mark.parametrize("address", INNER)
def test_a_disguise_helps_nobody_even_where_its_kind_is_allowed(address: str, kind: str) -> None:
    disguised = _disguises(IPv4Address(address))[kind]
    assert why_refused(disguised, allowed=())
    if kind == "mapped" or int(disguised) <= 1:
        return
    assert why_refused(disguised, allowed=[ip_network(f"{disguised}/32", strict=False)])


def test_a_public_address_behind_nat64_passes_where_nat64_is_allowed() -> None:
    nat64 = ip_network("64:ff9b::/96")
    assert why_refused(ip_address("64:ff9b::8.8.8.8"), allowed=[nat64]) is None


def test_what_the_operator_allows_passes_and_nothing_beside_it() -> None:
    allowed = [ip_network("127.0.0.0/8"), ip_network("fd00::/8"), ip_network("::1/128")]
    for address in ("127.0.0.1", "::ffff:127.9.9.9", "fd00::1", "::1"):
        assert why_refused(ip_address(address), allowed=allowed) is None
    for address in ("10.0.0.1", "::ffff:10.0.0.1", "fc00::1", "::2", "64:ff9b::127.0.0.1"):
        assert why_refused(ip_address(address), allowed=allowed)


@settings(max_examples=1_000)
@given(st.ip_addresses())
def test_pythons_own_lists_never_refuse_what_passes(address: Address) -> None:
    if why_refused(address, allowed=()) is None:
        plain = getattr(address, "ipv4_mapped", None) or address
        assert plain.is_global
        assert not plain.is_multicast
        assert not plain.is_reserved


async def test_one_inner_address_among_public_ones_spoils_the_host() -> None:
    async def mixed(host: str, port: int) -> list[Address]:
        return [ip_address("8.8.8.8"), ip_address("127.0.0.1")]

    found = await callable_addresses("receiver.test", 443, allowed=(), resolve=mixed)
    assert isinstance(found, NotAllowed)
    assert "127" not in found.why, "a tenant learns nothing of the inner network"
