"""The server's directory: where everything in it is, and what server.toml says.

Reads one file; decides nothing. Every error names the file, the key and what
was expected.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from linewatch_core.errors import LinewatchError
from linewatch_core.sync.messages import SPREAD_S_MAX

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
PortOrNone = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class SetupError(LinewatchError):
    """Something that whoever runs the server must put right; the message is one line."""


class PublicSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How probes find the server.

    Attributes:
        host: the DNS name or IP address in the broker's certificate.
        endpoints: what new tokens tell probes to try, in this order.
    """

    host: str
    endpoints: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The MQTT broker.

    Attributes:
        external: True if somebody else runs it; the server then starts none.
        host: where the server itself reaches it.
        bind: the address it listens on; empty for all.
        mqtts_port: MQTT over TLS.
        wss_port: the same in WebSocket; 0 for none.
        spread_s: over how long probes spread their return when all lost the broker at
            once; None: by the size of the fleet.
    """

    external: bool = False
    host: str = "127.0.0.1"
    bind: str = ""
    mqtts_port: Port = 8883
    wss_port: PortOrNone = 8443
    spread_s: Annotated[int, msgspec.Meta(ge=0, le=SPREAD_S_MAX)] | None = None

    def __post_init__(self) -> None:
        """Refuse what Mosquitto would refuse less clearly."""
        if self.mqtts_port == self.wss_port:
            raise ValueError("mqtts_port and wss_port must differ")


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The pages for people.

    Attributes:
        hosts: names by which browsers may address the server, beside `localhost`
            and any IP address.
    """

    bind: str = "127.0.0.1"
    port: Port = 8080
    hosts: tuple[str, ...] = ()


class ClockSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far this machine's clock may be wrong.

    Attributes:
        error_ms: a bound that the operator vouches for; None: what the kernel says.
    """

    error_ms: Annotated[int, msgspec.Meta(ge=0, le=86_400_000)] | None = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of server.toml."""

    public: PublicSettings
    broker: BrokerSettings = BrokerSettings()
    web: WebSettings = WebSettings()
    clock: ClockSettings = ClockSettings()


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in the server's directory."""

    directory: Path

    @property
    def settings(self) -> Path:
        """What the operator configures."""
        return self.directory / "server.toml"

    @property
    def pki(self) -> Path:
        """The fleet's authority, the broker's and the server's certificates."""
        return self.directory / "pki"

    @property
    def authority_certificate(self) -> Path:
        """What probes pin."""
        return self.pki / "fleet-ca.crt"

    @property
    def authority_key(self) -> Path:
        """What issues certificates."""
        return self.pki / "fleet-ca.key"

    @property
    def keys(self) -> Path:
        """Keys for records, not for connections."""
        return self.directory / "keys"

    @property
    def recipient_key(self) -> Path:
        """The X25519 private key (32 bytes) that opens segments; may be moved away."""
        return self.keys / "recipient.key"

    @property
    def recipients(self) -> Path:
        """X25519 public keys (32 bytes each, `*.pub`) that new probes seal to."""
        return self.keys / "recipients"

    @property
    def ack_seed(self) -> Path:
        """The Ed25519 seed (32 bytes) that signs acks."""
        return self.keys / "ack.seed"

    @property
    def broker(self) -> Path:
        """The broker's configuration, access list, log and data."""
        return self.directory / "broker"

    @property
    def registry(self) -> Path:
        """The registry of probes and tokens: primary data, back it up."""
        return self.directory / "registry.sqlite"

    def certificate(self, name: str) -> Path:
        """Return the certificate file of `broker` or `server`."""
        return self.pki / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return the private key file of `broker` or `server`."""
        return self.pki / f"{name}.key"


def load_settings(directory: Path) -> Settings:
    """Return what server.toml in `directory` says, or raise SetupError."""
    path = Layout(directory).settings
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise SetupError(
            f"cannot read {path}: no such file; make the directory with: "
            f"linewatch-server init {directory} --host NAME"
        ) from None
    except PermissionError:
        raise SetupError(
            f"cannot read {path}: no right to; run this as the server's user: "
            "sudo -u linewatch-server linewatch-server ..."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"cannot read {path}: {error}") from error
    try:
        return msgspec.toml.decode(text, type=Settings)
    except msgspec.DecodeError as error:
        raise SetupError(f"cannot use {path}: {_in_words(str(error))}") from error


def _in_words(message: str) -> str:
    """Return msgspec's message with the key as server.toml's reader knows it."""
    return message.replace(" - at `$.", ": at `").replace("`$.", "`")


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all, and durable."""
    # Another process may be writing the same file.
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
