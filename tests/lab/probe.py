"""The probe's checks, as a child inside its namespace: finds lines, runs LineChecks.

A question is a list of [line, target as JSON, check, seconds or nothing]; the
answer has an outcome for each, in order. The lines are found afresh each time by
the agent's own code, so that a line without an address is one. `"lines"` asks for
them and their problems' codes; `{"ntp": ADDRESS, "line": ID}` asks a time server,
since the agent leaves that to the system.
"""

import asyncio
import json
import socket
import struct
import sys
import time
from typing import Any

import msgspec

from linewatch_agent.checks import LineChecks
from linewatch_agent.line_socket import line_socket
from linewatch_agent.lines import LineIds, find_lines
from linewatch_agent.plan.config import load_config
from linewatch_agent.plan.line import Line
from linewatch_core.records import Check
from linewatch_core.targets import Target
from tests.lab.plan import load_country
from tests.lab.replies import NTP_EPOCH_S
from tests.lab.tun import die_with_parent
from tests.lab.worker import reply, reply_error

TIMEOUT_S = 1.5
"""Longer than any answer here takes (the slowest line: 120 ms there and back)."""


def lines_now() -> dict[str, Line]:
    """Return the probe's lines as the agent finds them."""
    config = load_config(load_country().agent_lines(), name="lab")
    return {line.id: line for line in find_lines(config, LineIds())}


class LineChecksKept:
    """The checks of each line, kept while the line stays as it is, as the agent keeps them.

    They remember what a name led to, so that a dead resolver is not taken for dead hosts.
    """

    def __init__(self) -> None:
        self._made: dict[str, tuple[Line, LineChecks]] = {}

    async def run(self, asked: list[list[Any]]) -> list[dict[str, Any]]:
        """Run all checks at once and return their outcomes in order."""
        for name, line in lines_now().items():
            if name not in self._made or self._made[name][0] != line:
                if name in self._made:
                    await self._made[name][1].close()
                self._made[name] = (line, LineChecks(line))
        return await asyncio.gather(*(self._one(*each) for each in asked))

    async def _one(
        self, line: str, target: dict[str, Any], check: str, timeout_s: float = TIMEOUT_S
    ) -> dict[str, Any]:
        parsed = msgspec.convert(target, Target)
        checks = self._made[line][1]
        outcome = await checks.run(Check(check), parsed, 4, timeout_s=timeout_s)
        answer: dict[str, Any] = msgspec.to_builtins(outcome)
        return answer


def ask_time(line: str, address: str) -> float | None:
    """Return how far a time server's clock is from ours in seconds; None if it is silent."""
    device = lines_now()[line].device
    with line_socket(device, socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        try:
            sock.sendto(b"\x23" + bytes(47), (address, 123))
            stamp = struct.unpack_from("!Q", sock.recv(512), 40)[0]
        except OSError:
            return None
    return float(stamp / 2**32 - NTP_EPOCH_S - time.time())


def main() -> None:
    """Answer questions until standard input ends."""
    die_with_parent()
    print("ready", flush=True)
    kept = LineChecksKept()
    with asyncio.Runner() as runner:
        for text in sys.stdin:
            try:
                asked = json.loads(text)
                if asked == "lines":
                    found = lines_now().items()
                    reply({name: [each.code for each in line.problems] for name, line in found})
                elif isinstance(asked, dict):
                    reply(ask_time(asked["line"], asked["ntp"]))
                else:
                    reply(runner.run(kept.run(asked)))
            except Exception as error:
                reply_error(error)


if __name__ == "__main__":
    main()
