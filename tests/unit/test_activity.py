"""Jupyter's models in all their variants, turned into things that can hold an app."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest

from sagemaker_autoshutdown.activity.background_jobs import BackgroundJobs
from sagemaker_autoshutdown.activity.browser_requests import BrowserRequests, Use
from sagemaker_autoshutdown.activity.process_table import Process
from sagemaker_autoshutdown.activity.reader import ActivityReader, ObservedActivity
from sagemaker_autoshutdown.activity.work import document
from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.clock import from_iso
from sagemaker_autoshutdown.decide import is_held
from sagemaker_autoshutdown.hosts import adapter_for
from sagemaker_autoshutdown.model import Evidence, EvidenceKind, Reason, Work, WorkKind
from sagemaker_autoshutdown.settings.admin import Policy

from ..machine import FROM_A_TERMINAL, INIT, SERVER, Machine
from ..virtual import CLASSIC, IMAGE, SPACE, Jupyter, kernel_model
from ..worlds import START, app, at

APPS = (app("a", image_arn=IMAGE), app("b", instance_type="ml.g5.xlarge", image_arn=IMAGE))
TERMINAL = f"{IMAGE}__1__ml.t3.medium"


class Reader:
    """A reader of prepared models."""

    def __init__(self, host: Any = CLASSIC, jobs: BackgroundJobs | None = None) -> None:
        self.jupyter = Jupyter()
        adapter = adapter_for(host, Aws("us-west-2"))
        self.reader = ActivityReader(self.jupyter, adapter, jobs or BackgroundJobs())

    async def observe(self, now: datetime = START) -> ObservedActivity:
        return await self.reader.read(APPS, now)

    async def one(self, model: dict[str, Any], now: datetime = START) -> Work:
        self.jupyter.kernel_models = [model]
        reading = await self.observe(now)
        assert reading.error == ""
        (work,) = reading.work
        return work


class TestKernels:
    async def test_what_is_known_of_a_kernel_is_kept(self) -> None:
        work = await Reader().one(kernel_model(state="busy", connections=2), at(hours=1))
        assert work == Work(
            WorkKind.KERNEL,
            id="kernel-of-a",
            label="python3",
            state="busy",
            state_since=at(hours=1),
            last_activity=START,
            apps=frozenset({"a"}),
            connections=2,
            evidence=(
                Evidence(
                    EvidenceKind.REQUEST,
                    "python3 busy for less than a minute, by its server's word",
                ),
            ),
            claimed_since=START,
        )

    @pytest.mark.parametrize(
        "text",
        [
            "2026-09-01T12:30:00Z",
            "2026-09-01T12:30:00.000000Z",
            "2026-09-01T12:30:00.1Z",
            "2026-09-01T12:30:00",
            "2026-09-01T14:30:00+02:00",
        ],
    )
    async def test_times_come_with_and_without_fractions_and_zones(self, text: str) -> None:
        work = await Reader().one(kernel_model(last_activity=text), at(hours=1))
        assert work.last_activity is not None
        assert work.last_activity.replace(microsecond=0) == at(minutes=30)

    @pytest.mark.parametrize(
        "value",
        ["", None, "never", 12, [], "0001-01-01T00:00:00+14:00", "2026-13-45T99:99:99Z"],
        ids=repr,
    )
    async def test_f28_a_time_that_is_none_counts_from_when_the_kernel_was_first_seen(
        self, value: object
    ) -> None:
        reader = Reader()
        await reader.one(kernel_model(last_activity=value), at(hours=1))
        work = await reader.one(kernel_model(last_activity=value), at(hours=2))
        assert (work.last_activity, work.state_since) == (None, at(hours=1))

    async def test_a_time_in_the_future_counts_once_not_at_every_observation(self) -> None:
        reader = Reader()
        model = kernel_model(last=at(days=3))
        for hours in (1, 2):
            assert (await reader.one(model, at(hours=hours))).last_activity == at(hours=1)
        assert (await reader.one(kernel_model(last=at(days=4)), at(hours=3))).last_activity == at(
            hours=3
        )
        # Once its time has come, it still counts as seen first.
        assert (await reader.one(kernel_model(last=at(days=4)), at(days=5))).last_activity == at(
            hours=3
        )

    @pytest.mark.parametrize("changes", [{"execution_state": None}, {"execution_state": ""}])
    async def test_a_kernel_without_a_state_has_none(self, changes: dict[str, Any]) -> None:
        assert (await Reader().one(kernel_model(**changes))).state == ""

    async def test_a_kernel_without_a_state_at_all_is_still_one(self) -> None:
        model = kernel_model()
        del model["execution_state"]
        assert (await Reader().one(model)).state == ""

    async def test_a_state_lasts_from_when_it_was_first_seen(self) -> None:
        reader = Reader()
        await reader.one(kernel_model(state="busy"), at(hours=1))
        work = await reader.one(
            kernel_model(state="busy", last=at(hours=2)), at(hours=3, seconds=9)
        )
        assert work.state_since == at(hours=1)
        (evidence,) = work.evidence
        assert evidence.text == "python3 busy for 2 h, by its server's word"
        work = await reader.one(kernel_model(state="idle"), at(hours=4))
        assert work.state_since == at(hours=4)

    async def test_f2_what_was_starting_before_this_server_was_counts_from_its_last_activity(
        self,
    ) -> None:
        work = await Reader().one(kernel_model(state="starting"), at(days=20))
        assert work.state_since == START

    async def test_f2_what_starts_later_counts_from_then(self) -> None:
        reader = Reader()
        await reader.observe(at(hours=1))
        work = await reader.one(kernel_model(state="starting"), at(hours=2))
        assert work.state_since == at(hours=2)

    async def test_a_clock_that_was_set_back_leaves_no_state_in_the_future(self) -> None:
        reader = Reader()
        model = kernel_model(state="starting", last_activity=None)
        await reader.one(model, at(days=400))
        for hours in (1, 2):
            assert (await reader.one(model, at(hours=hours))).state_since == at(hours=1)

    async def test_a_clock_that_was_set_forward_makes_no_cell_older_than_it_is(self) -> None:
        """``max_busy_time`` counts from there."""
        reader = Reader()
        await reader.one(kernel_model(state="idle"), at())
        await reader.one(kernel_model(state="busy"), at(hours=1))
        reader.reader.clock_jumped(timedelta(days=1))
        work = await reader.one(kernel_model(state="busy"), at(days=1, hours=2))
        assert work.state_since == at(days=1, hours=1)

    async def test_a_clock_that_was_set_back_does_not_repeat_for_a_day_what_was_saved(self) -> None:
        reader = Reader()
        browsers = reader.reader.browsers = BrowserRequests("/")
        browsers.document = Use("a.py", at(hours=25))
        browsers.web_app = Use("/proxy/8501", at(hours=24))
        reader.reader.clock_jumped(-timedelta(days=1))
        assert (browsers.document.at, browsers.web_app.at) == (at(hours=1), at())

    @pytest.mark.parametrize("connections", [None, "2", [], 1.5])
    async def test_connections_that_are_no_number_are_none(self, connections: object) -> None:
        assert (await Reader().one(kernel_model(connections=connections))).connections == 0

    async def test_a_kernel_without_an_id_or_name_is_still_seen(self) -> None:
        work = await Reader().one({"execution_state": "busy"})
        assert (work.id, work.label, work.state) == ("", "a kernel", "busy")
        assert work.apps == {"a", "b"}

    @pytest.mark.parametrize("changes", [{"id": ["x"]}, {"name": 5}, {"app_name": 7}, {"id": {}}])
    async def test_members_of_another_type_break_nothing(self, changes: dict[str, Any]) -> None:
        work = await Reader().one(kernel_model(state="busy", **changes))
        assert work.apps

    async def test_a_thousand_kernels_are_all_seen(self) -> None:
        reader = Reader()
        reader.jupyter.kernel_models = [kernel_model(id=str(number)) for number in range(1000)]
        assert len((await reader.observe()).work) == 1000


class TestPresence:
    async def test_our_own_question_is_not_taken_for_somebody_who_came_back(self) -> None:
        reader = Reader()
        reader.jupyter.answers = {}
        reader.jupyter.kernel_models = [kernel_model(connections=1)]
        await reader.observe(at(minutes=1))
        reader.reader.presence.page_closed(at(minutes=2))
        reader.jupyter.kernel_models = [kernel_model(connections=0)]
        left = (await reader.observe(at(minutes=2))).presence.closed_since
        assert left == at(minutes=2)

        # A slow gateway still counts the question's connection, during it and after it.
        reader.jupyter.kernel_models = [kernel_model(connections=1)]
        asking = asyncio.ensure_future(reader.reader.ask(["kernel-of-a"], at(minutes=3)))
        await asyncio.sleep(0)
        assert (await reader.observe(at(minutes=3))).presence.closed_since == left
        await asking
        assert (await reader.observe(at(minutes=3, seconds=1))).presence.closed_since == left
        assert (await reader.observe(at(minutes=4))).presence.closed_since is None


class TestOurOwnQuestion:
    @pytest.mark.parametrize("listed", [1, 3])
    async def test_a_gateway_that_is_slow_to_see_its_end_does_not_make_it_use(
        self, listed: int
    ) -> None:
        reader = Reader()
        reader.jupyter.answers = {}
        used_at = "2026-03-02T08:00:00Z"
        idle = [kernel_model(last_activity=used_at)]
        await reader.one(idle[0], at(minutes=1))
        await reader.reader.ask(["kernel-of-a"], at(minutes=2))

        busy = [kernel_model(execution_state="busy", last_activity="2026-03-02T09:02:00Z")]
        reader.jupyter.next_kernel_models = [busy] * listed
        (work,) = (await reader.observe(at(minutes=2))).work
        assert (work.state, work.last_activity) == ("idle", from_iso(used_at))

    async def test_a_cell_that_was_started_after_it_is_busy(self) -> None:
        reader = Reader()
        reader.jupyter.answers = {}
        await reader.one(kernel_model(), at(minutes=1))
        await reader.reader.ask(["kernel-of-a"], at(minutes=2))
        assert (
            await reader.one(kernel_model(execution_state="busy"), at(minutes=2))
        ).state == "busy"

    async def test_a_kernel_that_was_not_asked_is_listed_once(self) -> None:
        reader = Reader()
        await reader.one(kernel_model(execution_state="busy"), at(minutes=1))
        assert reader.jupyter.observations == 1


class TestWhatCanNotBeSeen:
    @pytest.mark.parametrize("what", ["kernel_models", "terminal_models"])
    @pytest.mark.parametrize("models", [OSError("no route"), {}, None, "x", 404])
    async def test_f13_is_said_and_nothing_else_is_claimed(self, what: str, models: object) -> None:
        reader = Reader()
        reader.jupyter.kernel_models = [kernel_model()]
        setattr(reader.jupyter, what, models)
        reading = await reader.observe()
        assert reading.work == ()
        assert reading.error

    async def test_f13_a_model_that_breaks_the_reader_makes_all_unseen_not_idle(self) -> None:
        class Treacherous(dict[str, Any]):
            def get(self, key: str, default: Any = None) -> Any:
                raise TypeError("gotcha")

        reader = Reader()
        reader.jupyter.kernel_models = [kernel_model(), Treacherous()]
        reading = await reader.observe()
        assert (reading.work, reading.error) == ((), "TypeError: gotcha")

    async def test_an_error_without_words_is_named(self) -> None:
        reader = Reader()
        reader.jupyter.kernel_models = TimeoutError()
        assert "TimeoutError" in (await reader.observe()).error

    async def test_states_outlast_an_observation_that_failed(self) -> None:
        reader = Reader()
        await reader.one(kernel_model(state="starting", last_activity=None), at(hours=1))
        reader.jupyter.kernel_models = OSError()
        await reader.observe(at(hours=2))
        work = await reader.one(kernel_model(state="starting", last_activity=None), at(hours=3))
        assert work.state_since == at(hours=1)


class TestSessions:
    async def test_they_lend_kernels_the_names_of_their_notebooks(self) -> None:
        reader = Reader()
        reader.jupyter.session_models = [
            {"id": "s", "path": "x/train.ipynb", "kernel": {"id": "kernel-of-a"}}
        ]
        assert (await reader.one(kernel_model())).label == "x/train.ipynb"

    @pytest.mark.parametrize(
        "session",
        [
            {"id": "s", "path": "x.ipynb", "kernel": None},
            {"id": "s", "path": "x.ipynb"},
            {"id": "s", "path": "x.ipynb", "kernel": {}},
            {"id": "s", "path": "x.ipynb", "type": "pending", "kernel": {"id": "?"}},
        ],
        ids=["null", "missing", "empty", "pending"],
    )
    async def test_one_that_waits_for_its_kernel_counts_from_when_it_was_first_seen(
        self, session: dict[str, Any]
    ) -> None:
        reader = Reader()
        reader.jupyter.session_models = [session]
        await reader.observe(at(hours=1))
        (work,) = (await reader.observe(at(hours=2))).work
        assert (work.kind, work.label) == (WorkKind.SESSION, "x.ipynb")
        assert (work.state_since, work.last_activity) == (at(hours=1), None)
        assert work.apps == {"a", "b"}

    async def test_kernels_count_without_them(self) -> None:
        reader = Reader()
        reader.jupyter.session_models = OSError("no sessions")
        assert (await reader.one(kernel_model(state="busy"))).label == "python3"

    async def test_those_that_wait_are_remembered_while_sessions_are_not_read(self) -> None:
        reader = Reader()
        reader.jupyter.session_models = [{"id": "s", "path": "x.ipynb", "kernel": None}]
        await reader.observe()
        reader.jupyter.session_models = OSError("not now")
        (work,) = (await reader.observe(at(hours=1))).work
        assert work.kind is WorkKind.SESSION


def test_what_was_saved_by_a_clock_that_is_ahead_is_not_used_in_the_future() -> None:
    work = document(Use("a.ipynb", at(hours=1)), "saved", frozenset({"a"}), START)
    assert work.last_activity == work.state_since == START


class TestTerminals:
    async def test_one_without_last_activity_counts_from_when_it_was_first_seen(self) -> None:
        reader = Reader()
        reader.jupyter.terminal_models = [{"name": TERMINAL}]
        await reader.observe(at(hours=1))
        (work,) = (await reader.observe(at(hours=2))).work
        assert (work.kind, work.label, work.apps) == (
            WorkKind.TERMINAL,
            "terminal 1",
            frozenset({"a"}),
        )
        assert (work.state, work.last_activity, work.state_since) == ("unknown", None, at(hours=1))

    async def test_a_system_terminal_of_classic_holds_nothing(self) -> None:
        reader = Reader()
        reader.jupyter.terminal_models = [{"name": "1", "last_activity": "2026-09-01T12:00:00Z"}]
        assert (await reader.observe()).work == ()

    async def test_a_terminal_of_a_space_holds_its_app(self) -> None:
        reader = Reader(SPACE)
        reader.jupyter.terminal_models = [{"name": "1", "last_activity": "2026-09-01T12:00:00Z"}]
        (work,) = (await reader.observe()).work
        assert (work.label, work.last_activity) == ("terminal 1", START)

    async def test_one_without_a_name_is_still_one(self) -> None:
        reader = Reader(SPACE)
        reader.jupyter.terminal_models = [{}]
        (work,) = (await reader.observe()).work
        assert work.kind is WorkKind.TERMINAL


class Local(Jupyter):
    """A kernel and a terminal with processes on this machine."""

    def __init__(self) -> None:
        super().__init__()
        self.on_this_machine = {("kernel", "kernel-of-a"): 10, ("terminal", "1"): 20}


class NoTable(Machine):
    """Processes can't be read."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def read(self) -> dict[int, Process]:
        raise self.error


