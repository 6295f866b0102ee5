"""Proves the release that runs: one segment that this run sealed is durable at the server.

That takes all that matters of a release: it measured, sealed, signed, found a way out,
and was understood. A release on trial that cannot, although a line is well for hours,
ends itself, which counts as a try. Source: docs/probe.md, "Package and updates".
"""

import asyncio
from collections.abc import Callable

import structlog

from linewatch_agent.releases.outbox import Outbox
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.sync.messages import StreamAck

log = structlog.get_logger()

LOOK_S = 60.0
UNPROVED_S = 7200.0
"""So long with a line that is well, a release on trial may go without an ack."""


class Proof:
    """Whether this run has been acknowledged."""

    def __init__(self, outbox: Outbox, version: str, *, on_trial: bool, installed: bool) -> None:
        """Prepare.

        Args:
            on_trial: root counts this release's starts.
            installed: the agent runs from a release of the probe's, not from a checkout:
                only then is there anybody to tell.
        """
        self._outbox = outbox
        self._version = version
        self._on_trial = on_trial
        self._sealed: dict[Stream, tuple[int, int]] = {}
        self._proved = not installed

    @property
    def on_trial(self) -> bool:
        """Whether root still counts the starts of this release."""
        return self._on_trial and not self._proved

    def sealed(self, stream: Stream, first: int, last: int) -> None:
        """Take note of a segment that this run sealed."""
        begin, _ = self._sealed.get(stream, (first, last))
        self._sealed[stream] = (begin, last)

    async def acked(self, stream: Stream, ack: StreamAck) -> None:
        """Take note of what is durable at the server; tell root once it is ours."""
        if self._proved or stream not in self._sealed or not self._holds_ours(stream, ack):
            return
        try:
            await asyncio.to_thread(self._outbox.prove, self._version)
        except OSError as error:
            # A full disk, say: the next ack proves as much.
            log.warning("proof_not_kept", reason=error.strerror)
            return
        self._proved = True
        log.info("release_proved", version=self._version)

    async def run(self, is_well: Callable[[], bool], end: Callable[[], None]) -> None:
        """End the agent if it is on trial and stays unproved though a line is well; for ever.

        Args:
            is_well: whether some line's verdict is ok.
            end: stops the agent in order.
        """
        well_s = 0.0
        while self.on_trial:
            await asyncio.sleep(LOOK_S)
            well_s += LOOK_S if is_well() else 0.0
            if well_s >= UNPROVED_S:
                log.warning("release_unproved", version=self._version, well_s=well_s)
                end()
                break
        await asyncio.Event().wait()

    def _holds_ours(self, stream: Stream, ack: StreamAck) -> bool:
        first, last = self._sealed[stream]
        last = min(last, ack.through)
        if first > last:
            return False
        return bool(SeqSet([(first, last)]).difference(SeqSet(ack.holes)))
