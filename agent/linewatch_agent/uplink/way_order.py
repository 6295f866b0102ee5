"""Which way to the server to try next; decided by what happened on each before.

Pure values; opens nothing. The way that worked last is first, unless another line has
just come back to life; ways whose sessions end without a word of the server come last.
Source: docs/wire-format.md, "Getting through".
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from linewatch_agent.mqtt.opening import MakeSocket
from linewatch_agent.plan.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a broker: an endpoint, over one line (None: the machine's own routing)."""

    endpoint: Endpoint
    line: str | None
    make_socket: MakeSocket


_Key: TypeAlias = tuple[Endpoint, str | None]


class WayOrder:
    """What is known of the ways since the agent started."""

    def __init__(self) -> None:
        self._worked: _Key | None = None
        self._mute: Counter[_Key] = Counter()
        self._lively: str | None = None

    def acked(self, way: Way) -> None:
        """The server itself answered over this way."""
        self._worked = _key(way)
        self._mute.clear()
        self._lively = None

    def mute(self, way: Way) -> None:
        """A broker took a session over this way, and of the server nothing was heard."""
        self._mute[_key(way)] += 1
        if self._worked == _key(way):
            self._worked = None

    def lively(self, line: str) -> None:
        """A line that was dark answers again."""
        self._lively = line

    def order(self, ways: Sequence[Way], *, addresses: Mapping[str, str]) -> list[Way]:
        """Return the ways to try, best first.

        Args:
            addresses: of hosts, where the server was met before: tried last, beside what
                DNS says, which may be a lie by now.
        """
        remembered = [
            replace(way, endpoint=replace(way.endpoint, address=addresses[way.endpoint.host]))
            for way in ways
            if way.endpoint.address is None and way.endpoint.host in addresses
        ]
        known = {_key(way) for way in ways}
        every = [*ways, *(way for way in remembered if _key(way) not in known)]
        return sorted(every, key=self._rank)

    def _rank(self, way: Way) -> tuple[int, bool, bool]:
        dull = self._lively is not None and way.line != self._lively
        return (self._mute[_key(way)], dull, _key(way) != self._worked)


def _key(way: Way) -> _Key:
    return (way.endpoint, way.line)
