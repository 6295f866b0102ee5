"""The probe's half of enrolment, and the identity that comes of it.

A token file is enough to begin measuring: the keys are made here, at once and
offline. The certificate follows when the server can be reached. Knows nothing
of the store. Source: docs/decisions/0004-enrolment-over-mqtt.md.
"""

import asyncio
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import msgspec
import structlog
from nacl.signing import SigningKey

from linewatch_agent.mqtt_client import (
    BUDGET_S,
    LineClient,
    MakeSocket,
    connect_problem,
    open_socket,
    parse_endpoint,
    tls_context,
)
from linewatch_core.enrolment import (
    EnrolRequest,
    Token,
    decode_reply,
    decode_token,
    probe_of,
)
from linewatch_core.errors import LinewatchError, MalformedError
from linewatch_core.ids import ProbeId, parse_probe_id
from linewatch_core.sync import topics

log = structlog.get_logger()

FOLDER = "identity"
CLOCK_FLOOR = datetime(2020, 1, 1, tzinfo=UTC)
"""A clock before this was never set, and cannot say that anything has expired."""


class EnrolmentError(LinewatchError):
    """This machine cannot become a probe as it is; the message says what to do."""


class _Unreachable(Exception):
    """No endpoint answered; not an error, since a line may come back. Carries why."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """identity.json: what of the token stays, and the public half of our first key."""

    probe: str
    endpoints: tuple[str, ...]
    recipients: tuple[bytes, ...]
    ack_key: bytes
    authority: str
    signing_key: bytes


class _Pending(msgspec.Struct, frozen=True, kw_only=True):
    """pending.json: what of the token is needed until the certificate is here."""

    token: str
    secret: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this probe is and whom it trusts.

    Attributes:
        folder: where the identity's files are.
        endpoints: of the token; configuration may say others.
        recipients: X25519 public keys, 32 bytes each.
        ack_public_key: the Ed25519 key that signs the server's acks.
        authority_pem: the only authority that the probe trusts.
        signing_public_key: the first signing key's public half, as enrolled.
    """

    probe: ProbeId
    folder: Path
    endpoints: tuple[str, ...]
    recipients: tuple[bytes, ...]
    ack_public_key: bytes
    authority_pem: str
    signing_public_key: bytes

    @property
    def certificate_path(self) -> Path:
        """The certificate; there once the server has answered."""
        return self.folder / "tls.crt"

    @property
    def key_path(self) -> Path:
        """The private key of the certificate; made here."""
        return self.folder / "tls.key"

    def take_first_seed(self) -> bytes:
        """Return the seed of the first signing key; call `erase_first_seed` once it is kept."""
        try:
            return (self.folder / "signing.seed").read_bytes()
        except OSError as error:
            raise EnrolmentError(
                "cannot read the first signing key: it was taken over before; if the store's own "
                f"was lost, enrol again with a new token after removing {self.folder}"
            ) from error

    def erase_first_seed(self) -> None:
        """Remove the seed, so that nobody can sign with it later."""
        (self.folder / "signing.seed").unlink(missing_ok=True)


async def enrol(token_path: Path, state: Path, *, make_socket: MakeSocket = open_socket) -> str:
    """Make this machine a probe, and return a line for whoever asked for it.

    Done again with the same token it goes on where it stopped.

    Raises:
        EnrolmentError: no such file, not a token, damaged, expired, refused, or this
            machine is a probe already.
    """
    token = _read_token(token_path, now=datetime.now(UTC))
    identity = prepare(token, state)
    try:
        await _complete(identity, make_socket, BUDGET_S)
    except _Unreachable as reason:
        return (
            f"This machine is probe {identity.probe} and can measure from now on. Its certificate "
            f"will follow when the server can be reached ({reason})."
        )
    return f"This machine is probe {identity.probe}, and the server knows it."


async def complete(
    state: Path, *, make_socket: MakeSocket = open_socket, budget_s: float = BUDGET_S
) -> bool:
    """Get the certificate if it is not here yet; return whether it is now.

    Never raises for what the server or the line does: a probe measures without it.
    """
    try:
        await _complete(load_identity(state), make_socket, budget_s)
    except _Unreachable as reason:
        log.info("enrolment_waits", reason=str(reason))
    except LinewatchError as error:
        log.warning("enrolment_refused", reason=str(error))
    else:
        return True
    return False


def load_identity(state: Path) -> Identity:
    """Return the identity in a state folder, or raise EnrolmentError."""
    folder = state / FOLDER
    path = folder / "identity.json"
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        probe = parse_probe_id(kept.probe)
    except FileNotFoundError:
        raise EnrolmentError(
            f"cannot find an identity in {state}: this machine is not enrolled; run: "
            f"linewatch-agent enrol TOKENFILE --state {state}"
        ) from None
    except OSError as error:
        raise EnrolmentError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, MalformedError) as error:
        raise EnrolmentError(
            f"cannot use {path}: it is damaged; remove {folder} and enrol with a new token"
        ) from error
    return Identity(
        probe=probe,
        folder=folder,
        endpoints=kept.endpoints,
        recipients=kept.recipients,
        ack_public_key=kept.ack_key,
        authority_pem=kept.authority,
        signing_public_key=kept.signing_key,
    )


