"""Every error that the core raises for bad bytes or bad values.

A parser of bytes from a network or a disk returns a value or raises one of
these, whatever the bytes are (fuzzed in tests/core). Callers catch
`LinewatchError` at the edge; anything else is a bug and crashes the process.
"""


class LinewatchError(Exception):
    """The base of all errors that Linewatch raises on purpose."""


def first_error(error: BaseException) -> BaseException:
    """Return the first plain exception in a group, or the exception itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class MalformedError(LinewatchError):
    """Bytes or text do not have the form that docs/wire-format.md gives."""


class LimitError(MalformedError):
    """A value is well formed but beyond a stated limit."""


class UnsupportedVersionError(MalformedError):
    """The bytes state a version that this release cannot read."""


class SignatureError(LinewatchError):
    """A signature does not belong to these bytes and that key."""


class UnknownKeyError(LinewatchError):
    """No key with that id is known or held here."""


class DecryptionError(LinewatchError):
    """Sealed bytes do not open with this key: altered, or sealed to someone else."""


class ChainError(LinewatchError):
    """A segment contradicts its neighbour in the chain."""
