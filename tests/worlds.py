"""Short ways to write down apps, kernels and decisions about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from sagemaker_autoshutdown.decide import AppMemory, decide
from sagemaker_autoshutdown.model import (
    App,
    AppStatus,
    AppType,
    Holds,
    Snapshot,
    Verdict,
    Work,
    WorkKind,
)
from sagemaker_autoshutdown.settings.admin import Policy

#: The beginning of the tests' world.
START = datetime(2026, 9, 1, 12, 0, tzinfo=timezone.utc)

#: A limit of two hours, with a warning ten minutes before: the defaults.
LIMIT = timedelta(hours=2)
WARNING = timedelta(minutes=10)


def at(**passed: float) -> datetime:
    """A time after the beginning: ``at(hours=2)``."""
    return START + timedelta(**passed)


def app(name: str = "app", **changes: Any) -> App:
    """An app that came into service at the beginning."""
    values: dict[str, Any] = {
        "name": name,
        "app_type": AppType.KERNEL_GATEWAY,
        "status": AppStatus.IN_SERVICE,
        "instance_type": "ml.t3.medium",
        "run_started_at": START,
        "status_since": START,
    }
    return App(**{**values, **changes})


def kernel(state: str = "idle", *apps: str, **changes: Any) -> Work:
    """A kernel, last active at the beginning, in the app named ``app`` unless told otherwise."""
    values: dict[str, Any] = {
        "kind": WorkKind.KERNEL,
        "id": "k1",
        "label": "train.ipynb",
        "state": state,
        "state_since": START,
        "last_activity": START,
        "apps": frozenset(apps or ("app",)),
    }
    return Work(**{**values, **changes})


def terminal(*apps: str, **changes: Any) -> Work:
    """A terminal, last used at the beginning."""
    values = {"kind": WorkKind.TERMINAL, "id": "t1", "label": "terminal 1"}
    return kernel("", *apps, **{**values, **changes})


@dataclass
class World:
    """Observations again and again, as a server makes them."""

    apps: tuple[App, ...] = (app(),)
    work: tuple[Work, ...] = ()
    policy: Policy = field(default_factory=Policy)
    holds: Holds = field(default_factory=Holds)
    apps_error: str = ""
    activity_error: str = ""
    unasked: frozenset[str] = frozenset()
    memory: Mapping[str, AppMemory] = field(default_factory=dict)

    def observe(self, now: datetime) -> dict[str, Verdict]:
        """The verdicts at ``now``, by app name; the memory is kept."""
        snapshot = Snapshot(
            self.apps, self.work, self.apps_error, self.activity_error, unasked=self.unasked
        )
        decision = decide(snapshot, self.policy, "alice", self.holds, self.memory, now)
        self.memory = decision.memory
        return {verdict.app.name: verdict for verdict in decision.verdicts}

    def one(self, now: datetime) -> Verdict:
        """The verdict on the only app."""
        (verdict,) = self.observe(now).values()
        return verdict
