"""The release on trial: how often its agent was started before it was proved.

Standard library only. The record is root's; a damaged one counts as none.
"""

import json
from dataclasses import asdict, dataclass, replace

from linewatch_agent.durable import sync_folder, write_whole
from linewatch_agent.releases.places import Places
from linewatch_core.release.version import is_version

TRIAL_FILE = "trial.json"
TRIES_MAX = 3
READABLE = 0o644
_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Trial:
    """A release that has not been proved yet.

    Attributes:
        version: the release on trial.
        previous: the one to go back to.
        created_s: when its manifest was signed, in seconds of UTC.
        tries: starts of the agent so far.
    """

    version: str
    previous: str
    created_s: int
    tries: int = 0

    def again(self) -> "Trial":
        """Return the trial after one more start."""
        return replace(self, tries=self.tries + 1)

    @property
    def failed(self) -> bool:
        """Whether all tries are used up."""
        return self.tries >= TRIES_MAX


def read_trial(places: Places) -> Trial | None:
    """Return the trial that is going on, if any."""
    try:
        with (places.state / TRIAL_FILE).open("rb") as file:
            said = json.loads(file.read(_BYTES_MAX))
        trial = Trial(
            str(said["version"]), str(said["previous"]), int(said["created_s"]), int(said["tries"])
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return trial if is_version(trial.version) and is_version(trial.previous) else None


def write_trial(places: Places, trial: Trial | None) -> None:
    """Keep a trial durably; None ends it.

    Raises:
        OSError: it can't be written.
    """
    places.state.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = places.state / TRIAL_FILE
    if trial is None:
        path.unlink(missing_ok=True)
        sync_folder(places.state)
    else:
        write_whole(path, json.dumps(asdict(trial)).encode(), mode=READABLE)
