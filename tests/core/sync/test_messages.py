"""Status and ack: round trips, the ack's signature, and any bytes at all."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from linewatch_core.errors import LinewatchError, MalformedError, SignatureError
from linewatch_core.records import AnchorSource, Stream
from linewatch_core.sync.messages import (
    ACK_CONTEXT,
    MESSAGE_BYTES_MAX,
    Ack,
    Clock,
    Status,
    StreamAck,
    decode_status,
    encode_status,
    open_ack,
    sign_ack,
)

KEY = SigningKey(b"k" * 32)
OTHER = SigningKey(b"o" * 32)
EPOCH = "00112233445566aa"

STATUS = Status(
    state="online",
    conn=7,
    epoch=EPOCH,
    version="0.1.0",
    held={Stream.EV: (1, 9), Stream.RAW: (100, 4000)},
    backlog=3901,
    clock=Clock(120, AnchorSource.NTP),
)
ACK = Ack(
    probe="a" * 16,
    epoch=EPOCH,
    conn=7,
    birth=True,
    streams={Stream.RAW: StreamAck(900, ((5, 9), (20, 20))), Stream.EV: StreamAck(0)},
    server_ms=1_790_000_000_000,
    server_error_ms=12,
    spread_s=300,
    key="ab" * 8,
)


@pytest.mark.parametrize(("spread", "read"), [(None, 0), (0, 0), (3600, 3600), (3601, None)])
def test_an_acks_spread_is_an_hour_at_most(spread: int | None, read: int | None) -> None:
    """Absent it is none; a mistaken server can't send a fleet away for days."""
    body = json.loads(sign_ack(ACK, KEY))["msg"]
    del body["spread_s"]
    if spread is not None:
        body["spread_s"] = spread
    message = json.dumps(body).encode()
    signature = base64.b64encode(KEY.sign(ACK_CONTEXT + message).signature)
    data = b'{"msg":' + message + b',"sig":"' + signature + b'"}'
    if read is None:
        with pytest.raises(MalformedError):
            open_ack(data, KEY.verify_key)
    else:
        assert open_ack(data, KEY.verify_key).spread_s == read


def test_a_status_comes_back() -> None:
    """A birth with everything, and a will with almost nothing, survive the wire."""
    will = Status(state="lost", conn=7, epoch=EPOCH)
    assert decode_status(encode_status(STATUS)) == STATUS
    assert decode_status(encode_status(will)) == will


def test_a_status_is_plain_json() -> None:
    """An operator reads it with nothing but a subscription."""
    assert json.loads(encode_status(STATUS))["held"] == {"ev": [1, 9], "raw": [100, 4000]}


def test_a_reader_ignores_what_a_later_release_says_besides() -> None:
    """An unknown field is no reason to refuse a status."""
    later = json.loads(encode_status(STATUS)) | {"later": [1, 2]}
    assert decode_status(json.dumps(later).encode()) == STATUS


@pytest.mark.parametrize(
    "change",
    [
        {"state": "asleep"},
        {"conn": -1},
        {"conn": 2**63},
        {"conn": True},
        {"epoch": "../../etc"},
        {"held": {"ev": [3, 2]}},
        {"held": {"ev": [0, 2]}},
        {"held": {"logs": [1, 2]}},
        {"backlog": 1.5},
        {"clock": {"source": "gps"}},
    ],
)
def test_a_status_out_of_bounds_is_malformed(change: dict[str, object]) -> None:
    """No such value reaches the server's tables."""
    with pytest.raises(MalformedError):
        decode_status(json.dumps(json.loads(encode_status(STATUS)) | change).encode())


def test_an_ack_comes_back_to_the_one_who_knows_the_server() -> None:
    """The server's key opens its ack; another's does not."""
    data = sign_ack(ACK, KEY)
    assert open_ack(data, KEY.verify_key) == ACK
    with pytest.raises(SignatureError, match="not signed by this fleet's server"):
        open_ack(data, OTHER.verify_key)


def test_every_flipped_bit_of_an_ack_is_told() -> None:
    """No single bit of a signed ack can change unseen, in the message or around it."""
    data = sign_ack(ACK, KEY)
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises((SignatureError, MalformedError)):
            open_ack(bytes(flipped), KEY.verify_key)


def test_every_cut_of_an_ack_is_told() -> None:
    """A torn ack acknowledges nothing."""
    data = sign_ack(ACK, KEY)
    for length in range(len(data)):
        with pytest.raises((SignatureError, MalformedError)):
            open_ack(data[:length], KEY.verify_key)


def test_an_ack_is_signed_as_an_ack() -> None:
    """A signature over the same bytes in another role does not count."""
    envelope = json.loads(sign_ack(ACK, KEY))
    body = json.dumps(envelope["msg"], separators=(",", ":")).encode()
    plain = base64.b64encode(KEY.sign(body).signature).decode()
    forged = json.dumps({"msg": envelope["msg"], "sig": plain}, separators=(",", ":"))
    with pytest.raises(SignatureError):
        open_ack(forged.encode(), KEY.verify_key)


@pytest.mark.parametrize("holes", [((0, 3),), ((4, 3),), ((3, 901),)])
def test_a_hole_lies_within_what_is_acknowledged(holes: tuple[tuple[int, int], ...]) -> None:
    """Even a signed ack makes sense or is refused."""
    bad = Ack(
        probe="a" * 16,
        epoch=EPOCH,
        conn=1,
        birth=False,
        streams={Stream.RAW: StreamAck(900, holes)},
        server_ms=0,
        server_error_ms=0,
    )
    with pytest.raises(MalformedError, match="hole lies outside"):
        open_ack(sign_ack(bad, KEY), KEY.verify_key)


def test_a_message_has_a_greatest_size() -> None:
    """A flood is refused before it is parsed."""
    flood = b" " * (MESSAGE_BYTES_MAX + 1)
    with pytest.raises(MalformedError, match="is over 65536"):
        decode_status(flood)
    with pytest.raises(MalformedError, match="is over 65536"):
        open_ack(flood, KEY.verify_key)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)
NEAR_STATUS = st.fixed_dictionaries(
    {"state": st.just("online") | JSON, "conn": st.just(1) | JSON, "epoch": st.just(EPOCH) | JSON},
    optional={"held": JSON, "clock": JSON, "backlog": JSON, "version": JSON},
)
NEAR_ACK = st.fixed_dictionaries({"msg": JSON, "sig": st.just("AA==") | JSON})
ANYTHING = st.binary(max_size=200) | st.one_of(JSON, NEAR_STATUS, NEAR_ACK).map(
    lambda value: json.dumps(value).encode()
)


@given(ANYTHING)
def test_any_bytes_are_a_message_or_our_error(data: bytes) -> None:
    """No input makes a parser raise anything but Linewatch's own errors."""
    problem: Exception | None = None
    try:
        assert decode_status(data).conn >= 0
    except LinewatchError as error:
        problem = error
    with pytest.raises(LinewatchError):
        open_ack(data, KEY.verify_key)
    assert problem is None or "\n" not in str(problem)


def test_deep_nesting_is_our_error() -> None:
    """A tower of brackets does not overflow anything."""
    for text in (b"[" * 60_000, b'{"msg":' * 8_000, b'{"held":{"a":' * 5_000):
        with pytest.raises(LinewatchError):
            decode_status(text)
        with pytest.raises(LinewatchError):
            open_ack(text, KEY.verify_key)
