"""What a line is to the rest of the agent: values only.

`lines/` finds them, `checks/` bind sockets to them, `app.py` joins the two.
"""

from dataclasses import dataclass, field

from linewatch_core.records import LineKind


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a line or with this machine, in words.

    Attributes:
        code: a short stable name, stored in records (`no_address`, `no_route`, ...).
        text: one sentence for people.
        remedy: the command that mends it, or None where no command can.
        fatal: the line can't be measured while this is so.
    """

    code: str
    text: str
    remedy: str | None = None
    fatal: bool = True


@dataclass(frozen=True, slots=True)
class Given:
    """What the network gave for a device, as NetworkManager or the modem tells.

    Attributes:
        nameservers: addresses, in order; empty: not told.
        mtu: the longest packet that the data session carries, in bytes; None: not told.
    """

    nameservers: tuple[str, ...] = ()
    mtu: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One way out of this probe, as found now.

    Attributes:
        id: the name in records, such as `fixed-1`; never the device's, which can
            hold a MAC address.
        device: the kernel's interface name; stays on the probe.
        families: 4 and/or 6: those with an address of the device's own.
        gateways: the next hop of the default route per family; a family whose
            route has no next hop (point to point) is absent.
        resolvers: the line's name servers, as addresses, in order.
        problems: what is wrong; a fatal one means unusable.
        operator: the configuration's name of its operator, if it gives one.
    """

    id: str
    kind: LineKind
    device: str
    families: tuple[int, ...] = ()
    gateways: dict[int, str] = field(default_factory=dict)
    resolvers: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    operator: str | None = None

    @property
    def usable(self) -> bool:
        """Whether nothing fatal is wrong with it."""
        return not any(problem.fatal for problem in self.problems)
