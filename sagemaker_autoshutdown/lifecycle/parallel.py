"""Many blocking calls, a few at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..aws import MAX_CONNECTIONS

T = TypeVar("T")
R = TypeVar("R")

#: Calls at once. AWS publishes no rates for SageMaker's Describe operations. The apps of a large
#: domain make calls too, out of the same allowance. A throttled call waits.
AT_ONCE = MAX_CONNECTIONS


def each(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The function's result for each item, in the items' order.

    An exception ends everything: calls that have not begun by then do not begin.
    """
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sagemaker_autoshutdown")
    try:
        for future in [pool.submit(function, item) for item in items]:
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
