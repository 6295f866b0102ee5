"""What the network gave for a modem's data session: name servers and the longest packet.

Pure. Addresses of the line itself stand in the same dictionary and are not looked at.
Source: Bearer.Ip4Config of ModemManager's D-Bus interface; RFC 791.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from linewatch_agent.modems.values import BearerValues
from linewatch_agent.plan.line import Given

_MTU_MIN, _MTU_MAX = 576, 65_535
"""Every host must take 576 bytes: a smaller value is a modem's slip."""


def given_by(bearers: tuple[BearerValues, ...] | None) -> Given:
    """Return what came with the session that is up; nothing where none is."""
    ip4: Mapping[str, Any] = next((each.ip4 for each in bearers or () if each.connected), {})
    servers = (ip4.get(f"dns{number}") for number in (1, 2, 3))
    mtu = ip4.get("mtu")
    return Given(
        nameservers=tuple(each for each in servers if isinstance(each, str) and _is_address(each)),
        mtu=mtu if isinstance(mtu, int) and _MTU_MIN <= mtu <= _MTU_MAX else None,
    )


def _is_address(text: str) -> bool:
    try:
        return not ip_address(text).is_unspecified
    except ValueError:
        return False
