"""What needs `cryptography`, done in a process of its own that then ends.

Loaded by the agent itself it would stay until the next restart, weeks later: 12 MB of a probe's
memory for a key that is used twice (probe_key.py).
"""

import asyncio
import os
import subprocess
import sys
from typing import Any

import msgspec

from linewatch_agent.identity.identity import EnrolmentError
from linewatch_core.ids import ProbeId

PATIENCE_S = 180.0
"""A Pi Zero loads the library for the first time, from a slow card."""


class _Request(msgspec.Struct, tag="request"):
    """Make a request for a certificate."""

    key_pem: bytes


class _Fits(msgspec.Struct, tag="fits"):
    """Say whether a certificate is of that probe and that key."""

    key_pem: bytes
    certificate_pem: str
    probe: ProbeId


async def request_pem(key_pem: bytes) -> str:
    """Return what `probe_key.request_pem` does.

    Raises:
        ValueError: not a P-256 key.
        EnrolmentError: no process can be had for it.
    """
    made: str | None = await asyncio.to_thread(_ask, _Request(key_pem))
    if made is None:
        raise ValueError("not an ECDSA key")
    return made


async def fits(certificate_pem: str, *, key_pem: bytes, probe: ProbeId) -> bool:
    """Return what `probe_key.fits` does; EnrolmentError as `request_pem`."""
    return bool(await asyncio.to_thread(_ask, _Fits(key_pem, certificate_pem, probe)))


def _ask(question: _Request | _Fits) -> Any:
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=msgspec.json.encode(question),
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
            # A release finds its libraries by a path that its start file has set.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr.decode("utf-8", "replace").strip() or "nothing").splitlines()[-1]
        raise EnrolmentError(f"cannot use this probe's key: Python said {said[:200]}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise EnrolmentError(f"cannot use this probe's key: {error}") from error
    return msgspec.json.decode(done.stdout)


def _answer() -> None:
    from linewatch_agent.identity import probe_key

    answer: object
    match msgspec.json.decode(sys.stdin.buffer.read(), type=_Request | _Fits):
        case _Request(key_pem):
            try:
                answer = probe_key.request_pem(key_pem)
            except ValueError:
                answer = None
        case _Fits(key_pem, certificate_pem, probe):
            answer = probe_key.fits(certificate_pem, key_pem=key_pem, probe=probe)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    _answer()
