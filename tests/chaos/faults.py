"""What goes wrong, and how often: one table, from which each seed draws the kinds it has.

A seed that has everything at once tests less than many that have a few each.
"""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from linewatch_agent.store.database import PAGE_BYTES, STORE_FILE
from tests.chaos.broker import Weather
from tests.chaos.disk import Disk, End
from tests.chaos.patches import KIB

if TYPE_CHECKING:
    from tests.chaos.world import World

Strike = Callable[["World"], None]


def plan(rng: random.Random) -> dict[str, float]:
    """Return the chance of each kind of fault at each step of this seed."""
    chosen = {name: chance for name, (chance, _) in FAULTS.items() if rng.random() < 0.6}
    if rng.random() < 0.7:
        chosen.pop("rot", None)
    factor = rng.choice([0.5, 1.0, 2.0])
    return {name: chance * factor for name, chance in chosen.items()}


def strike(world: "World", chances: dict[str, float]) -> None:
    """Let what is due at this step happen."""
    for name, chance in chances.items():
        if world.rng.random() < chance:
            FAULTS[name][1](world)


def _probe_fuse(world: "World") -> None:
    disk = world.probe.disk
    if disk.fuse is None and world.probe.running:
        disk.fuse = world.rng.choice([1, 2, 5, 20, 60, 200])
        disk.fuse_end = world.rng.choice([End.KILL, End.POWER, End.POWER])
        world.note("probe fuse", f"{disk.fuse} {disk.fuse_end}")


def _probe_gone(world: "World") -> None:
    if world.probe.running:
        world.lose_probe(world.rng.choice(list(End)))


def _probe_stop(world: "World") -> None:
    """End it as SIGTERM does; what follows is a clean start."""
    if world.probe.running:

        def stop() -> None:
            world.probe.stop()
            world.note("probe stops")
            world.lose_probe(End.KILL)

        world.run_probe(stop)


def _probe_full(world: "World") -> None:
    _fill(world, world.probe.disk, "probe disk full")


def _server_full(world: "World") -> None:
    _fill(world, world.server.disk, "server disk full")


def _fill(world: "World", disk: Disk, name: str) -> None:
    if disk.capacity_bytes is None:
        disk.capacity_bytes = disk.used_bytes() + world.rng.choice([0, 1, 4, 40]) * KIB
        world.note(name, disk.capacity_bytes)
    else:
        disk.capacity_bytes = None
        world.note(f"{name} no more")


def _probe_read_only(world: "World") -> None:
    disk = world.probe.disk
    disk.read_only = not disk.read_only
    world.note("probe disk read-only", disk.read_only)


def _probe_sync_fails(world: "World") -> None:
    if world.probe.running:
        world.probe.disk.sync_fails = True
        world.note("probe sync fails")


def _server_sync_fails(world: "World") -> None:
    if world.server.running:
        world.server.disk.sync_fails = True
        world.note("server sync fails")


def _rot(world: "World") -> None:
    """Let bits of the store change while the probe is off, once a run."""
    probe, rng = world.probe, world.rng
    if world.events["rot"] or not probe.epoch:
        return
    if probe.running:
        world.lose_probe(rng.choice(list(End)))
    files = sorted(probe.disk.root.glob(f"{STORE_FILE}*"))
    files = [path for path in files if "damaged" not in path.name and path.stat().st_size]
    if not files:
        return
    path = rng.choice(files)
    data = bytearray(path.read_bytes())
    how = rng.choice(["bit", "bit", "page of zeros", "page of noise", "cut short"])
    at = rng.randrange(len(data))
    page = slice(at - at % PAGE_BYTES, min(len(data), at - at % PAGE_BYTES + PAGE_BYTES))
    match how:
        case "bit":
            data[at] ^= 1 << rng.randrange(8)
        case "page of zeros":
            data[page] = bytes(page.stop - page.start)
        case "page of noise":
            data[page] = rng.randbytes(page.stop - page.start)
        case _:
            del data[at:]
    path.write_bytes(data)
    probe.disk.note_synced(str(path))
    world.ledger.rotten.add(probe.epoch)
    world.note("rot", f"{how} at {at} of {path.name}")


def _weather(world: "World") -> None:
    rng = world.rng
    world.broker.weather = rng.choice(
        [
            Weather(),
            Weather(loss=0.2, double=0.2, delay_s=3.0),
            Weather(loss=0.05, delay_s=20.0),
            Weather(partition=True),
            Weather(tarpit=True),
            Weather(swallow=True),
            Weather(refuse=True),
        ]
    )
    world.note("weather", world.broker.weather)


def _broker_forgets(world: "World") -> None:
    world.broker.forget()
    if world.probe.running:
        world.run_probe(world.probe.driver.disconnect)
    world.note("broker forgets")


def _connection_breaks(world: "World") -> None:
    if world.probe.running and world.probe.driver.conn is not None:
        world.run_probe(world.probe.driver.disconnect)
        world.note("connection breaks")


def _server_fuse(world: "World") -> None:
    disk = world.server.disk
    if disk.fuse is None and world.server.running:
        disk.fuse = world.rng.choice([1, 2, 5, 20, 60])
        disk.fuse_end = world.rng.choice(list(End))
        world.note("server fuse", f"{disk.fuse} {disk.fuse_end}")


def _server_gone(world: "World") -> None:
    if world.server.running:
        world.lose_server(world.rng.choice(list(End)))


def _server_away(world: "World") -> None:
    if world.server.running:
        world.lose_server(End.KILL)
        world.server_down_until_s = world.clock.now_s + 300


def _server_mute(world: "World") -> None:
    world.server.mute = not world.server.mute
    world.note("server mute", world.server.mute)


def _back_up(world: "World") -> None:
    if world.server.running:
        world.server.back_up()
        world.note("back-up")


def _restore(world: "World") -> None:
    server = world.server
    if server.kept:
        if server.running:
            world.lose_server(End.KILL)
        number = world.rng.randrange(server.kept) + 1
        server.restore(number)
        world.note("restore", number)


def _long_time(world: "World") -> None:
    world.clock.now_s += world.rng.choice([400, 2_000])
    world.note("time passes")


FAULTS: dict[str, tuple[float, Strike]] = {
    "probe fuse": (0.03, _probe_fuse),
    "probe gone": (0.02, _probe_gone),
    "probe stop": (0.01, _probe_stop),
    "probe full": (0.03, _probe_full),
    "probe read-only": (0.02, _probe_read_only),
    "probe sync fails": (0.01, _probe_sync_fails),
    "rot": (0.015, _rot),
    "weather": (0.05, _weather),
    "broker forgets": (0.02, _broker_forgets),
    "connection breaks": (0.04, _connection_breaks),
    "server fuse": (0.03, _server_fuse),
    "server gone": (0.02, _server_gone),
    "server away": (0.01, _server_away),
    "server full": (0.02, _server_full),
    "server sync fails": (0.01, _server_sync_fails),
    "server mute": (0.02, _server_mute),
    "back up": (0.03, _back_up),
    "restore": (0.01, _restore),
    "time": (0.02, _long_time),
}
"""Chance a step, and what happens; switches (full, read-only, mute) go back the same way."""
