"""The NetworkManager profile of a SIM card, as the text of its keyfile.

Pure. Source: nm-settings-keyfile(5); why each key: firmware-config/networkmanager.
"""

import uuid
from collections.abc import Sequence

from linewatch_agent.plan.card import Sim

PREFIX = "linewatch-sim-"
SUFFIX = ".nmconnection"


def profiles(sims: Sequence[Sim]) -> dict[str, str]:
    """Return the files for some SIM cards: name to content.

    The same SIM cards give the same bytes. A profile for one operator goes before one
    for every SIM, and both before `linewatch-mobile`, which comes with the card.
    """
    return {f"{PREFIX}{n}{SUFFIX}": _profile(sim, n) for n, sim in enumerate(sims, start=1)}


def _profile(sim: Sim, number: int) -> str:
    name = f"{PREFIX}{number}"
    sections: dict[str, dict[str, str | None]] = {
        "connection": {
            "id": name,
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
            "type": "gsm",
            # For ever: a network that is cut for days comes back some time.
            "autoconnect-retries": "0",
            "autoconnect-priority": "10" if sim.operator is None else "20",
            # Two modems may both use it.
            "multi-connect": "3",
        },
        "gsm": {
            "apn": sim.apn,
            "auto-config": "true" if sim.apn is None else None,
            # Roaming is another country's network, and dear.
            "home-only": "true",
            "username": _escaped(sim.user),
            "password": _escaped(sim.password),
            "pin": sim.pin,
            "sim-operator-id": sim.operator,
        },
        "ipv4": {"dhcp-send-hostname": "0", "method": "auto"},
        "ipv6": {
            "addr-gen-mode": "stable-privacy",
            "dhcp-send-hostname": "0",
            "method": "auto",
        },
    }
    return "\n".join(_section(title, keys) for title, keys in sections.items())


def _section(title: str, keys: dict[str, str | None]) -> str:
    lines = [f"{key}={value}" for key, value in keys.items() if value is not None]
    return "\n".join([f"[{title}]", *lines, ""])


def _escaped(value: str | None) -> str | None:
    """Return a value as a keyfile writes it: leading blanks would be dropped."""
    if value is None:
        return None
    text = value.replace("\\", "\\\\")
    bare = text.lstrip(" ")
    return "\\s" * (len(text) - len(bare)) + bare
