"""A cell runs until its kernel is done with it, whatever else the kernel answers meanwhile."""

from __future__ import annotations

from typing import Any

from jupyter_client.session import Session

from sagemaker_autoshutdown.activity.running_cells import RunningCells

SESSION = Session(key=b"")
CELL = SESSION.msg("execute_request")
DEBUGGER = SESSION.msg("debug_request")


def cells_after(*statuses: tuple[str, dict[str, Any] | None]) -> RunningCells:
    """What is known after a kernel has said these states, each in answer to a request."""
    cells = RunningCells(object())
    for state, request in statuses:
        parent = None if request is None else request["header"]
        message = SESSION.msg("status", {"execution_state": state}, parent=parent)
        cells.hear("k", [b"kernel.k.status", *SESSION.serialize(message)])
    return cells


def test_a_debugger_that_asks_while_a_cell_runs_does_not_make_the_kernel_idle() -> None:
    asked = [("busy", DEBUGGER), ("idle", DEBUGGER)]
    assert cells_after(("busy", CELL), *asked).running_in("k")
    assert not cells_after(*asked).running_in("k")
    assert not cells_after(("busy", CELL), *asked, ("idle", CELL)).running_in("k")


def test_a_cell_that_a_restart_has_ended_does_not_hold_its_app_for_ever() -> None:
    assert not cells_after(("busy", CELL), ("starting", None)).running_in("k")
    # Even if the kernel's first words were missed.
    later = SESSION.msg("execute_request")
    assert not cells_after(("busy", CELL), ("busy", later), ("idle", later)).running_in("k")


def test_a_cell_of_another_kernel_does_not_count() -> None:
    assert not cells_after(("busy", CELL)).running_in("other")


def test_a_server_that_tells_requests_apart_itself_is_left_alone() -> None:
    class Manager:
        def track_message_type(self) -> None: ...

        def start_watching_activity(self, kernel_id: str) -> None: ...

    manager = Manager()
    RunningCells(manager)
    assert "start_watching_activity" not in vars(manager)
