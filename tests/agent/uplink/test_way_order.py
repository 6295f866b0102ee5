"""Which way comes next, as a table of what happened before."""

from linewatch_agent.mqtt.opening import open_socket
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_agent.uplink.way_order import Way, WayOrder

MQTTS = Endpoint("mqtts", "b.example", 8883)
WSS = Endpoint("wss", "b.example", 443)


def way(endpoint: Endpoint, line: str) -> Way:
    """Return a way."""
    return Way(endpoint, line, open_socket)


WAYS = [way(endpoint, line) for endpoint in (MQTTS, WSS) for line in ("fixed", "mobile")]
A, B, C, D = WAYS


def test_at_first_the_order_is_the_operators() -> None:
    """Endpoints first, each over every line."""
    assert WayOrder().order(WAYS, addresses={}) == [A, B, C, D]


def test_what_worked_is_first() -> None:
    """Until another works."""
    order = WayOrder()
    order.acked(D)
    assert order.order(WAYS, addresses={}) == [D, A, B, C]
    order.acked(B)
    assert order.order(WAYS, addresses={}) == [B, A, C, D]


def test_a_line_that_came_back_is_first_until_the_server_answers() -> None:
    """Its ways in their order, then the others."""
    order = WayOrder()
    order.acked(A)
    order.lively("mobile")
    assert order.order(WAYS, addresses={}) == [B, D, A, C]
    order.acked(B)
    assert order.order(WAYS, addresses={}) == [B, A, C, D]


def test_a_mute_way_is_last_the_more_often_the_later() -> None:
    """Also one that worked once; the next word of the server forgives all."""
    order = WayOrder()
    order.acked(A)
    order.mute(A)
    assert order.order(WAYS, addresses={}) == [B, C, D, A]
    for _ in range(2):
        order.mute(B)
    assert order.order(WAYS, addresses={}) == [C, D, A, B]
    order.acked(C)
    assert order.order(WAYS, addresses={}) == [C, A, B, D]


def test_where_the_server_was_met_is_tried_after_what_dns_says() -> None:
    """Once for each way by name; a way that has its address anyway gets no second."""
    order = WayOrder()
    pinned = way(Endpoint("mqtts", "b.example", 8883, "192.0.2.7"), "fixed")
    known = order.order([A, pinned], addresses={"b.example": "192.0.2.7", "else": "192.0.2.8"})
    assert known == [A, pinned]
    found = order.order([A, B], addresses={"b.example": "192.0.2.9"})
    assert found[:2] == [A, B]
    assert [str(one.endpoint) for one in found[2:]] == ["mqtts://b.example:8883?at=192.0.2.9"] * 2
