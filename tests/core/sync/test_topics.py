"""Topics: each is built and taken apart the same way, and none other is ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.errors import MalformedError
from linewatch_core.ids import ProbeId
from linewatch_core.records import Stream
from linewatch_core.sync import topics

PROBE = ProbeId("abcdefgh234567ab")
TOKEN = "t-abcdefgh234567ab"


@pytest.mark.parametrize(
    ("topic", "client", "leaf"),
    [
        (topics.status(PROBE), PROBE, "status"),
        (topics.segments(PROBE, Stream.RAW), PROBE, "up/raw"),
        (topics.keys(PROBE), PROBE, "up/keys"),
        (topics.ack(PROBE), PROBE, "down/ack"),
        (topics.enrol_request(TOKEN), TOKEN, "up/enrol"),
        (topics.enrol_reply(TOKEN), TOKEN, "down/enrol"),
    ],
)
def test_what_is_built_is_taken_apart(topic: str, client: str, leaf: str) -> None:
    """A topic says whose it is at the level that a broker's access rule sees."""
    assert topics.parse(topic) == topics.Address(client, leaf)
    assert topic.split("/")[:3] == ["lw", "1", client]


def test_subscriptions_cover_the_topics() -> None:
    """The server's wildcards match each probe's topics, and only at the probe's level."""
    for stream in Stream:
        assert topics.segments(PROBE, stream).replace(PROBE, "+") in topics.ALL_SEGMENTS
    assert topics.status(PROBE).replace(PROBE, "+") == topics.ALL_STATUS
    assert topics.keys(PROBE).replace(PROBE, "+") == topics.ALL_KEYS
    assert topics.enrol_request(TOKEN).replace(TOKEN, "+") == topics.ALL_ENROL


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "lw/1",
        f"lw/1/{PROBE}",
        f"lw/2/{PROBE}/status",
        f"x/1/{PROBE}/status",
        "lw/1/+/status",
        "lw/1/#",
        "lw/1/ABCDEFGH234567AB/status",
        f"lw/1/{PROBE}\n/status",
        "lw/1/t-short/up/enrol",
        f"/lw/1/{PROBE}/status",
    ],
)
def test_what_is_not_ours(topic: str) -> None:
    """A foreign topic is refused with one line."""
    with pytest.raises(MalformedError, match=r"^not a topic of ours: [^\n]*$"):
        topics.parse(topic)


@given(st.text(max_size=120))
def test_any_text_is_a_topic_or_malformed(text: str) -> None:
    """No other error comes out."""
    try:
        client = topics.parse(text).client
    except MalformedError:
        client = PROBE
    assert client.isascii()
