"""What a line's samples say of it: pure rules, and the machine that applies them round by round.

The agent, the server and a verifier run this same code on the same records.
Start with rules.py. Source: docs/verdicts.md.
"""

from linewatch_core.verdict.inputs import (
    Bearer,
    CachedTruth,
    LineFacts,
    ModemFacts,
    Registration,
    Round,
    Seen,
    Sim,
)
from linewatch_core.verdict.machine import Machine
from linewatch_core.verdict.replay import replay
from linewatch_core.verdict.rounds import RoundBuilder
from linewatch_core.verdict.settings import Hold, Settings
from linewatch_core.verdict.states import LineVerdict, TargetVerdict

__all__ = [
    "Bearer",
    "CachedTruth",
    "Hold",
    "LineFacts",
    "LineVerdict",
    "Machine",
    "ModemFacts",
    "Registration",
    "Round",
    "RoundBuilder",
    "Seen",
    "Settings",
    "Sim",
    "TargetVerdict",
    "replay",
]
