"""What a line's samples say of it: pure rules, and the machine that applies them round by round.

The agent, the server and a verifier run this same code on the same records.
Start with rules.py. Source: docs/verdicts.md.
"""

from linewatch_core.verdict.inputs import LineFacts, Round, Seen
from linewatch_core.verdict.machine import Machine
from linewatch_core.verdict.replay import replay
from linewatch_core.verdict.rounds import RoundBuilder
from linewatch_core.verdict.settings import DEFAULTS
from linewatch_core.verdict.states import LineVerdict, TargetVerdict

__all__ = [
    "DEFAULTS",
    "LineFacts",
    "LineVerdict",
    "Machine",
    "Round",
    "RoundBuilder",
    "Seen",
    "TargetVerdict",
    "replay",
]
