"""Which network addresses a list from the web may reach: the public internet, and what the run allows."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is reached
GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out; the rest is for other purposes


def parse_networks(networks: Iterable[str]) -> list[Network]:
    """The networks of `data.download.allow_networks`, whose spelling the configuration has checked."""
    return [ip_network(text) for text in networks]


def may_reach(address: str, allowed: Iterable[Network]) -> bool:
    """Whether an address is public or allowed; so must be every IPv4 address that it stands for."""
    allowed = list(allowed)
    return all(
        is_public(one) or any(one in network for network in allowed)
        for one in meant_addresses(ip_address(address))
    )


def meant_addresses(address: Address) -> list[Address]:
    """The IPv4 addresses behind an IPv6 address that is translated or tunnelled; else the address itself."""
    if isinstance(address, IPv4Address):
        return [address]
    if address in NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    if address.teredo is not None:
        return list(address.teredo)
    meant = address.ipv4_mapped or address.sixtofour
    return [meant] if meant is not None else [address]


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet: not private, loopback, multicast ..."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)
