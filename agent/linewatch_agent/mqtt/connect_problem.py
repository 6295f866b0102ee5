"""Why a connection to the broker failed: a kind to act on, and a line for people.

One table for what ssl, socket and aiomqtt say, one for the broker's own refusals. No
text holds an address. Source: MQTT 5 section 2.4, which paho puts 3.1.1's codes into.
"""

from dataclasses import dataclass
from enum import StrEnum

import aiomqtt


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


REFUSALS = frozenset({ProblemKind.CREDENTIALS, ProblemKind.BUSY, ProblemKind.UNFIT})
"""What a broker can say in the middle of a session: that it will not go on with this one."""


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
     "what answered does not speak MQTT: ask the operator"),
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

_WORDS = (
    ({0x86, 0x87, 0x8A, 0x8C}, ProblemKind.CREDENTIALS, _UNWANTED),
    ({0x88, 0x89, 0x93, 0x96, 0x97, 0x9F}, ProblemKind.BUSY,
     "the server is busy or is being restarted: it is tried again later"),
    # With patience, or two cards of one probe would take it from each other for ever.
    ({0x8E}, ProblemKind.BUSY,
     "another computer uses this probe's identity: tell the operator"),
    # Shutting down, keep alive, kicked, connected for too long: as if it had hung up.
    ({0x00, 0x04, 0x8B, 0x8D, 0x98, 0xA0}, ProblemKind.UNREACHED,
     "the server ended the connection: it is tried again"),
    # Where to is not followed: whoever can say it could lead a probe away.
    ({0x9C, 0x9D}, ProblemKind.UNFIT,
     "the server says that it has moved: ask the operator for its new endpoints"),
    ({0x95}, ProblemKind.UNFIT,
     "this broker does not take messages as large as ours: ask the operator"),
)  # fmt: skip
"""MQTT 5's reason codes -> what they mean; a code that is not here: it can't serve us."""
_PUBLISH_WORDS = (
    ({0x86, 0x87, 0x8A, 0x8C}, ProblemKind.CREDENTIALS,
     "the server takes nothing from this probe: ask for a new token"),
    ({0x88, 0x89, 0x93, 0x96, 0x97, 0x9F}, ProblemKind.BUSY,
     "the broker takes no more of this probe for now: it is tried again later"),
)  # fmt: skip
"""The same where they mean something else, said of a message."""


class Place(StrEnum):
    """Where a broker said no."""

    CONNECT = "connect"
    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    SESSION = "session"
    """By a DISCONNECT of its own."""


class RefusedError(aiomqtt.MqttError):
    """The broker said no, by a reason code of MQTT 5 (0x80 to 0xA2; a DISCONNECT's may be 0)."""

    def __init__(self, place: Place, code: int) -> None:
        self.place = place
        self.code = code
        self.problem = refusal_problem(place, code)
        super().__init__(self.problem.text)


def refusal_problem(place: Place, code: int) -> Problem:
    """Return what a broker's refusal means.

    Args:
        code: MQTT 5's reason code.
    """
    is_publish = place is Place.PUBLISH
    for codes, kind, text in (*_PUBLISH_WORDS, *_WORDS) if is_publish else _WORDS:
        if code in codes:
            return Problem(kind, text)
    what = "refuses what this probe sends" if is_publish else "cannot serve this probe"
    return Problem(ProblemKind.UNFIT, f"the broker {what} (0x{code:02x}): ask the operator")


def problem_of(error: BaseException) -> Problem:
    """Return what an error of a connection means, or what caused it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RefusedError):
            return cause.problem
        cause = cause.__cause__
    text = str(error).lower()
    for clue, kind, meaning in _CLUES:
        if clue in text:
            return Problem(kind, meaning)
    return Problem(ProblemKind.UNREACHED, "the server could not be reached")


def connect_problem(error: BaseException) -> str:
    """Say in one line, with what to do, why a connection failed; holds no address."""
    return problem_of(error).text
