"""Our DNS messages against dnspython's: the same questions, the same answers."""

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.dns_message import Message, Query, make_query, read_reply
from linewatch_core.errors import MalformedError

NAME = "www.Example.org"
LABELS = st.text("abcxyz019-", min_size=1, max_size=63)
RECORDS = st.sampled_from(
    [
        ("A", ["192.0.2.1", "192.0.2.2", "192.0.2.1"]),
        ("AAAA", ["2001:db8::1", "::ffff:192.0.2.7"]),
        ("CNAME", ["other.example.org."]),
        ("TXT", ['"any words"']),
        ("MX", ["10 mail.example.org."]),
    ]
)


def reply_to(query: Query, *answers: dns.rrset.RRset) -> dns.message.Message:
    """Return a reply as a name server would make it."""
    made = dns.message.make_response(dns.message.from_wire(query.wire))
    made.answer = list(answers)
    return made


@given(st.lists(LABELS, min_size=1, max_size=3), st.sampled_from([4, 6]), st.integers(0, 65_535))
def test_a_question_is_what_dnspython_asks(labels: list[str], family: int, id: int) -> None:
    """Byte for byte, for any name, family and id."""
    name = ".".join(labels)
    kind = {4: "A", 6: "AAAA"}[family]
    assert (
        make_query(name, family, id=id).wire == dns.message.make_query(name, kind, id=id).to_wire()
    )


@pytest.mark.parametrize("name", ["a.example", "a" * 63 + ".example", "bücher.example"])
def test_a_padded_question_has_no_telling_length(name: str) -> None:
    """With EDNS padding every question is 128 bytes long, and dnspython reads it."""
    query = make_query(name, 4, id=7, pad_bytes=128)
    read = dns.message.from_wire(query.wire)
    assert len(query.wire) == 128
    assert read.question[0].name == dns.message.make_query(name, "A").question[0].name
    assert (read.edns, read.payload, read.id) == (0, 1232, 7)


@pytest.mark.parametrize(
    "name", ["", ".", "a..b", "x" * 64 + ".b", ".".join(["x" * 60] * 5), "\udc80"]
)
def test_a_name_that_dns_cannot_carry_is_refused(name: str) -> None:
    """Empty and overlong labels, overlong names and what IDNA does not know."""
    with pytest.raises(MalformedError):
        make_query(name, 4, id=1)


@given(st.lists(RECORDS, max_size=4), st.integers(0, 23), st.sampled_from([4, 6]), st.booleans())
def test_a_reply_says_what_dnspython_reads(
    records: list[tuple[str, list[str]]], rcode: int, family: int, truncated: bool
) -> None:
    """Any mix of records in answer and authority: the same addresses, code and flag."""
    query = make_query(NAME, family, id=99)
    sets = [dns.rrset.from_text(NAME + ".", 60, "IN", kind, *texts) for kind, texts in records]
    reply = reply_to(query, *sets)
    reply.authority = [dns.rrset.from_text("example.org.", 60, "IN", "NS", "ns.example.org.")]
    reply.use_edns(0)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    if truncated:
        reply.flags |= dns.flags.TC
    wire = reply.to_wire()
    theirs = dns.message.from_wire(wire)
    kind = dns.rdatatype.RdataType(query.type)
    addresses = [
        item.address for answer in theirs.answer if answer.rdtype == kind for item in answer
    ]
    ours = read_reply(query, wire)
    assert ours == Message(theirs.rcode(), tuple(dict.fromkeys(addresses)), truncated)


@given(st.data())
def test_a_damaged_reply_is_never_read_as_another(data: st.DataObject) -> None:
    """Flips and cuts: where dnspython reads a reply too, both read the same."""
    query = make_query(NAME, 4, id=0x1234)
    good = dns.rrset.from_text(NAME + ".", 60, "IN", "A", "192.0.2.1", "192.0.2.2")
    wire = bytearray(reply_to(query, good).to_wire())
    for _ in range(data.draw(st.integers(0, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(wire[: data.draw(st.integers(0, len(wire)))])
    try:
        ours = read_reply(query, damaged)
    except MalformedError:
        ours = None
    asked = dns.message.from_wire(query.wire)
    try:
        theirs = dns.message.from_wire(damaged, ignore_trailing=True)
        if not asked.is_response(theirs):
            return
    except dns.exception.DNSException:
        return
    found = [item.address for a in theirs.answer if a.rdtype == 1 and a.rdclass == 1 for item in a]
    assert ours is not None
    assert (ours.rcode, ours.addresses) == (theirs.rcode(), tuple(found))


def test_a_reply_to_another_question_is_none() -> None:
    """Another id, another name, another type, a question back: no reply to ours."""
    query = make_query(NAME, 4, id=5)
    for other in (
        make_query(NAME, 4, id=6),
        make_query("x.org", 4, id=5),
        make_query(NAME, 6, id=5),
    ):
        assert read_reply(query, reply_to(other).to_wire()) is None
    assert read_reply(query, query.wire) is None


def test_the_question_may_come_back_in_other_case() -> None:
    """Names have no case (RFC 1035): some servers answer in lower case."""
    query = make_query(NAME, 4, id=5)
    lower = query.wire[:2] + b"\x81\x80" + query.wire[4:].lower()
    assert read_reply(query, lower) == Message(0, (), False)


@pytest.mark.parametrize("rdata", [b"\1\2\3", b"\1\2\3\4\5"])
def test_an_address_of_another_length_is_malformed(rdata: bytes) -> None:
    """An A record has four bytes."""
    query = make_query(NAME, 4, id=5)
    head = query.wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query.question
    record = b"\xc0\x0c\0\1\0\1\0\0\0\0" + len(rdata).to_bytes(2, "big") + rdata
    with pytest.raises(MalformedError):
        read_reply(query, head + record)
