"""The protocol of shutting down, tried with everything that can happen in between.

Two sweepers with wrong clocks, crashes at each step, calls that arrive much later, messages that
come twice and late, a table and a SageMaker that can't be reached, owners who delete apps and start
them again. Whatever happens:

- no run is deleted twice, and only one process at a time acts on it;
- a deleted app carried the mark for the whole warning when its caller last saw it, and was the
  intended run; or it was started after that (the window that the docs name);
- due runs are gone in bounded time once the faults end.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from sagemaker_autoshutdown.aws import AwsError, ErrorKind
from sagemaker_autoshutdown.fleet.acting.model import EXCEPTION_TAG, Happened, RunId, Task
from sagemaker_autoshutdown.fleet.acting.protocols import Unavailable
from sagemaker_autoshutdown.fleet.acting.steps import FRESH

from .acting_world import ONE, TWO, WARNING, Paused, Process, World
from .scenes import notebook

#: After the faults: the warning, a lease, the longest back-off, and an accepted deletion without
#: effect. In sweeps of five minutes.
BOUND = 40
_FIVE = timedelta(minutes=5)
NOTEBOOK = notebook().key

_keys = st.sampled_from([ONE, TWO])
_ACTIONS = st.one_of(
    *[st.tuples(st.just("step"), st.integers(0, 5), st.integers(1, 6))] * 6,
    *[st.tuples(st.just("sweep"), st.integers(0, 1))] * 3,
    *[st.tuples(st.just("round"), st.integers(0, 1))] * 2,
    *[st.tuples(st.just("later"), st.sampled_from([1, 3, 30, 200, 400, 1000]))] * 3,
    st.tuples(st.just("die"), st.integers(0, 5)),
    st.tuples(st.just("again"), st.integers(0, 30), st.integers(0, 1)),
    st.tuples(st.just("owner deletes"), _keys, st.booleans()),
    st.tuples(st.just("owner starts"), _keys, st.booleans()),
    st.tuples(st.just("fault"), st.sampled_from(["", "", "throttled", "denied", "lost"])),
    st.tuples(st.just("table"), st.booleans()),
    st.tuples(st.just("used"), _keys),
    st.tuples(st.just("unused"), _keys),
)


class Story:
    """Events, and what must be true of them."""

    def __init__(self, skews: tuple[int, int]) -> None:
        self.world = World()
        self.skews = [timedelta(seconds=skew) for skew in skews]
        self.clocks_agree = skews[0] == skews[1]
        self.running: list[Paused] = []
        self.messages: list[list[Task]] = []
        self.made = 0
        self.world.start(ONE)
        self.world.start(TWO)
        self.world.later(timedelta(minutes=1))

    def process(self, number: int) -> Process:
        self.made += 1
        return Process(self.world, f"sweeper-{number}-{self.made}", self.skews[number])

    def send(self, number: int, tasks: list[Task]) -> None:
        if tasks and len(self.running) < 6:
            self.running.append(Paused(self.process(number), tasks))

    def do(self, action: tuple[object, ...]) -> None:
        world, (what, *rest) = self.world, action
        if what == "step" and self.running:
            number, times = rest
            each = self.running[int(str(number)) % len(self.running)]
            for _ in range(int(str(times))):
                each.step()
            self.running = [each for each in self.running if not each.is_done]
        elif what == "die" and self.running:
            self.running.pop(int(str(rest[0])) % len(self.running)).die()
        elif what == "sweep":
            number = int(str(rest[0]))
            try:
                tasks = world.sweep_and_plan(world.now + self.skews[number])
            except Unavailable:
                return
            self.messages.append(tasks)
            self.send(number, tasks)
        elif what == "round":
            self.round(int(str(rest[0])))
        elif what == "again" and self.messages:
            self.send(int(str(rest[1])), self.messages[int(str(rest[0])) % len(self.messages)])
        elif what == "later":
            world.later(timedelta(seconds=int(str(rest[0]))))
        elif what == "owner deletes":
            world.owner_deletes(rest[0], at_once=bool(rest[1]))  # type: ignore[arg-type]
        elif what == "owner starts":
            world.start(rest[0], keeps_creation_time=bool(rest[1]))  # type: ignore[arg-type]
        elif what == "fault":
            world.fault = str(rest[0])
        elif what == "table":
            world.store_is_up = bool(rest[0])
        elif what == "used":
            world.due.discard(rest[0])
        elif what == "unused":
            world.due.add(rest[0])  # type: ignore[arg-type]

    def round(self, number: int) -> None:
        """A sweep and its tasks, with nothing in between."""
        process = self.process(number)
        try:
            tasks = self.world.sweep_and_plan(process.clock)
        except Unavailable:
            return
        self.messages.append(tasks)
        process.run(tasks)

    def begin(self, progress: int) -> None:
        """The progress when the story begins: nothing yet, marked, or due."""
        for minutes in ((), (1,), (1, 14))[progress]:
            self.world.later(timedelta(minutes=minutes))
            self.round(0)
        self.world.later(timedelta(minutes=progress))

    def faults_end(self) -> None:
        world = self.world
        world.fault, world.store_is_up = "", True
        for each in self.running:
            each.die()
        self.running = []
        world.due = {ONE, TWO}
        self.skews = [timedelta(0), timedelta(0)]

    def check(self) -> None:
        if self.clocks_agree:
            assert not self.world.intruders, "two acted on one run at a time"
        for each in self.world.deletions:
            assert each.hit.accepted == 1, "one run was deleted twice"
            if each.told is not each.hit:
                assert each.hit.started >= each.told_at, "a successor was deleted that was seen"
                continue
            hold = self.world.holds[each.run]
            assert abs(each.hit.created_at - hold.created_at) < timedelta(seconds=1)
            assert each.told is not None
            began = [at for _, at in each.told.marks]
            assert began, "it was never marked"
            assert each.told_at - min(began) >= WARNING, "it was warned for too short a time"

    def goes_on(self) -> None:
        """Sweeps without faults, until all due runs are gone."""
        left = {each.number for each in self.world.apps.values()}
        for number in range(BOUND):
            self.world.later(_FIVE)
            process = self.process(number % 2)
            process.run(self.world.sweep_and_plan(process.clock))
            left &= {each.number for each in self.world.apps.values()}
            if not left:
                return
        raise AssertionError(f"still there after {BOUND} sweeps: {self.world.holds}")


def tell(actions: list[tuple[object, ...]], skews: tuple[int, int], progress: int = 0) -> Story:
    """A story from its beginning to its end."""
    story = Story(skews)
    story.begin(progress)
    try:
        for action in actions:
            story.do(action)
        story.check()
        story.faults_end()
        # A sweeper whose clock was ahead has stored a sweep of the future.
        story.world.later(max(timedelta(seconds=max(skews)), timedelta(0)))
        story.goes_on()
        story.check()
    finally:
        for each in story.running:
            each.die()
    return story


_skew = st.sampled_from([0, 0, 40, -40, 1500, -1500, 10800, -10800])


@settings(
    max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False
)
@given(st.lists(_ACTIONS, min_size=8, max_size=60), st.tuples(_skew, _skew), st.integers(0, 2))
def test_no_run_is_deleted_twice_nor_a_successor_and_what_is_due_goes(
    actions: list[tuple[object, ...]], skews: tuple[int, int], progress: int
) -> None:
    story = tell(actions, skews, progress)
    event(f"deleted while faults lasted: {len(story.world.deletions) > 2}")


# -- what a random story seldom finds, step by step


def due_story() -> tuple[Story, list[Task]]:
    """Both apps are marked and due, and a sweep has found that."""
    story = Story((0, 0))
    story.begin(2)
    return story, story.world.sweep_and_plan(story.world.now)


@pytest.mark.parametrize("steps", range(40))
def test_a_sweeper_that_comes_while_another_is_at_it_calls_nobody(steps: int) -> None:
    story, tasks = due_story()
    first = Paused(story.process(0), tasks)
    story.running.append(first)
    for _ in range(steps):
        first.step()
    if not first.is_done:
        story.process(1).run(tasks)
    while not first.is_done:
        first.step()
    story.check()
    assert len(story.world.deletions) == story.world.calls == 2


@pytest.mark.parametrize("steps", range(1, 40))
def test_a_crash_at_any_step_of_a_shutdown_delays_it_and_no_more(steps: int) -> None:
    story, tasks = due_story()
    first = Paused(story.process(0), tasks)
    for _ in range(steps):
        first.step()
    first.die()
    story.goes_on()
    story.check()
    ended = [each for each in story.world.audit.values() if each.what is Happened.STOPPED]
    assert {each.run.key for each in ended if each.run} == {ONE, TWO}


@pytest.mark.parametrize("steps", range(1, 40))
def test_a_caller_that_sleeps_between_its_check_and_its_call_checks_again(steps: int) -> None:
    """The owner starts the app again meanwhile, with its earlier CreationTime."""
    story, tasks = due_story()
    first = Paused(story.process(0), tasks)
    for _ in range(steps):
        first.step()
    world = story.world
    is_under_way = not first.is_done and not world.deletions
    if is_under_way:
        world.owner_deletes(ONE)
        world.later(timedelta(seconds=30))
        world.start(ONE, keeps_creation_time=True)
    while not first.is_done:
        first.step()
    story.check()
    for each in world.deletions:
        sent_after = each.sent_at - each.told_at
        assert sent_after <= timedelta(seconds=2), "the window that the docs name"


@pytest.mark.parametrize(
    ("fault", "recorded"), [("denied", Happened.GONE), ("lost", Happened.STOPPED)]
)
def test_what_an_owner_ends_after_a_call_that_was_refused_is_not_recorded_as_shut_down(
    fault: str, recorded: Happened
) -> None:
    story, tasks = due_story()
    world = story.world

    class Faulty(Process):
        def stop(self, run: RunId) -> None:
            world.fault = fault
            super().stop(run)

    Faulty(world, "sweeper").run([task for task in tasks if task.run.key == ONE])
    world.fault = ""
    assert bool(world.deletions) is (fault == "lost")
    world.owner_deletes(ONE)
    world.later(_FIVE)
    story.round(0)
    ended = [each.what for each in world.audit.values() if each.run and each.run.key == ONE]
    assert ended == [Happened.MARKED, Happened.FAILED, recorded]


@pytest.mark.parametrize(
    ("kind", "recorded"),
    [
        (ErrorKind.IN_USE, [Happened.MARKED, Happened.FAILED, Happened.STOPPED]),
        (
            ErrorKind.NOT_FOUND,
            [Happened.MARKED, Happened.GONE, Happened.MARKED, Happened.STOPPED],
        ),
    ],
)
def test_a_deletion_that_sagemaker_says_is_needless_is_not_believed_without_another_observation(
    kind: ErrorKind, recorded: list[Happened]
) -> None:
    """It answers that the app is busy, or not there, and the next sweep lists it all the same."""
    story, tasks = due_story()

    class Refused(Process):
        def stop(self, run: RunId) -> None:
            raise AwsError(kind, "sagemaker:DeleteApp", "Code", "no")

    Refused(story.world, "sweeper").run([task for task in tasks if task.run.key == ONE])
    assert not story.world.deletions
    story.goes_on()
    story.check()
    told = [each.what for each in story.world.audit.values() if each.run and each.run.key == ONE]
    assert told == recorded


def test_an_exception_on_the_profile_of_a_space_counts_until_the_last_moment() -> None:
    story, tasks = due_story()
    story.world.profile_tags["ada"] = {EXCEPTION_TAG: "keep-until:2026-09-03"}
    story.process(0).run(tasks)
    assert story.world.calls == 0
    assert not [app for app in story.world.apps.values() if "mark" in app.tags]


@pytest.mark.parametrize("why", ["used", "kept"])
def test_an_app_that_is_not_shut_down_after_all_loses_its_mark(why: str) -> None:
    """Even if SageMaker can't be reached at first."""
    story, _ = due_story()
    world, app = story.world, story.world.apps[ONE]
    assert "mark" in app.tags
    if why == "used":
        world.due.discard(ONE)
    else:
        app.tags[EXCEPTION_TAG] = "keep-until:2026-09-03"
    world.later(_FIVE)
    process = story.process(0)
    tasks = world.sweep_and_plan(world.now)
    world.fault = "throttled" if why == "used" else ""
    process.run([task for task in tasks if task.run.key == ONE])
    world.fault = ""
    world.later(_FIVE)
    story.round(0)
    assert "mark" not in app.tags
    assert not app.accepted


