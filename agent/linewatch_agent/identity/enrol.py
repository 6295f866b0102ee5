"""The probe's half of enrolment: from a token file to a certificate.

A token file is enough to begin measuring: the keys are made here, at once and
offline. The certificate follows when the server can be reached. Knows nothing
of the store. Source: docs/decisions/0004-enrolment-over-mqtt.md.
"""

import asyncio
import secrets
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import aiomqtt
import msgspec
import structlog

from linewatch_agent import clock
from linewatch_agent.identity import apart
from linewatch_agent.identity.identity import (
    EnrolmentError,
    Identity,
    Pending,
    keep_certificate,
    load_identity,
    prepare,
)
from linewatch_agent.mqtt.client import LineClient, OnBytes
from linewatch_agent.mqtt.connect_problem import connect_problem
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.mqtt.opening import BUDGET_S, MakeSocket, open_socket
from linewatch_agent.mqtt.versions import Versions, connected
from linewatch_agent.plan.endpoint import parse_endpoint
from linewatch_core.enrolment import (
    EnrolRequest,
    Token,
    decode_reply,
    decode_token,
)
from linewatch_core.errors import LinewatchError, MalformedError
from linewatch_core.sync import topics

log = structlog.get_logger()

_VERSIONS = Versions()
"""What endpoints speak, from one try to the next: they come every half a minute."""
CLOCK_FLOOR = datetime(2020, 1, 1, tzinfo=UTC)
"""A clock before this was never set, and cannot say that anything has expired."""


class _Unreachable(Exception):
    """No endpoint answered; not an error, since a line may come back. Carries why."""


async def enrol(token_path: Path, state: Path, *, make_socket: MakeSocket = open_socket) -> str:
    """Make this machine a probe, and return a line for whoever asked for it.

    Done again with the same token it goes on where it stopped.

    Raises:
        EnrolmentError: no such file, not a token, damaged, expired, refused, or this
            machine is a probe already.
    """
    identity = prepare_from(token_path, state)
    try:
        await _complete(identity, make_socket, BUDGET_S)
    except _Unreachable as reason:
        return (
            f"This machine is probe {identity.probe} and can measure from now on. Its certificate "
            f"will follow when the server can be reached ({reason})."
        )
    return f"This machine is probe {identity.probe}, and the server knows it."


def prepare_from(token_path: Path, state: Path) -> Identity:
    """Do the part of `enrol` that needs no line: all that measuring needs."""
    return prepare(_read_token(token_path, now=clock.utc_now()), state)


async def complete(
    state: Path,
    *,
    make_socket: MakeSocket = open_socket,
    budget_s: float = BUDGET_S,
    on_bytes: OnBytes = lambda **_: None,
) -> bool:
    """Get the certificate if it is not here yet; return whether it is now.

    Never raises for what the server or the line does: a probe measures without it.
    """
    try:
        await _complete(load_identity(state), make_socket, budget_s, on_bytes)
    except _Unreachable as reason:
        log.info("enrolment_waits", reason=str(reason))
    except LinewatchError as error:
        log.warning("enrolment_refused", reason=str(error))
    else:
        return True
    return False


def _read_token(path: Path, *, now: datetime) -> Token:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise EnrolmentError(f"cannot enrol with {path}: not an enrolment token") from None
    except OSError as error:
        raise EnrolmentError(f"cannot read {path}: {error.strerror}") from error
    return token_of(text, name=str(path), now=now)


def token_of(text: str, *, name: str, now: datetime) -> Token:
    """Return the token that a text holds, if it can be used at that time.

    Args:
        name: what to call the text in errors.
        now: by this computer's clock, which may never have been set.
    Raises:
        EnrolmentError: not a token, damaged or expired.
    """
    try:
        token = decode_token(text)
        for endpoint in token.endpoints:
            parse_endpoint(endpoint)
    except MalformedError as error:
        raise EnrolmentError(f"cannot enrol with {name}: {error}") from error
    if now > CLOCK_FLOOR and token.expires < now:
        raise EnrolmentError(
            f"cannot enrol with {name}: the token expired on {token.expires:%Y-%m-%d} by this "
            "computer's clock; ask the operator for a new one"
        )
    return token


async def _complete(
    identity: Identity,
    make_socket: MakeSocket,
    budget_s: float,
    on_bytes: OnBytes = lambda **_: None,
) -> None:
    """Ask at one endpoint after the other until there is an answer."""
    if identity.certificate_path.exists():
        return
    folder = identity.folder
    try:
        pending = msgspec.json.decode((folder / "pending.json").read_bytes(), type=Pending)
        csr = await apart.request_pem(identity.key_path.read_bytes())
        tls = tls_context(
            authority_pem=identity.authority_pem,
            certificate=folder / "bootstrap.crt",
            key=folder / "bootstrap.key",
        )
    except (OSError, ValueError, msgspec.DecodeError, MalformedError) as error:
        raise EnrolmentError(
            f"cannot complete the enrolment: what the token gave is damaged; remove {folder} and "
            "enrol with a new token"
        ) from error
    request = EnrolRequest(
        token=pending.token,
        secret=pending.secret,
        csr=csr,
        signing_key=identity.signing_public_key,
    )
    problem = "it has no endpoint"
    for text in identity.endpoints:
        endpoint = parse_endpoint(text)
        make = partial(
            LineClient,
            endpoint,
            tls=tls,
            identifier=secrets.token_hex(8),
            make_socket=make_socket,
            budget_s=budget_s,
            on_bytes=on_bytes,
        )
        try:
            async with connected(endpoint, make, versions=_VERSIONS) as client:
                answer = await _ask(client, pending.token, msgspec.json.encode(request), budget_s)
        except (aiomqtt.MqttError, OSError, TimeoutError) as error:
            problem = connect_problem(error)
            continue
        await _accept(identity, answer)
        return
    raise _Unreachable(problem)


async def _ask(client: LineClient, token: str, request: bytes, budget_s: float) -> bytes:
    await client.subscribe(topics.enrol_reply(token), qos=1)
    await client.publish(topics.enrol_request(token), request, qos=1)
    async with asyncio.timeout(budget_s):
        async for message in client.messages:
            return message.payload if isinstance(message.payload, bytes) else b""
    raise aiomqtt.MqttError("no answer")


async def _accept(identity: Identity, answer: bytes) -> None:
    reply = decode_reply(answer)
    if reply.certificate is None:
        raise EnrolmentError(f"the server refused to enrol this probe: {reply.error}")
    key_pem = identity.key_path.read_bytes()
    if not await apart.fits(reply.certificate, key_pem=key_pem, probe=identity.probe):
        raise EnrolmentError(
            "the server's answer is not a certificate for this probe; ask the operator"
        )
    keep_certificate(identity, reply.certificate)
