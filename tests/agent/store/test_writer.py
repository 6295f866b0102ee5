"""The writer thread: in order, one at a time, and not cut short by its callers."""

import asyncio
import threading

import pytest

from linewatch_agent.store.writer import WriterThread


async def test_calls_run_in_order_on_one_thread() -> None:
    """However many wait, they run as they came, all on the same thread."""
    writer = WriterThread()
    ran: list[tuple[int, int]] = []
    await asyncio.gather(
        *(writer.run(lambda n=n: ran.append((n, threading.get_ident()))) for n in range(50))  # type: ignore[misc]
    )
    assert [number for number, _ in ran] == list(range(50))
    assert {thread for _, thread in ran} != {threading.get_ident()}
    assert len({thread for _, thread in ran}) == 1
    writer.close()


async def test_a_result_or_an_error_comes_back() -> None:
    """The caller gets what the function returned or raised."""
    writer = WriterThread()
    assert await writer.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await writer.run(lambda: 1 // 0)
    writer.close()


async def test_a_commit_that_has_begun_ends() -> None:
    """A cancelled caller goes; the work is done before the next call."""
    writer = WriterThread()
    began, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        began.set()
        go_on.wait(120)
        done.append("first")

    caller = asyncio.create_task(writer.run(work))
    await asyncio.to_thread(began.wait, 120)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    after = asyncio.create_task(writer.run(lambda: done.append("second")))
    go_on.set()
    await after
    assert done == ["first", "second"]
    writer.close()
