"""Requests that get no answer: each with its HTTP status and one sentence for a person."""

from linewatch_core.errors import LinewatchError


class RefusedError(LinewatchError):
    """A request cannot be answered; the message says why and what to do."""

    status = 400


class NotFoundError(RefusedError):
    """What was asked for is not here."""

    status = 404


class WrongHostError(RefusedError):
    """The request was addressed to a name that is not this server's (DNS rebinding)."""

    status = 421
