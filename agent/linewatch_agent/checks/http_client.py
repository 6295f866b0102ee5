"""One HTTP/1.1 request over a connection that we opened ourselves; h11 speaks HTTP.

h11 has no I/O of its own, so each step keeps its own time and its own failure, and
it costs a tenth of the memory of a whole client. The request names no software of
ours, keeps no cookie and follows nothing. Source: RFC 9110, RFC 9112.
"""

from collections.abc import Mapping

import h11
from yarl import URL

from linewatch_agent.checks.link import Link

HEADERS = {
    "User-Agent": "Mozilla/5.0",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}
"""Says nothing of the probe; `identity` keeps a page's hash the same everywhere."""


class Exchange:
    """One request and its answer.

    Reading raises EOFError if the peer ended too early, h11.RemoteProtocolError for an
    answer that is no HTTP, and OSError for what the connection broke with.
    """

    def __init__(self, link: Link) -> None:
        """Speak over `link`."""
        self._link = link
        self._http = h11.Connection(h11.CLIENT)
        self._ended = False
        self.first_byte_ns: int | None = None

    async def get(self, url: URL, *, headers: Mapping[str, str], bytes_max: int) -> h11.Response:
        """Send the request and return the answer's head.

        Args:
            headers: sent besides the usual ones.
            bytes_max: more is not taken from the kernel unread.
        """
        fields = {"Host": url.host_port_subcomponent or "", **HEADERS, **headers}
        request = h11.Request(method="GET", target=url.raw_path_qs, headers=list(fields.items()))
        wire = self._http.send(request) + self._http.send(h11.EndOfMessage())
        await self._link.send(wire, unread_bytes_max=bytes_max)
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event

    async def part(self) -> bytes:
        """Return the next part of the body; empty at its end."""
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _event(self) -> h11.Event:
        """Return what comes next of the answer."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if self._ended:
                    raise EOFError("the peer ended before its answer did") from error
                raise
            if event is h11.NEED_DATA:
                await self._more()
            elif isinstance(event, h11.Event):
                return event
            else:
                raise EOFError("the peer says no more")

    async def _more(self) -> None:
        """Wait for more bytes, or for the end."""
        data = await self._link.read()
        if self.first_byte_ns is None and data:
            self.first_byte_ns = self._link.arrived_ns
        self._ended = not data
        self._http.receive_data(data)
