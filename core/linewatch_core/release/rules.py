"""Whether a probe takes a release: the same rules for the agent who fetches and for root.

Pure. Root asks again, since what the agent says is not believed.
"""

from dataclasses import dataclass

from linewatch_core.release.manifest import Manifest
from linewatch_core.release.version import version_key


@dataclass(frozen=True, slots=True)
class Standing:
    """What a probe has, and what it is.

    Attributes:
        version: the release that runs.
        taken_s: when what it took last was signed, or the running release was built,
            whichever is later; seconds of UTC.
        failed: versions that were rolled back.
        machine: such as `aarch64-cp313`.
        python: such as (3, 13).
    """

    version: str
    taken_s: int
    failed: frozenset[str]
    machine: str
    python: tuple[int, int]


def refusal(manifest: Manifest, standing: Standing) -> str | None:
    """Return why a probe does not take a release, in words, or None if it does."""
    version = manifest.version
    if version == standing.version:
        return f"{version} runs already"
    if version_key(version) < version_key(standing.version):
        if not manifest.downgrade:
            return f"{version} is older than {standing.version}, and not signed as a downgrade"
        if manifest.created <= standing.taken_s:
            return f"the downgrade to {version} was signed before what runs: a replayed manifest"
    if version in standing.failed and manifest.created <= standing.taken_s:
        return f"{version} did not prove itself here and was rolled back; sign a newer one"
    return _unfit(manifest, standing)


def _unfit(manifest: Manifest, standing: Standing) -> str | None:
    """Return why a release does not run on this machine."""
    if version_key(manifest.python) > standing.python:
        return f"{manifest.version} needs Python {manifest.python}"
    if standing.machine not in manifest.archives:
        return f"{manifest.version} has no archive for {standing.machine}"
    return None
