"""When other servers, other kernels and processes are looked at, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sagemaker_autoshutdown.activity.kernel_probe import Answer, Told
from sagemaker_autoshutdown.activity.kernel_requests import KernelUse
from sagemaker_autoshutdown.activity.other_servers import OtherServer, ServerSeen
from sagemaker_autoshutdown.activity.process_table import Readings
from sagemaker_autoshutdown.activity.reader import (
    SEEN_AGAIN_AFTER,
    STALE_AFTER,
    ActivityReader,
    ObservedActivity,
)
from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.clock import to_iso
from sagemaker_autoshutdown.decide import is_held
from sagemaker_autoshutdown.hosts import adapter_for
from sagemaker_autoshutdown.model import Reason, Work
from sagemaker_autoshutdown.settings.admin import Policy

from ..machine import SERVER, Machine
from ..virtual import CLASSIC, SPACE, Jupyter, kernel_model
from ..worlds import START, app, at

APPS = (app("a"),)
SECOND = OtherServer(77, 8889, "http://127.0.0.1:8889/", "secret")
#: What each kernel of a second server is called there.
THEIRS = "kernel-of-a-second"


def theirs(**changes: Any) -> dict[str, Any]:
    """A second server's kernel."""
    return kernel_model("a", id=f"8889/{THEIRS}", **changes)


class SecondServer:
    """The other servers, as a test sets them."""

    def __init__(self, readings: Readings) -> None:
        self.seen = ServerSeen(
            SECOND, (theirs(),), ({"name": "8889/1", "last_input": to_iso(START)},)
        )
        self.asked = 0
        self.readings = readings

    async def observe(self) -> tuple[ServerSeen, ...]:
        self.asked += 1
        self.readings.take()  # as to find them
        return (self.seen,)

    async def ask(self, kernels: Mapping[str, str]) -> Mapping[str, Told]:
        return {}


class Scene:
    """A server on an app beside a second one, on a machine with processes."""

    def __init__(self, host: Any = SPACE, policy: Policy | None = None) -> None:
        self.jupyter, self.machine = Jupyter(), Machine()
        self.machine.add(10, SERVER)
        self.jupyter.on_this_machine = {("kernel", "kernel-of-a"): 10}
        self.time = 0.0
        used = policy or Policy()
        readings = Readings(self.machine, lambda: self.machine.time)
        self.second = SecondServer(readings)
        self.machine.jobs._readings = readings
        self.reader = ActivityReader(
            self.jupyter,
            adapter_for(host, Aws("us-west-2")),
            self.machine.jobs,
            other_servers=self.second,  # type: ignore[arg-type]
            is_held=lambda apps, work, now: is_held(apps, work, used, now),
            readings=readings,
            monotonic=lambda: self.time,
        )

    async def observe(self, now: datetime = START) -> ObservedActivity:
        seconds = (now - START).total_seconds()
        self.machine.time = max(self.machine.time, seconds)
        self.time = max(self.time, seconds)
        seen = await self.reader.read(APPS, now)
        assert seen.error == ""
        return seen

    async def work(self, now: datetime = START) -> dict[str, Work]:
        return {item.id: item for item in (await self.observe(now)).work}

    def runs_a_cell(self, runs: bool = True) -> None:
        self.jupyter.kernel_models = [kernel_model(state="busy" if runs else "idle")]

    @property
    def looked(self) -> tuple[int, int, int]:
        """How often servers were asked, other kernels looked for and processes read."""
        return self.second.asked, self.jupyter.searches, self.machine.reads


async def test_while_a_cell_holds_the_app_nobody_looks_elsewhere_and_when_it_ends_all_is_seen() -> (
    None
):
    scene = Scene()
    scene.runs_a_cell()
    await scene.observe()
    before = scene.looked
    for minute in (1, 2, 3):
        await scene.observe(at(minutes=minute))
    assert scene.looked == before
    scene.runs_a_cell(runs=False)
    scene.second.seen = ServerSeen(SECOND, (theirs(state="busy"),))
    work = await scene.work(at(minutes=4))
    assert work[f"8889/{THEIRS}"].state == "busy"
    assert scene.looked[:2] == (before[0] + 1, before[1] + 1)


async def test_a_job_that_a_cell_left_behind_is_seen_at_the_first_check_after_the_cell() -> None:
    scene = Scene()
    scene.second.seen = ServerSeen(SECOND)
    scene.runs_a_cell()
    for minute in range(3):
        await scene.observe(at(minutes=minute))
    scene.runs_a_cell(runs=False)
    scene.machine.add(11, 10, "train")
    wait = scene.machine.wait

    def works_meanwhile(seconds: float) -> None:
        wait(seconds)
        scene.machine.use(11, seconds)

    scene.machine.jobs._wait = works_meanwhile
    work = await scene.work(at(minutes=3))
    assert work["kernel-of-a"].hold is Reason.BACKGROUND_JOB


