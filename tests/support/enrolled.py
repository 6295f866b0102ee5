"""A machine that is a probe already, its server out of reach; and waiting for its agent."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from linewatch_agent.identity.enrol import prepare_from
from linewatch_server.fleet import enrolment
from tests.support.broker import init_server, utc_now


def enrolled_state(folder: Path) -> Path:
    """Make a server and a probe of it in a folder; return the probe's state folder."""
    layout = init_server(folder / "server")
    token = folder / "token.toml"
    token.write_text(enrolment.enrol(layout.directory, label="x", now=utc_now()))
    prepare_from(token, folder / "state")
    return folder / "state"


def until(true: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    """Wait for what must come true while the process runs."""
    deadline = time.monotonic() + 120
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
