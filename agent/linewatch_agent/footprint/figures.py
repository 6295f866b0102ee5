"""From two readings to figures beside their bars. Pure.

A figure that could not be read, or that such a time can't tell, says why, and counts
neither as met nor as missed. The bars are those of the project's requirements for a
Raspberry Pi Zero 2 W and its card.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from linewatch_agent.footprint.kernel import Process

DAY_S, HOUR_S = 86_400, 3_600

RESIDENT_MB = 48.0
START_CPU_S = 5.0
DAY_WRITES_MB = 40.0
MONTH_DATA_MB = 150.0

SHORT_S = 1_800
"""Below that, what is done every ten minutes weighs too much or too little."""
YOUNG = (
    "not to be judged: since the agent's start the store's log (WAL) still grew, which writes "
    "twice as much; it has its size an hour after the start"
)


@dataclass(frozen=True, slots=True)
class LineBytes:
    """What one line has carried so far, both ways.

    Attributes:
        own: by the agent's count, since its start.
        device: by the kernel's, all programs; None: not read.
        month: by the agent's count, in this month.
        left_s: how much of the month is left.
    """

    own: int
    device: int | None
    month: int
    left_s: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the kernel and the agent say at one moment; None: could not be read.

    Attributes:
        at_s: CLOCK_BOOTTIME.
        cpu_s: CPU that the agent has used since its start.
        peak_bytes: the most that was resident since its start.
        disk_bytes: written to the block device under the store, by all programs.
        wal_bytes: the size of the store's write-ahead log, which a start begins anew.
        lines: by line id.
        samples: measured since the agent's start.
    """

    at_s: float
    cpu_s: float
    peak_bytes: int
    disk_bytes: int | None
    wal_bytes: int
    lines: Mapping[str, LineBytes]
    samples: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement: two readings, and what was resident in between.

    Attributes:
        held: what the process was, at even distances.
        start_cpu_s: CPU until the agent measured; None: the agent does not tell.
        disk: what the block device is called, or why there is none.
    """

    before: Reading
    after: Reading
    held: Sequence[Process]
    start_cpu_s: float | None
    disk: str

    @property
    def seconds(self) -> float:
        """How long it was measured."""
        return self.after.at_s - self.before.at_s


@dataclass(frozen=True, slots=True)
class Figure:
    """One row; `value` None: not read, and `remark` says why. `bar` is the most allowed.

    Attributes:
        sure: whether the value can be held against the bar; if not, `remark` says why.
    """

    name: str
    value: float | None
    unit: str
    bar: float | None = None
    remark: str = field(default="")
    sure: bool = True

    @property
    def missed(self) -> bool:
        """Whether the bar is exceeded."""
        if self.value is None or self.bar is None or not self.sure:
            return False
        return self.value > self.bar


def figures_of(measured: Measured) -> list[Figure]:
    """Return all figures of a measurement."""
    before, after, seconds = measured.before, measured.after, measured.seconds
    cpu_hour = (after.cpu_s - before.cpu_s) / seconds * HOUR_S
    return [
        *_memory(measured),
        Figure(
            "CPU to start",
            measured.start_cpu_s,
            "s",
            START_CPU_S,
            "" if measured.start_cpu_s is not None else "an older agent does not tell it",
        ),
        Figure("CPU an hour", cpu_hour, "s", remark=f"{cpu_hour / HOUR_S:.1%} of one core"),
        _writes(measured),
        *_data(measured),
        Figure("samples an hour", (after.samples - before.samples) / seconds * HOUR_S, ""),
    ]


def _memory(measured: Measured) -> Iterator[Figure]:
    held = measured.held

    def mean_mb(counts: Sequence[int]) -> float:
        return sum(counts) / len(counts) / 1e6

    yield Figure("resident, mean", mean_mb([each.resident_bytes for each in held]), "MB")
    anonymous = mean_mb([each.anonymous_bytes for each in held])
    yield Figure("  of it in no file", anonymous, "MB")
    shares = [each.share_bytes for each in held if each.share_bytes is not None]
    if shares:
        yield Figure("  as its share (PSS)", mean_mb(shares), "MB")
    peak_mb = measured.after.peak_bytes / 1e6
    yield Figure("resident, peak", peak_mb, "MB", RESIDENT_MB, "since its start")


def _writes(measured: Measured) -> Figure:
    name, first, last = "writes a day", measured.before.disk_bytes, measured.after.disk_bytes
    if first is None or last is None:
        return Figure(name, None, "MB", DAY_WRITES_MB, measured.disk)
    day_mb = (last - first) / measured.seconds * DAY_S / 1e6
    remark = f"all programs, on {measured.disk}"
    young = measured.after.wal_bytes > measured.before.wal_bytes
    if young:
        remark = YOUNG
    sure = not young and measured.seconds >= SHORT_S
    return Figure(name, day_mb, "MB", DAY_WRITES_MB, remark, sure)


def _data(measured: Measured) -> Iterator[Figure]:
    for line, now in measured.after.lines.items():
        then = measured.before.lines.get(line)
        name = f"data this month, {line}"
        if then is None:
            yield Figure(name, None, "MB", MONTH_DATA_MB, "the line came while it was measured")
            continue
        pace = (now.own - then.own) / measured.seconds
        # What is left of the budget is spread over what is left of the month.
        month_mb = (now.month + pace * now.left_s) / 1e6
        remark = f"its pace: {pace * DAY_S / 1e6:.1f} MB a day"
        if now.device is not None and then.device is not None:
            day_mb = (now.device - then.device) / measured.seconds * DAY_S / 1e6
            remark += f"; its device, all programs: {day_mb:.1f} MB a day"
        yield Figure(name, month_mb, "MB", MONTH_DATA_MB, remark, measured.seconds >= SHORT_S)


def in_words(measured: Measured, figures: Sequence[Figure]) -> str:
    """Return the figures as a table for people."""
    yielded = [f"{measured.seconds / 60:.1f} minutes, {measured.after.samples} samples so far"]
    yielded.append(f"{'':28}{'measured':>12}{'bar':>12}")
    yielded += [_row(each) for each in figures]
    if measured.seconds < SHORT_S:
        yielded.append(
            "So short a time can't tell what a day or a month takes: these figures are held "
            f"against no bar. Measure for --minutes {SHORT_S // 60} or more."
        )
    missed = [each.name for each in figures if each.missed]
    yielded.append(f"Above the bar: {'; '.join(missed)}." if missed else "No bar is exceeded.")
    return "\n".join(yielded)


def _row(figure: Figure) -> str:
    value = "not read" if figure.value is None else f"{figure.value:.1f} {figure.unit}".strip()
    bar = "" if figure.bar is None else f"{figure.bar:g} {figure.unit}".strip()
    said = ""
    if figure.bar is not None and figure.value is not None:
        said = "MISSED" if figure.missed else "met" if figure.sure else "?"
    return f"{figure.name:28}{value:>12}{bar:>12}  {said:7}{figure.remark}".rstrip()
