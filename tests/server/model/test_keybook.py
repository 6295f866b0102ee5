"""The key book: only certified keys, in any order of arrival, the first successor stands."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.segment.keychain import KeyCertificate, certify_key
from linewatch_core.segment.signing import SigningKey, key_id
from linewatch_server.model.keybook import KeyBook
from tests.support.segments import PROBE, signing_key

KEYS = [signing_key(f"day {day}") for day in range(6)]
CHAIN = [
    certify_key(PROBE, old, new.public, position=at + 1)
    for at, (old, new) in enumerate(pairwise(KEYS))
]


def book(*certificates: KeyCertificate, root: SigningKey = KEYS[0]) -> KeyBook:
    """Return a book of one root that got the certificates one by one."""
    made = KeyBook()
    made.enrol(root.public)
    for certificate in certificates:
        made.certify([certificate])
    return made


@given(st.permutations(CHAIN), st.lists(st.sampled_from(CHAIN), max_size=4))
def test_certificates_in_any_order_and_number_give_the_chain(
    order: list[KeyCertificate], again: list[KeyCertificate]
) -> None:
    """Rotation messages may overtake each other, or come twice."""
    made = book(*order, *again)
    assert list(made.trusted()) == [key.id for key in KEYS]
    assert made.waiting == []


def test_a_missing_certificate_ends_the_trust_until_it_comes() -> None:
    """Keys behind a hole wait; nothing skips a day."""
    made = book(CHAIN[0], CHAIN[2], CHAIN[3])
    assert list(made.trusted()) == [KEYS[0].id, KEYS[1].id]
    assert len(made.waiting) == 2
    made.certify([CHAIN[1]])
    assert len(made.trusted()) == 5


def test_certificates_before_the_enrolment_wait_for_it() -> None:
    """Without a root nothing is trusted."""
    made = KeyBook()
    made.certify(CHAIN)
    assert made.trusted() == {}
    made.enrol(KEYS[0].public)
    assert len(made.trusted()) == 6


def test_a_second_successor_is_never_taken() -> None:
    """Whoever seizes a key that has a successor cannot name another one."""
    rival = signing_key("rival")
    forged = certify_key(PROBE, KEYS[0], rival.public, position=1)
    made = book(CHAIN[0], forged)
    assert rival.id not in made.trusted()
    assert made.waiting == []


def test_a_forged_signature_does_not_block_the_true_one() -> None:
    """A certificate that does not verify is not taken, and the real one still is."""
    forged = KeyCertificate(
        probe=PROBE,
        position=1,
        old_public=KEYS[0].public,
        new_public=signing_key("rival").public,
        signature=bytes(64),
    )
    assert list(book(forged, CHAIN[0]).trusted()) == [KEYS[0].id, KEYS[1].id]


def test_a_new_card_begins_a_chain_of_its_own() -> None:
    """Both chains are trusted; the newest card's last key is the newest."""
    made = book(CHAIN[0])
    other = signing_key("second card")
    made.enrol(other.public)
    made.enrol(KEYS[0].public)
    assert len(made.chains) == 2
    assert list(made.trusted())[-1] == key_id(other.public)
