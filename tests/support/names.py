"""A name server on loopback that knows one name."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.message
import dns.rcode
import dns.rrset

NAME = "broker.example"


@contextmanager
def name_server(
    answers: dict[str, list[str]], *, bind: str = "127.0.0.1"
) -> Iterator[tuple[int, list[str]]]:
    """Serve `answers` by record type; yield the port and the types that were asked."""
    asked: list[str] = []
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((bind, 0))

        def serve() -> None:
            while True:
                data, peer = sock.recvfrom(2048)
                if not data:
                    return
                query = dns.message.from_wire(data)
                kind = query.question[0].rdtype.name
                asked.append(kind)
                reply = dns.message.make_response(query)
                if answers.get(kind):
                    reply.answer = [dns.rrset.from_text(NAME + ".", 60, "IN", kind, *answers[kind])]
                else:
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                sock.sendto(reply.to_wire(), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1], asked
        finally:
            with socket.socket(family, socket.SOCK_DGRAM) as stop:
                stop.sendto(b"", sock.getsockname())
            thread.join()