def prepare(token: Token, state: Path) -> Identity:
    """Make keys, and keep them with what the token says: all of it or nothing.

    Raises:
        EnrolmentError: the folder holds another probe's identity, or cannot be written.
    """
    folder = state / FOLDER
    if folder.exists():
        identity = load_identity(state)
        if identity.probe != token.probe:
            raise EnrolmentError(
                f"cannot enrol: this machine is probe {identity.probe} already; to make it "
                f"another one, stop the agent and remove {folder}"
            )
        return identity
    seed = secrets.token_bytes(32)
    kept = _Kept(
        probe=token.probe,
        endpoints=token.endpoints,
        recipients=token.recipients,
        ack_key=token.ack_key,
        authority=token.authority,
        signing_key=bytes(SigningKey(seed).verify_key),
    )
    files = {
        "identity.json": msgspec.json.encode(kept),
        "pending.json": msgspec.json.encode(_Pending(token=token.token, secret=token.secret)),
        "bootstrap.crt": token.certificate.encode(),
        "bootstrap.key": token.key.encode(),
        "tls.key": _new_tls_key(),
        "signing.seed": seed,
    }
    try:
        _write_folder(folder, files)
    except OSError as error:
        raise EnrolmentError(f"cannot write to {state}: {error.strerror}") from error
    return load_identity(state)


def _read_token(path: Path, *, now: datetime) -> Token:
    try:
        token = decode_token(path.read_text("utf-8"))
        for endpoint in token.endpoints:
            parse_endpoint(endpoint)
    except UnicodeDecodeError:
        raise EnrolmentError(f"cannot enrol with {path}: not an enrolment token") from None
    except OSError as error:
        raise EnrolmentError(f"cannot read {path}: {error.strerror}") from error
    except MalformedError as error:
        raise EnrolmentError(f"cannot enrol with {path}: {error}") from error
    if CLOCK_FLOOR < now and token.expires < now:
        raise EnrolmentError(
            f"cannot enrol with {path}: the token expired on {token.expires:%Y-%m-%d} by this "
            "computer's clock; ask the operator for a new one"
        )
    return token


async def _complete(identity: Identity, make_socket: MakeSocket, budget_s: float) -> None:
    """Ask at one endpoint after the other until there is an answer."""
    if identity.certificate_path.exists():
        return
    folder = identity.folder
    try:
        pending = msgspec.json.decode((folder / "pending.json").read_bytes(), type=_Pending)
        tls = tls_context(
            authority_pem=identity.authority_pem,
            certificate=folder / "bootstrap.crt",
            key=folder / "bootstrap.key",
        )
    except (OSError, msgspec.DecodeError, MalformedError) as error:
        raise EnrolmentError(
            f"cannot complete the enrolment: what the token gave is damaged; remove {folder} and "
            "enrol with a new token"
        ) from error
    request = EnrolRequest(
        token=pending.token,
        secret=pending.secret,
        csr=_request_pem(identity.key_path.read_bytes()),
        signing_key=identity.signing_public_key,
    )
    problem = "it has no endpoint"
    for text in identity.endpoints:
        client = LineClient(
            parse_endpoint(text),
            tls=tls,
            identifier=secrets.token_hex(8),
            make_socket=make_socket,
            budget_s=budget_s,
        )
        try:
            answer = await _ask(client, pending.token, msgspec.json.encode(request), budget_s)
        except (aiomqtt.MqttError, OSError, TimeoutError) as error:
            problem = connect_problem(error)
            continue
        _accept(identity, answer)
        return
    raise _Unreachable(problem)


async def _ask(client: LineClient, token: str, request: bytes, budget_s: float) -> bytes:
    async with client:
        await client.subscribe(topics.enrol_reply(token), qos=1)
        await client.publish(topics.enrol_request(token), request, qos=1)
        async with asyncio.timeout(budget_s):
            async for message in client.messages:
                return message.payload if isinstance(message.payload, bytes) else b""
    raise aiomqtt.MqttError("no answer")


def _accept(identity: Identity, answer: bytes) -> None:
    """Keep the certificate, then drop what only the enrolment needed."""
    reply = decode_reply(answer)
    if reply.certificate is None:
        raise EnrolmentError(f"the server refused to enrol this probe: {reply.error}")
    _check_certificate(identity, reply.certificate)
    folder = identity.folder
    _write(folder / "tls.crt.new", reply.certificate.encode())
    (folder / "tls.crt.new").replace(identity.certificate_path)
    _sync_folder(folder)
    for name in ("pending.json", "bootstrap.key", "bootstrap.crt"):
        (folder / name).unlink(missing_ok=True)


def _check_certificate(identity: Identity, pem: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        own = load_pem_private_key(identity.key_path.read_bytes(), None).public_key()
        fits = [n.value for n in names] == [identity.probe] and certificate.public_key() == own
    except ValueError:
        fits = False
    if not fits:
        raise EnrolmentError(
            "the server's answer is not a certificate for this probe; ask the operator"
        )


def _new_tls_key() -> bytes:
    # Imported where needed: 8 MB that a running probe does not have to carry.
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _request_pem(key_pem: bytes) -> str:
    """Return a PKCS #10 request; its subject is empty, since the server decides the name."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = serialization.load_pem_private_key(key_pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = builder.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder with files at once: it is not there, or it is there whole."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.new")
    new.mkdir(mode=0o700)
    for name, data in files.items():
        _write(new / name, data)
    _sync_folder(new)
    new.rename(folder)
    _sync_folder(folder.parent)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
