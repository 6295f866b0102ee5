"""When packets leave a link: delay, rate, throttles and loss, in steps of given time."""

import pytest

from tests.lab.shaping import MIN_PACKETS, QUEUE_S_MAX, Bucket, Shape, Throttle

NEVER = 1.0
"""A dice that loses no packet."""


def test_a_packet_takes_its_time_on_the_wire_and_the_delay() -> None:
    """1,000 bytes at 8 kbit/s take a second each, one after the other, and then the delay."""
    shape = Shape(delay_s=0.5, rate_kbit=8)
    due = [shape.due_at(1000, 0.0, throttle=None, dice=NEVER) for _ in range(3)]
    assert due == [1.5, 2.5, 3.5]


def test_without_a_rate_only_the_delay_counts() -> None:
    """A burst leaves together."""
    shape = Shape(delay_s=0.25)
    assert [shape.due_at(1500, 4.0, throttle=None, dice=NEVER) for _ in range(2)] == [4.25, 4.25]


def test_a_full_queue_drops_the_tail_and_empties_again() -> None:
    """At 1,000 kbit/s a second's worth waits; later there is room again."""
    bucket = Bucket(1000)
    taken = [bucket.leaves_at(1250, 0.0) for _ in range(200)]
    kept = [at for at in taken if at is not None]
    assert len(kept) == pytest.approx(QUEUE_S_MAX / 0.01, abs=2)
    assert taken[-1] is None
    assert bucket.leaves_at(1250, kept[-1]) == pytest.approx(kept[-1] + 0.01)


def test_a_very_slow_queue_has_room_for_a_few_packets() -> None:
    """At 1 kbit/s, where a packet takes 12 s, some still pass."""
    bucket = Bucket(1)
    taken = [bucket.leaves_at(1500, 0.0) for _ in range(20)]
    assert MIN_PACKETS <= sum(at is not None for at in taken) <= MIN_PACKETS + 1


def test_a_throttle_does_not_hold_up_others() -> None:
    """What waits in a throttle leaves the link to the other connections."""
    shape = Shape(rate_kbit=8000, throttles={0: Throttle(8)})
    slow = [shape.due_at(1000, 0.0, throttle=0, dice=NEVER) for _ in range(2)]
    assert slow == [1.0, 2.0]
    assert shape.due_at(1000, 0.0, throttle=None, dice=NEVER) == pytest.approx(0.001)


@pytest.mark.parametrize(("dice", "lost"), [(0.0, True), (0.29, True), (0.3, False), (0.9, False)])
def test_loss_is_by_the_dice(dice: float, lost: bool) -> None:
    """A dice below the loss loses the packet."""
    due = Shape(loss=0.3).due_at(100, 0.0, throttle=None, dice=dice)
    assert (due is None) == lost


def test_each_flow_has_a_throttles_rate_for_itself() -> None:
    """Two connections take a second each for 1,000 bytes at 8 kbit/s, not two together."""
    throttle = Throttle(8)
    assert throttle.leaves_at(1000, 0.0, "one") == pytest.approx(1.0)
    assert throttle.leaves_at(1000, 0.0, "two") == pytest.approx(1.0)
    assert throttle.leaves_at(1000, 0.0, "one") == pytest.approx(2.0)
