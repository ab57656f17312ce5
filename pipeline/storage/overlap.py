"""Reading, computing and writing at the same time, in order, with few things in memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Return on how many cores this process may run."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def overlapped(
    function: Callable[[Item], Result], items: Iterable[Item], n_threads: int = 2
) -> Iterator[Result]:
    """Give `function` of each item, in order; at most `n_threads + 1` items are under way.

    While one thread waits for the device, another lays out what comes next, and the caller
    reads and writes.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
