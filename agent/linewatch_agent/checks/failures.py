"""Failure names: what a check says when the network did not answer.

Names are OONI's (df-007, and netxlite's for errnos that df-007 leaves out).
What matches nothing becomes `unknown_failure: <scrubbed>`. The scrubber keeps
only what it knows to be harmless, so that an address or an identifier it has
never seen is dropped too: it fails closed.
Source: ooni/spec data-formats/df-007-errors.md; ooni/probe-cli netxlite.
"""

import errno
import re

GENERIC_TIMEOUT = "generic_timeout_error"
EOF = "eof_error"
INTERRUPTED = "interrupted"
PERMISSION_DENIED = "permission_denied"
ADDRESS_NOT_AVAILABLE = "address_not_available"
ADDRESS_FAMILY_NOT_SUPPORTED = "address_family_not_supported"

NO_DEVICE = "no_device"
NO_GATEWAY = "no_gateway"
NO_RESOLVER = "no_resolver"
HTTP_MALFORMED_REPLY = "http_malformed_reply"
DNS_MALFORMED_REPLY = "dns_malformed_reply"
DNS_INVENTED_ANSWER = "dns_invented_answer"
HTTP_UNEXPECTED_REDIRECT = "http_unexpected_redirect"
HTTP_UNEXPECTED_PAGE = "http_unexpected_page"
OWN_NETWORK = "own_network"
"""Our own names, where OONI has none: the line's device is gone, the line has no
next hop or name server of that family, the reply is not HTTP or DNS, a name that
can't exist has an address, a URL with a known answer leads elsewhere or gives
another one, or a name leads to the host's own network."""

ERRNO_FAILURES = {
    errno.EACCES: PERMISSION_DENIED,
    errno.EADDRNOTAVAIL: ADDRESS_NOT_AVAILABLE,
    errno.EAFNOSUPPORT: ADDRESS_FAMILY_NOT_SUPPORTED,
    errno.EAGAIN: "no_buffer_space",
    errno.ECONNABORTED: "connection_aborted",
    errno.ECONNREFUSED: "connection_refused",
    errno.ECONNRESET: "connection_reset",
    errno.EHOSTDOWN: "host_unreachable",
    errno.EHOSTUNREACH: "host_unreachable",
    errno.EINVAL: "invalid_argument",
    errno.EMFILE: "too_many_open_files",
    errno.EMSGSIZE: "message_size",
    errno.ENETDOWN: "network_down",
    errno.ENETRESET: "network_reset",
    errno.ENETUNREACH: "network_unreachable",
    errno.ENOBUFS: "no_buffer_space",
    errno.ENODEV: NO_DEVICE,
    errno.ENOPROTOOPT: "no_protocol_option",
    errno.ENXIO: NO_DEVICE,
    errno.EPERM: PERMISSION_DENIED,
    errno.EPIPE: "connection_reset",
    errno.ETIMEDOUT: GENERIC_TIMEOUT,
}
"""What the kernel says of a bound socket. `ping_group_range` closed is EACCES."""

UNKNOWN_PREFIX = "unknown_failure: "
SCRUBBED = "[scrubbed]"
_TEXT_LENGTH_MAX = 120
_WORDS_MAX = 16

_WORD = re.compile(r"[(\[]?[A-Za-z]+(?:_[A-Za-z]+)*[)\]]?[.,:;!]?", re.ASCII)
_SMALL_NUMBER = re.compile(r"-?[0-9]{1,3}[)\]]?[.,:;]?", re.ASCII)
_HEX_WORD = re.compile(r"[a-f]{2,}", re.ASCII | re.IGNORECASE)
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_LONG_HEX = re.compile(r"[0-9a-f]{8,}", re.ASCII | re.IGNORECASE)
_DIGITS_MAX = 3
_HARMLESS_HEX_WORDS = frozenset({"bad", "added", "failed"})


def os_failure(error: OSError) -> str:
    """Return the failure name of what the kernel reported.

    An OSError without an errno (raised by a library) counts by its type: a
    reset without one is asyncio's word for a peer that closed the connection.
    """
    if error.errno is not None and error.errno in ERRNO_FAILURES:
        return ERRNO_FAILURES[error.errno]
    if error.errno is None and isinstance(error, TimeoutError):
        return GENERIC_TIMEOUT
    if error.errno is None and isinstance(error, ConnectionResetError):
        return EOF
    return unknown_failure(error)


def errno_failure(number: int) -> str:
    """Return the failure name of an errno (of a queued ICMP error)."""
    return os_failure(OSError(number, errno.errorcode.get(number, "errno")))


def unknown_failure(error: BaseException) -> str:
    """Return `unknown_failure: ` and the scrubbed type and text of an exception."""
    return UNKNOWN_PREFIX + scrub(f"{type(error).__name__}: {error}")


def scrub(text: str) -> str:
    """Return `text` without anything that could be an address or an identifier.

    Kept are words of ASCII letters (joined by underscores) and the first number
    of up to three digits; every other word, of which host names, IPv4, IPv6 and
    MAC addresses, paths and long numbers are made, becomes `[scrubbed]`, and so
    does a word that could be hexadecimal. At most 16 words, 120 characters.
    """
    kept: list[str] = []
    number_seen = False
    for word in text.split()[:_WORDS_MAX]:
        if _is_harmless_word(word):
            kept.append(word)
        elif _SMALL_NUMBER.fullmatch(word) and not number_seen:
            number_seen = True
            kept.append(word)
        elif not kept or kept[-1] != SCRUBBED:
            kept.append(SCRUBBED)
    return " ".join(kept)[:_TEXT_LENGTH_MAX]


def scrub_path(path: str) -> str:
    """Return a URL's path with every segment that could identify someone as `*`.

    Kept are segments of ASCII letters, `.`, `_`, `-` and up to three digits, unless
    they could be one long hexadecimal number. At most 120 characters.
    """
    kept = (segment if _is_harmless_segment(segment) else "*" for segment in path.split("/"))
    return "/".join(kept)[:_TEXT_LENGTH_MAX]


def _is_harmless_segment(segment: str) -> bool:
    if not segment:
        return True
    if not _SEGMENT.fullmatch(segment) or sum(map(str.isdigit, segment)) > _DIGITS_MAX:
        return False
    return not _LONG_HEX.search(re.sub(r"[._-]", "", segment))


def _is_harmless_word(word: str) -> bool:
    if not _WORD.fullmatch(word):
        return False
    bare = word.strip("()[].,:;!").lower()
    return bare in _HARMLESS_HEX_WORDS or not _HEX_WORD.fullmatch(bare)
