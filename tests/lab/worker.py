"""A child process that answers questions in JSON, one line each, until its end.

The lab's relay, its sites and the probe's checks each run in one, inside a
namespace. A child dies with its parent, even when that is killed.
"""

import contextlib
import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Worker:
    """A running `python -m MODULE`, as its parent sees it."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        netns: str | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        """Start it in a namespace (None: in this process's own); it must say `ready` once it is.

        Raises:
            RuntimeError: it ended or said something else first.
        """
        settings = [f"{key}={value}" for key, value in (env or {}).items()]
        inside = [] if netns is None else ["ip", "netns", "exec", netns]
        command = [*inside, "env", *settings]
        self._name = module.rpartition(".")[2]
        self._process = subprocess.Popen(
            [*command, sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C is the lab's to hear; it ends its children
        )

    def await_ready(self, *, timeout_s: float = 60) -> None:
        """Wait until it said that it is ready."""
        if (said := self._line(timeout_s)) != "ready":
            raise RuntimeError(f"cannot start the lab's {self._name}: it said {said!r}")

    def ask(self, question: object, *, timeout_s: float = 60) -> Any:
        """Send a question and return the answer.

        Raises:
            RuntimeError: it could not answer; the reason is its own.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._line(timeout_s)
        answer = json.loads(line) if line else {"error": "it ended"}
        if "error" in answer:
            raise RuntimeError(f"cannot ask the lab's {self._name}: {answer['error']}")
        return answer["answer"]

    @property
    def pid(self) -> int:
        """Its process id (`ip netns exec` and `env` become it)."""
        return self._process.pid

    def stop(self) -> None:
        """End it and wait for that."""
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _line(self, timeout_s: float) -> str:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        if not readable:
            raise RuntimeError(f"cannot hear the lab's {self._name}: silent for {timeout_s:g} s")
        return self._process.stdout.readline().strip()


def reply(answer: object) -> None:
    """Answer the parent's question (in the child)."""
    print(json.dumps({"answer": answer}), flush=True)


def reply_error(error: Exception) -> None:
    """Say why there is no answer (in the child)."""
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
