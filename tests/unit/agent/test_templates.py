"""Templates choose among the addresses of a machine as go-sockaddr's do."""

from ipaddress import ip_interface

import pytest

from quorate.agent.templates import TemplateError, expand
from quorate.net.interfaces import InterfaceAddress, default_interface, own_addresses


def address(
    name: str, text: str, *, is_default: bool = False, flags: str = "up"
) -> InterfaceAddress:
    return InterfaceAddress(name, ip_interface(text), frozenset(flags.split()), is_default)


ADDRESSES = [
    address("lo", "127.0.0.1/8", flags="up loopback"),
    address("lo", "::1/128", flags="up loopback"),
    address("eth0", "10.1.2.3/24", is_default=True, flags="up broadcast multicast"),
    address("eth0", "fe80::1/64", is_default=True, flags="up broadcast multicast"),
    address("eth1", "192.168.7.8/16"),
    address("eth1", "192.168.7.9/16"),
    address("wan0", "8.8.4.4/28"),
    address("off0", "10.9.9.9/8", flags=""),
]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ('{{ GetInterfaceIP "eth0" }}', "10.1.2.3"),
        ('{{GetInterfaceIP "eth.*"}}', "192.168.7.8"),
        ("{{ GetInterfaceIP `eth1` }}", "192.168.7.8"),
        ('{{ GetInterfaceIPs "eth1" }}', "192.168.7.8 192.168.7.9"),
        ('{{ GetInterfaceIPs "eth0" }}', "10.1.2.3 fe80::1"),
        ('{{ GetInterfaceIPs "lo" }}', "127.0.0.1 ::1"),
        ('{{ GetInterfaceIP "lo" }}', "127.0.0.1"),
        ("{{ GetPrivateIP }}", "10.1.2.3"),
        ("{{- GetPrivateIP -}}", "10.1.2.3"),
        ("{{ GetPrivateIPs }}", "10.9.9.9 192.168.7.8 192.168.7.9 10.1.2.3"),
        ("{{ GetPublicIPs }}", "8.8.4.4"),
        ('{{ GetDefaultInterfaces | attr "network" }}', "10.1.2.0"),
        ("{{ GetPublicIP }}", "8.8.4.4"),
        ('{{ GetDefaultInterfaces | attr "address" }}', "10.1.2.3"),
        ('{{ GetDefaultInterfaces | exclude "type" "IPv4" | attr "address" }}', "fe80::1"),
        (
            '{{ GetPrivateInterfaces | include "network" "192.168.0.0/16" | attr "address" }}',
            "192.168.7.8",
        ),
        (
            (
                '{{ GetAllInterfaces | include "name" "^eth" | include "flags" "forwardable" '
                '| sort "name,-address" | join "address" " " }}'
            ),
            "10.1.2.3 192.168.7.9 192.168.7.8",
        ),
        ('{{ GetAllInterfaces | include "flags" "loopback" | limit 1 | attr "name" }}', "lo"),
        (
            '{{ GetAllInterfaces | include "rfc" "1918" | offset 1 | attr "address" }}',
            "192.168.7.8",
        ),
        ('{{ GetAllInterfaces | exclude "rfc" "6890" | attr "address" }}', "8.8.4.4"),
        ('{{ GetAllInterfaces | unique "name" | join "name" "," }}', "lo,eth0,eth1,wan0,off0"),
        ('{{ GetAllInterfaces | include "address" "9$" | attr "address" }}', "192.168.7.9"),
        ('{{ GetInterfaceIP "eth0" }}:8300', "10.1.2.3:8300"),
        ("{{ GetPrivateIP }} {{ GetPublicIP }}", "10.1.2.3 8.8.4.4"),
    ],
)
def test_a_template_gives_addresses(template: str, expected: str) -> None:
    assert expand(template, lambda: ADDRESSES) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ }}",
        "{{ GetNothing }}",
        "{{ GetPrivateIP 5 }}",
        "{{ GetInterfaceIP }}",
        '{{ GetInterfaceIP "none0" }}',
        '{{ GetInterfaceIP "(" }}',
        "{{ GetAllInterfaces }}",
        "{{ GetPrivateIP | limit 1 }}",
        '{{ GetAllInterfaces | limit "x" | attr "address" }}',
        '{{ GetAllInterfaces | include "network" "x" | attr "address" }}',
        '{{ GetAllInterfaces | include "flags" "wet" | attr "address" }}',
        '{{ GetAllInterfaces | include "rfc" "1" | attr "address" }}',
        '{{ GetAllInterfaces | include "colour" "red" | attr "address" }}',
        '{{ GetAllInterfaces | sort "colour" | attr "address" }}',
        '{{ GetAllInterfaces | attr "colour" }}',
        '{{ GetAllInterfaces | include "name" "none" | attr "address" }}',
        "{{ GetPrivateIP",
        "{{ GetPrivateIP | }}",
        "{{ GetPrivateIP ) }}",
    ],
)
def test_a_template_that_gives_nothing_is_refused(template: str) -> None:
    with pytest.raises(TemplateError, match=r"\w"):
        expand(template, lambda: ADDRESSES)


def test_this_machine_has_a_loopback() -> None:
    assert expand('{{ GetInterfaceIP "lo" }}', own_addresses) == "127.0.0.1"


def test_the_default_route_with_the_least_metric_counts() -> None:
    head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT"
    rows = [
        "eth0 00000000 0100A8C0 0003 0 0 100 00000000 0 0 0",
        "eth1 00000000 0100A8C0 0003 0 0 50 00000000 0 0 0",
        "eth2 0000A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0",
    ]
    assert default_interface("\n".join([head, *rows])) == "eth1"
    assert default_interface(head) == ""
    assert default_interface("") == ""
