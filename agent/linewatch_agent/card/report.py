"""What first boot did and what a person must mend: collected, while the other steps go on."""

from collections.abc import Callable
from dataclasses import dataclass, field

from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_core.errors import LinewatchError


@dataclass(slots=True)
class Report:
    """What was done and what a person must mend, each a sentence."""

    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[[], None]) -> None:
        """Do a step; if it can't be done, note why and go on."""
        try:
            step()
        except LinewatchError as error:
            self.problems.append(_advised(error))


def _advised(error: LinewatchError) -> str:
    """Return an error's words, with what to do where they only say what is wrong."""
    if isinstance(error, ConfigError) and error.key is None and "not TOML" in error.reason:
        return (
            f'{error}; write one `name = value` a line, text in straight quotes: apn = "internet"'
        )
    return str(error)
