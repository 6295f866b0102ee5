"""The conditions of a line's rules, with their thresholds beside them.

Each is a plain statement about one round's evidence; rules.py puts them in
order. Whoever changes one, or a threshold, raises its rule's version there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from linewatch_core.modem_words import Bearer, Registration, Sim
from linewatch_core.verdict.evidence import HostSet, LineEvidence

HOSTS_MIN = 3
"""Below so many hosts asked a set says nothing: one host's outage is no line's."""
UP_SHARE_MIN = 0.5
MOSTLY_DEAD_SHARE_MAX = 1 / 3
INTL_PROTOCOLS_MIN = 2
OPERATORS_MIN = 2
GATEWAY_MISSES_MIN = 2
"""One echo in vain may be a lost packet; of so many rounds in a row hardly any is."""
PORTAL_CHECKS_MIN = 2
SIGNAL_DROP_DB_MAX = 10.0
GOODPUT_RATIO_MAX = 0.2
GOODPUT_ANCHORS_MIN = 3

GONE = frozenset({"no_device", "device_gone"})
SWITCHED_OFF = frozenset({"down"})
NO_LINK = frozenset({"no_carrier", "no_address", "no_route"})
"""Problem codes of LineChanged. On a mobile line `NO_LINK` is the modem's to explain: the
network may have taken the session away."""


@dataclass(frozen=True, slots=True)
class View:
    """What a line's rules may look at: its own evidence, and that of the other lines."""

    own: LineEvidence
    others: Sequence[LineEvidence] = ()


# Sets of hosts


def measured(hosts: HostSet) -> bool:
    """Enough hosts of the set were asked by ICMP or TCP."""
    return len(hosts.hosts) >= HOSTS_MIN


def up(hosts: HostSet) -> bool:
    """At least half of the set answers by ICMP or TCP."""
    return measured(hosts) and hosts.share_up >= UP_SHARE_MIN


def dead(hosts: HostSet) -> bool:
    """None of the set answers by any protocol."""
    return measured(hosts) and not hosts.answering


def mostly_dead(hosts: HostSet) -> bool:
    """At most a third answers, by whatever protocol: else it is the protocol that is filtered."""
    shares = (good / total for total, good in (hosts.asked or {}).values())
    few = hosts.share_answering <= MOSTLY_DEAD_SHARE_MAX
    return measured(hosts) and few and all(share < UP_SHARE_MIN for share in shares)


def fine(line: LineEvidence) -> bool:
    """Both sets are up."""
    return up(line.domestic) and up(line.international)


def both_dead(line: LineEvidence) -> bool:
    """Neither set answers."""
    return dead(line.domestic) and dead(line.international)


def some_answers(line: LineEvidence) -> bool:
    """Any host of either set answers."""
    return bool(line.domestic.answering or line.international.answering)


# The line itself


def modem_gone(view: View) -> bool:
    """Modem gone, SIM missing or locked, or registration denied; and nothing answers."""
    own = view.own
    if not own.mobile or some_answers(own):
        return False
    if GONE & set(own.facts.problems):
        return True
    modem = own.facts.modem
    return modem is not None and (
        not modem.present
        or modem.sim in (Sim.MISSING, Sim.LOCKED)
        or modem.registration is Registration.DENIED
    )


def searching(view: View) -> bool:
    """SIM fine, and the modem searches for a network. Alone ambiguous: power or a shutdown."""
    modem = view.own.facts.modem
    return (
        modem is not None
        and modem.sim is Sim.READY
        and modem.registration is Registration.SEARCHING
        and not some_answers(view.own)
    )


def no_link(view: View) -> bool:
    """No carrier, no lease, no device, or switched off; and nothing answers.

    Hosts that answer prove that the line came back since it was last looked at.
    """
    problems = set(view.own.facts.problems)
    codes = SWITCHED_OFF if view.own.mobile else SWITCHED_OFF | NO_LINK | GONE
    return bool(problems & codes) and not some_answers(view.own)


def link_up(line: LineEvidence) -> bool:
    """Nothing is known to be wrong with the link."""
    return not set(line.facts.problems) & (SWITCHED_OFF | NO_LINK | GONE)


def gateway_mute(view: View) -> bool:
    """The gateway answers neither ARP nor ICMP in this round, and nothing answers behind it.

    Silence to ICMP alone counts only of a gateway that answered before, and not on a
    mobile line, whose next hop is the operator's own.
    """
    own, gateway = view.own, view.own.gateway
    silent = gateway.asked and not gateway.answered
    telling = gateway.no_arp or (gateway.misses is not None and not own.mobile)
    return silent and telling and not some_answers(own)


def gateway_silent(view: View) -> bool:
    """It answers no ARP; or no echo for the second round: the first may be a lost packet."""
    gateway = view.own.gateway
    long_enough = gateway.no_arp or (gateway.misses or 0) >= GATEWAY_MISSES_MIN
    return long_enough and gateway_mute(view)


