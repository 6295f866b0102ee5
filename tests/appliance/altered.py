"""The installed agent's command with one thing altered that a test can't wait for or provoke.

All else is the package's: its libraries, its code, its unit. `changes` is Python that runs
before the command; nothing in the product knows of it.
"""

from tests.appliance.layers import Layer

_PROGRAM = """#!/usr/bin/python3 -ISB
import sys
from pathlib import Path
LIB = Path("/opt/linewatch/current/lib")
sys.path[:0] = [str(LIB / "common")]
import linewatch_start
linewatch_start.add_libraries(LIB)
{changes}
from linewatch_agent.__main__ import main
sys.exit(main())
"""
ALTERED = "/srv/altered-agent"


def alter(layer: Layer, changes: str, *, place: str = ALTERED) -> str:
    """Put such a command into a layer with the package installed; return where it is."""
    layer.put(place, _PROGRAM.format(changes=changes), mode=0o755)
    return place
