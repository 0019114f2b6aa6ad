"""The second half of ``make demo HOST=fleet``: what nobody watches is warned of and shut down.

An admin adds rules, and ``fleet run`` goes on with its record. What is told is read off its
``/metrics``; whether the right apps are gone is checked against the calls that the local Studio was
sent, without asking the product.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from sagemaker_autoshutdown.clock import to_iso, utcnow
from sagemaker_autoshutdown.fleet.acting.model import EXCEPTION_TAG
from sagemaker_autoshutdown.fleet.model import ReportKey
from sagemaker_autoshutdown.hosts.marks import MARK_TAG
from tests.reporters import Reporters

from . import fleet
from .state import AppKey
from .testing import BlockingStudio

#: Seconds from a mark to the shutdown, and shutdowns of one sweep. By default they are 15 minutes
#: and 50.
WARNING, STOPS = 6, 8
#: SageMaker tells its time, by which a warning ends, in whole seconds.
_ROUNDED = 1.0

_RULES = """
[act]
enabled = ["seen"]
warning = "{warning}s"
[act.limits]
stops = {stops}          # at most, in one sweep

[[rules]]
name = "editors"
which = {{ app_type = "CodeEditor", instance_type = "ml.g*" }}
when = {{ up_for = "5s" }}

[[rules]]
name = "orphans"
which = {{ app_type = "KernelGateway", domain = "{domain}" }}
when = {{ up_for = "5s" }}

