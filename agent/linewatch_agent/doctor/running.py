"""Does the probe run: its service, its rounds, its clock?"""

from collections.abc import Iterator

from linewatch_agent import clock
from linewatch_agent.doctor.findings import Finding, note, ok, problem
from linewatch_agent.doctor.host import Host
from linewatch_agent.identity.enrol import CLOCK_FLOOR
from linewatch_agent.last_words import FILE, read_last_words

UNIT = "linewatch-agent.service"
RESTARTS_MANY = 3
_FIELDS = ("LoadState", "ActiveState", "UnitFileState", "NRestarts", "Result")
LOG = f"journalctl -u {UNIT} -n 50 tells why"


def service(host: Host) -> Iterator[Finding]:
    """Say whether systemd runs the agent, and how often it had to."""
    if not host.path("/run/systemd/system").exists():
        yield note("service", "no systemd here, so nothing restarts the agent")
        return
    said = host.say("systemctl", "show", UNIT, f"--property={','.join(_FIELDS)}")
    fields = dict(line.partition("=")[::2] for line in (said or "").splitlines())
    restarts = int(fields.get("NRestarts") or 0)
    match fields.get("LoadState"), fields.get("ActiveState"):
        case (None, _):
            yield note("service", "systemd does not answer", "systemctl status")
        case ("loaded", "active" | "activating") if restarts > RESTARTS_MANY:
            yield problem("service", f"it had to be restarted {restarts} times", LOG)
        case ("loaded", "active" | "activating" | "reloading"):
            yield ok("service", f"it runs; restarted {restarts} times")
        case ("loaded", "failed"):
            result = fields.get("Result", "unknown")
            yield problem("service", f"it has failed ({result})", f"{LOG}; it is tried again")
        case ("loaded", _):
            yield problem("service", "it is stopped", f"sudo systemctl start {UNIT}")
        case _:
            yield note("service", "not installed as a service of this machine")
            return
    if fields.get("UnitFileState") == "disabled":
        text = "it would not start again after a power cut"
        yield problem("service", text, f"sudo systemctl enable {UNIT}")


def last_end(host: Host) -> Iterator[Finding]:
    """Say how the last agent ended that ended badly, if one did."""
    last = read_last_words(host.state)
    if last is not None:
        said = f": {last.lines[-1]}" if last.lines else ""
        yield note("last end", f"{last.in_words()}{said}", f"sudo cat {host.state / FILE}")


def agent(host: Host) -> Iterator[Finding]:
    """Say whether the agent measures, and whether the server hears of it."""
    if host.status is None:
        yield problem("agent", "it does not run: nothing is being measured", f"{LOG}")
        return
    led = host.status["led"]
    if led["signal"] == "help":
        yield problem("agent", "; ".join(led["reasons"]), "see the other findings")
    else:
        rounds = host.status["round"]["rounds"]
        yield ok("agent", f"{rounds} rounds since its start")
    uplink = host.status["uplink"]
    if not uplink["enabled"]:
        yield ok("server", "turned off in the configuration; records leave on a stick")
    elif uplink["connected"]:
        yield ok("server", "connected")
    else:
        # It may be a shutdown, which no remedy here ends.
        text = f"not connected: {uplink['problem'] or 'trying'}; what is measured is kept"
        yield note("server", text, "linewatch-agent doctor --network tries every line")


def time(host: Host) -> Iterator[Finding]:
    """Say how well the probe knows what time it is."""
    kernel = clock.kernel_clock()
    known = None if host.status is None else host.status["clock"]
    if known is not None and known["disputed"]:
        text = "its sources contradict each other; records keep what each says"
        yield problem("clock", text, "timedatectl timesync-status; a server of your own may lie")
    elif known is not None and known["error_ms"] is not None:
        yield ok("clock", f"known to within {known['error_ms'] / 1000:.3g} s")
    elif kernel.synchronised:
        yield ok("clock", f"synchronised to within {kernel.error_ms / 1000:.3g} s")
    elif clock.utc_now() < CLOCK_FLOOR:
        text = f"it was never set: it says {clock.utc_now():%Y-%m-%d}. Records are dated later"
        yield problem("clock", text, "connect a line that works, or: sudo timedatectl set-time …")
    else:
        text = "nothing has told the time since the start; records are dated once something does"
        yield note("clock", text)
