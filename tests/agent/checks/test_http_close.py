"""A fetch that ends in the middle leaves no transport on the socket that it closes."""

import asyncio
import socket
import ssl
from pathlib import Path

from linewatch_agent.checks.tls import line_context
from linewatch_core.records import Check
from tests.agent.checks.lab import run_once
from tests.agent.checks.servers import issue, stream_server, tarpit


async def test_a_stalled_https_fetch_frees_its_descriptor(tmp_path: Path) -> None:
    """After the handshake the server is silent; the next socket with that number is usable."""
    identity = issue("localhost", address="127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(ssl.DER_cert_to_PEM_cert(identity.der).encode())
    context = line_context(ssl.create_default_context(cafile=str(tmp_path / "ca.pem")))
    loop = asyncio.get_running_loop()
    async with stream_server(tarpit, context=identity.server_context(tmp_path)) as port:
        url = f"https://127.0.0.1:{port}/"
        outcome = await run_once(Check.HTTP, "127.0.0.1", url=url, context=context, timeout_s=0.5)
        assert (outcome.failure, len(outcome.timings_us)) == ("generic_timeout_error", 3)
        taken = [socket.socket() for _ in range(8)]
        for sock in taken:
            loop.add_reader(sock, lambda: None)
            loop.remove_reader(sock)
            sock.close()
