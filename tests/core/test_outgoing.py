"""Which addresses may be called: every spelling of a forbidden one that anybody came up with, as a table."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naru.core.errors import BadRequest
from naru.core.outgoing import Network, refusal, target

FORBIDDEN = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "169.254.0.1",
    "169.254.170.2",
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.9",
    "198.18.0.1",
    "198.19.255.255",
    "192.88.99.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fc00::1",
    "fdff::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "::10.0.0.1",
    "::7f00:1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::1",
    "2001:0:808:808:0:0:80ff:fffe",
    "2001:db8::1",
    "2001:10::1",
    "2001:2::1",
    "3fff::1",
    "100::1",
    "5f00::1",
    "4000::1",
    "2600::5efe:10.0.0.1",
    "2600::200:5efe:127.0.0.1",
    "1::1",
    "not-an-address",
    "1.2.3",
    "1.2.3.4.5",
    "127.1",
    "0x7f.1",
]

ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "2600::5efe:8.8.8.8",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_forbidden(address: str) -> None:
    assert refusal(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed(address: str) -> None:
    assert refusal(address) is None


@given(st.ip_addresses(v=4))
def test_an_address_in_disguise_is_judged_as_itself(address: object) -> None:
    """Whatever is refused plainly is refused in each IPv6 form that reaches it."""
    number = int(ip_address(str(address)))
    forms = (
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        str(ip_address((0x2002 << 112) | (number << 80) | 1)),
        str(ip_address((0x2600 << 112) | (0x5EFE << 32) | number)),
    )
    for form in forms:
        assert (refusal(form) is None) == (refusal(str(address)) is None), form


NETWORKS: list[tuple[str, str, bool]] = [
    ("10.0.0.5", "10.0.0.0/24", True),
    ("10.0.1.5", "10.0.0.0/24", False),
    ("127.0.0.1", "127.0.0.1/32", True),
    ("::ffff:10.0.0.5", "10.0.0.0/24", True),
    ("::ffff:10.0.1.5", "10.0.0.0/24", False),
    ("::ffff:10.0.0.5", "::/0", False),  # both of a disguised address must be allowed
    ("fd00::1", "fd00::/8", True),
    ("fd00::1", "10.0.0.0/8", False),
    ("2002:a00:1::1", "10.0.0.0/8", True),
]


@pytest.mark.parametrize(("address", "network", "may"), NETWORKS)
def test_networks_of_the_operator(address: str, network: str, may: bool) -> None:
    networks: tuple[Network, ...] = (ip_network(network),)
    assert (refusal(address, networks) is None) == may


PORTS = ((80, 80), (443, 443), (8000, 8010))

GOOD_URLS = [
    ("http://hooks.example.com", "hooks.example.com", 80),
    ("HTTPS://Hooks.Example.com./a?b=c", "hooks.example.com", 443),
    ("https://hooks.example.com:8005/x", "hooks.example.com", 8005),
    ("https://[2606:4700::1111]/x", "2606:4700::1111", 443),
]
BAD_URLS = [
    "",
    "hooks.example.com",
    "//hooks.example.com",
    "ftp://hooks.example.com",
    "file:///etc/passwd",
    "gopher://hooks.example.com:80/x",
    "javascript:alert(1)",
    "http://",
    "http:///path",
    "http://user@hooks.example.com/",
    "http://user:secret@hooks.example.com/",
    "http://hooks.example.com:80@127.0.0.1/",
    "http://hooks.example.com:22/",
    "http://hooks.example.com:8443/",
    "http://hooks.example.com:99999/",
    "http://hooks.example.com:x/",
    "http://[::1/",
    "http://[fe80::1%25eth0]/",
    "http://hooks.example.com\\@127.0.0.1/",
    "http://hooks.example.com/\r\nHost: x",
    "http://hooks.example.com/ x",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://\u24d4xample.com/",
    "http://hooks%2eexample.com/",
    "http://" + "a" * 300 + "/",
    "http://hooks.example.com/" + "a" * 2048,
]


@pytest.mark.parametrize(("url", "host", "port"), GOOD_URLS)
def test_urls(url: str, host: str, port: int) -> None:
    found = target(url, PORTS)
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize("url", BAD_URLS)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(BadRequest):
        target(url, PORTS)


def test_what_may_be_logged_of_a_url_holds_no_path() -> None:
    assert target("https://hooks.example.com/services/T0/SECRET?token=SECRET#x", PORTS).origin == (
        "https://hooks.example.com:443"
    )
    assert target("https://[2606:4700::1111]/SECRET", PORTS).origin == "https://[2606:4700::1111]:443"