async def test_what_is_elsewhere_stays_in_the_status_of_an_app_that_a_cell_holds() -> None:
    scene = Scene()
    first = await scene.work()
    scene.runs_a_cell()
    scene.second.seen = ServerSeen(SECOND, error="must not be asked")
    second = await scene.work(at(minutes=1))
    assert set(first) - {"kernel-of-a"} == set(second) - {"kernel-of-a"}
    assert second[f"8889/{THEIRS}"].state_since == first[f"8889/{THEIRS}"].state_since
    (told,) = second["77"].evidence
    assert (told.text, told.at) == (
        "Jupyter server on port 8889: 1 kernel (0 busy), 1 terminal",
        START,
    )


async def test_all_is_seen_again_now_and_then_while_a_cell_holds_the_app() -> None:
    scene = Scene()
    scene.runs_a_cell()
    await scene.observe()
    asked = scene.second.asked
    await scene.observe(START + timedelta(seconds=SEEN_AGAIN_AFTER - 1))
    assert scene.second.asked == asked
    await scene.observe(START + timedelta(seconds=SEEN_AGAIN_AFTER))
    assert scene.second.asked == asked + 1


async def test_a_cell_that_is_past_its_cap_hides_nothing_that_runs_elsewhere() -> None:
    """Its app may be shut down, so what else runs there has to be known."""
    scene = Scene(policy=Policy(max_busy_time=timedelta(minutes=1)))
    scene.runs_a_cell()
    await scene.observe()
    before = scene.looked
    await scene.observe(at(minutes=1))
    assert scene.looked[:2] == (before[0] + 1, before[1] + 1)
    assert scene.looked[2] > before[2]


async def test_a_kernel_without_a_server_is_not_taken_for_one_that_is_surely_there() -> None:
    """One that was killed in a cell never says that the cell is over."""
    scene = Scene()
    scene.runs_a_cell(runs=False)
    scene.jupyter.other_kernel_models = [kernel_model("a", id="x@12", state="busy")]
    await scene.observe()
    before = scene.looked
    await scene.observe(at(minutes=1))
    assert scene.looked[:2] == (before[0] + 1, before[1] + 1)
    assert scene.looked[2] == before[2] + 1, "its cell holds the app: no job is looked for"


async def test_a_second_servers_kernel_goes_by_what_is_heard_from_itself_and_counts_once() -> None:
    """Its server may take a request for a subshell for the end of a cell."""
    scene = Scene()
    heard = f"{THEIRS}@12"
    scene.second.seen = ServerSeen(SECOND, (theirs(state="idle", connections=1),))
    scene.jupyter.other_kernel_models = [kernel_model("a", id=heard)]
    scene.jupyter.uses = {heard: KernelUse("a cell", START, 0, None, 1, from_start=False)}
    work = await scene.work()
    assert f"8889/{THEIRS}" not in work
    assert (work[heard].state, work[heard].connections) == ("busy", 1)
    assert work[heard].label == "python3 on port 8889"
    # Our own questions move its server's word, and do not count.
    scene.jupyter.uses = {heard: KernelUse("", None, 0, None, 1, from_start=False)}
    scene.second.seen = ServerSeen(SECOND, (theirs(last=at(hours=1)),))
    work = await scene.work(at(hours=2))
    assert (work[heard].state, work[heard].last_activity) == ("idle", START)
    # One that was not found goes by its server's word.
    scene.jupyter.other_kernel_models = []
    assert (await scene.work())[f"8889/{THEIRS}"].state == "idle"


async def test_a_cell_in_a_kernel_whose_server_still_takes_it_for_starting_counts() -> None:
    """jupyter_server 2.8 does, if the only client left at once. The app was shut down."""
    scene = Scene()
    found = f"{THEIRS}@12"
    scene.second.seen = ServerSeen(SECOND, (theirs(state="starting"),))
    scene.jupyter.other_kernel_models = [kernel_model("a", id=found)]
    silent = KernelUse("", None, 0, None, 0, from_start=False, silent_since=START)
    scene.jupyter.uses = {found: silent}
    work = (await scene.work(at(minutes=1)))[found]
    assert (work.state, work.silent_since) == ("busy", START)
    # One that answered when it was found is asked again before a shutdown.
    scene.jupyter.uses = {found: KernelUse("", None, 0, None, 0, from_start=False)}
    assert (await scene.work(at(minutes=2)))[found].state == "idle"


