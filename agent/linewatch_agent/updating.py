"""What fetching releases needs of the agent's other parts: lines, verdicts, budget, the uplink."""

from typing import TYPE_CHECKING

from linewatch_agent.lines.connect import connect_over
from linewatch_agent.plan.calendar import watch_at
from linewatch_agent.plan.updates import Situation
from linewatch_agent.releases.places import INBOX

if TYPE_CHECKING:
    from linewatch_agent.app import Agent


async def fetch_updates(agent: "Agent") -> None:
    """Fetch newer releases for root, for ever."""
    # Imported only where it is wanted: it brings HTTP and the manifest with it.
    from linewatch_agent.releases.updater import Means, Updater

    means = Means(
        situation=lambda: _situation(agent),
        standing=agent.installed.standing,
        connect=connect_over,
        affords=agent.meter.affords,
        spend=agent.meter.spend_uplink,
    )
    await Updater(agent.plan.config.update, agent.state_dir / INBOX, means).run()


def _situation(agent: "Agent") -> Situation:
    config = agent.plan.config
    watch = watch_at(config.schedule, config.event, agent.timekeeper.utc())
    return Situation(
        lines=agent.watcher.lines,
        verdicts=agent.judge.verdicts(),
        refuse_updates=watch.refuse_updates,
        connected=agent.uplink.state.connected,
        backlog=agent.machine.backlog(),
        backfilling=agent.machine.is_backfilling(),
        on_trial=agent.proof.on_trial,
    )
