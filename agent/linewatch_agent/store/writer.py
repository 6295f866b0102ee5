"""The one thread that touches the store, and how the event loop talks to it.

SQLite's own library with one thread costs a tenth of the CPU of an async
wrapper (measured). Calls run in the order in which they were made.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")

LOOK_S = 1.0
"""How often the caller does what it must not put off, while the thread works."""


class WriterThread:
    """Runs functions one after the other on a thread of its own."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def run(
        self, function: Callable[[], _T], *, meanwhile: Callable[[], None] | None = None
    ) -> _T:
        """Run `function` on the thread and return what it returns.

        A cancelled caller does not cancel the work: a commit that has begun ends.

        Args:
            meanwhile: is called on the event loop every LOOK_S while the thread works.
        """
        work = asyncio.get_running_loop().run_in_executor(self._executor, function)
        if meanwhile is None:
            return await asyncio.shield(work)
        while not (await asyncio.wait([work], timeout=LOOK_S))[0]:
            meanwhile()
        return work.result()

    def close(self) -> None:
        """Wait for the work in hand and end the thread."""
        self._executor.shutdown(wait=True)
