"""Rules that join keys of the configuration: order of durations, names, uniqueness.

Pure. Ranges of single keys stand in the types (settings.py).
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from ipaddress import ip_address

from linewatch_agent.plan.endpoint import parse_endpoint
from linewatch_agent.plan.settings import Config, EventConfig, LineConfig, ScheduleConfig
from linewatch_agent.plan.target_rules import target_faults
from linewatch_agent.plan.target_words import Fault, address_version
from linewatch_agent.plan.toml_errors import Source
from linewatch_agent.plan.toml_types import Path
from linewatch_core.errors import MalformedError
from linewatch_core.ids import is_name
from linewatch_core.release.manifest import KEY_HEX

_DEVICE = re.compile(r"[!-.0-9;-~]{1,15}")
"""What the kernel takes as an interface's name (dev_valid_name; IFNAMSIZ less its zero)."""

_LED = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]{0,63}")
"""Kernels and drivers name LEDs by such; nothing that leads out of the folder."""

_UPDATE_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]{1,260}/[!-~]{0,500}")

_PAGE = re.compile(r"[0-9a-f]{16}")

TRUTH_ENTRIES_MAX = 256
"""A truth is one record: with what is learned it must fit a segment."""

EVENT_MAX = timedelta(days=92)
"""Longer than any announced vote; an `ends` in the wrong year is caught by it."""


def config_faults(config: Config, source: Source) -> Iterator[Fault]:
    """Yield what is wrong with a configuration that has the right types."""
    yield from _limit_faults(config)
    for position, line in enumerate(config.line):
        yield from _line_faults(line, ("line", position), source)
    for position, endpoint in enumerate(config.uplink.endpoints):
        if not _is_endpoint(endpoint):
            wanted = "mqtts://host:port or wss://host:port/path"
            yield _fault(source, ("uplink", "endpoints", position), wanted)
    for position, event in enumerate(config.event):
        yield from _event_faults(event, config.schedule, ("event", position), source)
    for position, target in enumerate(config.target):
        for fault in target_faults(target):
            yield Fault(("target", position, *fault.path), fault.reason)
    if config.status.page and not _is_page(config.status.page):
        wanted = "a private address and a port from 1024, such as 192.168.1.5:8080"
        yield _fault(source, ("status", "page"), wanted)
    if not _LED.fullmatch(config.led.name):
        yield _fault(source, ("led", "name"), "a name as in /sys/class/leds, auto or none")
    yield from _update_faults(config, source)
    yield from _truth_faults(config, source)
    repeatable: tuple[tuple[list[str], str, str], ...] = (
        ([line.id for line in config.line], "line", "id"),
        ([line.device for line in config.line], "line", "device"),
        ([target.id for target in config.target], "target", "id"),
        ([event.name for event in config.event], "event", "name"),
    )
    for values, table, key in repeatable:
        for position in _repeated_at(values):
            yield _fault(source, (table, position, key), f"each {key} once")
    for position in _repeated_at(config.targets.sets):
        yield _fault(source, ("targets", "sets", position), "each set once")


def _is_page(where: str) -> bool:
    """Return whether this is an address of a home's network with a port."""
    host, _, port = where.rpartition(":")
    try:
        address = ip_address(host[1:-1] if host.startswith("[") else host)
        number = int(port) if port.isascii() and port.isdecimal() else 0
    except ValueError:
        return False
    written = f"[{address}]" if address.version == 6 else str(address)
    private = address.is_private and not address.is_unspecified
    return private and where == f"{written}:{number}" and 1024 <= number < 65_536


def _limit_faults(config: Config) -> Iterator[Fault]:
    schedule, store = config.schedule, config.store
    period = schedule.period_s
    if schedule.jitter_s >= period / 2:
        reason = f"less than half of period_s ({period / 2:g}), found {schedule.jitter_s:g}"
        yield Fault(("schedule", "jitter_s"), f"expected {reason}")
    if schedule.timeout_s >= period:
        reason = f"less than period_s ({period:g}), found {schedule.timeout_s:g}"
        yield Fault(("schedule", "timeout_s"), f"expected {reason}")
    if store.live_close_s > store.block_s:
        reason = f"at most block_s ({store.block_s:g}), found {store.live_close_s:g}"
        yield Fault(("store", "live_close_s"), f"expected {reason}")
    verdict = config.verdict
    if verdict.tight_again_s < verdict.tight_s:
        # Else one suspicion would keep the schedule tight for ever.
        reason = f"at least tight_s ({verdict.tight_s:g}), found {verdict.tight_again_s:g}"
        yield Fault(("verdict", "tight_again_s"), f"expected {reason}")


