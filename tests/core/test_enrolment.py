"""The token file and the messages of enrolment: round trips and damage."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.enrolment import (
    TOKEN_BYTES_MAX,
    Token,
    decode_reply,
    decode_request,
    decode_token,
    encode_token,
)
from linewatch_core.errors import LinewatchError, MalformedError

PEM = "-----BEGIN X-----\nabc+/=\n-----END X-----\n"
TOKEN = Token(
    format="linewatch-token-1",
    token="t-" + "a" * 16,
    probe="b" * 16,
    secret="s" * 43,
    expires=datetime(2026, 2, 1, 12, tzinfo=UTC),
    endpoints=("mqtts://a.example:8883", "wss://[2001:db8::7]:443"),
    recipients=(bytes(32), bytes(range(32))),
    ack_key=b"k" * 32,
    authority=PEM,
    certificate=PEM,
    key=PEM,
)
TEXT = encode_token(TOKEN)


def test_a_token_is_read_back() -> None:
    """What the server writes is what the probe reads."""
    assert decode_token(TEXT) == TOKEN


def test_line_ends_of_another_system_do_no_harm() -> None:
    """A token that went through a Windows mail program still works."""
    assert decode_token(TEXT.replace("\n", "\r\n")) == TOKEN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not an enrolment token: it does not say linewatch-token-1"),
        ("x" * (TOKEN_BYTES_MAX + 1), "longer than"),
        (TEXT[:400], "is damaged"),
        (TEXT.replace("secret", "sekret"), "missing required field `secret`"),
        (TEXT.replace('"t-aaaa', '"t-AAAA'), "not a token id"),
        (TEXT.replace('"bbbb', '"BBBB'), "not a probe id"),
        (TEXT.replace("+00:00", ""), "without a time zone"),
        (TEXT.replace('["mqtts://a.example:8883", "wss://[2001:db8::7]:443"]', "[]"), "endpoints"),
    ],
)
def test_damage_is_said_in_one_line(text: str, said: str) -> None:
    """A person who copied half a file learns that it is half a file."""
    with pytest.raises(MalformedError) as caught:
        decode_token(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(at=st.integers(0, len(TEXT)), put=st.text(max_size=3), cut=st.integers(0, 3))
def test_any_text_is_a_token_or_refused(at: int, put: str, cut: int) -> None:
    """Damaged files raise our own errors only."""
    try:
        decode_token(TEXT[:at] + put + TEXT[at + cut :])
    except LinewatchError:
        return


@given(data=st.one_of(st.binary(max_size=100), st.just(b"[" * 8_000), st.just(b'{"csr":"\xff"}')))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    """What comes from the network raises our own errors only."""
    for decode in (decode_request, decode_reply):
        try:
            decode(data)
        except LinewatchError:
            continue
