"""Failure names, and a scrubber that nothing identifying gets through."""

import errno
import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.checks.failures import (
    errno_failure,
    os_failure,
    scrub,
    scrub_path,
    unknown_failure,
)

V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6).flatmap(
    lambda ip: st.sampled_from(
        [
            ip.compressed,
            ip.exploded,
            ip.compressed.upper(),
            f"[{ip.compressed}]",
            f"[{ip.compressed}]:443",
            f"{ip.compressed}%eth0",
            f"{ip.compressed}/64",
            f"::ffff:{ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)}",
            ip.reverse_pointer,
        ]
    )
)
MAC = st.binary(min_size=6, max_size=6).flatmap(
    lambda mac: st.sampled_from(
        [mac.hex(":"), mac.hex("-"), mac.hex(), mac.hex(".", 2), mac.hex(":").upper(), mac.hex(" ")]
    )
)
LONG_NUMBER = st.integers(min_value=10**6, max_value=10**18).flatmap(
    lambda n: st.sampled_from([str(n), f"+{n}", f"IMEI:{n}", f"{n:,}".replace(",", " ")])
)
IDENTIFIER = st.one_of(V4, V6, MAC, LONG_NUMBER)
AROUND = st.text(st.sampled_from("abcxyz ,:;()[]'\"<>=/-\n\té"), max_size=20)


def digits(text: str) -> list[str]:
    """Return what could be part of an identifier: words with a digit or a colon."""
    return [word for word in text.split() if re.search(r"[0-9:]", word.rstrip(":"))]


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (errno.ECONNREFUSED, "connection_refused"),
        (errno.ECONNRESET, "connection_reset"),
        (errno.EHOSTUNREACH, "host_unreachable"),
        (errno.ENETUNREACH, "network_unreachable"),
        (errno.ENETDOWN, "network_down"),
        (errno.ENODEV, "no_device"),
        (errno.EACCES, "permission_denied"),
        (errno.EPERM, "permission_denied"),
        (errno.ETIMEDOUT, "generic_timeout_error"),
    ],
)
def test_an_errno_has_its_name(number: int, name: str) -> None:
    """What the kernel says of a bound socket becomes OONI's name, or ours."""
    assert errno_failure(number) == name
    assert os_failure(OSError(number, "192.0.2.1 said so")) == name


def test_a_librarys_errors_without_errno_count_by_type() -> None:
    """asyncio's timer and its word for a closed connection have no errno."""
    assert os_failure(TimeoutError()) == "generic_timeout_error"
    assert os_failure(ConnectionResetError()) == "eof_error"


def test_an_unmatched_error_keeps_its_harmless_words() -> None:
    """The type and plain words survive, so that a new failure can be told from others."""
    name = unknown_failure(RuntimeError("parser gave up at 10.0.0.7 with code 12"))
    assert name == "unknown_failure: RuntimeError: parser gave up at [scrubbed] with code 12"
    name = unknown_failure(OSError(9, "Bad file descriptor"))
    assert name == "unknown_failure: OSError: [Errno 9] Bad file descriptor"


@given(AROUND, IDENTIFIER, AROUND)
def test_no_identifier_survives(before: str, identifier: str, after: str) -> None:
    """An address, MAC or long number is gone, whatever stands around it and in what form."""
    scrubbed = scrub(f"{before}{identifier}{after}")
    assert identifier not in scrubbed
    words = digits(scrubbed)
    assert len(words) <= 1
    assert all(re.fullmatch(r"-?[0-9]{1,3}[)\]]?[.,:;]?", word) for word in words)


@given(st.text(max_size=300))
def test_any_text_is_scrubbed_to_harmless_words(text: str) -> None:
    """Whatever the text, at most one small number and no other digit is left."""
    scrubbed = scrub(text)
    assert len(scrubbed) <= 120
    assert scrubbed.isascii()
    assert sum(map(str.isdigit, scrubbed)) <= 3
    assert scrub(scrubbed) == scrubbed


@given(IDENTIFIER.filter(lambda text: " " not in text))
def test_no_identifier_survives_in_a_path(identifier: str) -> None:
    """A redirect's path loses the segment that says who was redirected."""
    path = f"/portal/{identifier}/login.html"
    scrubbed = scrub_path(path)
    assert identifier not in scrubbed
    assert scrubbed.startswith("/portal/")
    assert scrubbed.endswith("/login.html")


def test_a_harmless_path_stays() -> None:
    """What tells one portal from another is kept."""
    assert scrub_path("/generate_204") == "/generate_204"
    assert scrub_path("/blocked/index-2.html") == "/blocked/index-2.html"
