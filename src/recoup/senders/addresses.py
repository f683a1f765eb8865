"""Which network addresses may a tenant make us call? Public ones, and what the operator allows.

Asked before every call to a URL that a tenant has chosen, by `senders/webhooks`.

What surprises:
- Addresses are judged, never names: `127.1`, `2130706433` and `0x7f.1` are the loopback, and a
  name can change its address between a check and a call. So the address that was judged is the
  one to connect to.
- Python's `is_global` says yes to the loopback in disguise (NAT64, 6to4, IPv4-compatible) and to
  multicast, so the lists here are our own. Sources: the special-purpose registries of IANA
  (RFC 6890), and Svix's list.
"""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

import msgspec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

# The narrower first: the first that holds the address gives the reason.
REFUSED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this machine"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "a provider's inner network"),
        ("127.0.0.0/8", "this machine"),
        ("168.63.129.16/32", "a cloud's metadata service"),  # Azure's, in public space
        ("169.254.0.0/16", "the local link, with clouds' metadata services"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "reserved for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "reserved for measurements"),
        ("198.51.100.0/24", "reserved for documentation"),
        ("203.0.113.0/24", "reserved for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved or broadcast"),
        ("::/128", "this machine"),
        ("::1/128", "this machine"),
        ("::/96", "an IPv4 address in disguise"),
        ("64:ff9b::/96", "an IPv4 address behind NAT64"),
        ("64:ff9b:1::/48", "an IPv4 address behind NAT64"),
        ("100::/64", "a black hole"),
        ("2001::/32", "an IPv4 address behind Teredo"),
        ("2001::/23", "reserved for protocols"),
        ("2001:db8::/32", "reserved for documentation"),
        ("2002::/16", "an IPv4 address behind 6to4"),
        ("3fff::/20", "reserved for documentation"),
        ("5f00::/16", "reserved for segment routing"),
        ("fc00::/7", "a private network"),
        ("fe80::/10", "the local link"),
        ("fec0::/10", "a private network"),
        ("ff00::/8", "multicast"),
    )
)
PUBLIC_IPV6: Final = ip_network("2000::/3")  # all that has been given out; the rest is reserved
CARRY_IPV4_LAST: Final = tuple(
    map(IPv6Network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48"))
)  # in their last four bytes
NO_IPV4: Final = (IPv6Address("::"), IPv6Address("::1"))


class NotAllowed(msgspec.Struct, frozen=True):
    """The host has no address that may be called; `why` is a sentence for whoever set the URL.

    It holds no address: those of the operator's own network are none of a tenant's business.
    """

    why: str


def why_refused(address: Address, *, allowed: Sequence[Network]) -> str | None:
    """Say why this address may not be called, or `None` where it may.

    An address that carries an IPv4 address must pass as itself and as what it carries: whoever
    allows NAT64's network has not allowed the loopback behind it.

    :param allowed: networks that the operator has opened, which outrank every refusal.
    """
    for form in _forms(address):
        if any(form in network for network in allowed):
            continue
        for network, why in REFUSED:
            if form in network:
                return why
        if form.version == 6 and form not in PUBLIC_IPV6:
            return "reserved"
    return None


async def callable_addresses(
    host: str, port: int, *, allowed: Sequence[Network], resolve: Resolve
) -> Sequence[Address] | NotAllowed:
    """Resolve a host once, and give its addresses if every one of them may be called.

    One that may not spoils all: no honest name points to us and to the world at once.
    """
    try:
        addresses = await resolve(host, port)
    except OSError:
        return NotAllowed("the host's name has no address")
    if not addresses:
        return NotAllowed("the host's name has no address")
    for address in addresses:
        if why := why_refused(address, allowed=allowed):
            return NotAllowed(f"the host's address is not public: {why}")
    return addresses


def _forms(address: Address) -> tuple[Address, ...]:
    """Give the address and the IPv4 addresses inside it that a packet may end at."""
    if isinstance(address, IPv4Address) or address in NO_IPV4:
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)  # only another way to write it: the same packets
    if address.sixtofour is not None:
        return (address, address.sixtofour)
    if address.teredo is not None:
        return (address, *address.teredo)  # its server, and the client behind it
    if any(address in network for network in CARRY_IPV4_LAST):
        return (address, IPv4Address(address.packed[-4:]))
    return (address,)
