"""Nothing is shut down because of an observation or a request that is no longer true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import ErrorKind
from sagemaker_autoshutdown.errors import Conflict
from sagemaker_autoshutdown.model import EventKind, State
from sagemaker_autoshutdown.settings.admin import SageMakerAutoShutdown
from sagemaker_autoshutdown.settings.user import Settings

from ..virtual import DENIED, Server, failing, kernel_model
from ..worlds import at
from .test_monitor import WARNINGS, deleted, make

__all__ = ["make"]


def busy(app_name: str) -> dict[str, Any]:
    return kernel_model(app_name, "busy")


def test_a_users_shutdown_of_one_app_does_not_act_on_an_old_observation_of_another(
    make: Callable[..., Server],
) -> None:
    one = make("a", "b").start()
    one.run(hours=1, minutes=59, seconds=55)
    # The next check takes long. Meanwhile b reaches its deadline, and a cell starts in it.
    one.sagemaker.errors["ListApps"] = 30.0
    one.run(hours=2, seconds=3)
    one.jupyter.kernel_models = [busy("b")]
    one.do(one.commands.shut_down("a"))
    one.run(hours=3)
    assert deleted(one) == ["a"]
    assert one.app("b").state is State.BUSY


@pytest.mark.parametrize("limit", [60, 3600])
def test_a_shorter_limit_warns_nobody_before_the_app_was_seen_again(
    make: Callable[..., Server], limit: int
) -> None:
    one = make("a").start()
    one.run(hours=1, seconds=30)
    one.jupyter.kernel_models = [busy("a")]
    one.do(one.commands.change_settings({"idle_timeout": limit}))
    assert one.app("a").state is not State.WARNED
    one.run(hours=2)
    assert one.app("a").state is State.BUSY
    assert one.told(*WARNINGS) == []


def test_a_warning_that_stands_is_not_taken_back_by_a_changed_setting(
    make: Callable[..., Server],
) -> None:
    one = make("a").start()
    one.run(hours=1, minutes=55)
    one.do(one.commands.change_settings({"keep_terminals": False}))
    assert one.app("a").state is State.WARNED
    one.run(hours=1, minutes=56)
    assert [event.kind for event in one.told(*WARNINGS)] == [EventKind.WARNING]


def test_a_request_that_was_denied_is_not_carried_out_later_unasked(
    make: Callable[..., Server],
) -> None:
    one = make("a").start()
    one.sagemaker.errors["DeleteApp"] = DENIED
    one.run(minutes=1)
    one.do(one.commands.shut_down("a"))
    one.run(minutes=2)
    assert (one.app("a").error or pytest.fail("the failure is not shown")).retry_at is None
    one.jupyter.kernel_models = [busy("a")]
    one.sagemaker.errors.clear()
    one.run(hours=20)
    assert deleted(one) == ["a"]
    assert one.app("a").state is State.BUSY


def test_a_request_that_sagemaker_agreed_to_and_forgot_is_not_carried_out_later_unasked(
    make: Callable[..., Server],
) -> None:
    one = make("a").start()
    one.sagemaker.forgetful = True
    one.run(minutes=1)
    one.do(one.commands.shut_down("a"))
    one.jupyter.kernel_models = [busy("a")]
    one.run(hours=20)
    assert deleted(one) == ["a"]
    assert one.app("a").state is State.BUSY


def test_asking_again_after_a_denial_is_tried_at_once(make: Callable[..., Server]) -> None:
    one = make("a").start()
    one.sagemaker.errors["DeleteApp"] = DENIED
    one.run(minutes=1)
    one.do(one.commands.shut_down("a"))
    one.run(minutes=1, seconds=5)
    one.sagemaker.errors.clear()
    one.do(one.commands.shut_down("a"))
    one.run(minutes=1, seconds=10)
    assert deleted(one) == ["a", "a"]
    assert one.app("a").state is State.SHUTTING_DOWN


def test_a_users_request_does_not_wait_for_the_back_off_of_a_shutdown_that_was_due(
    make: Callable[..., Server],
) -> None:
    one = make("a").start()
    one.sagemaker.errors["DeleteApp"] = DENIED
    one.run(hours=2, seconds=5)
    assert deleted(one) == ["a"]
    one.sagemaker.errors.clear()
    one.do(one.commands.shut_down("a"))
    one.run(hours=2, seconds=10)
    assert deleted(one) == ["a", "a"]
    assert one.app("a").state is State.SHUTTING_DOWN


def test_no_keep_alive_is_granted_while_a_deletion_is_on_its_way(
    make: Callable[..., Server],
) -> None:
    one = make("a").start()
    one.sagemaker.errors["DeleteApp"] = failing(ErrorKind.THROTTLED, "ThrottlingException")
    one.run(hours=2, seconds=5)
    one.sagemaker.errors["DeleteApp"] = 20.0
    one.run(hours=2, seconds=40)
    assert len(deleted(one)) == 2
    assert one.app("a").state is State.SHUTTING_DOWN
    with pytest.raises(Conflict):
        one.do(one.commands.keep_alive("a", at(hours=5)))


def test_a_cell_that_starts_while_terminals_are_slow_to_answer_is_seen(
    make: Callable[..., Server],
) -> None:
    one = make("a").start()
    one.run(hours=1, minutes=59, seconds=59)

    async def slow_terminals() -> list[dict[str, Any]]:
        await asyncio.sleep(9)
        one.jupyter.kernel_models = [busy("a")]
        return []

    one.jupyter.terminals = slow_terminals  # type: ignore[method-assign]
    one.run(hours=2, minutes=1)
    assert deleted(one) == []


def test_an_app_that_can_not_be_described_does_not_hold_up_the_others(
    make: Callable[..., Server],
) -> None:
    one = make("a", "b")
    item = one.sagemaker._item
    one.sagemaker._item = lambda app: {  # type: ignore[method-assign]
        key: value for key, value in item(app).items() if key != "ResourceSpec"
    }
    one.sagemaker.errors["DescribeApp", "a"] = failing(
        ErrorKind.ACCESS_DENIED, "AccessDeniedException", "DescribeApp"
    )
    one.start().run(hours=3)
    assert deleted(one) == ["b"]
    assert one.app("a").state is State.UNKNOWN
    assert "sagemaker:DescribeApp" in one.app("a").subject


def test_a_loop_that_is_cancelled_from_inside_goes_on(make: Callable[..., Server]) -> None:
    one = make("a").start()
    one.run(minutes=1)
    observations = one.jupyter.observations

    async def cancelled() -> list[dict[str, Any]]:
        raise asyncio.CancelledError

    kernels, one.jupyter.kernels = one.jupyter.kernels, cancelled  # type: ignore[method-assign]
    one.run(minutes=3)
    assert [problem.code for problem in one.monitor.status().problems] == ["check_failed"]
    next_check_at = one.monitor.status().next_check_at
    assert next_check_at is not None
    assert next_check_at >= one.now()
    assert one.app("a").state is State.UNKNOWN
    one.jupyter.kernels = kernels  # type: ignore[method-assign]
    one.run(hours=3)
    assert one.jupyter.observations > observations
    assert deleted(one) == ["a"]


def test_settings_that_can_not_be_read_do_not_end_the_loop(
    make: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(settings: Settings) -> None:
        raise RuntimeError("a disk of its own kind")

    monkeypatch.setattr(Settings, "read", broken)
    one = make("a").start()
    one.run(hours=3)
    assert deleted(one) == ["a"]


def test_a_deadline_that_passed_while_checks_failed_is_warned_of_anew(
    make: Callable[..., Server],
) -> None:
    one = make("a").start()
    one.run(hours=1, minutes=55)
    on_check = one.notebook.on_check
    one.notebook.on_check = None  # type: ignore[assignment]
    one.sagemaker.errors["ListApps"] = RuntimeError("a fault of ours")
    one.run(hours=4)
    assert one.app("a").state is State.UNKNOWN
    one.sagemaker.errors.clear()
    one.notebook.on_check = on_check  # type: ignore[method-assign]
    one.run(hours=4, minutes=5)
    assert deleted(one) == []
    one.run(hours=4, minutes=15)
    assert deleted(one) == ["a"]


def test_a_data_dir_in_the_home_folder_is_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    assert SageMakerAutoShutdown(data_dir="~/records").data_dir == "/home/alice/records"


def test_the_wait_of_a_request_does_not_outlast_its_telling(make: Callable[..., Server]) -> None:
    one = make("a").start()
    one.sagemaker.errors["DeleteApp"] = failing(ErrorKind.THROTTLED, "ThrottlingException")
    one.run(minutes=1)
    one.do(one.commands.shut_down("a"))
    one.run(minutes=2)
    assert one.app("a").error is not None
    one.run(minutes=9)
    assert one.app("a").error is None
