"""The tables in which operations register, and the pages of long lists."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tests.localstudio.errors import ApiError, invalid
from tests.localstudio.protocol import service_model, target_prefix
from tests.localstudio.state import Account, App, NotebookInstance

if TYPE_CHECKING:
    from botocore.model import OperationModel

Parameters = dict[str, Any]
Answer = dict[str, Any]


class Processes(Protocol):
    """Starts and ends the processes of apps and notebook instances."""

    def start(self, what: App | NotebookInstance) -> None:
        """Starts what the account has just entered as Pending."""

    def stop(self, what: App | NotebookInstance) -> None:
        """Ends what the account has just entered as Deleting or Stopping."""


@dataclass(frozen=True)
class Backend:
    """The subject of operations: the account, and its processes."""

    account: Account
    apps: Processes
    #: The time, in UTC.
    now: Callable[[], datetime]


Operation = Callable[[Backend, Parameters], Awaitable["Answer | None"]]
F = TypeVar("F", bound=Operation)
T = TypeVar("T")

#: The API's default if MaxResults is not given (its documentation says 10).
DEFAULT_PAGE = 10


class OperationTable:
    """The operations of one service, by the names of botocore's model of it."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.functions: dict[str, Operation] = {}

    @property
    def prefix(self) -> str:
        """The prefix of the operation's name in ``X-Amz-Target``."""
        return target_prefix(self.service)

    def operation(self, name: str) -> Callable[[F], F]:
        """Registers a function under the operation's name, which the model must know."""
        if name not in service_model(self.service).operation_names:
            raise ValueError(f"botocore's model of {self.service} has no operation {name}")

        def enter(function: F) -> F:
            self.functions[name] = function
            return function

        return enter

    def find(self, name: str) -> tuple[OperationModel, Operation]:
        """The operation's model and function, or UnknownOperationException."""
        function = self.functions.get(name)
        if function is None:
            raise ApiError("UnknownOperationException", f"The local Studio does not serve {name}")
        return service_model(self.service).operation_model(name), function


SAGEMAKER = OperationTable("sagemaker")
LOGS = OperationTable("logs")
SSM = OperationTable("ssm")
#: All services that the endpoint answers for.
SERVICES = [SAGEMAKER, LOGS, SSM]


async def call(backend: Backend, operation: str, p: Parameters) -> Answer:
    """Calls an operation directly, without HTTP: no faults, no journal, nothing validated."""
    for table in SERVICES:
        if operation in table.functions:
            return await table.functions[operation](backend, p) or {}
    raise ApiError("UnknownOperationException", operation)


def page(
    items: Iterable[T], p: Parameters, position: Callable[[T], tuple[Any, ...]]
) -> tuple[list[T], str | None]:
    """One page of a list, and the token of the next page (None on the last).

    `position` returns a JSON-able tuple that is unique to the item and by which the list is sorted.
    A token holds the position of the last returned item, so that items that come and go between two
    pages neither hide others nor appear twice.
    """
    descending = p.get("SortOrder") == "Descending"
    ordered = sorted(items, key=position, reverse=descending)
    if "NextToken" in p:
        last = _decode(p["NextToken"])
        if any(len(position(item)) != len(last) for item in ordered[:1]):
            raise invalid("Invalid NextToken")
        try:
            ordered = [
                item
                for item in ordered
                if (position(item) < last if descending else position(item) > last)
            ]
        except TypeError:
            raise invalid("Invalid NextToken") from None
    size = p.get("MaxResults", DEFAULT_PAGE)
    token = _encode(position(ordered[size - 1])) if len(ordered) > size else None
    return ordered[:size], token


def page_of_ordered(
    ordered: Sequence[T], p: Parameters, position: Callable[[T], tuple[Any, ...]]
) -> tuple[list[T], str | None]:
    """Like `page`, for a list that is already sorted: of a hundred thousand items it reads only
    those of the page."""
    if p.get("SortOrder") == "Descending":
        return page(ordered, p, position)
    start = 0
    if "NextToken" in p:
        last = _decode(p["NextToken"])
        if ordered and len(position(ordered[0])) != len(last):
            raise invalid("Invalid NextToken")
        try:
            start, end = 0, len(ordered)
            while start < end:
                middle = (start + end) // 2
                if position(ordered[middle]) > last:
                    end = middle
                else:
                    start = middle + 1
        except TypeError:
            raise invalid("Invalid NextToken") from None
    stop = start + p.get("MaxResults", DEFAULT_PAGE)
    token = _encode(position(ordered[stop - 1])) if len(ordered) > stop else None
    return list(ordered[start:stop]), token


def _encode(position: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _decode(token: str) -> tuple[Any, ...]:
    try:
        position = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        position = None
    if not isinstance(position, list):
        raise invalid("Invalid NextToken")
    return tuple(position)
