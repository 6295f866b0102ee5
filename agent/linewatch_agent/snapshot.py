"""The agent's status: as data for machines, and in words for people.

`snapshot` runs in the agent and reads its parts; `in_words` runs in the
`status` command and knows nothing but the data.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from linewatch_agent import clock
from linewatch_agent.modems.words import described
from linewatch_core.records import Sample, Stream
from linewatch_core.sync.messages import Clock
from linewatch_core.verdict import LineVerdict, TargetVerdict

if TYPE_CHECKING:
    from linewatch_agent.app import Agent


def snapshot(agent: "Agent") -> dict[str, Any]:
    """Return the present state of a running agent as JSON-able data; ms, s and bytes as named."""
    now_ms = clock.mono_ms()
    present = agent.timekeeper.present()
    return {
        "running": True,
        "probe": agent.identity.probe,
        "version": agent.version,
        "uptime_s": round(clock.mono_s() - agent.began_s),
        "mono_ms": now_ms,
        "enrolled": agent.identity.certificate_path.exists(),
        "lines": [_line(agent, line.id) for line in agent.watcher.lines],
        "round": {
            "ago_ms": _ago(now_ms, agent.sampler.state.round_ms),
            "period_s": agent.sampler.state.period_s or agent.plan.config.schedule.period_s,
            "rounds": agent.sampler.state.rounds,
            "missed": agent.sampler.state.missed,
        },
        "samples": [
            _sample(sample, family, now_ms)
            for (_, _, _, family), sample in sorted(agent.sampler.state.last.items())
        ],
        "store": _store(agent),
        "uplink": _uplink(agent),
        "clock": _clock(agent, present),
    }


def _line(agent: "Agent", line_id: str) -> dict[str, Any]:
    line = next(line for line in agent.watcher.lines if line.id == line_id)
    latest = [s for s in agent.sampler.state.last.values() if s.line == line_id]
    out, into = agent.sampler.line_bytes().get(line_id, (0, 0))
    return {
        "id": line.id,
        "kind": line.kind.value,
        "device": line.device,
        "usable": line.usable,
        "operator": line.operator or agent.modems.operator(line_id),
        "modem": _modem(agent, line_id),
        "verdict": agent.judge.verdicts().get(line_id, LineVerdict.UNKNOWN).value,
        "target_verdicts": {
            target: verdict.value
            for target, verdict in agent.judge.target_verdicts(line_id).items()
            if verdict is not TargetVerdict.UNKNOWN
        },
        "month_bytes": agent.meter.ledger(line_id).spent_bytes,
        "budget_step": agent.meter.allowance(line_id).step,
        "families": list(line.families),
        "problems": [
            {"code": p.code, "text": p.text, "remedy": p.remedy, "fatal": p.fatal}
            for p in line.problems
        ],
        "checks": len(latest),
        "answered": sum(sample.failure is None for sample in latest),
        "bytes_out": out + agent.backend.bytes_out[line_id],
        "bytes_in": into + agent.backend.bytes_in[line_id],
    }


def _modem(agent: "Agent", line_id: str) -> dict[str, Any] | None:
    latest = agent.modems.latest()
    return described(latest[line_id]) if line_id in latest else None


def _sample(sample: Sample, family: int, now_ms: int) -> dict[str, Any]:
    return {
        "line": sample.line,
        "target": sample.target,
        "check": sample.check.value,
        "family": family,
        "failure": sample.failure,
        "rtt_us": sample.rtt_us,
        "ago_ms": now_ms - sample.mono_ms,
    }


def _store(agent: "Agent") -> dict[str, Any]:
    counts = agent.recorder.state.counts
    committed = {stream.value: counts.committed[stream] for stream in Stream}
    return {
        "epoch": agent.store.epoch,
        "committed": committed,
        "acked": {s.value: min(agent.machine.acked_count(s), committed[s]) for s in Stream},
        "measured": agent.recorder.state.measured,
        "waiting": agent.recorder.state.waiting,
        "backlog": agent.machine.backlog() + agent.recorder.state.unsealed,
        "backlog_sealed": agent.machine.backlog(),
        "bytes": counts.bytes,
        "bytes_max": agent.plan.config.store.max_bytes,
        "segments": counts.segments,
        "thinned": counts.thinned,
        "dropped": agent.recorder.state.dropped,
        "problem": agent.recorder.state.problem,
    }


def _uplink(agent: "Agent") -> dict[str, Any]:
    state = agent.uplink.state
    now_s = clock.mono_s()
    return {
        "enabled": agent.plan.config.uplink.enabled,
        "connected": state.connected,
        "endpoint": state.endpoint,
        "line": state.line,
        "for_s": None if state.since_s is None else round(now_s - state.since_s),
        "last_ack_ago_s": None if state.last_ack_s is None else round(now_s - state.last_ack_s),
        "attempts": state.attempts,
        "problem": state.problem,
    }


def _clock(agent: "Agent", present: Clock) -> dict[str, Any]:
    return {
        "error_ms": present.error_ms,
        "source": None if present.source is None else present.source.value,
        "disputed": agent.timekeeper.utc().disputed,
        "utc_ms": agent.timekeeper.utc_ms(),
        "kernel_synchronised": clock.kernel_clock().synchronised,
    }


def _ago(now_ms: int, then_ms: int | None) -> int | None:
    return None if then_ms is None else max(0, now_ms - then_ms)


def in_words(status: dict[str, Any]) -> str:
    """Return a status for a person to read."""
    return "\n".join(_words(status))


def _words(status: dict[str, Any]) -> Iterator[str]:
    yield f"Probe {status['probe']}, running for {_duration(status['uptime_s'])}"
    yield ""
    if not status["lines"]:
        yield "No line found: see `linewatch-agent lines`"
    for line in status["lines"]:
        yield from _line_words(line)
    yield ""
    yield f"Last round   {_round_words(status['round'])}"
    yield f"Store        {_store_words(status['store'])}"
    if status["store"]["problem"]:
        yield f"             {status['store']['problem']}"
    if status["store"]["dropped"]:
        yield f"             {status['store']['dropped']} samples given up for want of memory"
    yield f"Backlog      {status['store']['backlog']} records not yet at the server"
    yield f"Uplink       {_uplink_words(status)}"
    yield f"Clock        {_clock_words(status['clock'])}"


def _line_words(line: dict[str, Any]) -> Iterator[str]:
    if line["checks"]:
        how = f"{line['answered']} of {line['checks']} checks answered"
    else:
        how = "not measured yet" if line["usable"] else "can't be measured"
    used = (line["bytes_out"] + line["bytes_in"]) / 1e6
    verdict = VERDICT_WORDS[LineVerdict(line["verdict"])]
    yield f"{line['id']:<12} {line['kind']}, {verdict}; {how}"
    if line["operator"]:
        yield f"             operator {line['operator']}"
    if line["modem"]:
        yield f"             modem: {line['modem']['words']}"
    yield f"             {used:.1f} MB of data since the start, {_month_words(line)}"
    for target, target_verdict in sorted(line["target_verdicts"].items()):
        if target_verdict != TargetVerdict.OK:
            yield f"             {target}: {target_verdict}"
    for problem in line["problems"]:
        yield f"             {problem['text']}"
        if problem["remedy"]:
            yield f"             mend it with: {problem['remedy']}"


VERDICT_WORDS = {
    LineVerdict.OK: "works",
    LineVerdict.POWER: "the probe was without power",
    LineVerdict.LINK: "no link: the cable, the router or the lease is gone",
    LineVerdict.MODEM: "the modem or its SIM is not ready",
    LineVerdict.RADIO_LOSS: "no radio network",
    LineVerdict.DATA_CUT: "mobile data is cut",
    LineVerdict.LINE_DEAD: "dead, while another line works",
    LineVerdict.INTL_CUT: "only domestic hosts answer",
    LineVerdict.ALLOW_LIST: "only a few hosts answer",
    LineVerdict.DARK: "nothing answers, on any line",
    LineVerdict.THROTTLED: "throttled",
    LineVerdict.PORTAL: "a login or payment page stands in the way",
    LineVerdict.UNKNOWN: "not judged yet",
}


def _month_words(line: dict[str, Any]) -> str:
    month = f"{line['month_bytes'] / 1e6:.1f} MB this month"
    return f"{month}, measuring less to save data" if line["budget_step"] else month


def _round_words(info: dict[str, Any]) -> str:
    if info["ago_ms"] is None:
        return f"none yet; one begins every {info['period_s']:g} s"
    missed = f", {info['missed']} missed" if info["missed"] else ""
    return (
        f"{info['ago_ms'] // 1000} s ago, one every {info['period_s']:g} s; "
        f"{info['rounds']} since the start{missed}"
    )


def _store_words(store: dict[str, Any]) -> str:
    total = sum(store["committed"].values())
    share = 100 * store["bytes"] / store["bytes_max"]
    thinned = f", {store['thinned']} segments thinned" if store["thinned"] else ""
    return f"{total} records ever, {store['bytes'] / 1e6:.1f} MB ({share:.0f} % full){thinned}"


def _uplink_words(status: dict[str, Any]) -> str:
    uplink = status["uplink"]
    if not uplink["enabled"]:
        return "turned off in the configuration"
    if uplink["connected"]:
        over = f" over {uplink['line']}" if uplink["line"] else ""
        ack = uplink["last_ack_ago_s"]
        heard = "the server is silent" if ack is None else f"server heard {ack} s ago"
        return f"connected{over} for {_duration(uplink['for_s'])}; {heard}"
    first = "" if status["enrolled"] else "not enrolled yet; "
    problem = uplink["problem"] or "trying"
    return f"{first}not connected: {problem}; results are kept here meanwhile"


def _clock_words(info: dict[str, Any]) -> str:
    if info["error_ms"] is None:
        return "unknown: no time source since this start; records are dated once one is found"
    error_s = info["error_ms"] / 1000
    shown = f"{error_s:.0f}" if error_s >= 100 else f"{error_s:.3g}"
    if info["disputed"]:
        return f"its sources contradict each other, by up to {2 * error_s:.3g} s; all are kept"
    return f"known to within {shown} s (from {info['source']})"


def _duration(seconds: int) -> str:
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(shown) or "0 s"
