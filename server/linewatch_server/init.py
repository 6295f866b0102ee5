"""Making a server's directory: settings, certificates, keys, broker files.

Runs once; everything secret is readable by its owner only. The key that opens
records is one file that may be moved elsewhere: the server works without it.
"""

import ipaddress
import re
import shutil
from pathlib import Path

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from linewatch_server.broker.files import write_broker_files, write_revocations
from linewatch_server.fleet.pki import SERVER_NAME, Authority
from linewatch_server.fleet.registry import Registry
from linewatch_server.settings import Layout, SetupError, load_settings, write_private

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""In the broker's certificate besides its public name, for what runs beside it."""

_DNS_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)

_SETTINGS = """\
# The settings of a Linewatch server. Restart it after a change.

[public]
# The name or address in the broker's certificate: probes check it.
host = "{host}"
# Where new probes are told to connect, tried in this order. Where another port or
# another machine leads here (443, say), add it; the host must stay the one above.
endpoints = [{endpoints}]

[broker]
# true: somebody else runs the broker, with broker/acl and broker/revoked.pem of this
# directory, and restarts it after a revocation. The server then starts none.
external = false
# Where the server itself reaches the broker.
host = "{local}"
# The address that the broker listens on; "" is all of them.
bind = "{bind}"
# MQTT over TLS.
mqtts_port = {mqtts_port}
# The same in WebSocket, for networks that only let the web through; 0 is none.
wss_port = {wss_port}
# When all probes lose the broker at once, they come back spread over so many seconds.
# Left out: 0.3 s for each probe, at most 300.
# spread_s = 300

[web]
# The pages for people. They have no login of their own: keep them on this machine.
bind = "127.0.0.1"
port = {web_port}

[clock]
# Probes learn the time from this machine too, and must know how wrong it can be. Left
# out, it is what the kernel says under NTP, and 60000 ms without.
# error_ms = 100
"""


def init(
    directory: Path,
    *,
    host: str,
    mqtts_port: int = 8883,
    wss_port: int = 8443,
    web_port: int = 8080,
    bind: str = "",
) -> Layout:
    """Make a server's directory.

    Args:
        host: the DNS name or IP address under which probes find the server.
        wss_port: 0 for none.
        bind: the address for the broker to listen on; empty for all.
    Raises:
        SetupError: the directory has something in it, or an argument is wrong. Nothing
            is left behind then.
    """
    host = _check_host(host)
    local = _check_bind(bind)
    layout = Layout(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SetupError(f"cannot init {directory}: it exists and is not empty; name another one")
    made = not directory.exists()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        for folder in (layout.pki, layout.keys, layout.recipients, layout.broker):
            folder.mkdir(mode=0o700)
        text = _settings_text(
            host=host,
            local=local,
            bind=bind,
            mqtts_port=mqtts_port,
            wss_port=wss_port,
            web_port=web_port,
        )
        write_private(layout.settings, text.encode())
        _make_keys(layout, (host, local, *LOCAL_NAMES))
        registry = Registry(layout.registry)
        write_broker_files(layout, load_settings(directory), registry)
        write_revocations(layout, registry)
    except (OSError, SetupError) as error:
        _remove(directory, itself=made)
        reason = error.strerror if isinstance(error, OSError) else error
        raise SetupError(f"cannot init {directory}: {reason}") from error
    return layout


def _make_keys(layout: Layout, names: tuple[str, ...]) -> None:
    authority, pair = Authority.create()
    write_private(layout.authority_key, pair.key_pem)
    write_private(layout.authority_certificate, pair.certificate_pem)
    issued = {
        "broker": authority.issue_broker(list(dict.fromkeys(names))),
        SERVER_NAME: authority.issue_client(SERVER_NAME),
    }
    for name, leaf in issued.items():
        write_private(layout.key(name), leaf.key_pem)
        write_private(layout.certificate(name), leaf.certificate_pem)
    recipient = PrivateKey.generate()
    write_private(layout.recipient_key, bytes(recipient))
    write_private(layout.recipients / "fleet.pub", bytes(recipient.public_key))
    write_private(layout.ack_seed, bytes(SigningKey.generate()))


def _settings_text(
    *, host: str, local: str, bind: str, mqtts_port: int, wss_port: int, web_port: int
) -> str:
    url_host = f"[{host}]" if ":" in host else host
    endpoints = [f"mqtts://{url_host}:{mqtts_port}"]
    if wss_port:
        endpoints.append(f"wss://{url_host}:{wss_port}")
    return _SETTINGS.format(
        host=host,
        endpoints=", ".join(f'"{e}"' for e in endpoints),
        local=local,
        bind=bind,
        mqtts_port=mqtts_port,
        wss_port=wss_port,
        web_port=web_port,
    )


def _check_bind(bind: str) -> str:
    """Return the address at which this machine reaches what listens on `bind`."""
    try:
        address = ipaddress.ip_address(bind or "0.0.0.0")
    except ValueError:
        raise SetupError(
            f"cannot init: cannot listen on {bind[:80]!r}: expected an IP address, or nothing "
            "for all addresses"
        ) from None
    return "127.0.0.1" if address.is_unspecified else str(address)


def _check_host(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        name = host.lower()
    if not _DNS_NAME.fullmatch(name):
        raise SetupError(
            f"cannot init for {host[:80]!r}: expected a DNS name or an IP address, such as "
            "probes.example.org"
        )
    return name


def _remove(directory: Path, *, itself: bool) -> None:
    if itself:
        shutil.rmtree(directory, ignore_errors=True)
        return
    for child in directory.iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()
