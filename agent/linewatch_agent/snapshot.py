"""The agent's status as data: what the `status` command shows, in words or as JSON.

Runs in the agent and reads its parts; status_words.py makes sentences of it.
"""

import os
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from linewatch_agent import clock
from linewatch_agent.modems.words import described
from linewatch_agent.plan.budget import month_cap_bytes
from linewatch_agent.plan.data_use import hold_days
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
        "pid": os.getpid(),
        "start_cpu_s": agent.start_cpu_s,
        "uptime_s": round(clock.mono_s() - agent.began_s),
        "mono_ms": now_ms,
        "enrolled": agent.identity.certificate_path.exists(),
        "led": agent.light.described(),
        "last_end": None if agent.last_words is None else to_builtins(agent.last_words),
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
    since_ms = agent.judge.since_ms(line_id)
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
        "verdict_s": None if since_ms is None else max(0, clock.mono_ms() - since_ms) // 1000,
        "target_verdicts": {
            target: verdict.value
            for target, verdict in agent.judge.target_verdicts(line_id).items()
            if verdict is not TargetVerdict.UNKNOWN
        },
        "month_bytes": agent.meter.ledger(line_id).spent_bytes,
        "month_left_s": agent.meter.ledger(line_id).remaining_ms // 1000,
        "month_max_bytes": month_cap_bytes(agent.plan.config, line.kind),
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
    if line_id not in latest:
        return None
    said = described(latest[line_id], advice=agent.modems.advice(line_id))
    return {**said, "reset": agent.repair.described(line_id)}


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
        "hold_days": _hold_days(agent),
        "segments": counts.segments,
        "thinned": counts.thinned,
        "dropped": agent.recorder.state.dropped,
        "problem": agent.recorder.state.problem,
    }


def _hold_days(agent: "Agent") -> int | None:
    """Return for how long at least the store could take all that is measured and not sent."""
    disk = os.statvfs(agent.identity.folder)
    return hold_days(
        agent.plan.config,
        agent.plan.targets,
        [line for line in agent.watcher.lines if line.usable],
        used_bytes=agent.recorder.state.counts.bytes,
        backlog=agent.machine.backlog() + agent.recorder.state.unsealed,
        free_bytes=disk.f_bavail * disk.f_frsize,
    )


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
        "reached_ago_s": None if state.reached_s is None else round(now_s - state.reached_s),
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
