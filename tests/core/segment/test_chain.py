"""Segments follow each other, and keys follow keys."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.errors import (
    ChainError,
    LimitError,
    MalformedError,
    SignatureError,
    UnknownKeyError,
)
from linewatch_core.ids import BootId, ProbeId
from linewatch_core.segment.chain import CHAIN_START, check_follows, head_after
from linewatch_core.segment.header import Header, header_sha256, parse_header, sign_header
from linewatch_core.segment.keychain import (
    CERTIFICATES_MAX,
    KeyCertificate,
    certify_key,
    check_signer_order,
    encode_certificates,
    parse_certificates,
    verify_key_chain,
)
from linewatch_core.segment.segment import parse_segment
from tests.support.records import realistic_samples
from tests.support.segments import BOOT, PROBE, ChainBuilder, derived_bytes, signing_key

DAYS = ("monday", "tuesday", "wednesday", "thursday")


def three_headers() -> list[Header]:
    """Return the headers of a chain of three segments."""
    chain, records = ChainBuilder(), realistic_samples(30, 1)
    commits = (records[:10], records[10:20], records[20:])
    return [parse_segment(chain.close(commit)).header for commit in commits]


def certificates() -> list[KeyCertificate]:
    """Return Monday's word for Tuesday, and so on."""
    return [
        certify_key(PROBE, signing_key(old), signing_key(new).public, position=position)
        for position, (old, new) in enumerate(pairwise(DAYS), start=1)
    ]


def test_a_chain_of_three_follows() -> None:
    """Segments built one after the other are in order, and the head is after the last."""
    one, two, three = three_headers()
    check_follows(one, two)
    check_follows(two, three)
    assert one.previous_sha256 == CHAIN_START.previous_sha256
    assert head_after(three).next_seq == 31
    assert head_after(three).next_position == 3


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"probe": "a" * 16}, "another probe"),
        ({"epoch": "0" * 16}, "another epoch"),
        ({"stream": "ev"}, "another stream"),
        ({"position": 2}, "1 comes next"),
        ({"position": 1, "previous_sha256": b"x" * 32}, "another predecessor"),
        ({"first_seq": 12}, "begins with seq 12, expected 11"),
        ({"first_seq": 10}, "begins with seq 10, expected 11"),
    ],
)
def test_what_does_not_follow_is_told(change: dict[str, object], fragment: str) -> None:
    """Each way in which a segment can contradict the one before names itself."""
    one, two, _ = three_headers()
    with pytest.raises(ChainError, match=fragment):
        check_follows(one, replace(two, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("boot", [BOOT, BootId("0" * 32)])
def test_times_may_go_back(boot: BootId) -> None:
    """A change may be recorded after an event that came later, each in a segment of its own."""
    one, two, _ = three_headers()
    assert one.boot == BOOT
    check_follows(one, replace(two, boot=boot, mono_first_ms=0, mono_last_ms=5))


def test_the_hash_covers_the_signature() -> None:
    """Two headers that differ in their signature only have different hashes."""
    one = three_headers()[0]
    again = sign_header(one, signing_key("other"))
    assert header_sha256(replace(one, signature=again.signature)) != header_sha256(one)


def test_keys_follow_from_the_root() -> None:
    """A chain of certificates yields every key, root first, also after the wire."""
    parsed = parse_certificates(encode_certificates(certificates()))
    assert parsed == certificates()
    keys = verify_key_chain(signing_key("monday").public, parsed, probe=PROBE)
    assert list(keys.items()) == [(signing_key(d).id, signing_key(d).public) for d in DAYS]


def test_a_broken_key_chain_is_told() -> None:
    """Missing, swapped, foreign and returning keys raise ChainError."""
    root = signing_key("monday").public
    good = certificates()
    back = certify_key(PROBE, signing_key("thursday"), root, position=4)
    fork = certify_key(PROBE, signing_key("monday"), signing_key("x").public, position=2)
    for wrong, fragment in (
        (good[1:], "does not follow"),
        ([good[0], good[2]], "does not follow"),
        ([good[0], fork], "does not follow"),
        ([*good, back], "in the chain before"),
    ):
        with pytest.raises(ChainError, match=fragment):
            verify_key_chain(root, wrong, probe=PROBE)
    with pytest.raises(ChainError, match="another probe"):
        verify_key_chain(root, [replace(good[0], probe=ProbeId("a" * 16))], probe=PROBE)


def test_every_flipped_bit_of_a_certificate_is_told() -> None:
    """No altered certificate yields a key."""
    data = encode_certificates(certificates()[:1])
    for place in range(8 * len(data)):
        altered = bytearray(data)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises((MalformedError, ChainError, SignatureError)):
            verify_key_chain(
                signing_key("monday").public, parse_certificates(bytes(altered)), probe=PROBE
            )


@given(st.binary(max_size=300))
def test_noise_is_no_certificate(data: bytes) -> None:
    """Random bytes raise MalformedError only."""
    with pytest.raises(MalformedError, match="cannot read key certificates"):
        parse_certificates(data)


def test_certificates_have_limits() -> None:
    """Too many in one message, and position 0, are refused."""
    one = encode_certificates(certificates()[:1])
    with pytest.raises(LimitError, match="the limit is 512"):
        parse_certificates(one * (CERTIFICATES_MAX + 1))
    with pytest.raises(MalformedError, match="position 0 is the root's"):
        parse_certificates(one[:14] + bytes(4) + one[18:])
    with pytest.raises(ValueError, match="512 certificates at most"):
        encode_certificates(certificates()[:1] * (CERTIFICATES_MAX + 1))
    with pytest.raises(ValueError, match="position is 1 to"):
        certify_key(PROBE, signing_key(), derived_bytes("x"), position=0)


def test_an_erased_key_cannot_sign_later() -> None:
    """A segment by an older key after one by a newer key is told."""
    keys = verify_key_chain(signing_key("monday").public, certificates(), probe=PROBE)
    one, two, _ = three_headers()
    by_tuesday, by_monday = (
        sign_header(h, signing_key(d)) for h, d in ((one, "tuesday"), (two, "monday"))
    )
    check_signer_order(by_tuesday, sign_header(two, signing_key("thursday")), keys)
    check_signer_order(by_tuesday, sign_header(two, signing_key("tuesday")), keys)
    with pytest.raises(ChainError, match="signed by an erased key"):
        check_signer_order(by_tuesday, by_monday, keys)
    with pytest.raises(UnknownKeyError, match="no key"):
        check_signer_order(by_tuesday, sign_header(two, signing_key("stranger")), keys)


def test_a_header_that_breaks_its_own_rules_is_not_written() -> None:
    """A caller's bug in a header stops before it is signed."""
    one = three_headers()[0]
    for change in (
        {"first_seq": 0},
        {"last_seq": 0},
        {"mono_first_ms": -1},
        {"recipients": ()},
        {"position": 3},
    ):
        with pytest.raises(ValueError, match="cannot encode segment header"):
            sign_header(replace(one, **change), signing_key())


def test_noise_is_no_header() -> None:
    """A header with a byte after it is refused."""
    raw = ChainBuilder().close(realistic_samples(3, 1))
    with pytest.raises(MalformedError, match="bytes follow its end"):
        parse_header(raw)
