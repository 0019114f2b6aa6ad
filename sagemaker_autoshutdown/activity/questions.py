"""Asks kernels whether they are at work before their app gets a warning or is shut down.

Each app waits for the answers of its own kernels only. This module owns which kernels to ask, and
which apps wait; ``kernel_probe`` asks, and ``kernel_answers`` interprets answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ..model import TRANSIENT_STATES, Reason, State, Verdict, Work, WorkKind


def unsure_kernels(verdict: Verdict, work: Iterable[Work]) -> list[str]:
    """The kernels of an app that claim to be idle or to start, or did not answer the last question.
    Kernels that have been silent for longer than the admin allows are not asked again."""
    is_over = verdict.reason is Reason.BUSY_TOO_LONG
    return [
        item.id
        for item in _kernels(verdict, work)
        if item.state == "idle"
        or item.state in TRANSIENT_STATES
        or (item.silent_since is not None and not is_over)
    ]


def doubtful_kernels(verdict: Verdict, work: Iterable[Work], now: datetime) -> list[str]:
    """The kernels that hold an app only by their server's word, and have done and answered nothing
    for as long as its idle limit. The server may have missed that they are done."""
    if verdict.reason is not Reason.KERNEL_BUSY:
        return []
    return [
        item.id
        for item in _kernels(verdict, work)
        if item.state == "busy"
        and item.silent_since is None
        and item.claimed_since is not None
        and now - item.claimed_since >= verdict.idle_timeout
    ]


def _kernels(verdict: Verdict, work: Iterable[Work]) -> Iterable[Work]:
    return (item for item in work if item.kind is WorkKind.KERNEL and verdict.app.name in item.apps)


@dataclass
class Questions:
    """The questions under way, app by app. ``ask`` asks an app's kernels and acts on the
    answers; it raises nothing."""

    ask: Callable[[str, list[str]], Awaitable[object]]
    #: Apps whose kernels were asked before the warning that stands.
    _confirmed: set[str] = field(default_factory=set)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    #: Apps of which only doubtful kernels were asked.
    _in_doubt: set[str] = field(default_factory=set)

    def before_warning(self, verdicts: Iterable[Verdict], work: Collection[Work]) -> frozenset[str]:
        """The apps that should get a warning, but whose kernels have not been asked yet."""
        wanting = {each.app.name: each for each in verdicts if is_warned_of(each)}
        # An app that is not seen now is not done with.
        unseen = {each.app.name for each in verdicts if each.state is State.UNKNOWN}
        self._confirmed &= wanting.keys() | unseen
        return frozenset(
            name
            for name, verdict in wanting.items()
            if name not in self._confirmed and unsure_kernels(verdict, work)
        )

    def begin(self, verdicts: Iterable[Verdict], work: Collection[Work]) -> list[Verdict]:
        """Asks the kernels of these apps, unless they are being asked already. Returns at once
        the apps that have no kernels to ask."""
        free = []
        for verdict in verdicts:
            name = verdict.app.name
            task = self._tasks.get(name)
            if task is not None and not task.done():
                continue
            self._in_doubt.discard(name)
            kernels = unsure_kernels(verdict, work)
            if kernels:
                self._begin(name, kernels)
            else:
                free.append(verdict)
        return free

    def doubt(self, verdicts: Iterable[Verdict], work: Collection[Work], now: datetime) -> None:
        """Asks the kernels that have been busy for so long that their server may be wrong."""
        for verdict in verdicts:
            name = verdict.app.name
            task = self._tasks.get(name)
            kernels = doubtful_kernels(verdict, work, now)
            if kernels and (task is None or task.done()):
                self._in_doubt.add(name)
                self._begin(name, kernels)

    def _begin(self, name: str, kernels: list[str]) -> None:
        question = self._ask(name, kernels)
        self._tasks[name] = asyncio.get_running_loop().create_task(question)

    async def _ask(self, name: str, kernels: list[str]) -> None:
        await self.ask(name, kernels)

    def confirm(self, app_name: str) -> None:
        """Its kernels have been asked."""
        if app_name not in self._in_doubt:
            self._confirmed.add(app_name)

    async def stop(self) -> None:
        """Stops waiting for answers."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def is_warned_of(verdict: Verdict) -> bool:
    """Whether users get a warning by this verdict."""
    return verdict.state is State.WARNED and verdict.reason is not Reason.USER_REQUEST
