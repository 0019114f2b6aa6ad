"""Studio Classic with real kernels: a JupyterServer that shuts down KernelGateway apps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sagemaker_autoshutdown.aws import CALL_TIMEOUT
from tests.localstudio import Fault, KernelOverride, Owner
from tests.localstudio.testing import BlockingStudio

from .conftest import INSTANCE_TYPES, SILENT_CELL, Classic, lives, until

Serve = Callable[..., Classic]


def test_the_idle_are_warned_of_and_shut_down_and_the_busy_one_is_kept(
    studio: BlockingStudio, serve: Serve
) -> None:
    server = serve()
    # F1: no kernel at all. F15: an open tab. F16: a cell that prints nothing.
    empty, idle, terminal, busy = server.start_apps(
        "empty", "idle", "terminal", "busy", instance_types=[*INSTANCE_TYPES, *INSTANCE_TYPES]
    )
    training = studio.start_kernel(busy, path="train.ipynb")
    studio.execute(busy, training, SILENT_CELL, wait=False)
    studio.execute(idle, studio.start_kernel(idle), "1 + 1")
    studio.override_kernels(KernelOverride(app_name="idle", changes={"connections": 2}))
    studio.open_terminal(terminal)
    pids = [process.pid for app in (idle, terminal) for process in studio.processes(app)]
    assert len(pids) >= 3

    server.wait_for_checks()
    server.limit(3, warning_time=2)
    for app in (empty, idle, terminal):
        studio.wait_for(app, "Deleted")
    assert [pid for pid in pids if lives(pid)] == []

    server.wait_for_checks()
    assert studio.status(busy) == "InService"
    kept = server.app("busy")
    assert (kept["state"], kept["reason"], kept["subject"]) == (
        "busy",
        "kernel_busy",
        "train.ipynb",
    )
    for app in (empty, idle, terminal):
        assert server.kinds(app.name) == ["warning", "shutdown", "gone"]
        assert server.events(app.name)[0]["reason"] == "idle_timeout"
        assert server.deletions(app) == 1
        # At its deadline, late only by what a busy machine takes.
        assert timedelta(0) <= server.delay(app) < timedelta(minutes=1)
    assert server.kinds("busy") == []
    assert server.deletions(busy) == 0


def test_f4_a_terminal_holds_its_app_where_terminals_are_kept(
    studio: BlockingStudio, serve: Serve
) -> None:
    server = serve(keep_terminals=True)
    # For an image terminal, only the image and instance type are known.
    held, other = server.start_apps("held", "other", instance_types=INSTANCE_TYPES)
    studio.execute(held, studio.start_kernel(held), "1 + 1")
    terminal = studio.open_terminal(held, shows_activity=False)
    server.limit(2)
    studio.wait_for(other, "Deleted")
    server.wait_for_checks()
    assert server.app("held")["reason"] == "terminal_kept"
    studio.run(lambda _: terminal.close())
    studio.wait_for(held, "Deleted")


def test_idle_kernels_hold_nothing_whatever_is_odd_about_their_servers_word(
    studio: BlockingStudio, serve: Serve
) -> None:
    server = serve()
    odd: dict[str, dict[str, Any]] = {
        "starting": {"execution_state": "starting"},
        "dead": {"execution_state": "dead"},
        "no-fraction": {"last_activity": "2021-06-14T19:34:13Z"},
        "strange": {"execution_state": "contemplating"},
        "stateless": {"execution_state": None, "last_activity": ""},
    }
    apps = dict(zip(odd, server.start_apps(*odd)))
    for name, changes in odd.items():
        studio.start_kernel(apps[name])
        studio.override_kernels(KernelOverride(app_name=name, changes=changes))
    server.limit(2)
    # Those in odd states are asked first.
    for app in apps.values():
        studio.wait_for(app, "Deleted")


def test_f5_kernels_that_are_older_than_the_server_are_seen_and_warned_of_first(
    studio: BlockingStudio, alice: Owner, serve: Serve
) -> None:
    idle = studio.create_kernel_app(alice, name="old-idle")
    busy = studio.create_kernel_app(alice, name="old-busy", instance_type="ml.m5.large")
    studio.execute(idle, studio.start_kernel(idle), "1 + 1")
    studio.execute(busy, studio.start_kernel(busy), SILENT_CELL, wait=False)
    server = serve(idle_timeout=1, warning_time=1)
    studio.wait_for(idle, "Deleted")
    assert server.kinds("old-idle")[:2] == ["warning", "shutdown"]
    warning, shutdown = server.events("old-idle")[:2]
    assert warning["at"] < warning["shutdown_at"] <= shutdown["at"]
    server.wait_for_checks(3)
    assert server.app("old-busy")["reason"] == "kernel_busy"
    assert studio.status(busy) == "InService"


def test_a_server_that_was_killed_finds_its_kernels_again(
    studio: BlockingStudio, serve: Serve
) -> None:
    server = serve()
    busy, idle = server.start_apps("busy", "idle")
    studio.execute(busy, studio.start_kernel(busy, path="train.ipynb"), SILENT_CELL, wait=False)
    studio.execute(idle, studio.start_kernel(idle), "1 + 1")
    server.limit(5)
    studio.kill(server.target)
    studio.restart_server(server.target)
    studio.wait_for(idle, "Deleted")
    server.wait_for_checks(3)
    assert server.app("busy")["reason"] == "kernel_busy"
    assert studio.status(busy) == "InService"


def test_a_shutdown_that_was_cut_off_by_a_crash_is_made_good(
    studio: BlockingStudio, serve: Serve
) -> None:
    server = serve()
    app, other = server.start_apps("cut-off", "lost-answer")
    # The first DeleteApp is refused long after the server died; one is done, its answer lost.
    studio.fault(Fault("DeleteApp", app_name="cut-off", times=1, delay=60, code="InternalFailure"))
    studio.fault(Fault("DeleteApp", app_name="lost-answer", times=1, drop=True, after=True))
    server.limit(1)
    studio.wait_for_call("DeleteApp", "cut-off")
    studio.kill(server.target)
    assert studio.status(app) == "InService"
    studio.restart_server(server.target)
    studio.wait_for(app, "Deleted")
    studio.wait_for(other, "Deleted")
    kinds = until(
        lambda: "gone" in (kinds := server.kinds("cut-off")) and kinds, "the end in the audit trail"
    )
    # Of the two servers: each warned, the second one succeeded.
    assert kinds.count("warning") == 2
    assert kinds[-2:] == ["shutdown", "gone"]


def test_f3_every_app_is_handled_on_its_own_whatever_aws_answers(
    studio: BlockingStudio, serve: Serve
) -> None:
    server = serve()
    faults = {
        "denied": Fault(code="AccessDeniedException"),
        "throttled": Fault(code="ThrottlingException"),
        "in-use": Fault(code="ResourceInUse"),
        "broken": Fault(code="InternalFailure"),
        "dropped": Fault(drop=True),
        "hanging": Fault(hang=True),
        # It is already gone, as far as we can know.
        "missing": Fault(code="ResourceNotFound"),
    }
    names = [*faults, "healthy"]
    apps = dict(zip(names, server.start_apps(*names)))
    for name, fault in faults.items():
        studio.fault(replace(fault, operation="DeleteApp", app_name=name))
    server.limit(2)
    studio.wait_for(apps["healthy"], "Deleted")
    # Not after the one that hangs, which is given up after this time.
    assert server.delay(apps["healthy"]) < timedelta(seconds=CALL_TIMEOUT)

    def errors() -> dict[str, dict[str, object]]:
        found = server.get("status")["apps"]
        return {app["app_name"]: app["error"] for app in found if app["error"]}

    shown = until(lambda: len(found := errors()) == 5 and found, "five errors")
    assert {name: error["code"] for name, error in shown.items()} == {
        "denied": "AccessDeniedException",
        "throttled": "ThrottlingException",
        "in-use": "ResourceInUse",
        "broken": "InternalFailure",
        "dropped": "ConnectionClosedError",
    }
    assert {name for name, error in shown.items() if error["iam_action"]} == {"denied"}
    assert shown["denied"]["iam_action"] == "sagemaker:DeleteApp"
    assert server.app("hanging")["state"] == "shutting_down"
    assert "failure" not in server.kinds("missing")

    studio.faults_off()
    # A denied shutdown is retried only after a long time, but at once when its user asks.
    assert server.deletions(apps["denied"]) == 1
    server.ask("DELETE", "apps/denied")
    for name in ("denied", "throttled", "in-use", "broken", "dropped", "hanging"):
        studio.wait_for(apps[name], "Deleted")


def test_f13_while_the_api_is_away_nothing_is_shut_down_and_the_server_answers(
    studio: BlockingStudio, serve: Serve
) -> None:
    server = serve()
    [app] = server.start_apps("app")
    studio.fault(Fault("ListApps", code="AccessDeniedException"))
    server.limit(2)
    until(lambda: server.app("app")["reason"] == "apps_unseen", "unknown")
    [problem] = server.get("status")["problems"]
    assert (problem["code"], problem["iam_action"]) == ("access_denied", "sagemaker:ListApps")
    server_calls = len(studio.calls("ListApps"))
    studio.wait_for_call("ListApps", count=server_calls + 5)
    assert server.deletions(app) == 0

    # Then it answers, but with nothing useful.
    studio.faults_off()
    studio.fault(Fault("ListApps", hang=True))
    calls = len(studio.calls("ListApps"))
    studio.wait_for_call("ListApps", count=calls + 1)
    assert server.get("status")["host"] == "classic"
    assert server.deletions(app) == 0

    studio.faults_off()
    studio.wait_for(app, "Deleted")
    assert server.get("status")["problems"] == []


def test_f13_while_kernels_can_not_be_listed_nothing_is_shut_down(
    studio: BlockingStudio, serve: Serve
) -> None:
    server = serve(idle_timeout=2, warning_time=1)
    studio.fault(Fault("Gateway.ListKernels", status=500))
    [app] = server.start_apps("app")
    until(lambda: server.app("app").get("reason") == "activity_unseen", "unknown")
    calls = len(studio.calls("ListApps"))
    studio.wait_for_call("ListApps", count=calls + 4)
    assert server.deletions(app) == 0
    assert [problem["code"] for problem in server.get("status")["problems"]] == ["activity_unseen"]
    studio.faults_off()
    studio.wait_for(app, "Deleted")


def test_users_keep_alive_and_shut_down_and_settings_outlast_a_restart_without_a_browser(
    studio: BlockingStudio, serve: Serve
) -> None:
    server = serve()
    kept, doomed, idle = server.start_apps("kept", "doomed", "idle")
    studio.execute(doomed, studio.start_kernel(doomed), SILENT_CELL, wait=False)

    # A user's own request outweighs a running cell.
    assert server.ask("DELETE", "apps/doomed")["state"] == "shutting_down"
    studio.wait_for(doomed, "Deleted")

    assert server.ask("PUT", "apps/kept/keep-alive", {"seconds": 3600})["kept_until"]
    server.limit(2)
    # Events are recorded after the answer.
    until(lambda: server.kinds("kept") == ["keep_alive"], "the keep-alive in the history")
    studio.kill(server.target)
    studio.restart_server(server.target)
    studio.wait_for(idle, "Deleted")
    assert server.app("kept")["state"] == "kept"
    assert server.get("settings")["idle_timeout"]["value"] == 2
    assert studio.status(kept) == "InService"

    server.ask("DELETE", "apps/kept/keep-alive")
    studio.wait_for(kept, "Deleted")
    # A check may warn just before the end is told, which comes after it is saved.
    kinds = server.kinds("kept")
    assert kinds[0] == "keep_alive"
    assert [kind for kind in kinds[1:] if kind.startswith("keep_alive")] == ["keep_alive_ended"]