def test_a_message_that_comes_late_is_not_carried_out() -> None:
    """Somebody may have used the app since its sweep."""
    story, tasks = due_story()
    story.world.later(FRESH + timedelta(seconds=1))
    story.process(0).run(tasks)
    assert story.world.calls == 0
    other = Story((0, 0))
    tasks = other.world.sweep_and_plan(other.world.now)
    other.world.later(FRESH + timedelta(seconds=1))
    other.process(0).run(tasks)
    assert tasks
    assert not [mark for app in other.world.apps.values() for mark in app.marks]


def test_a_message_about_a_run_of_a_dry_run_is_not_carried_out() -> None:
    """The second check: nobody sends one."""
    story, tasks = due_story()
    other = Story((0, 0))
    first = other.world.sweep_and_plan(other.world.now)
    for each, found in ((story, tasks), (other, first)):
        dry = [
            replace(task, verdict=replace(task.verdict, acts=False))
            for task in found
            if task.verdict
        ]
        assert dry
        each.process(0).run(dry)
    assert story.world.calls == 0
    assert not [mark for app in other.world.apps.values() for mark in app.marks]


@pytest.mark.parametrize("ended_by", ["owner", "us"])
def test_a_notebook_instance_that_is_stopped_does_not_keep_its_mark(ended_by: str) -> None:
    """Its tags stay with it, and would announce a shutdown that is over."""
    world = World(due={NOTEBOOK})
    world.start(NOTEBOOK)
    notebook = world.apps[NOTEBOOK]
    for minutes in (1, 1, 20):
        assert notebook.accepted == 0
        world.later(timedelta(minutes=minutes))
        if ended_by == "owner" and "mark" in notebook.tags:
            world.owner_deletes(NOTEBOOK, at_once=False)
        process = Process(world, "sweeper")
        process.run(world.sweep_and_plan(process.clock))
    assert notebook.marks
    assert notebook.accepted == (ended_by == "us")
    assert "mark" not in notebook.tags


