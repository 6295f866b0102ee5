"""The composition root of the server: builds the parts and holds the one root TaskGroup.

Broker (a child, or somebody else's), collector, ingest and web in one process
tree. Order of a stop: no new message is taken, the batch in hand is stored and
acknowledged, then the broker ends.
"""

import asyncio
import signal
import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import structlog
from aiohttp.web import Application
from nacl.signing import SigningKey

from linewatch_core.ids import ProbeId
from linewatch_core.sync import topics
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.broker.files import load_authority
from linewatch_server.broker.process import BrokerProcess
from linewatch_server.clock import ServerClock
from linewatch_server.collector import Collector
from linewatch_server.fleet import enrolment
from linewatch_server.fleet.keys import read_ack_seed, recipient_secrets
from linewatch_server.fleet.registry import Registry
from linewatch_server.fleet.spread import FleetSpread
from linewatch_server.index.queries import Queries
from linewatch_server.ingest import Ingest
from linewatch_server.notify import notify
from linewatch_server.rebuild import open_index
from linewatch_server.settings import Layout, Settings, load_settings
from linewatch_server.web import make_web_app, serve

log = structlog.get_logger()


async def run(directory: Path) -> None:
    """Run everything until SIGTERM or SIGINT.

    Raises:
        LinewatchError: something cannot start; the text says what to do.
    """
    settings = load_settings(directory)
    layout = Layout(directory)
    clock = ServerClock(settings.clock.error_ms)
    if clock.error_ms() >= 1000:
        log.warning("clock_is_vague", error_ms=clock.error_ms(), remedy="turn on NTP here")
    secrets = recipient_secrets(layout)
    if not secrets:
        log.warning("no_recipient_key", consequence="records are stored but stay sealed here")
    with ArchiveWriter(directory) as archive:
        index, applied = open_index(directory, archive, recipient_secrets=secrets)
        if applied:
            log.info("index_caught_up", entries=applied.total())
        with closing(index):
            registry = Registry(layout.registry)
            ingest = Ingest(archive, index, root_key=_root_key(registry))
            collector = _collector(layout, settings, clock, ingest, registry)
            queries = Queries(directory, recipient_secrets=secrets)
            if queries.fleet() and not registry.probes():
                log.warning(
                    "registry_is_empty",
                    consequence="no probe is believed",
                    remedy=f"restore {layout.registry} from a backup",
                )
            app = make_web_app(
                queries,
                now_ms=clock.utc_ms,
                holds_key=bool(secrets),
                hosts=settings.web.hosts,
            )
            await _run_parts(directory, settings, collector, app)


async def run_broker(directory: Path) -> None:
    """Run only the broker until SIGTERM or SIGINT: for a server whose settings say `external`."""
    stop = _stop_on_signals()
    broker = BrokerProcess(directory)
    await broker.start()
    log.info("broker_started")
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(broker.keep(), name="broker")
        await stop.wait()
        keeping.cancel()
    await broker.stop()


async def _run_parts(
    directory: Path, settings: Settings, collector: Collector, app: Application
) -> None:
    # Before the broker: a signal that ended us right after its start would leave it behind.
    stop = _stop_on_signals()
    broker = None if settings.broker.external else BrokerProcess(directory)
    if broker is not None:
        await broker.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(collector.run(), name="collector"),
                tasks.create_task(
                    # The broker has begun, and the pages are the last to be open.
                    serve(
                        app,
                        host=settings.web.bind,
                        port=settings.web.port,
                        on_open=lambda: notify("READY=1"),
                    ),
                    name="web",
                ),
            ]
            if broker is not None:
                running.append(tasks.create_task(broker.keep(), name="broker"))
            log.info("server_started", page=f"http://{settings.web.bind}:{settings.web.port}/")
            await stop.wait()
            log.info("server_stopping")
            notify("STOPPING=1")
            await collector.finish()
            for task in running:
                task.cancel()
    finally:
        if broker is not None:
            await broker.stop()


def _stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set from now on."""
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    return stop


def _collector(
    layout: Layout, settings: Settings, clock: ServerClock, ingest: Ingest, registry: Registry
) -> Collector:
    authority = load_authority(layout)

    def answer(request: bytes, topic: str) -> bytes:
        token = topics.parse(topic).client
        return enrolment.answer(
            request, token=token, registry=registry, authority=authority, now=datetime.now(UTC)
        )

    return Collector(
        ingest,
        host=settings.broker.host,
        port=settings.broker.mqtts_port,
        tls=_tls(layout),
        ack_key=SigningKey(read_ack_seed(layout)),
        clock=clock,
        answer_enrolment=answer,
        spread_s=FleetSpread(registry, clock, fixed_s=settings.broker.spread_s),
    )


def _tls(layout: Layout) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(layout.authority_certificate))
    context.load_cert_chain(layout.certificate("server"), layout.key("server"))
    return context


def _root_key(registry: Registry) -> Callable[[ProbeId], bytes | None]:
    def root_key(probe: ProbeId) -> bytes | None:
        found = registry.probe(probe)
        if found is None or found.revoked_at is not None:
            return None
        return found.signing_key

    return root_key