def _line_faults(line: LineConfig, path: Path, source: Source) -> Iterator[Fault]:
    if not is_name(line.id):
        yield _fault(source, (*path, "id"), "1 to 48 of a-z 0-9 . _ -")
    if not _DEVICE.fullmatch(line.device) or line.device in (".", ".."):
        yield _fault(source, (*path, "device"), "a network device such as eth0")
    for position, address in enumerate(line.resolvers):
        if not address_version(address):
            at = (*path, "resolvers", position)
            yield _fault(source, at, "an address such as 192.0.2.53")
    for version, gateway in ((4, line.gateway4), (6, line.gateway6)):
        if gateway is not None and address_version(gateway) != version:
            yield _fault(source, (*path, f"gateway{version}"), f"an IPv{version} address")
    if line.operator is not None and not is_name(line.operator):
        yield _fault(source, (*path, "operator"), "1 to 48 of a-z 0-9 . _ -")


def _event_faults(
    event: EventConfig, schedule: ScheduleConfig, path: Path, source: Source
) -> Iterator[Fault]:
    if not is_name(event.name):
        yield _fault(source, (*path, "name"), "1 to 48 of a-z 0-9 . _ -")
    if event.ends <= event.begins:
        yield _fault(source, (*path, "ends"), f"a time after begins ({event.begins.isoformat()})")
    elif event.ends - event.begins > EVENT_MAX:
        wanted = f"a time at most {EVENT_MAX.days} days after begins"
        yield _fault(source, (*path, "ends"), wanted)
    if event.period_s is None:
        return
    at = (*path, "period_s")
    if event.period_s > schedule.period_s:
        yield _fault(source, at, f"at most schedule.period_s ({schedule.period_s:g})")
    elif event.period_s <= max(schedule.timeout_s, 2 * schedule.jitter_s):
        longest = max(schedule.timeout_s, 2 * schedule.jitter_s)
        wanted = f"more than timeout_s and twice jitter_s ({longest:g})"
        yield _fault(source, at, wanted)


def _update_faults(config: Config, source: Source) -> Iterator[Fault]:
    update = config.update
    if update.url and not _UPDATE_URL.fullmatch(update.url):
        yield _fault(source, ("update", "url"), "an address such as https://example.org/manifest")
    if update.key and not KEY_HEX.fullmatch(update.key):
        yield _fault(source, ("update", "key"), "64 digits of 0-9 a-f")
    if update.url and not update.key:
        # A release that nobody signed is never taken; to fetch one would be for nothing.
        yield _fault(source, ("update", "key"), "the key that releases are signed with")


def _truth_faults(config: Config, source: Source) -> Iterator[Fault]:
    truth = config.truth
    for key, values in (
        ("block_addresses", truth.block_addresses),
        ("block_pages", truth.block_pages),
        ("silent_resolvers", truth.silent_resolvers),
    ):
        if len(values) > TRUTH_ENTRIES_MAX:
            reason = f"expected at most {TRUTH_ENTRIES_MAX} entries, found {len(values)}"
            yield Fault(("truth", key), reason)
    for position, address in enumerate(truth.block_addresses):
        if not address_version(address):
            at = ("truth", "block_addresses", position)
            yield _fault(source, at, "an address such as 192.0.2.53")
    for position, page in enumerate(truth.block_pages):
        if not _PAGE.fullmatch(page):
            at = ("truth", "block_pages", position)
            yield _fault(source, at, "the first 16 digits of a page's SHA-256 (0-9 a-f)")


def _fault(source: Source, path: Path, wanted: str) -> Fault:
    return Fault(path, f"expected {wanted}, found {source.found(path)}")


def _repeated_at(values: Sequence[str]) -> Iterator[int]:
    """Yield the positions of values that stood there before."""
    seen: set[str] = set()
    for position, value in enumerate(values):
        if value in seen:
            yield position
        seen.add(value)


def _is_endpoint(text: str) -> bool:
    try:
        parse_endpoint(text)
    except MalformedError:
        return False
    return True
