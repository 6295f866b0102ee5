"""The checks: one file each, one library behind each, every failure a value.

`runner.LineChecks` is what the rest of the agent uses. Nothing in here knows
rounds, verdicts or the store.
"""

from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.runner import LineChecks

__all__ = ["LineChecks", "Outcome"]
