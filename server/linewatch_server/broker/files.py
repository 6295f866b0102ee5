"""What Mosquitto reads: its configuration, who may do what, and who is revoked.

All three are written from server.toml and the registry whenever the broker
starts, and never reloaded: Mosquitto 2.0.11 frees the TLS state of a
WebSocket listener on SIGHUP and then crashes or spins, and it never gives that
listener the revocation list. Hence rights by pattern, which enrolment need not
touch, and a restart on revocation.
Source: docs/decisions/0005-access-by-pattern-not-reload.md; mosquitto.conf(5).
"""

import os
import signal
from pathlib import Path

from linewatch_core.errors import MalformedError
from linewatch_server.fleet.pki import SERVER_NAME, Authority, KeyPair
from linewatch_server.fleet.registry import Registry
from linewatch_server.settings import Layout, Settings, SetupError, write_private

PACKET_BYTES_MAX = 262_144
"""Four times the largest segment: nothing that a probe may send is near it."""
QUEUE_MESSAGES_MAX = 10_000
QUEUE_BYTES_MAX = 67_108_864
"""What the broker holds for one slow client; what it drops, probes send again."""

_OWN_TOPICS = f"""\
user {SERVER_NAME}
topic readwrite lw/1/#
"""
_PATTERNS = """\
pattern write lw/1/%u/status
pattern write lw/1/%u/reported
pattern write lw/1/%u/up/#
pattern read lw/1/%u/down/#
"""


def configuration_path(layout: Layout) -> Path:
    """Return where the broker's configuration is."""
    return layout.broker / "mosquitto.conf"


def pid_path(layout: Layout) -> Path:
    """Return where the broker writes its process id."""
    return layout.broker / "mosquitto.pid"


def write_broker_files(layout: Layout, settings: Settings, registry: Registry) -> None:
    """Write the configuration and the access list that the broker reads at its start."""
    (layout.broker / "data").mkdir(mode=0o700, exist_ok=True)
    write_private(configuration_path(layout), _configuration(layout, settings).encode())
    write_private(layout.broker / "acl", access_list(registry.revoked_names()).encode())


def write_revocations(layout: Layout, registry: Registry) -> None:
    """Write the signed list of revoked certificates; needs the authority's key."""
    serials = registry.revoked_serials()
    pem = load_authority(layout).revocation_list(serials, number=len(serials))
    write_private(layout.broker / "revoked.pem", pem)


def access_list(revoked: list[str]) -> str:
    """Return Mosquitto's access list: everybody their own topics, the revoked nothing."""
    denied = [f"user {name}\ntopic deny #\n" for name in revoked]
    return "\n".join([_OWN_TOPICS, *denied, _PATTERNS])


def load_authority(layout: Layout) -> Authority:
    """Return the fleet's authority, able to issue, or raise SetupError."""
    try:
        certificate = layout.authority_certificate.read_bytes()
        return Authority(KeyPair(certificate, layout.authority_key.read_bytes()))
    except OSError as error:
        raise SetupError(
            f"cannot issue or revoke certificates: cannot read {error.filename}: {error.strerror};"
            " restore it"
        ) from error
    except (ValueError, MalformedError) as error:
        raise SetupError(
            f"cannot issue or revoke certificates: {layout.authority_key} or "
            f"{layout.authority_certificate} is damaged; restore it"
        ) from error


def restart_broker(layout: Layout) -> bool:
    """End the broker's process so that the running server starts it anew.

    Returns:
        Whether there was one. Without, the next start does what is to be done.
    """
    pid = broker_pid(layout)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    return True


def broker_pid(layout: Layout) -> int | None:
    """Return the process id of the broker of this directory, if it runs.

    The number in a pid file can belong to another program by now: its command
    line must name our configuration.
    """
    try:
        pid = int(pid_path(layout).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(configuration_path(layout).absolute()) in command else None


def _configuration(layout: Layout, settings: Settings) -> str:
    """Return mosquitto.conf; log lines carry no address of a client."""
    folder = layout.broker.absolute()
    broker = settings.broker
    lines = [
        "# Written anew at every start from server.toml.",
        # Else it leaves root and can no longer read its own keys; as anybody else: no effect.
        "user root",
        "per_listener_settings false",
        "allow_anonymous false",
        f"acl_file {folder}/acl",
        f"pid_file {folder}/mosquitto.pid",
        "persistence true",
        f"persistence_location {folder}/data/",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "connection_messages false",
        "set_tcp_nodelay true",
        "sys_interval 0",
        "max_inflight_messages 200",
        f"max_packet_size {PACKET_BYTES_MAX}",
        f"max_queued_messages {QUEUE_MESSAGES_MAX}",
        f"max_queued_bytes {QUEUE_BYTES_MAX}",
        *_listener(layout, broker.mqtts_port, broker.bind),
    ]
    if broker.wss_port:
        lines += _listener(layout, broker.wss_port, broker.bind, "protocol websockets")
    return "\n".join(lines) + "\n"


def _listener(layout: Layout, port: int, bind: str, *options: str) -> list[str]:
    return [
        f"listener {port} {bind}".rstrip(),
        *options,
        f"cafile {layout.authority_certificate.absolute()}",
        f"certfile {layout.certificate('broker').absolute()}",
        f"keyfile {layout.key('broker').absolute()}",
        f"crlfile {layout.broker.absolute()}/revoked.pem",
        "require_certificate true",
        "use_identity_as_username true",
        "tls_version tlsv1.2",
    ]
