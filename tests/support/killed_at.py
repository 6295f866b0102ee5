"""Becomes one of Linewatch's programs, and is killed at a named point of it.

    python -m tests.support.killed_at POINT COUNT MODULE ARGUMENTS…

POINT is `before` or `after`, a space, `module:Class.method`: the process kills itself
with SIGKILL right before the method begins for the COUNT-th time, or right after it has
returned. Nothing in the product knows of it.
"""

import importlib
import os
import runpy
import signal
import sys
from typing import Any


def main() -> None:
    """Set the trap, then run the module as `python -m` would."""
    point, count, module, *arguments = sys.argv[1:]
    set_trap(point, int(count))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def set_trap(point: str, count: int) -> None:
    """Kill this process at a point of the program that it is about to become.

    Raises:
        AttributeError, ImportError: there is no such method: it has another name now.
    """
    when, where = point.split()
    module, _, path = where.partition(":")
    class_name, method = path.split(".")
    owner = getattr(importlib.import_module(module), class_name)
    original = getattr(owner, method)
    left = count

    def trapped(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if when == "before" and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if when == "after" and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, method, trapped)


if __name__ == "__main__":
    main()
