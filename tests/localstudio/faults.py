"""Faults that tests switch on: errors, delays, answers that never come, broken kernel models.

This module decides which fault a request meets, and waits it out; the servers write the error. The
API's operations have their own names (``DeleteApp``), the gateway's are ``Gateway.`` and an action:
``Gateway.ListKernels``, ``Gateway.GetKernel``, ``Gateway.StartKernel``, ``Gateway.DeleteKernel``,
``Gateway.InterruptKernel``, ``Gateway.RestartKernel``, ``Gateway.ListKernelSpecs``,
``Gateway.GetKernelSpec``, ``Gateway.Channels``. ``*`` stands for any operation, ``Gateway.*`` for
any of the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from tornado import web
from tornado.http1connection import HTTP1Connection

FOR_EVER = -1


@dataclass(frozen=True)
class Fault:
    """A fault of an operation, or of one app."""

    #: The operation's name; may hold ``*``.
    operation: str = "*"
    #: Only for this app.
    app_name: str | None = None
    #: How often; -1 means until it is switched off.
    times: int = FOR_EVER
    #: AWS's error code (API), answered with its own HTTP status unless ``status`` is given.
    code: str | None = None
    message: str = "Injected by the local Studio"
    status: int | None = None
    #: A body to answer with, verbatim, with ``status`` or 200.
    body: str | None = None
    #: Seconds to wait first.
    delay: float = 0.0
    #: Do not answer until the fault is switched off.
    hang: bool = False
    #: Close the connection without an answer.
    drop: bool = False
    #: Carry the request out, and only then fail (an answer that got lost).
    after: bool = False

    @property
    def answers(self) -> bool:
        """Whether the fault decides the answer."""
        return self.drop or any(x is not None for x in (self.code, self.status, self.body))


@dataclass(frozen=True)
class KernelOverride:
    """A false report of the gateway about kernels; for tests of odd models.

    ``changes`` replaces members of the model (``{"execution_state": "dead"}``, ``{"last_activity":
    "2021-06-14T19:34:13Z"}``), ``without`` leaves members out.
    """

    kernel_id: str | None = None
    app_name: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def apply(self, model: dict[str, Any]) -> dict[str, Any]:
        """The changed model."""
        if self.kernel_id not in (None, model.get("id")):
            return model
        if self.app_name not in (None, model.get("app_name")):
            return model
        changed = {**model, **self.changes}
        return {key: value for key, value in changed.items() if key not in self.without}


class _Switch:
    """An active fault: its remaining count, and the requests that wait for its end."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = fault.times
        self.off = asyncio.Event()


class Faults:
    """The active faults. The newest that fits a request applies."""

    def __init__(self) -> None:
        self._switches: dict[int, _Switch] = {}
        self._next = 1
        self.kernel_overrides: list[KernelOverride] = []

    def on(self, fault: Fault) -> int:
        """Switches a fault on; returns the number for `off`."""
        number, self._next = self._next, self._next + 1
        self._switches[number] = _Switch(fault)
        return number

    def off(self, number: int | None = None) -> None:
        """Switches one fault off, or all and the overrides; hanging requests continue."""
        numbers = list(self._switches) if number is None else [number]
        for each in numbers:
            switch = self._switches.pop(each, None)
            if switch is not None:
                switch.off.set()
        if number is None:
            self.kernel_overrides.clear()

    def active(self) -> dict[int, Fault]:
        """The active faults, by number."""
        return {number: switch.fault for number, switch in self._switches.items() if switch.left}

    def override_kernels(self, override: KernelOverride) -> None:
        """Makes the gateway report something else about kernels; `off()` ends it."""
        self.kernel_overrides.append(override)

    def shown(self, model: dict[str, Any]) -> dict[str, Any]:
        """A kernel model with the overrides applied."""
        for override in self.kernel_overrides:
            model = override.apply(model)
        return model

    async def meet(self, operation: str, app_name: str | None = None) -> Fault | None:
        """Waits out the fault that fits, if any; returns it if it decides the answer."""
        for switch in reversed(list(self._switches.values())):
            fault = switch.fault
            if not switch.left or not _fits(fault.operation, operation):
                continue
            if fault.app_name not in (None, app_name):
                continue
            switch.left -= 1 if switch.left > 0 else 0
            if fault.delay:
                await asyncio.sleep(fault.delay)
            if fault.hang:
                await switch.off.wait()
            return fault if fault.answers else None
        return None


def drop_connection(handler: web.RequestHandler) -> None:
    """Close the connection of a request without an answer."""
    connection = handler.request.connection
    if isinstance(connection, HTTP1Connection):
        connection.detach().close()
    handler._finished = True


def _fits(pattern: str, operation: str) -> bool:
    if pattern == "*":
        return not operation.startswith("Gateway.")
    return fnmatchcase(operation, pattern)


def fault_from_json(document: Mapping[str, Any]) -> Fault:
    """A fault from the control API's JSON; ValueError names unknown members."""
    return Fault(**_known(Fault, document))


def override_from_json(document: Mapping[str, Any]) -> KernelOverride:
    """A kernel override from the control API's JSON."""
    document = dict(document)
    if isinstance(document.get("without"), list):
        document["without"] = tuple(document["without"])
    return KernelOverride(**_known(KernelOverride, document))


def _known(kind: type[Fault] | type[KernelOverride], document: Mapping[str, Any]) -> dict[str, Any]:
    known = [each.name for each in fields(kind)]
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise ValueError(f"not known: {', '.join(unknown)}; known are {', '.join(known)}")
    return dict(document)
