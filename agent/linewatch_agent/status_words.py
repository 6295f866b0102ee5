"""The agent's status in words, for whoever hosts the probe. Knows nothing but the data. Pure."""

from collections.abc import Iterator
from typing import Any

from msgspec import convert

from linewatch_agent.last_words import LastWords
from linewatch_core.verdict import LineVerdict, TargetVerdict

DAYS_TOLD_MAX = 1000
"""Beyond that, years say enough."""


def in_words(status: dict[str, Any]) -> str:
    """Return a status for a person to read."""
    return "\n".join(_words(status))


def stopped_in_words(store: dict[str, Any]) -> str:
    """Return for a person what a store keeps whose agent does not run."""
    total = sum(store["committed"].values())
    size = f"{total} records ever, {store['bytes'] / 1e6:.1f} MB"
    backlog = f"{store['backlog']} records not yet at the server"
    doctor = "What keeps the agent from running: linewatch-agent doctor"
    return f"Nothing is being measured.\nStore        {size}\nBacklog      {backlog}\n{doctor}"


def _words(status: dict[str, Any]) -> Iterator[str]:
    yield f"Probe {status['probe']}, release {status['version']}"
    yield f"Running for {_duration(status['uptime_s'])}"
    yield f"Its light: {_light_words(status['led'])}"
    if status["last_end"] is not None:
        yield f"Its last bad end: {convert(status['last_end'], LastWords).in_words()}"
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
    since = "" if line["verdict_s"] is None else f" for {_duration(line['verdict_s'])}"
    yield f"{line['id']:<12} {line['kind']}, {verdict}{since}; {how}"
    if line["operator"]:
        yield f"             operator {line['operator']}"
    if line["modem"]:
        yield from _modem_words(line["modem"])
    yield f"             {used:.1f} MB of data since the start, {_month_words(line)}"
    for target, target_verdict in sorted(line["target_verdicts"].items()):
        if target_verdict != TargetVerdict.OK:
            yield f"             {target}: {target_verdict}"
    for problem in line["problems"]:
        yield f"             {problem['text']}"
        if problem["remedy"]:
            yield f"             mend it with: {problem['remedy']}"


def _modem_words(modem: dict[str, Any]) -> Iterator[str]:
    yield f"             modem: {modem['words']}"
    if modem["advice"]:
        yield f"             what helps: {modem['advice']}"
    if modem["reset"]:
        ago = _duration(modem["reset"]["ago_s"])
        yield f"             {ago} ago: {modem['reset']['words']}"


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


def _light_words(led: dict[str, Any]) -> str:
    reasons = f" ({'; '.join(led['reasons'])})" if led["reasons"] else ""
    if led["problem"]:
        shown = f"; but the LED {led['led']} can't be driven: {led['problem']}"
    else:
        shown = "" if led["led"] else "; but this machine has no LED for it"
    return f"{led['means']}{reasons}{shown}"


def _month_words(line: dict[str, Any]) -> str:
    most = line["month_max_bytes"]
    of = "" if most is None else f" of {most / 1e6:.0f}"
    month = f"{line['month_bytes'] / 1e6:.1f}{of} MB this month"
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
    size = f"{total} records ever, {store['bytes'] / 1e6:.1f} MB ({share:.0f} % full){thinned}"
    return size if store["hold_days"] is None else f"{size}; {_room_words(store['hold_days'])}"


def _room_words(days: int) -> str:
    """Return for how long an outage may last before anything is thinned."""
    if days > DAYS_TOLD_MAX:
        return f"room for {days // 365} years without the server"
    return f"room for {days} days without the server"


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
    if uplink["reached_ago_s"] is None:
        reached = "not reached since the start"
    else:
        reached = f"reached {_duration(uplink['reached_ago_s'])} ago"
    return f"{first}not connected: {problem}; {reached}; results are kept here meanwhile"


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
