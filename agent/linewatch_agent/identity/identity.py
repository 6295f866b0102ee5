"""Who this probe is: the files of its identity, and how they come to be.

Written whole or not at all. Knows no network and nothing of the store, to which
the first signing key goes.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec
from nacl.signing import SigningKey

from linewatch_agent.durable import sync_folder, write_synced, write_whole
from linewatch_core.enrolment import KEY_BYTES, Token
from linewatch_core.errors import LinewatchError, MalformedError
from linewatch_core.ids import ProbeId, parse_probe_id

FOLDER = "identity"


class EnrolmentError(LinewatchError):
    """This machine cannot become a probe as it is; the message says what to do."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """identity.json: what of the token stays, and the public half of our first key."""

    probe: str
    endpoints: tuple[str, ...]
    recipients: tuple[bytes, ...]
    ack_key: bytes
    authority: str
    signing_key: bytes


class Pending(msgspec.Struct, frozen=True, kw_only=True):
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


def load_identity(state: Path) -> Identity:
    """Return the identity in a state folder, or raise EnrolmentError."""
    folder = state / FOLDER
    path = folder / "identity.json"
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        probe = parse_probe_id(kept.probe)
        if any(len(key) != KEY_BYTES for key in (kept.ack_key, *kept.recipients)):
            raise MalformedError("a key of another length")
    except FileNotFoundError:
        raise EnrolmentError(
            f"cannot find an identity in {state}: this machine is not enrolled; run: "
            f"linewatch-agent enrol TOKENFILE --state {state}"
        ) from None
    except OSError as error:
        raise EnrolmentError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, MalformedError) as error:
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
    from linewatch_agent.identity import probe_key

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
        "pending.json": msgspec.json.encode(Pending(token=token.token, secret=token.secret)),
        "bootstrap.crt": token.certificate.encode(),
        "bootstrap.key": token.key.encode(),
        "tls.key": probe_key.new_key_pem(),
        "signing.seed": seed,
    }
    try:
        _write_folder(folder, files)
    except OSError as error:
        raise EnrolmentError(f"cannot write to {state}: {error.strerror}") from error
    return load_identity(state)


def keep_certificate(identity: Identity, pem: str) -> None:
    """Keep the certificate durably, then drop what only the enrolment needed."""
    folder = identity.folder
    write_whole(identity.certificate_path, pem.encode())
    for name in ("pending.json", "bootstrap.key", "bootstrap.crt"):
        (folder / name).unlink(missing_ok=True)


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder with files at once: it is not there, or it is there whole."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.new")
    new.mkdir(mode=0o700)
    for name, data in files.items():
        write_synced(new / name, data)
    sync_folder(new)
    new.rename(folder)
    sync_folder(folder.parent)
