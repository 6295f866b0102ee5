"""Groups of similar integers as bits: their least value, then Rice-coded excess.

Round-trip times are noise: byte-wise deflate spends more on them than they
hold (measured: 1.3 B a value in byte planes, 1.1 B so). One group is one
quantity of one series. Source: R. Rice, JPL 79-22; docs/wire-format.md.
"""

from collections.abc import Sequence

from linewatch_core.errors import MalformedError

UNIT = 10
"""A group whose values are all multiples of this (the RTT quantum) is stored divided by it."""
_CONSTANT = 15
"""In place of the Rice parameter: every value is the least value; nothing follows."""
_PREFIX_MAX = 10
"""A quotient this large is an outlier and leaves the unary code."""
_LEAST_ORDER = 10
_OUTLIER_ORDER = 4
"""Bits of an Elias-gamma number that are written as they are."""
_GAMMA_BITS_MAX = 68
"""Longer than any excess of one signed 64-bit number over another."""


class NumberWriter:
    """Collects groups; `finish` returns the bytes."""

    __slots__ = ("_bits", "_pending", "_pending_bits")

    def __init__(self) -> None:
        self._bits = bytearray()
        self._pending = 0
        self._pending_bits = 0

    def put(self, values: Sequence[int]) -> None:
        """Write one group; an empty one takes no bits."""
        if not values:
            return
        unit = UNIT if all(value % UNIT == 0 for value in values) else 1
        least = min(values) // unit
        excess = [value // unit - least for value in values]
        parameter = _best_parameter(excess)
        self._put_bits(int(unit == 1), 1)
        self._put_bits(int(least < 0), 1)
        self._put_gamma(abs(least), _LEAST_ORDER)
        self._put_bits(parameter, 4)
        if parameter != _CONSTANT:
            self._put_rice(excess, parameter)

    def finish(self) -> bytes:
        """Return what was written, padded to a byte with zero bits."""
        tail = -self._pending_bits % 8
        self._put_bits(0, tail)
        return bytes(self._bits)

    def _put_rice(self, numbers: Sequence[int], parameter: int) -> None:
        low = (1 << parameter) - 1
        # Gathered here and handed over at once: a call for each number doubles the time.
        bits = count = 0
        for number in numbers:
            quotient = number >> parameter
            if quotient < _PREFIX_MAX:
                length = quotient + 1 + parameter
                bits = bits << length | (1 << quotient + 1) - 2 << parameter | number & low
                count += length
                continue
            self._put_bits(bits, count)
            self._put_bits((1 << _PREFIX_MAX) - 1, _PREFIX_MAX)
            self._put_gamma(quotient - _PREFIX_MAX, _OUTLIER_ORDER)
            bits, count = number & low, parameter
        self._put_bits(bits, count)

    def _put_gamma(self, number: int, order: int) -> None:
        high = (number >> order) + 1
        length = high.bit_length()
        self._put_bits((1 << length) - 2, length)
        self._put_bits(high & (1 << length - 1) - 1, length - 1)
        self._put_bits(number & (1 << order) - 1, order)

    def _put_bits(self, value: int, count: int) -> None:
        self._pending = self._pending << count | value
        self._pending_bits += count
        whole, rest = divmod(self._pending_bits, 8)
        if whole:
            self._bits += (self._pending >> rest).to_bytes(whole, "big")
            self._pending &= (1 << rest) - 1
            self._pending_bits = rest


class NumberReader:
    """Reads groups back in the order in which they were written."""

    __slots__ = ("_at", "_bits")

    def __init__(self, data: bytes) -> None:
        # A text of 0 and 1: searching and slicing it is several times faster than bytes.
        self._bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
        self._at = 0

    def take(self, count: int) -> list[int]:
        """Return the next group, of `count` values; raise MalformedError if it is cut short."""
        if not count:
            return []
        unit = 1 if self._take_bits(1) else UNIT
        sign = -1 if self._take_bits(1) else 1
        least = sign * self._take_gamma(_LEAST_ORDER)
        parameter = self._take_bits(4)
        if parameter == _CONSTANT:
            return [least * unit] * count
        return [(least + self._take_rice(parameter)) * unit for _ in range(count)]

    def end(self) -> None:
        """Raise MalformedError unless only the padding is left."""
        left = len(self._bits) - self._at
        if left > 7 or self._take_bits(left):
            raise MalformedError("cannot read block: bits follow its last number")

    def _take_rice(self, parameter: int) -> int:
        quotient = self._take_ones(_PREFIX_MAX)
        if quotient == _PREFIX_MAX:
            quotient += self._take_gamma(_OUTLIER_ORDER)
        return quotient << parameter | self._take_bits(parameter)

    def _take_gamma(self, order: int) -> int:
        length = self._take_ones(_GAMMA_BITS_MAX)
        high = (1 << length | self._take_bits(length)) - 1
        return high << order | self._take_bits(order)

    def _take_ones(self, most: int) -> int:
        """Take one bits up to a zero bit, which is taken too, or `most` of them."""
        zero = self._bits.find("0", self._at, self._at + most)
        if zero < 0:
            self._take_bits(most)
            return most
        count, self._at = zero - self._at, zero + 1
        return count

    def _take_bits(self, count: int) -> int:
        end = self._at + count
        if end > len(self._bits):
            raise MalformedError("cannot read block: it ends within its numbers")
        taken = self._bits[self._at : end]
        self._at = end
        return int(taken, 2) if taken else 0


def _best_parameter(excess: Sequence[int]) -> int:
    """Return the parameter that takes the fewest bits, the least one of several.

    Begins near the mean and goes both ways until no further one can be better: above,
    the parameters' own bits alone are too many; below, the quotients, which only grow.
    """
    if not any(excess):
        return _CONSTANT
    count = len(excess)
    start = chosen = min(_CONSTANT - 1, (sum(excess) // count).bit_length())
    quotients = _quotient_bits(excess, start)
    fewest = quotients + count * start
    for parameter in range(start + 1, _CONSTANT):
        if count * parameter >= fewest:
            break
        bits = _quotient_bits(excess, parameter) + count * parameter
        if bits < fewest:
            fewest, chosen = bits, parameter
    for parameter in range(start - 1, -1, -1):
        if quotients > fewest:
            break
        quotients = _quotient_bits(excess, parameter)
        if quotients + count * parameter <= fewest:
            fewest, chosen = quotients + count * parameter, parameter
    return chosen


def _quotient_bits(excess: Sequence[int], parameter: int) -> int:
    # What an outlier costs about; its exact length does not matter for the choice.
    return sum([q if (q := number >> parameter) < 20 else 20 for number in excess])
