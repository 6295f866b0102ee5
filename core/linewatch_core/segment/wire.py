"""Varints and a bounds-checked reader, for the clear part of segments and key messages.

Every number has exactly one valid spelling, so that equal meaning is equal
bytes. Bad bytes raise MalformedError. Source: docs/wire-format.md, "Numbers".
"""

from linewatch_core.errors import LimitError, MalformedError

NUMBER_MAX = 2**63 - 1
"""The greatest number on the wire: what a signed 64-bit column of a database holds."""
_VARINT_BYTES_MAX = 9


def varint(number: int) -> bytes:
    """Return 0..2^63-1 as LEB128: 7 bits a byte, least first, the top bit says "more".

    Raises:
        ValueError: the number is out of range (a caller's bug).
    """
    if not 0 <= number <= NUMBER_MAX:
        raise ValueError(f"cannot write {number}: a varint holds 0 to 2^63-1")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Reader:
    """Takes fields off the front of bytes; `subject` names them in errors."""

    __slots__ = ("_at", "_data", "_subject")

    def __init__(self, data: bytes, *, subject: str) -> None:
        self._data = data
        self._at = 0
        self._subject = subject

    @property
    def at(self) -> int:
        """How many bytes have been taken."""
        return self._at

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def take(self, count: int, field: str) -> bytes:
        """Return the next `count` bytes, or raise MalformedError."""
        if count > self.left:
            raise self.error(f"ends within its {field}")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self, field: str) -> int:
        """Return the next byte as 0..255, or raise MalformedError."""
        return self.take(1, field)[0]

    def varint(self, field: str) -> int:
        """Return the next varint, or raise MalformedError if it is cut, too long or padded."""
        number = 0
        for place in range(_VARINT_BYTES_MAX):
            byte = self.byte(field)
            number |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if byte == 0 and place:
                    raise self.error(f"{field} is spelled with needless bytes")
                return number
        raise LimitError(f"cannot read {self._subject}: {field} is above 2^63-1")

    def end(self) -> None:
        """Raise MalformedError unless everything was taken."""
        if self.left:
            raise self.error(f"{self.left} bytes follow its end")

    def error(self, reason: str) -> MalformedError:
        """Return (not raise) the MalformedError for `reason`."""
        return MalformedError(f"cannot read {self._subject}: {reason}")
