"""``make demo HOST=fleet``: a whole account, seen from outside by ``fleet run``.

Three domains with some hundred apps of all types, entered into the local Studio without processes,
and their changes as apps come and go. All lines come from ``/metrics`` of a real ``fleet run``. If
Prometheus is installed, a real one tells it which servers report.
``fleet_demo_rules.py`` continues with rules, by which ``fleet run`` shuts apps down.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from sagemaker_autoshutdown.fleet.model import COVERAGE_TEXT, ReportKey
from tests.prometheus import running_prometheus
from tests.reporters import Reporters, serving

from . import fleet, fleet_demo_rules
from .processes import free_port
from .state import AppKey
from .testing import BlockingStudio, running_studio

APPS, DOMAINS = 300, 3
#: Seconds between two sweeps, and after which a server without a report is silent. The defaults are
#: 5 and 10 minutes.
INTERVAL, REPORTS_WITHIN = 2, 6
#: A change, and the first sweep, must be seen within these times, in seconds. A busy machine needs
#: them.
SEEN_WITHIN, FIRST_WITHIN = 40.0, 120.0
#: Seconds between two changes.
PAUSE = 3.0

_PREFIX = "sagemaker_autoshutdown_fleet_"
COVERAGE = tuple(each.value for each in COVERAGE_TEXT)
#: The table's columns are as wide as their heads, so that it fits 80 characters.
_COLUMNS = (
    "{:>5} {:>4} {:>7} " + " ".join(f"{{:>{len(name)}}}" for name in COVERAGE) + " {:>6} {:>6}"
)
_HOW_MANY = [
    line
    for each, text in COVERAGE_TEXT.items()
    for line in textwrap.wrap(
        f"{each.value:<8}  how many: {text}",
        76,
        initial_indent="  ",
        subsequent_indent=" " * 12,
    )
]
#: The heading of the table.
LEGEND = (
    "Each line is one scrape of /metrics:",
    "  up        apps and notebook instances that run",
    "  USD/h     what they cost an hour; an instance that apps share counts once",
    *_HOW_MANY,
    "  nobody    USD an hour of the silent ones and of those with none",
    "  spent     USD that fleet run has recorded since it began",
    "A line that begins with an arrow says what happens in the account.",
    "",
)
#: And above the one of the rules.
RULES_LEGEND = (
    "  due       what a rule says should be shut down",
    "  marked    warned of, by a tag on the app",
    "  kept      held by an exception: a tag of the owner's",
    "  spared    not due any more, so that the mark is taken off",
    "  gone      shut down",
    "",
)


@dataclass(frozen=True)
class Seen:
    """The content of one scrape."""

    up: int
    usd_per_hour: float
    by_coverage: dict[str, int]
    nobody_usd_per_hour: float
    spent: float
    by_type: dict[str, int]


@dataclass(frozen=True)
class Change:
    """A change, and the condition that shows it was seen."""

    what: str
    make: Callable[[], None]
    is_seen: Callable[[Seen, Seen], bool]


class Over(Exception):
    """The user pressed Ctrl-C."""


class TimeIsUp(Exception):
    """The demonstration has no more time."""


def run(seconds: float | None, folder: Path) -> int:
    """Runs the demonstration; 0 if every change was seen."""
    ends = None if seconds is None else time.monotonic() + seconds

    def stop(*_: object) -> None:
        raise Over

    began = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with running_studio(folder / "studio") as studio:
            return _watch(studio, folder, ends)
    except TimeIsUp:
        passed = time.monotonic() - began
        say("", f"After {passed:.0f} s nothing could be shown yet. FOR=90 is enough for all of it.")
        return 1
    except Over:
        say("", "Ended before the story was over.")
        return 130


def _watch(studio: BlockingStudio, folder: Path, ends: float | None) -> int:
    say(f"Starting a local Studio with {APPS} apps in {DOMAINS} domains, without processes ...")
    made = studio.do(lambda s: fleet.fill(s.account, s.now(), apps=APPS, domains=DOMAINS))
    reporters = Reporters()
    reporters.set(frozenset(_servers(made, made.domains[1])[1:]))
    with ExitStack() as stack:
        config = folder / "fleet.toml"
        port = free_port()
        text = f'interval = "{INTERVAL}s"\nlisten = "127.0.0.1:{port}"\ndata_dir = "record"\n'
        text += "[prices]\nprice_list_api = false\n"
        has_prometheus = shutil.which("prometheus") is not None
        if has_prometheus:
            address = stack.enter_context(serving(reporters))
            scrapes = [
                {"job_name": "servers", "static_configs": [{"targets": [address]}]},
                {"job_name": "fleet", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]},
            ]
            prometheus = stack.enter_context(running_prometheus(folder / "prometheus", scrapes))
            prometheus.wait("sagemaker_autoshutdown_last_check_timestamp_seconds")
            text += f'[prometheus]\nurl = "{prometheus.url}"\n'
            text += f'reports_within = "{REPORTS_WITHIN}s"\n'
            say(f"Prometheus: {prometheus.url}")
        else:
            say("Prometheus is not installed, so nobody can say which servers report.")
        config.write_text(text)
        environment = {**os.environ, **studio.aws_environment()}
        story = Story(port, ends)
        with _fleet_run(config, environment):
            say(f"fleet run: http://127.0.0.1:{port}/metrics")
            say(f"A sweep every {INTERVAL} s; by default every 5 minutes.", "")
            asked = reporters if has_prometheus else None
            faults = story.tell(_changes(studio, made, asked))
            faults += _commands(config, environment)
        with contextlib.suppress(TimeIsUp):
            if not (faults or story.left_out):
                faults += _rules(studio, made, asked, config, environment, story, ends)
    say("")
    if faults:
        say(*(f"WRONG: {fault}." for fault in faults))
        return 1
    if story.left_out:
        say(
            "As far as it went, it is as it should be.",
            "The time was up before the end: FOR=90 shows all of it, if little else runs here.",
        )
        return 0
    say(
        "As it should be: every change in the account was seen, and what it costs with it.",
        "What nobody watches was warned of and is gone, and nothing else.",
    )
    return 0


def _commands(config: Path, environment: dict[str, str]) -> list[str]:
    """What the commands say of it; what went wrong."""
    faults = []
    for arguments in (("coverage",), ("costs", "--group-by", "app-type")):
        done = _told(arguments, config, environment)
        say(
            "", f"$ jupyter sagemaker-autoshutdown fleet {' '.join(arguments)}", done.stdout.strip()
        )
        if done.returncode:
            faults.append(f"fleet {arguments[0]} failed: {done.stderr.strip()}")
    return faults


def _told(
    arguments: Sequence[str], config: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sagemaker_autoshutdown.cli", "fleet", *arguments]
    return subprocess.run(
        [*command, "--config", str(config)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _rules(
    studio: BlockingStudio,
    made: fleet.Fleet,
    reporters: Reporters | None,
    config: Path,
    environment: dict[str, str],
    story: Story,
    ends: float | None,
) -> list[str]:
    """The half with rules; what went wrong."""
    text = fleet_demo_rules.text_of(made)
    config.write_text(config.read_text() + text)
    say("", "The admin adds rules to the configuration and starts fleet run again:")
    say(*(f"  {line}".rstrip() for line in text.splitlines()), "")
    say(*RULES_LEGEND)
    cast = fleet_demo_rules.cast(studio, made, knows_reports=reporters is not None)
    rules = fleet_demo_rules.Rules(
        studio, reporters, cast, say, story.acted, story.wait, FIRST_WITHIN
    )
    say(f"       → somebody tags the app of {cast.excepted.owner_name}, to keep it for a day")
    rules.tag(cast.excepted)
    with _fleet_run(config, environment):
        try:
            faults = list(rules.tell())
        except TimeIsUp:
            story.left_out = True
            raise
        done = _told(("history", "--json"), config, environment)
        say("", "One of them, in fleet history --json:")
        say(*fleet_demo_rules.one_of(done.stdout, "CodeEditor"))
        _linger(story, ends)
    return faults


def _linger(story: Story, ends: float | None) -> None:
    """Without an end, it goes on until the user presses Ctrl-C."""
    if ends is not None:
        return
    say("", "It goes on running: Ctrl+C ends it.")
    with contextlib.suppress(Over):
        while True:
            story.wait(3600)


# ---- what happens --------------------------------------------------------------------------------


def _servers(made: fleet.Fleet, domain_id: str) -> list[ReportKey]:
    """The servers of a domain that could report."""
    kinds = {"JupyterLab": "space", "JupyterServer": "classic"}
    return [
        ReportKey(key.domain_id, key.owner_kind, key.owner_name, kinds[key.app_type])
        for key in made.apps
        if key.domain_id == domain_id and key.app_type in kinds
    ]


def _changes(
    studio: BlockingStudio, made: fleet.Fleet, reporters: Reporters | None
) -> Iterator[Change]:
    third = made.domains[2]

    def start(count: int, app_type: str, instance_type: str) -> Callable[[], None]:
        def make() -> None:
            for number in range(count):
                name = f"new-{app_type.lower()}-{number}"
                studio.do(
                    lambda s, name=name: fleet.enter(  # type: ignore[misc]
                        s.account, made, third, name, app_type, "default", instance_type, s.now()
                    )
                )

        return make

    def end(keys: list[AppKey]) -> Callable[[], None]:
        def make() -> None:
            for key in keys:
                studio.do(lambda s, key=key: s.account.remove(key))  # type: ignore[misc]

        return make

    yield Change(
        "eight people start a Code Editor on ml.g5.2xlarge, which nobody stops",
        start(8, "CodeEditor", "ml.g5.2xlarge"),
        lambda before, now: (
            now.by_type["CodeEditor"] == before.by_type["CodeEditor"] + 8
            and now.by_coverage["none"] == before.by_coverage["none"] + 8
        ),
    )
    yield Change(
        "three sessions of Canvas begin",
        start(3, "Canvas", ""),
        lambda before, now: now.by_type["Canvas"] == before.by_type["Canvas"] + 3,
    )
    if reporters is not None:
        reporting = sorted(reporters.names)
        silenced = [name for name in reporting if name.host_kind == "space"][:10]
        yield Change(
            f"{len(silenced)} servers are killed and say nothing any more",
            lambda: reporters.set(frozenset(reporting) - frozenset(silenced)),
            lambda before, now: now.by_coverage["silent"] >= len(silenced),
        )
        yield Change(
            "they are started again",
            lambda: reporters.set(frozenset(reporting)),
            lambda before, now: now.by_coverage["silent"] == 0,
        )
    second = [key for key in made.apps if key.domain_id == made.domains[1]]
    servers = [key for key in second if key.app_type == "JupyterServer"]
    owners = {key.owner_name for key in servers}
    left = [key for key in second if key.app_type == "KernelGateway" and key.owner_name in owners]

    def orphan() -> None:
        if reporters is not None:
            gone = {
                ReportKey(key.domain_id, key.owner_kind, key.owner_name, "classic")
                for key in servers
            }
            reporters.set(reporters.names - gone)
        end(servers)()

    yield Change(
        f"{len(servers)} JupyterServers of Classic are deleted, and {len(left)} kernel apps left",
        orphan,
        lambda before, now: _nobody(now) >= _nobody(before) + len(left),
    )
    evening = [
        key
        for key in made.apps
        if key.domain_id == made.domains[0] and key.app_type in ("JupyterLab", "CodeEditor")
    ]
    yield Change(
        f"Studio's own idle shutdown ends {len(evening)} apps of the first domain",
        end(evening),
        lambda before, now: (
            now.up == before.up - len(evening) and now.usd_per_hour < before.usd_per_hour
        ),
    )


def _nobody(seen: Seen) -> int:
    return seen.by_coverage["none"] + seen.by_coverage["silent"]


# ---- the story -----------------------------------------------------------------------------------


class Story:
    """Prints each change and its effect on the fleet."""

    def __init__(self, port: int, ends: float | None) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._ends = ends
        self._began = time.monotonic()
        #: Whether there was no time for some changes.
        self.left_out = False

    def tell(self, changes: Iterator[Change]) -> list[str]:
        """Runs all changes; returns what went wrong."""
        before = self._first()
        say(*LEGEND)
        say(_COLUMNS.format("time", "up", "USD/h", *COVERAGE, "nobody", "spent"))
        self._line(before)
        faults = []
        for change in changes:
            try:
                self.wait(PAUSE)
                say(f"       → {change.what}")
                before = self._observe() or before
                change.make()
                seen = self._until(lambda now, before=before: change.is_seen(before, now))  # type: ignore[misc]  # noqa: B023
            except TimeIsUp:
                self.left_out = True
                break
            if seen is None:
                faults.append(f"this was not seen within {SEEN_WITHIN:.0f} s: {change.what}")
                continue
            self._line(seen)
            before = seen
        return faults

    def wait(self, seconds: float) -> None:
        """Waits, for as long as there is time."""
        if self._ends is not None and time.monotonic() + seconds > self._ends:
            raise TimeIsUp
        time.sleep(seconds)

    def _first(self) -> Seen:
        found = self._until(
            lambda now: now.up > APPS and now.by_coverage["silent"] == 0, FIRST_WITHIN
        )
        if found is None:
            raise TimeIsUp
        return found

    def _until(self, condition: Callable[[Seen], bool], within: float = SEEN_WITHIN) -> Seen | None:
        end = time.monotonic() + within
        while time.monotonic() < end:
            now = self._observe()
            if now is not None and condition(now):
                return now
            self.wait(0.3)
        return None

    def acted(self) -> fleet_demo_rules.Acted | None:
        """What a scrape tells of the rules."""
        return fleet_demo_rules.parse(self._scraped(), _PREFIX)

    def _scraped(self) -> str:
        try:
            with urllib.request.urlopen(self._url, timeout=10) as reply:  # noqa: S310
                return str(reply.read().decode())
        except OSError:  # it is starting
            return ""

    def _observe(self) -> Seen | None:
        text = self._scraped()
        up, usd, nobody, spent = 0, 0.0, 0.0, 0.0
        by_coverage, by_type = dict.fromkeys(COVERAGE, 0), dict[str, int]()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name, labels = sample.name[len(_PREFIX) :], sample.labels
                if name == "apps":
                    up += int(sample.value)
                    by_coverage[labels["coverage"]] += int(sample.value)
                    kind = labels["app_type"]
                    by_type[kind] = by_type.get(kind, 0) + int(sample.value)
                elif name == "usd_per_hour":
                    usd += sample.value
                    if labels["coverage"] in ("none", "silent"):
                        nobody += sample.value
                elif name == "cost_usd_total":
                    spent += sample.value
        if not up:
            return None
        return Seen(up, usd, by_coverage, nobody, spent, by_type)

    def _line(self, seen: Seen) -> None:
        passed = int(time.monotonic() - self._began)
        say(
            _COLUMNS.format(
                f"{passed // 60}:{passed % 60:02}",
                seen.up,
                f"{seen.usd_per_hour:.2f}",
                *(seen.by_coverage[name] for name in COVERAGE),
                f"{seen.nobody_usd_per_hour:.2f}",
                f"{seen.spent:.3f}",
            )
        )


@contextmanager
def _fleet_run(config: Path, environment: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "sagemaker_autoshutdown.cli", "fleet", "run"]
    process = subprocess.Popen(
        [*command, "--config", str(config)], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def say(*lines: str) -> None:
    """Prints a line."""
    with contextlib.suppress(BrokenPipeError):
        print(*lines, sep="\n", flush=True)
