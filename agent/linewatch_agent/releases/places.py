"""Where releases lie on a probe. Standard library only."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The folders and files of the root part; `root` is `/` but in tests and images."""

    root: Path = Path("/")

    @property
    def opt(self) -> Path:
        """Everything that is run."""
        return self.root / "opt/linewatch"

    @property
    def releases(self) -> Path:
        """One folder for each release, named by its version."""
        return self.opt / "releases"

    @property
    def current(self) -> Path:
        """The link to the release that runs."""
        return self.opt / "current"

    @property
    def package(self) -> Path:
        """The release that came with the Debian package; dpkg's files, never run by the agent."""
        return self.opt / "package"

    @property
    def state(self) -> Path:
        """What root remembers: root's alone."""
        return self.root / "var/lib/linewatch-release"

    @property
    def inbox(self) -> Path:
        """Where the agent, who is not root, puts what it fetched: nothing in it is trusted."""
        return self.root / "var/lib/linewatch" / INBOX

    @property
    def key(self) -> Path:
        """The public key that releases must be signed with, in hexadecimal."""
        return self.root / "etc/linewatch/release.pub"


INBOX = "update"
"""The folder of the agent's state that root looks into."""
MANIFEST_FILE = "manifest"
ARCHIVE_FILE = "archive"
READY_FILE = "ready"
"""Written last, with the version: the two files above are whole."""
PROVED_FILE = "proved"
"""The version of the agent that had a segment of its own acknowledged."""
