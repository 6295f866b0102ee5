"""Who joins the fleet and who leaves it: tokens, certificates, revocation.

Serves two callers: the operator's commands, and the ingest, which hands on what
arrives on the topics of enrolment. Any bytes get a reply, never an exception.
Source: docs/decisions/0004-enrolment-over-mqtt.md.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from linewatch_core.enrolment import (
    TOKEN_FORMAT,
    EnrolReply,
    EnrolRequest,
    Token,
    decode_request,
    encode_token,
)
from linewatch_core.errors import MalformedError
from linewatch_core.ids import PROBE_RANDOM_BYTES, ProbeId, probe_id_from_random
from linewatch_server.broker.files import (
    load_authority,
    restart_broker,
    write_broker_files,
    write_revocations,
)
from linewatch_server.fleet.keys import read_ack_public_key, read_recipients
from linewatch_server.fleet.pki import Authority, parse_request, serial_of
from linewatch_server.fleet.registry import Probe, Registry, TokenEntry
from linewatch_server.settings import Layout, SetupError, load_settings

log = structlog.get_logger()

TOKEN_DAYS = 30
TOKEN_DAYS_MAX = 366
LABEL_CHARACTERS_MAX = 80
USED = "token already used: ask the operator for a new one"


def enrol(directory: Path, *, label: str, now: datetime, days: int = TOKEN_DAYS) -> str:
    """Register a new probe and return the text of its token file.

    Args:
        label: what the operator will call it; one line, stays on the server.
        days: how long the token can be used, 1 to 366.
    Raises:
        SetupError: bad arguments, or the directory is not a server's.
    """
    if not label.isprintable() or not 0 < len(label.strip()) <= LABEL_CHARACTERS_MAX:
        raise SetupError(
            f"cannot enrol: the label must be one line of 1 to {LABEL_CHARACTERS_MAX} characters"
        )
    if not 1 <= days <= TOKEN_DAYS_MAX:
        raise SetupError(f"cannot enrol: days must be 1 to {TOKEN_DAYS_MAX}, not {days}")
    settings = load_settings(directory)
    layout = Layout(directory)
    authority = load_authority(layout)
    expires = (now + timedelta(days=days)).replace(microsecond=0)
    token_id = "t-" + base64.b32encode(secrets.token_bytes(10)).decode().lower()
    pair = authority.issue_client(token_id, not_after=expires)
    token = Token(
        format=TOKEN_FORMAT,
        token=token_id,
        probe=probe_id_from_random(secrets.token_bytes(PROBE_RANDOM_BYTES)),
        secret=secrets.token_urlsafe(32),
        expires=expires,
        endpoints=settings.public.endpoints,
        recipients=read_recipients(layout),
        ack_key=read_ack_public_key(layout),
        authority=authority.certificate_pem.decode(),
        certificate=pair.certificate_pem.decode(),
        key=pair.key_pem.decode(),
    )
    entry = TokenEntry(
        token=token_id,
        probe=ProbeId(token.probe),
        secret_sha256=_hash(token.secret),
        serial=serial_of(pair.certificate_pem),
        expires_at=expires,
        used_at=None,
    )
    Registry(layout.registry).add_token(entry, label=label.strip(), now=now)
    return encode_token(token)


def answer(
    request: bytes, *, token: str, registry: Registry, authority: Authority, now: datetime
) -> bytes:
    """Answer what arrived on the request topic of `token`; never raises for what it says.

    A repeat with the same key gets the same certificate, since a reply can be lost.

    Args:
        token: from the topic, where the broker lets only the token's certificate write.
    Returns:
        An EnrolReply as JSON, to be published on the token's reply topic.
    """
    try:
        certificate = _decide(decode_request(request), token, registry, authority, now)
    except MalformedError as error:
        log.warning("enrolment_refused", token=token[:18], reason=str(error))
        return msgspec.json.encode(EnrolReply(error=str(error)))
    return msgspec.json.encode(EnrolReply(certificate=certificate))


def revoke(directory: Path, *, probe: ProbeId, now: datetime) -> tuple[Probe, bool]:
    """Stop believing a probe and shut it out of the broker.

    From the return on, the registry says that it is not live. The broker is ended, and
    the running server starts it with the new access list: every probe reconnects.

    Returns:
        The probe, and whether a running broker was told: one that somebody else runs never is.
    Raises:
        SetupError: there is no such probe, or the broker runs as somebody else.
    """
    settings = load_settings(directory)
    layout = Layout(directory)
    registry = Registry(layout.registry)
    revoked = registry.revoke(probe, now=now)
    write_broker_files(layout, settings, registry)
    write_revocations(layout, registry)
    try:
        return revoked, restart_broker(layout)
    except PermissionError:
        raise SetupError(
            f"revoked {probe}, but cannot restart the broker: it runs as another user; restart "
            "the server to shut the probe out of the broker too"
        ) from None


def _decide(
    request: EnrolRequest, token: str, registry: Registry, authority: Authority, now: datetime
) -> str:
    entry = registry.token(token)
    known = entry is not None and hmac.compare_digest(entry.secret_sha256, _hash(request.secret))
    if entry is None or not known or request.token != token:
        raise MalformedError("token unknown: ask the operator for a new one")
    if entry.expires_at < now:
        raise MalformedError("token expired: ask the operator for a new one")
    csr = parse_request(request.csr.encode("utf-8", "replace"))
    probe = registry.probe(entry.probe)
    if probe is None or probe.revoked_at is not None:
        raise MalformedError("token revoked: ask the operator for a new one")
    if probe.certificate is None:
        certificate = authority.sign_request(csr, entry.probe, now=now)
        registry.complete(
            entry.token,
            certificate=certificate.decode(),
            serial=serial_of(certificate),
            key_der=csr.key_der,
            signing_key=request.signing_key,
            now=now,
        )
        log.info("probe_enrolled", probe=entry.probe)
        probe = registry.probe(entry.probe)
    # Also after issuing: another process may have been faster with another key.
    if probe is None or probe.certificate is None or probe.key_der != csr.key_der:
        raise MalformedError(USED)
    return probe.certificate


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