def portal_page(view: View) -> bool:
    """Two vendors' checks are falsified, all on one page, and names that don't exist resolve.

    What was seen in an earlier round counts while the sets are not both up.
    """
    return portal_seen(view.own) and (view.own.portal.fresh or not fine(view.own))


def portal_in_doubt(view: View) -> bool:
    """A portal was seen in an earlier round, and now every set answers.

    Either it was paid for, or the portal answers for everybody: such a round says
    nothing, until the portal checks are due again.
    """
    return portal_seen(view.own) and not portal_page(view)


def portal_seen(line: LineEvidence) -> bool:
    """The last outcomes of all portal checks show one and the same page."""
    portal = line.portal
    return (
        portal.falsified >= PORTAL_CHECKS_MIN
        and portal.fine == 0
        and len(portal.pages) == 1
        and portal.random_resolves is not False
    )


# The network behind it


def bearer_refused(line: LineEvidence) -> bool:
    """The network refuses the data session."""
    modem = line.facts.modem
    return modem is not None and modem.bearer is Bearer.REFUSED


def no_local_cause(line: LineEvidence) -> bool:
    """The line's own parts work, as far as is known."""
    view = View(line)
    local = modem_gone(view) or no_link(view) or gateway_silent(view)
    return not local and not portal_seen(line)


def out(line: LineEvidence) -> bool:
    """Neither set answers or the network refuses the line, and nothing local explains it."""
    taken = (link_up(line) and both_dead(line)) or bearer_refused(line) or searching(View(line))
    return taken and no_local_cause(line)


def all_dark(view: View) -> bool:
    """This line's link is up and dead behind it, every line is out, over two operators."""
    lines = [view.own, *(line for line in view.others if no_local_cause(line))]
    operators = {line.operator for line in lines}
    here = link_up(view.own) and both_dead(view.own)
    return here and all(out(line) for line in lines) and len(operators) >= OPERATORS_MIN


def data_cut(view: View) -> bool:
    """Registered at home, signal as ever, and the bearer refused, or up with both sets dead."""
    own = view.own
    drop_db = own.signal_below_db
    if not own.registered_home or drop_db is None or abs(drop_db) > SIGNAL_DROP_DB_MAX:
        return False
    modem = own.facts.modem
    bearer_up = modem is not None and modem.bearer is Bearer.UP
    return bearer_refused(own) or (bearer_up and both_dead(own))


def dead_here_only(view: View) -> bool:
    """Link and gateway fine, both sets dead, while another line of the probe is fine."""
    return dead_alone(view) and any(fine(line) for line in view.others)


def dead_alone(view: View) -> bool:
    """The same, with no line that is fine to compare with: it may be more than this line."""
    return link_up(view.own) and both_dead(view.own)


def intl_cut(view: View) -> bool:
    """Domestic up, international dead over ICMP, TCP and UDP, of which two were tried."""
    abroad = view.own.international
    protocols = len(abroad.asked or {})
    return up(view.own.domestic) and dead(abroad) and protocols >= INTL_PROTOCOLS_MIN


def allow_list(view: View) -> bool:
    """International mostly dead, domestic partly up, and a small subset answers.

    That the subset is the same from round to round is the machine's to demand.
    """
    home, abroad = view.own.domestic, view.own.international
    if not mostly_dead(abroad) or not measured(home) or not home.answering:
        return False
    return bool(abroad.answering) or not up(home)


def goodput_low(line: LineEvidence) -> bool:
    """Goodput to three anchors, and to most of them, is below a fifth of its own normal."""
    ratios = line.goodput.ratios
    low = sum(ratio < GOODPUT_RATIO_MAX for ratio in ratios)
    return low >= GOODPUT_ANCHORS_MIN and 2 * low > len(ratios)


def throttled(view: View) -> bool:
    """Hosts answer, the signal is as ever, and goodput is low (for how long: settings)."""
    drop_db = view.own.signal_below_db
    steady = drop_db is None or abs(drop_db) <= SIGNAL_DROP_DB_MAX
    return goodput_low(view.own) and steady and up(view.own.international)


def all_fine(view: View) -> bool:
    """Both sets up, goodput not low."""
    return fine(view.own) and not goodput_low(view.own)


def fine_abroad(view: View) -> bool:
    """The same where the configuration names no domestic host at all: weaker, and says so."""
    own = view.own
    return own.domestic.configured == 0 and up(own.international) and not goodput_low(own)


def nothing_known(_: View) -> bool:
    """Not enough evidence for anything else."""
    return True


def target_judgeable(view: View) -> bool:
    """Return whether the line works well enough for a target's failure to be the target's own."""
    abroad = view.own.international
    works = up(abroad) if measured(abroad) else up(view.own.domestic)
    return works and no_local_cause(view.own)