async def test_the_process_table_is_read_once_for_all_who_need_it_in_a_check() -> None:
    scene = Scene()
    scene.runs_a_cell(runs=False)
    await scene.observe()  # the first one waits for a second reading
    reads = scene.machine.reads
    for minute in (1, 2):
        await scene.observe(at(minutes=minute))
    assert scene.machine.reads == reads + 2


async def test_a_second_server_that_does_not_answer_holds_the_app_and_is_named() -> None:
    scene = Scene()
    scene.second.seen = ServerSeen(SECOND, error="no answer in 5 s")
    work = (await scene.work())["77"]
    assert (work.hold, work.label) == (Reason.SERVER_UNSEEN, "Jupyter server on port 8889")
    assert "no answer in 5 s" in work.evidence[0].text
    assert is_held(APPS, [work], Policy(), START)


async def test_a_second_server_that_asks_for_a_password_is_judged_by_its_processes() -> None:
    scene = Scene()
    scene.second.seen = ServerSeen(SECOND, is_locked=True)
    scene.machine.add(77, 1, "jupyter-lab", session=77)
    scene.machine.add(78, 77, "train")
    await scene.observe()
    scene.machine.time = 60
    scene.machine.use(78, 60)
    work = (await scene.work(at(minutes=1)))["77"]
    assert work.hold is Reason.BACKGROUND_JOB
    assert "password" in work.evidence[0].text


async def test_only_a_server_that_lists_its_terminals_is_trusted_with_them() -> None:
    """Those of one that asks for a password are found by their processes."""
    scene, listed = Scene(), list[list[int]]()
    observe = scene.machine.jobs.observe

    def heard(roots: Any, rested: Any, servers: Any, crashing: Any) -> Any:
        listed.append(list(servers))
        return observe(roots, rested, servers, crashing)

    scene.machine.jobs.observe = heard  # type: ignore[assignment, method-assign]
    for is_locked in (False, True):
        scene.second.seen = ServerSeen(SECOND, is_locked=is_locked)
        await scene.observe()
    assert listed == [[77], []]


async def test_a_kernel_of_a_gateway_that_two_servers_list_counts_once() -> None:
    scene = Scene()
    scene.jupyter.kernel_models = [kernel_model(id=THEIRS)]
    assert f"8889/{THEIRS}" not in await scene.work()


async def test_in_classic_a_second_servers_kernel_counts_only_if_it_is_in_an_app() -> None:
    scene = Scene(host=CLASSIC)
    scene.jupyter.on_this_machine = None
    local = kernel_model(id="8889/local", state="busy")
    del local["app_name"]
    local["name"] = "python3"
    scene.second.seen = ServerSeen(SECOND, (theirs(state="busy"), local))
    work = await scene.work()
    assert f"8889/{THEIRS}" in work
    assert "8889/local" not in work


async def test_tabs_at_a_second_server_are_people_too() -> None:
    scene = Scene()
    scene.second.seen = ServerSeen(SECOND, (theirs(connections=1),))
    assert (await scene.observe()).presence.is_known
    assert (await scene.observe()).presence.closed_since is None


async def test_a_cell_that_starts_while_other_servers_are_asked_for_long_is_seen() -> None:
    scene = Scene()
    observe = scene.second.observe

    async def slowly() -> tuple[ServerSeen, ...]:
        scene.time += STALE_AFTER + 0.1
        scene.runs_a_cell()
        return await observe()

    scene.runs_a_cell(runs=False)
    scene.second.observe = slowly  # type: ignore[method-assign]
    assert (await scene.work())["kernel-of-a"].state == "busy"


async def test_a_broken_connection_counts_for_all_of_one_observation() -> None:
    """Kernels are listed twice in a check that took long, and asked once."""
    scene = Scene()
    scene.second.seen = ServerSeen(SECOND)
    scene.runs_a_cell(runs=False)
    scene.jupyter.answers = {"kernel-of-a": Answer.UNKNOWN}
    await scene.observe()
    await scene.reader.ask(["kernel-of-a"], START)
    listed = scene.jupyter.kernels

    async def slow() -> list[dict[str, Any]]:
        scene.time += STALE_AFTER
        return await listed()

    scene.jupyter.kernels = slow  # type: ignore[method-assign]
    assert (await scene.work(at(minutes=1)))["kernel-of-a"].state == "unknown"
    assert (await scene.work(at(minutes=2)))["kernel-of-a"].state == "idle"


async def test_a_second_servers_terminal_says_when_somebody_typed() -> None:
    scene = Scene()
    model = {"name": "8889/1", "last_activity": to_iso(at(hours=2)), "last_input": to_iso(START)}
    scene.second.seen = ServerSeen(SECOND, terminals=(model,))
    assert (await scene.work(at(hours=2)))["8889/1"].last_activity == START
