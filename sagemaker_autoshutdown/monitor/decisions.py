"""The state of each app between observations: verdicts, and users' requests.

This module keeps the memory of ``decide``, and the runs that users want to shut down. ``decide``
owns the rules; ``loop`` acts on verdicts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from ..activity.questions import Questions, is_warned_of
from ..decide import AppMemory, Decision, decide
from ..model import Holds, Snapshot, State, Verdict
from ..settings.user import Settings


class Decisions:
    """The decisions on the apps of ``owner``, a user profile or a space."""

    def __init__(self, settings: Settings, owner: str, questions: Questions) -> None:
        self._settings = settings
        self._owner = owner
        self._questions = questions
        self._memory: Mapping[str, AppMemory] = {}
        #: The apps that users want to shut down, with the start of the run that they saw.
        self._requested: dict[str, datetime] = {}
        #: One verdict for each app that was last seen.
        self.verdicts: tuple[Verdict, ...] = ()
        #: The apps that get a warning as soon as their kernels have been asked.
        self.unasked: frozenset[str] = frozenset()

    def decide(self, snapshot: Snapshot, now: datetime, *, is_new: bool) -> None:
        """Turns an observation into verdicts. Acts on nothing. One that is not new warns of
        nothing new: the app may have been used since."""
        runs = _runs(snapshot)
        # A request is for the run that the user saw.
        self._requested = {
            name: run for name, run in self._requested.items() if runs.get(name) == run
        }
        decision = self._decision(snapshot, self._requested, frozenset(), now)
        self.unasked = self._questions.before_warning(decision.verdicts, snapshot.work)
        if not is_new:
            warned = {each.app.name for each in self.verdicts if is_warned_of(each)}
            wanting = {each.app.name for each in decision.verdicts if is_warned_of(each)}
            self.unasked |= wanting - warned
        if self.unasked:
            decision = self._decision(snapshot, self._requested, self.unasked, now)
        self._memory = decision.memory
        self.verdicts = decision.verdicts

    def is_due(self, now: datetime) -> bool:
        """Whether a verdict may change by now, or users were warned: what is observed next may be
        acted on."""
        return any(
            verdict.state is State.WARNED
            or (verdict.next_at is not None and verdict.next_at <= now)
            for verdict in self.verdicts
        )

    def if_requested(self, app_name: str, snapshot: Snapshot, now: datetime) -> Verdict:
        """The verdict if a user wanted this app to be shut down."""
        verdicts = self._decision(snapshot, [app_name], self.unasked, now).verdicts
        (verdict,) = (verdict for verdict in verdicts if verdict.app.name == app_name)
        return verdict

    def of(self, app_name: str) -> list[Verdict]:
        """The verdict on this app, if there is such an app."""
        return [verdict for verdict in self.verdicts if verdict.app.name == app_name]

    def request(self, app_name: str, run_started_at: datetime) -> None:
        """A user wants this run of an app to be shut down."""
        self._requested[app_name] = run_started_at

    def withdraw(self, app_name: str) -> bool:
        """Drops the request to shut the app down. Returns whether there was one."""
        return self._requested.pop(app_name, None) is not None

    def clock_jumped(self, jump: timedelta) -> None:
        """The clock was set: shifts remembered times, and voids what was announced."""
        self._memory = {
            name: replace(memory, last_active=memory.last_active + jump, announced=None)
            for name, memory in self._memory.items()
        }

    def _decision(
        self,
        snapshot: Snapshot,
        requested: Collection[str],
        unasked: frozenset[str],
        now: datetime,
    ) -> Decision:
        settings = self._settings
        holds = Holds(settings.kept_until(_runs(snapshot)), frozenset(requested))
        seen = replace(snapshot, unasked=unasked)
        return decide(seen, settings.policy, self._owner, holds, self._memory, now)


def _runs(snapshot: Snapshot) -> dict[str, datetime]:
    return {app.name: app.run_started_at for app in snapshot.apps}
