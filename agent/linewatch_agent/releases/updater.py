"""Looks for a newer release now and then, and fetches it for root, piece by piece.

Between two pieces it asks again whether it may: an outage that begins stops it, and it
goes on where it was, days later if need be. All bytes count towards the line's month.
"""

import asyncio
import hashlib
import random
import shutil
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from yarl import URL

from linewatch_agent.checks.tls import shared_context
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.settings import UpdateConfig
from linewatch_agent.plan.updates import Situation, not_now, ways
from linewatch_agent.releases.fetch import Connect, FetchError, fetch_part
from linewatch_agent.releases.memory import read_memory
from linewatch_agent.releases.outbox import Outbox
from linewatch_agent.releases.places import Places
from linewatch_core.errors import LinewatchError
from linewatch_core.release.manifest import (
    MANIFEST_BYTES_MAX,
    Archive,
    Manifest,
    open_manifest,
)
from linewatch_core.release.rules import Standing, refusal

log = structlog.get_logger()

PART_BYTES = 128 * 1024
OVERHEAD = 1.1
"""What headers, handshakes and repeats add to a file's bytes."""
FIRST_LOOK_S = 900.0
"""After the start: verdicts and the uplink need a while."""
RETRY_S = 900.0
ROOM_SHARE = 3
ROOM_LEFT_BYTES = 128 * 1024 * 1024
"""What a release may not take from the store, and more than root asks for."""
BAD_MAX = 2
"""So often an archive with a wrong hash is fetched anew, until another is signed."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the updater has of the agent.

    Attributes:
        situation: says how the probe is now.
        standing: says what this machine has, and is.
        connect: gives what connects over a line.
        affords: whether so many bytes more fit a line's month.
        spend: counts bytes that a line spent.
        tls: gives the context of HTTPS.
    """

    situation: Callable[[], Situation]
    standing: Callable[[], Standing]
    connect: Callable[[Line], Connect]
    affords: Callable[[Line, int], bool]
    spend: Callable[[str, int], None]
    tls: Callable[[], ssl.SSLContext] = shared_context


class NotNowError(LinewatchError):
    """It can go on later."""


class Updater:
    """The agent's part of an update."""

    def __init__(
        self, config: UpdateConfig, folder: Path, means: Means, *, places: Places | None = None
    ) -> None:
        """Prepare; `folder` is the state's folder that root looks into."""
        self._config = config
        self._outbox = Outbox(folder)
        self._folder = folder
        self._means = means
        self._places = places or Places()
        self._bad: dict[str, int] = {}

    async def run(self) -> None:
        """Look for releases, for ever."""
        wait_s = FIRST_LOOK_S
        while True:
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))
            wait_s = self._config.check_s
            try:
                await self.look()
            except NotNowError as error:
                wait_s = min(RETRY_S, wait_s)
                log.info("update_waits", reason=str(error))
            except (LinewatchError, OSError) as error:
                log.warning("update_failed", reason=str(error))

    async def look(self) -> bool:
        """Look once, and fetch what is new; return whether root has a release to put in place.

        Raises:
            NotNowError: it has to wait.
            LinewatchError: the release can't be had or is not for this probe.
        """
        if await asyncio.to_thread(self._outbox.remind):
            return True
        url = URL(self._config.url)
        data = await self._part(url, 0, MANIFEST_BYTES_MAX)
        manifest = open_manifest(data, self._config.key)
        reason = refusal(manifest, self._means.standing()) or self._refused(data)
        if reason is not None:
            log.info("release_not_taken", reason=reason)
            return False
        archive = manifest.archives[self._means.standing().machine]
        return await self._fetch(url.join(URL(archive.url)), data, manifest, archive)

    def _refused(self, data: bytes) -> str | None:
        """Return why this manifest is not fetched again."""
        digest = hashlib.sha256(data).hexdigest()
        memory = read_memory(self._places)
        if memory.refused == digest:
            return memory.reason
        if self._bad.get(digest, 0) >= BAD_MAX:
            return "what lies at its address is not the archive that was signed"
        return None

    async def _fetch(self, url: URL, data: bytes, manifest: Manifest, archive: Archive) -> bool:
        if not self._has_room(archive):
            raise NotNowError("the disk has no room for it")
        have = await asyncio.to_thread(self._outbox.begin, data)
        log.info("update_begins", version=manifest.version, bytes=archive.bytes, have_bytes=have)
        while have < archive.bytes:
            part = await self._part(url, have, min(PART_BYTES, archive.bytes - have))
            if not part:
                break
            have = await asyncio.to_thread(self._outbox.add, have, part)
        handed = await asyncio.to_thread(self._outbox.hand_over, archive, manifest.version)
        if not handed:
            digest = hashlib.sha256(data).hexdigest()
            self._bad[digest] = self._bad.get(digest, 0) + 1
            raise FetchError(f"what lies at {url} is not the archive that was signed")
        log.info("update_fetched", version=manifest.version)
        return True

    def _has_room(self, archive: Archive) -> bool:
        """Return whether a release fits beside the evidence, packed and unpacked."""
        free = shutil.disk_usage(self._folder.parent).free
        return free >= archive.bytes + ROOM_SHARE * archive.unpacked_bytes + ROOM_LEFT_BYTES

    async def _part(self, url: URL, start: int, bytes_max: int) -> bytes:
        """Fetch a part over the best line that may; try the next one where that fails."""
        situation = self._means.situation()
        reason = not_now(situation)
        if reason is not None:
            raise NotNowError(reason)
        well = ways(situation, self._config)
        if not well:
            raise NotNowError("no line that may carry it is well")
        lines = [line for line in well if self._means.affords(line, int(bytes_max * OVERHEAD))]
        failed: FetchError | None = None
        for line in lines:
            try:
                return await fetch_part(
                    url,
                    self._means.connect(line),
                    start=start,
                    bytes_max=bytes_max,
                    tls=self._means.tls,
                    on_bytes=partial(self._means.spend, line.id),
                )
            except FetchError as error:
                failed = error
        raise failed or NotNowError("no line has the data left in its month")
