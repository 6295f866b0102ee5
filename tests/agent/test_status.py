"""Asking a running agent: over a real socket, whatever the folder is called."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from linewatch_agent import status
from linewatch_agent.status import SOCKET_FILE, NotRunningError, StatusServer, ask

ANSWER = {"running": True, "lines": ["fixed-1"]}


@asynccontextmanager
async def serving(folder: Path, answer: dict[str, Any] | None = None) -> AsyncIterator[None]:
    """Serve a status until the end."""
    server = StatusServer(folder, lambda: answer or ANSWER)
    task = asyncio.create_task(server.run())
    try:
        async with asyncio.timeout(120):
            while not (folder / SOCKET_FILE).exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield
    finally:
        task.cancel()
        async with asyncio.timeout(120):
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_every_question_is_answered(tmp_path: Path) -> None:
    """One after the other and at once."""
    async with serving(tmp_path):
        asked = [asyncio.to_thread(ask, tmp_path) for _ in range(5)]
        assert await asyncio.gather(*asked) == [ANSWER] * 5
        assert os.stat(tmp_path / SOCKET_FILE).st_mode & 0o777 == 0o600


async def test_a_folder_with_a_long_name_will_do(tmp_path: Path) -> None:
    """Paths of sockets end at 107 bytes; the folder's name may be longer."""
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    async with serving(folder):
        assert await asyncio.to_thread(ask, folder) == ANSWER


async def test_a_socket_that_a_killed_agent_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """Asked, it says that nobody runs; a new agent takes its place."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET_FILE))
    with pytest.raises(NotRunningError, match="linewatch-agent run"):
        ask(tmp_path)
    (tmp_path / "gone").symlink_to(tmp_path)
    async with serving(tmp_path):
        await asyncio.sleep(0.05)
        assert await asyncio.to_thread(ask, tmp_path) == ANSWER


@pytest.mark.parametrize("folder", ["missing", "file", "."])
def test_where_nobody_runs_it_says_what_to_do(tmp_path: Path, folder: str) -> None:
    """No such folder, a file in its place, a folder without an agent."""
    (tmp_path / "file").touch()
    with pytest.raises(NotRunningError) as caught:
        ask(tmp_path / folder)
    assert "--state" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_answer_that_is_none_is_an_error(tmp_path: Path) -> None:
    """Whatever else listens there, or an agent that dies while it answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / SOCKET_FILE))
        sock.listen()

        def reply() -> None:
            connection, _ = sock.accept()
            with connection:
                connection.sendall(b'{"running": tr')

        import threading

        thread = threading.Thread(target=reply)
        thread.start()
        with pytest.raises(NotRunningError):
            ask(tmp_path)
        thread.join()


async def test_whoever_does_not_read_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the socket takes, to somebody who sleeps: others are served, and the end comes."""
    monkeypatch.setattr(status, "ANSWER_S", 0.2)
    big = {"samples": ["x" * 1000] * 2000}
    async with serving(tmp_path, big):
        with socket.socket(socket.AF_UNIX) as sleeper:
            sleeper.connect(str(tmp_path / SOCKET_FILE))
            await asyncio.sleep(0.05)
            monkeypatch.setattr(status, "ANSWER_S", 5.0)
            assert await asyncio.to_thread(ask, tmp_path) == big
    assert json.dumps(big)


async def test_a_socket_that_cannot_be_made_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: the agent measures on, and answers once there is room."""
    monkeypatch.setattr(status, "RETRY_S", 0.02)
    blocker = tmp_path / SOCKET_FILE
    blocker.mkdir()
    task = asyncio.create_task(StatusServer(tmp_path, lambda: ANSWER).run())
    await asyncio.sleep(0.1)
    assert not task.done()
    blocker.rmdir()
    async with asyncio.timeout(120):
        while not blocker.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(ask, tmp_path) == ANSWER
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