def test_every_change_of_an_exception_and_every_failure_is_in_the_audit() -> None:
    story, tasks = due_story()
    world = story.world
    for day in ("02", "03"):
        world.apps[ONE].tags[EXCEPTION_TAG] = f"keep-until:2026-09-{day}"
        story.process(0).run(tasks)
        world.later(_FIVE)
        tasks = world.sweep_and_plan(world.now)
    kept = [each.why for each in world.audit.values() if each.what is Happened.KEPT]
    assert [why[-20:] for why in kept] == ["2026-09-03T00:00:00Z", "2026-09-04T00:00:00Z"]
    del world.apps[ONE].tags[EXCEPTION_TAG]
    for _ in range(2):
        story.round(0)  # marked
        world.later(4 * _FIVE)
        tasks = world.sweep_and_plan(world.now)
        world.fault = "denied"
        story.process(0).run(tasks)
        world.fault = ""
        world.due.discard(ONE)
        world.later(_FIVE)
        story.round(0)  # spared
        world.due.add(ONE)
        world.later(_FIVE)
    failed = [each for each in world.audit.values() if each.what is Happened.FAILED]
    assert len([each for each in failed if each.run and each.run.key == ONE]) == 2


def test_of_two_sweepers_that_have_both_read_a_hold_one_acts_however_they_take_turns() -> None:
    for one_steps in range(1, 16):
        for other_steps in range(1, 16):
            story, tasks = due_story()
            one, other = (Paused(story.process(number), tasks) for number in (0, 1))
            story.running += [one, other]
            for each, steps in ((one, one_steps), (other, other_steps)):
                for _ in range(steps):
                    each.step()
            for each in (one, other):
                while not each.is_done:
                    each.step()
            story.check()
            assert len(story.world.deletions) == story.world.calls == 2, (one_steps, other_steps)


def test_of_two_sweepers_that_both_found_no_hold_one_marks() -> None:
    """A second mark would not be the one that the hold names, and the app would be spared."""
    for steps in range(1, 30):
        story = Story((0, 0))
        story.world.later(_FIVE)
        tasks = story.world.sweep_and_plan(story.world.now)
        one = Paused(story.process(0), tasks)
        story.running.append(one)
        for _ in range(steps):
            one.step()
        if story.world.holds:
            break
        story.world.later(timedelta(seconds=30))
        story.process(1).run(tasks)
        while not one.is_done:
            one.step()
        assert [len(app.marks) for app in story.world.apps.values()] == [1, 1], steps
    assert steps > 3
