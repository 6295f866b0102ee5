"""Why a connection to the broker failed: a kind to act on, and a line for people.

One table for what ssl, socket and aiomqtt say, one for the broker's own refusals. No
text holds an address. Source: MQTT 3.1.1 section 3.2.2.3, MQTT 5 section 3.2.2.2.
"""

from dataclasses import dataclass
from enum import StrEnum

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode


class ProblemKind(StrEnum):
    """What to do about it."""

    UNREACHED = "unreached"
    """Try the next way, and come back soon."""
    IMPOSTOR = "impostor"
    """Somebody answered in the server's place: the same, and tell people."""
    CREDENTIALS = "credentials"
    """This probe is not wanted: no try in quick succession helps, people must act."""
    BUSY = "busy"
    """The broker asks for patience: leave all its ports alone for a while."""
    UNFIT = "unfit"
    """This broker can't serve us at all: try the next way, and tell people."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind and a line for people, with what to do where they can do anything."""

    kind: ProblemKind
    text: str


_UNWANTED = "the server refused this probe's certificate: ask for a new token"
_INSTEAD = "something else than the server answered"
_LATE = "no answer in time"
_CLUES = (
    ("certificate expired", ProblemKind.CREDENTIALS,
     "this probe's certificate has expired: ask for a new token"),
    ("certificate revoked", ProblemKind.CREDENTIALS,
     "this probe's certificate was revoked: ask for a new token"),
    ("alert no application protocol", ProblemKind.IMPOSTOR, _INSTEAD),
    ("alert", ProblemKind.CREDENTIALS, _UNWANTED),
    ("hostname mismatch", ProblemKind.IMPOSTOR,
     "the server's certificate is for another name: ask the operator"),
    ("not valid for", ProblemKind.IMPOSTOR,
     "the server's certificate is for another name: ask the operator"),
    ("has expired", ProblemKind.IMPOSTOR,
     "the server's certificate has expired: ask the operator"),
    ("certificate verify failed", ProblemKind.IMPOSTOR,
     "somebody else answered in the server's place"),
    ("wrong version number", ProblemKind.IMPOSTOR, _INSTEAD),
    ("record layer failure", ProblemKind.IMPOSTOR, _INSTEAD),
    ("does not speak mqtt", ProblemKind.UNFIT,
     "what answered does not speak MQTT 3.1.1: ask the operator"),
    ("refused", ProblemKind.UNREACHED, "nothing listens at the server's address"),
    ("no answer: the connection", ProblemKind.UNREACHED, f"{_LATE}: no connection"),
    ("no answer: tls", ProblemKind.UNREACHED, f"{_LATE}: connected, but TLS was not answered"),
    ("no answer: websocket", ProblemKind.UNREACHED,
     f"{_LATE}: connected, but WebSocket was not answered"),
    ("no answer: mqtt", ProblemKind.UNREACHED, f"{_LATE}: connected, but MQTT was not answered"),
    ("websocket", ProblemKind.IMPOSTOR, _INSTEAD),
    ("timed out", ProblemKind.UNREACHED, _LATE),
    ("no answer", ProblemKind.UNREACHED, _LATE),
    ("no address here", ProblemKind.UNREACHED, "the server's name has no address here"),
)  # fmt: skip
"""What errors of ssl, socket and aiomqtt contain -> what it means; the first that fits."""

_BUSY = "the server is busy or is being restarted: it is tried again later"
_UNWANTED_CODES = frozenset({0x86, 0x87, 0x8A, 0x8C})
_BUSY_CODES = frozenset({0x88, 0x89, 0x8B, 0x93, 0x96, 0x97, 0x9F})
_MOVED_CODES = frozenset({0x9C, 0x9D})
_V3_CODES = {2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
"""MQTT 3.1.1's refusals as MQTT 5 counts them; of 1 (its version) paho tells no code."""


def refusal_problem(code: int) -> Problem:
    """Return what a refusal (CONNACK or SUBACK) means.

    Args:
        code: MQTT 5's reason code 0x80 to 0xA2, or MQTT 3.1.1's return code 2 to 5.
    """
    code = _V3_CODES.get(code, code)
    if code in _UNWANTED_CODES:
        return Problem(ProblemKind.CREDENTIALS, _UNWANTED)
    if code in _BUSY_CODES:
        return Problem(ProblemKind.BUSY, _BUSY)
    if code in _MOVED_CODES:
        # Where to is not followed: whoever can say it could lead a probe away.
        text = "the server says that it has moved: ask the operator for its new endpoints"
        return Problem(ProblemKind.UNFIT, text)
    return Problem(
        ProblemKind.UNFIT, f"the broker cannot serve this probe (0x{code:02x}): ask the operator"
    )


def problem_of(error: BaseException) -> Problem:
    """Return what an error of a connection attempt means."""
    if isinstance(error, aiomqtt.exceptions.MqttConnectError):
        code = error.rc.value if isinstance(error.rc, ReasonCode) else int(error.rc or 0)
        return refusal_problem(code)
    text = str(error).lower()
    for clue, kind, meaning in _CLUES:
        if clue in text:
            return Problem(kind, meaning)
    return Problem(ProblemKind.UNREACHED, "the server could not be reached")


def connect_problem(error: BaseException) -> str:
    """Say in one line, with what to do, why a connection failed; holds no address."""
    return problem_of(error).text