class TestBackgroundJobs:
    def reader(self, machine: Machine) -> Reader:
        machine.add(10, SERVER)
        machine.add(20, SERVER, "bash")
        reader = Reader(SPACE, machine.jobs)
        reader.jupyter = reader.reader.source = Local()
        reader.jupyter.kernel_models = [kernel_model()]
        reader.jupyter.terminal_models = [{"name": "1"}]
        return reader

    async def test_f18_a_job_below_a_terminal_is_its_terminals(self) -> None:
        machine = Machine()
        reader = self.reader(machine)
        machine.add(21, 20)
        await reader.observe()
        machine.time += 60
        machine.use(21, 60)
        reading = await reader.observe(at(minutes=1))
        assert {work.id: work.hold for work in reading.work} == {
            "kernel-of-a": None,
            "1": Reason.BACKGROUND_JOB,
        }

    async def test_a_job_that_has_left_its_terminal_is_work_though_nothing_else_is_there(
        self,
    ) -> None:
        machine = Machine()
        reader = Reader(SPACE, machine.jobs)
        reader.jupyter.on_this_machine = {}
        machine.add(21, INIT, "train", FROM_A_TERMINAL)
        assert (await reader.observe()).work == ()
        assert machine.waited == 2
        machine.time += 60
        machine.use(21, 60)
        (work,) = (await reader.observe(at(minutes=1))).work
        assert (work.kind, work.id, work.label) == (WorkKind.PROCESS, "21", "train")
        assert (work.hold, work.state_since) == (Reason.DETACHED_JOB, START)
        assert work.apps == {"a", "b"}

    async def test_while_a_cell_runs_nobody_reads_processes_and_afterwards_they_are(self) -> None:
        machine = Machine()
        reader = self.reader(machine)
        reader.jupyter.terminal_models = []
        policy = Policy()
        reader.reader.is_held = lambda apps, work, now: is_held(apps, work, policy, now)
        reader.jupyter.kernel_models = [kernel_model(state="busy")]
        await reader.observe()
        assert machine.reads == 0
        reader.jupyter.kernel_models = [kernel_model()]
        await reader.observe(at(minutes=1))
        assert machine.reads > 0

    async def test_in_classic_the_processes_of_the_free_server_are_not_looked_at(self) -> None:
        reading = await Reader(jobs=NoTable(AssertionError("looked")).jobs).observe()
        assert (reading.work, reading.notes) == ((), ())

    async def test_without_psutil_that_is_noted_and_the_rest_is_seen(self) -> None:
        reading = await self.reader(NoTable(ImportError("psutil"))).observe()
        assert len(reading.work) == 2
        assert "psutil is not installed" in reading.notes[0]

    @pytest.mark.parametrize("table", [Machine(), NoTable(ImportError("psutil"))])
    async def test_a_file_saved_in_a_remote_ide_is_seen_with_and_without_processes(
        self, table: Machine
    ) -> None:
        reader = self.reader(table)
        reader.reader.ide_save = lambda now: Use("train.py", now)
        (saved,) = (w for w in (await reader.observe()).work if w.kind is WorkKind.DOCUMENT)
        assert (saved.label, saved.last_activity) == ("train.py", START)
        assert saved.apps == {"a", "b"}
        assert saved.evidence[0].text == "train.py was saved in a remote IDE"

    async def test_processes_that_can_not_be_read_are_unknown_not_idle(self) -> None:
        reading = await self.reader(NoTable(PermissionError("/proc"))).observe()
        assert reading.work == ()
        assert reading.error == "background jobs can't be seen: /proc"

    async def test_a_failed_reading_is_not_followed_by_what_was_seen_before_it(self) -> None:
        machine = Machine()
        reader = self.reader(machine)
        await reader.observe()
        machine.time += 60
        read, error = machine.read, PermissionError("/proc")
        machine.read = NoTable(error).read  # type: ignore[method-assign]
        assert (await reader.observe()).error
        assert (await reader.observe()).error, "right after, as before a shutdown"
        machine.read = read  # type: ignore[method-assign]
        assert not (await reader.observe()).error

    async def test_processes_are_not_read_twice_at_once(self) -> None:
        release = threading.Event()
        at_once = [0, 0]

        class Hanging(Machine):
            def read(self) -> dict[int, Process]:
                at_once[0] += 1
                at_once[1] = max(at_once)
                assert release.wait(120)
                at_once[0] -= 1
                return super().read()

        reader = self.reader(Hanging())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.observe(), 0.1)
        reading = await reader.observe(at(minutes=1))
        assert reading.error.endswith("the processes of the last check are still being read")
        assert reading.work == ()
        release.set()
        for _ in range(2000):
            reading = await reader.observe(at(minutes=2))
            if not reading.error:
                break
            await asyncio.sleep(0.01)
        assert (len(reading.work), at_once[1]) == (2, 1)
