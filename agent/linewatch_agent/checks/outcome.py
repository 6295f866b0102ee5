"""What every check returns: a value, whatever happened on the network."""

from dataclasses import dataclass

from linewatch_core.details import Detail


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one check.

    Attributes:
        failure: OONI's failure name, or None if it answered.
        rtt_us: main time in µs, quantised to 10 µs; None if there is none.
        family: 4 or 6; 0 if no address was reached.
        address: the address measured, or None (unknown, or the host's own network's).
        timings_us: phases of an http check (records.HTTP_TIMINGS).
        detail: what else was seen.
        bytes_out, bytes_in: estimate of the bytes on the wire, IP headers included.
    """

    failure: str | None
    rtt_us: int | None = None
    family: int = 0
    address: str | None = None
    timings_us: tuple[int, ...] = ()
    detail: Detail | None = None
    bytes_out: int = 0
    bytes_in: int = 0
