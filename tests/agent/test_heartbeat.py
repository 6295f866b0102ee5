"""The watchdog is fed by progress: a hang of the rounds or of the writer stops it."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from linewatch_agent import clock, heartbeat
from linewatch_agent.heartbeat import LOOK_S, Heartbeat, Signs
from linewatch_agent.notify import Notifier
from linewatch_agent.plan.settings import ScheduleConfig
from linewatch_agent.plan.vitals import LATE_S_MAX
from linewatch_agent.sampler import Sampler
from linewatch_agent.store.writer import WriterThread


class Told(Notifier):
    """A notifier that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__("/nowhere", watchdog_s=90)
        self.messages: list[str] = []
        self.told_alive = asyncio.Event()

    def _send(self, message: str) -> None:
        self.messages.append(message)
        if message == "WATCHDOG=1":
            self.told_alive.set()

    def fed(self) -> int:
        """Return how often the watchdog was fed."""
        return self.messages.count("WATCHDOG=1")


@dataclass
class Work:
    """An agent's work as the heartbeat sees it."""

    writer: WriterThread
    scheduler_late_s: float = 0.0
    commit_late_s: float = 0.0
    ended: list[bool] = field(default_factory=list)
    told: Told = field(default_factory=Told)

    def heartbeat(
        self,
        *,
        late: Callable[[], float] | None = None,
        memory_bytes_max: int = 10**12,
        look_s: float = LOOK_S,
    ) -> Heartbeat:
        signs = Signs(
            scheduler_late_s=late or (lambda: self.scheduler_late_s),
            commit_late_s=lambda: self.commit_late_s,
            ask_store=lambda: self.writer.run(lambda: None),
            words=lambda: "measures 2 lines",
        )
        return Heartbeat(
            self.told,
            signs,
            end=lambda: self.ended.append(True),
            memory_bytes_max=memory_bytes_max,
            look_s=look_s,
        )


@pytest.fixture
def work() -> "Work":
    """An agent that does its work, with a real thread of the store."""
    return Work(WriterThread())


async def test_an_agent_that_works_feeds_it_and_says_how_it_is(work: Work) -> None:
    """Each look feeds once and tells the status with the memory in it."""
    beat = work.heartbeat()
    await beat.look()
    await beat.look()
    assert work.told.fed() == 2
    assert work.told.messages[1].startswith("STATUS=measures 2 lines; ")
    assert work.told.messages[1].endswith(" MB of memory")
    work.writer.close()


async def test_ready_is_said_first(work: Work) -> None:
    """systemd starts the watchdog with READY, so nothing is fed before."""
    running = asyncio.create_task(work.heartbeat().run())
    await work.told.told_alive.wait()
    running.cancel()
    assert work.told.messages[:2] == ["READY=1", "WATCHDOG=1"]
    work.writer.close()


async def test_rounds_that_hang_stop_the_feeding(work: Work) -> None:
    """The next round is late by more than may be: not fed, and told; then fed again."""
    beat = work.heartbeat()
    work.scheduler_late_s = LATE_S_MAX + 10
    await beat.look()
    assert work.told.messages == [
        f"STATUS=the next round is 30 s late; {work.told.messages[0].rpartition('; ')[2]}"
    ]
    work.scheduler_late_s = 0.0
    await beat.look()
    assert work.told.fed() == 1
    work.writer.close()


async def test_a_real_sampler_that_hangs_is_late(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round whose step never comes back stops the feeding, though the event loop runs on."""
    now_ms = [1_000_000]
    monkeypatch.setattr(clock, "mono_ms", lambda: now_ms[0])
    hangs = asyncio.Event()

    async def never(_: int) -> None:
        hangs.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("linewatch_agent.sampler._sleep_until", never)
    sampler = Sampler(
        schedule=ScheduleConfig(),
        targets=[],
        on_sample=lambda _: None,
        on_missed=lambda _, __: None,
        is_busy=lambda _: False,
    )
    running = asyncio.create_task(sampler.run())
    await hangs.wait()
    beat = work.heartbeat(late=sampler.late_s)
    await beat.look()
    assert work.told.fed() == 1
    now_ms[0] += 90_000
    await beat.look()
    await beat.look()
    assert work.told.fed() == 1
    running.cancel()
    work.writer.close()


async def test_a_writer_that_hangs_stops_the_feeding(work: Work) -> None:
    """The store's thread is in a call that does not return: not fed, until it returns."""
    free = threading.Event()
    stuck = asyncio.create_task(work.writer.run(lambda: free.wait(60)))
    await asyncio.sleep(0)
    beat = work.heartbeat(look_s=0.05)
    await beat.look()
    await beat.look()
    assert work.told.fed() == 0
    assert "the store's thread does not answer" in work.told.messages[-1]
    free.set()
    assert await stuck
    beat.look_s = LOOK_S
    await beat.look()
    assert work.told.fed() == 1
    work.writer.close()


async def test_commits_that_do_not_come_stop_the_feeding(work: Work) -> None:
    """The thread answers, but nobody lets it commit: not fed."""
    work.commit_late_s = LATE_S_MAX + 1
    await work.heartbeat().look()
    assert work.told.fed() == 0
    work.writer.close()


async def test_memory_past_its_bound_ends_the_agent_once(work: Work) -> None:
    """The end is asked for once, with the reason for whoever starts it anew."""
    beat = work.heartbeat(memory_bytes_max=1_000_000)
    await beat.look()
    await beat.look()
    assert work.ended == [True]
    assert "its bound of 1 MB" in str(beat.too_much)
    work.writer.close()


def test_an_impatient_watchdog_is_fed_oftener(work: Work) -> None:
    """Five looks fit into the watchdog's time, however short it is."""
    work.told.watchdog_s = 4.0
    signs = Signs(lambda: 0, lambda: 0, lambda: work.writer.run(lambda: None), lambda: "")
    beat = Heartbeat(work.told, signs, end=lambda: None)
    assert beat.look_s == 0.8
    work.writer.close()


def test_what_is_resident_is_what_the_kernel_says() -> None:
    """The figure is that of /proc/self/status, to a page or some that came between."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [kilobytes] = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    assert abs(heartbeat.resident_bytes() - kilobytes * 1024) < 2_000_000