[[rules]]
name = "labs"
which = {{ app_type = "JupyterLab", instance_type = "ml.g*" }}
when = {{ up_for = "5s" }}
warning = "1h"
"""
_HEADS = ("due", "marked", "kept", "spared", "gone")


@dataclass(frozen=True)
class Acted:
    """What one scrape told."""

    up: int
    usd_per_hour: float
    due: int
    events: dict[str, int]

    @property
    def told(self) -> tuple[int, ...]:
        """What stands in a line beside the time, the apps and the spend."""
        counts = (self.events.get(name, 0) for name in ("marked", "kept", "spared", "stopped"))
        return (self.due, *counts)


def parse(text: str, prefix: str) -> Acted | None:
    """What a scrape says; None before the first sweep."""
    up, usd, due, events = 0, 0.0, 0, dict[str, int]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name, value = sample.name[len(prefix) :], sample.value
            if name == "apps":
                up += int(value)
            elif name == "usd_per_hour":
                usd += value
            elif name == "due_runs":
                due += int(value)
            elif name == "acting_events_total":
                events[sample.labels["event"]] = int(value)
    return Acted(up, usd, due, events) if up else None


@dataclass(frozen=True)
class Cast:
    """Who is to be what, by the account alone."""

    #: Shut down: Code Editors on GPUs, and kernel apps whose JupyterServer is gone.
    gone: frozenset[AppKey]
    #: One of the Code Editors, whose owner needs it.
    excepted: AppKey
    #: On GPUs, without the extension; warned of for an hour. None where nobody can say.
    labs: tuple[AppKey, ...]


def cast(studio: BlockingStudio, made: fleet.Fleet, *, knows_reports: bool) -> Cast:
    """Who is due by the rules."""
    second, third = made.domains[1:3]
    apps = studio.do(lambda s: [a for a in s.account.apps(s.now()) if a.status == "InService"])
    gpus = {app.key for app in apps if app.resource.instance_type.startswith("ml.g")}
    editors = sorted(key for key in gpus if key.app_type == "CodeEditor")
    orphans = {
        a.key for a in apps if (a.key.domain_id, a.key.app_type) == (second, "KernelGateway")
    }
    labs = sorted(k for k in gpus if k.app_type == "JupyterLab" and k.domain_id == third)
    gone = {*editors[1:], *orphans}
    return Cast(frozenset(gone), editors[0], tuple(labs) if knows_reports else ())


@dataclass
class Rules:
    """The half with rules. ``wait`` waits, and raises where the time is up; nothing may take longer
    than ``within`` seconds."""

    studio: BlockingStudio
    reporters: Reporters | None
    cast: Cast
    say: Callable[..., None]
    observe: Callable[[], Acted | None]
    wait: Callable[[float], None]
    within: float
    _began: float = field(default_factory=time.monotonic)
    _told: tuple[int, ...] = ()
    _first: Acted | None = None
    _last: Acted | None = None

    def tell(self) -> Iterator[str]:
        """All of it; what went wrong."""
        expected, labs = len(self.cast.gone), len(self.cast.labs)
        self.say(f"{'time':>5}  {'up':>4}  {'USD/h':>8}  " + "  ".join(f"{n:>6}" for n in _HEADS))
        if not self._until(lambda now: now.told[1] == expected + labs):
            yield f"{expected + labs} apps were not marked within {self.within:.0f} s"
            return
        if labs:
            yield from self._people()
        if not self._until(lambda now: now.told[4] == expected):
            yield f"{expected} apps were not shut down within {self.within:.0f} s"
            return
        up = self._first.up if self._first else 0
        # Those on their way out are billed until they are gone.
        if not self._until(lambda now: now.up == up - expected):
            yield f"{expected} apps were deleted, and their costs go on"
        yield from self._wrong()

    def _people(self) -> Iterator[str]:
        """Two of those who were warned do something about it."""
        kept, covered = self.cast.labs[:2]
        self.say(f"       → somebody tags the app of {kept.owner_name}, to keep it for a day")
        self.tag(kept)
        if not self._until(lambda now: now.told[2] == 2):
            yield "the exception of an app that was marked was not seen"
        self.say(f"       → the extension is installed in {covered.owner_name}, and reports")
        if self.reporters is not None:
            server = ReportKey(covered.domain_id, "space", covered.owner_name, "space")
            self.reporters.set(self.reporters.names | {server})
        if not self._until(lambda now: now.told[3] == 1):
            yield "an app that the extension looks after was not spared"

    def tag(self, key: AppKey) -> None:
        """As its owner does, by the API."""
        until = to_iso((utcnow() + timedelta(days=1)).replace(microsecond=0))
        value = {"Key": EXCEPTION_TAG, "Value": f"keep-until:{until}"}
        self.studio.client().add_tags(ResourceArn=key.arn, Tags=[value])

    # -- to watch

    def _until(self, condition: Callable[[Acted], bool]) -> bool:
        end = time.monotonic() + self.within
        while time.monotonic() < end:
            now = self.observe()
            if now is not None:
                self._line(now)
                if condition(now):
                    return True
            self.wait(0.3)
        return False

    def _line(self, now: Acted) -> None:
        """A line, where something has changed."""
        self._first, self._last = self._first or now, now
        shown = (*now.told, now.up)
        if shown == self._told:
            return
        self._told = shown
        passed = int(time.monotonic() - self._began)
        self.say(
            f"{passed // 60:>2}:{passed % 60:02}  {now.up:>4}  {now.usd_per_hour:>8.2f}  "
            + "  ".join(f"{count:>6}" for count in now.told)
        )

    # -- to check

    def _wrong(self) -> Iterator[str]:
        """By what SageMaker was sent, not by what the fleet says."""
        calls = self.studio.calls()
        deleted = [
            (_key(call.parameters), call.monotonic)
            for call in calls
            if call.operation == "DeleteApp" and call.outcome == "ok"
        ]
        marks: dict[str, float] = {}
        for call in calls:
            keys = [tag["Key"] for tag in call.parameters.get("Tags", ())]
            if call.operation == "AddTags" and MARK_TAG in keys:
                marks.setdefault(call.parameters["ResourceArn"], call.monotonic)
        if sorted(key for key, _ in deleted) != sorted(self.cast.gone):
            yield "it was not exactly the apps that are due which were deleted, each once"
        for key, at in deleted:
            if at - marks.get(key.arn, at) < WARNING - _ROUNDED:
                yield f"{key.arn} was deleted without its warning"
        left = {self.cast.excepted, *self.cast.labs}
        if left - self._up():
            yield "an app that was kept, spared or still warned of is gone"
        tags = self.studio.do(lambda s: dict(s.account.tags))
        marked = {key for key in left if MARK_TAG in tags.get(key.arn, {})}
        if marked != set(self.cast.labs[2:]):
            yield "the marks of those that were kept and spared are still there"
        if self._first and self._last and self._last.usd_per_hour >= self._first.usd_per_hour:
            yield "the spend an hour did not fall"

    def _up(self) -> set[AppKey]:
        return self.studio.do(
            lambda s: {app.key for app in s.account.apps(s.now()) if app.status == "InService"}
        )


def _key(parameters: Any) -> AppKey:
    kind = "space" if "SpaceName" in parameters else "user-profile"
    owner = parameters.get("SpaceName") or parameters["UserProfileName"]
    return AppKey(parameters["DomainId"], kind, owner, parameters["AppType"], parameters["AppName"])


def one_of(history: str, app_type: str) -> list[str]:
    """The last shutdown of such an app in ``fleet history --json``, in some lines."""
    events = json.loads(history)["events"]
    found = [each for each in events if (each["event"], each["app_type"]) == ("stopped", app_type)]
    shown = ("event", "at", "owner", "app_type", "rule", "class", "why", "evidence", "usd_per_hour")
    return [f"  {name:<12}  {found[-1][name]}" for name in shown] if found else []


def text_of(made: fleet.Fleet) -> str:
    """The rules, as the admin writes them."""
    return _RULES.format(warning=WARNING, stops=STOPS, domain=made.domains[1])
