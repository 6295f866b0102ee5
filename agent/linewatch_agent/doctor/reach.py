"""Can the server be reached, and does each resolver answer? Only when it is asked for.

The only part of the doctor that sends anything: a question for the server's own name to
each resolver of each line, and one MQTT connection for each line and endpoint.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import aiomqtt

from linewatch_agent.doctor.findings import Finding, note, ok, problem
from linewatch_agent.identity.identity import EnrolmentError, Identity, load_identity
from linewatch_agent.lines.connect import connect_over, names_resolved_by
from linewatch_agent.mqtt.client import LineClient
from linewatch_agent.mqtt.connect_problem import connect_problem
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.mqtt.opening import BUDGET_S, MakeSocket, open_socket
from linewatch_agent.mqtt.versions import connected
from linewatch_agent.plan.endpoint import Endpoint, parse_endpoint
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.settings import UplinkConfig
from linewatch_core.errors import MalformedError


async def network(
    state: Path,
    config: UplinkConfig,
    lines: Sequence[Line],
    *,
    dns_port: int = 53,
    budget_s: float = BUDGET_S,
) -> AsyncIterator[Finding]:
    """Try every resolver, and every endpoint over every line."""
    try:
        who = load_identity(state)
    except EnrolmentError:
        yield note("server", "not tried: this machine is not enrolled")
        return
    endpoints = [parse_endpoint(text) for text in config.endpoints or who.endpoints]
    usable = [line for line in lines if line.usable]
    for host in sorted({endpoint.host for endpoint in endpoints if endpoint.needs_dns}):
        for line in usable:
            for resolver in line.resolvers:
                yield await asyncio.to_thread(_resolver, line, resolver, host, dns_port)
    ways: list[tuple[str, MakeSocket]] = [("the machine's own routing", open_socket)]
    if config.bind == "lines":
        ways = [(line.id, connect_over(line, dns_port=dns_port)) for line in usable]
    for endpoint in endpoints:
        for name, make_socket in ways:
            yield await _server(who, endpoint, name, make_socket, budget_s)


def _resolver(line: Line, resolver: str, host: str, dns_port: int) -> Finding:
    found = names_resolved_by(line, resolver, host, dns_port=dns_port)
    if found:
        return ok("resolver", f"{line.id}: {resolver} knows the server's name")
    text = f"{line.id}: {resolver} does not answer, or not with the server's address"
    return problem("resolver", text, "name another in resolvers = [...] of this [[line]]")


async def _server(
    who: Identity, endpoint: Endpoint, way: str, make_socket: MakeSocket, budget_s: float
) -> Finding:
    where = f"{endpoint} over {way}"
    if not who.certificate_path.exists():
        return note("server", f"{where}: not tried, the certificate is not here yet")
    try:
        tls = tls_context(
            authority_pem=who.authority_pem, certificate=who.certificate_path, key=who.key_path
        )
        # An id of its own: with the probe's, the agent's connection would be ended.
        make = partial(
            LineClient,
            endpoint,
            tls=tls,
            identifier=secrets.token_hex(8),
            make_socket=make_socket,
            budget_s=budget_s,
        )
        async with connected(endpoint, make):
            return ok("server", f"{where}: answers")
    except aiomqtt.MqttError as error:
        return problem("server", f"{where}: {connect_problem(error)}", "try another line first")
    except (OSError, MalformedError) as error:
        return problem("server", f"{where}: {error}", "enrol again with a new token")
