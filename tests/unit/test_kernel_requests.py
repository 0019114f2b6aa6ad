"""A kernel is at work while one of its requests is open; a client that connects does not count."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from jupyter_client.session import Session

from sagemaker_autoshutdown.activity.kernel_requests import (
    BEGINS_WITHIN,
    FLOOD,
    RESTARTS_IN_A_ROW,
    SILENT_IN_A_ROW,
    KernelRequests,
    KernelUse,
)

from ..worlds import START, at

CONTROL = (
    "debug_request",
    "create_subshell_request",
    "list_subshell_request",
    "usage_request",
    "interrupt_request",
    "kernel_info_request",
)


class Kernel:
    """A kernel with prepared messages, and a server that listens to it."""

    def __init__(self, *, from_start: bool = True) -> None:
        self.passed = 0.0
        self.clock_error = timedelta(0)
        self.requests = KernelRequests(self.now, lambda: self.passed)
        self.requests.follow("k", from_start=from_start)
        self.client = Session(key=b"")
        self.restart()

    def now(self) -> datetime:
        return at(seconds=self.passed) + self.clock_error

    def restart(self) -> None:
        self.session = Session(key=b"")

    def wait(self, **passed: float) -> None:
        self.passed += timedelta(**passed).total_seconds()

    def request(self, kind: str = "execute_request", **content: Any) -> dict[str, Any]:
        return self.client.msg(kind, content)

    def say(self, kind: str, request: dict[str, Any] | None, **content: Any) -> None:
        parent = None if request is None else request["header"]
        message = self.session.msg(kind, content, parent=parent)
        self.requests.hear("k", [b"kernel.k." + kind.encode(), *self.session.serialize(message)])

    def begin(self, kind: str = "execute_request", *, shown: bool = True) -> dict[str, Any]:
        """Begins a request and returns it."""
        request = self.request(kind)
        self.say("status", request, execution_state="busy")
        if shown and kind == "execute_request":
            self.say("execute_input", request, code="train()")
        return request

    def end(self, request: dict[str, Any] | None) -> None:
        self.say("status", request, execution_state="idle")

    def pass_on(self, kind: str = "execute_request", **content: Any) -> dict[str, Any]:
        """The server forwards a request to the kernel; returns the request."""
        request = self.request(kind, **content)
        self.requests.hear_passed_on("k", self.client.serialize(request))
        return request

    @property
    def use(self) -> KernelUse:
        use = self.requests.use_of("k")
        assert use is not None
        return use

    @property
    def is_running(self) -> bool:
        return bool(self.use.running)


class TestWhatRuns:
    @pytest.mark.parametrize("kind", CONTROL)
    def test_what_is_asked_on_the_control_channel_does_not_end_a_silent_cell(
        self, kind: str
    ) -> None:
        kernel = Kernel()
        cell = kernel.begin()
        kernel.end(kernel.begin(kind))
        assert kernel.use.running == "cell"
        kernel.wait(hours=8)
        kernel.end(cell)
        assert not kernel.is_running
        assert kernel.use.used_at == at(hours=8)

    @pytest.mark.parametrize("kind", CONTROL)
    def test_what_is_asked_on_the_control_channel_is_no_work(self, kind: str) -> None:
        kernel = Kernel()
        kernel.wait(hours=1)
        kernel.begin(kind)
        assert not kernel.is_running
        assert kernel.use.used_at == START

    def test_a_widgets_handler_at_work_counts_like_a_cell(self) -> None:
        kernel = Kernel()
        handler = kernel.begin("comm_msg")
        kernel.wait(minutes=10)
        assert kernel.use.running == "widget handler"
        kernel.end(handler)
        assert (kernel.use.running, kernel.use.used_at) == ("", at(minutes=10))

    def test_a_cell_of_a_subshell_does_not_end_with_one_of_the_main_shell(self) -> None:
        kernel = Kernel()
        on_subshell = kernel.request()
        on_subshell["header"]["subshell_id"] = "s"
        kernel.say("status", on_subshell, execution_state="busy")
        kernel.wait(hours=1)
        kernel.end(kernel.begin())
        assert (kernel.is_running, kernel.use.silent_since) == (True, None)
        kernel.end(on_subshell)
        assert not kernel.is_running

    def test_a_cell_whose_end_was_lost_is_in_doubt_once_the_kernel_works_on_another(self) -> None:
        kernel = Kernel()
        kernel.begin()
        kernel.wait(hours=1)
        kernel.end(kernel.begin())
        kernel.wait(hours=1)
        # It is asked, and does not hold its app for ever.
        assert (kernel.is_running, kernel.use.silent_since) == (False, at(hours=1))
        kernel.requests.answered("k")
        assert (kernel.is_running, kernel.use.silent_since) == (False, None)
        assert kernel.use.used_at == at(hours=1)

    def test_a_cell_that_lets_its_kernel_answer_widgets_meanwhile_goes_on(self) -> None:
        kernel = Kernel()
        cell = kernel.begin()
        kernel.wait(hours=1)
        kernel.end(kernel.begin("comm_msg"))
        assert (kernel.use.running, kernel.use.silent_since) == ("cell", None)
        # Such a kernel also answers a question.
        kernel.requests.answered("k")
        assert kernel.use.running == "cell"
        kernel.end(cell)
        assert not kernel.is_running

    def test_a_cell_whose_end_a_flood_of_output_took_along_is_in_doubt_after_a_widgets_message(
        self,
    ) -> None:
        kernel = Kernel()
        cell = kernel.begin()
        for _ in range(FLOOD):
            kernel.say("stream", cell, text="x")
        kernel.wait(hours=1)
        kernel.end(kernel.begin("comm_msg"))
        assert (kernel.is_running, kernel.use.silent_since) == (False, at(hours=1))

    def test_a_cell_that_went_quiet_after_a_flood_of_output_is_in_doubt(self) -> None:
        kernel = Kernel()
        cell = kernel.begin()
        for _ in range(FLOOD):
            kernel.say("stream", cell, text="x")
        assert (kernel.use.running, kernel.use.silent_since) == ("cell", None)
        kernel.wait(hours=1)
        assert (kernel.use.running, kernel.use.silent_since) == ("", START)
        kernel.say("stream", cell, text="x")
        assert (kernel.use.running, kernel.use.silent_since) == ("cell", None)
        kernel.end(cell)
        assert kernel.use.used_at == at(hours=1)

    def test_output_after_a_cell_has_ended_is_no_use(self) -> None:
        """A clock in a widget prints for ever."""
        kernel = Kernel()
        cell = kernel.begin()
        kernel.end(cell)
        kernel.wait(hours=1)
        for kind in ("stream", "display_data", "update_display_data"):
            kernel.say(kind, cell, text="x")
        assert (kernel.is_running, kernel.use.used_at) == (False, START)

    def test_a_silent_cell_is_in_no_doubt(self) -> None:
        kernel = Kernel()
        cell = kernel.begin()
        kernel.say("stream", cell, text="epoch 1")
        kernel.wait(hours=8)
        assert (kernel.use.running, kernel.use.silent_since) == ("cell", None)

    def test_queued_requests_are_counted_and_each_holds(self) -> None:
        kernel = Kernel()
        first, second = kernel.pass_on(), kernel.pass_on()
        kernel.say("status", first, execution_state="busy")
        kernel.wait(hours=1)
        assert (kernel.use.running, kernel.use.queued) == ("cell", 1)
        kernel.end(first)
        kernel.say("status", second, execution_state="busy")
        assert (kernel.use.running_since, kernel.use.queued) == (at(hours=1), 0)
        kernel.end(second)
        assert not kernel.is_running

    def test_what_was_passed_on_holds_before_the_kernel_begins_with_it_but_not_for_ever(
        self,
    ) -> None:
        kernel = Kernel()
        kernel.pass_on()
        assert kernel.use.running == "cell"
        kernel.wait(seconds=BEGINS_WITHIN.total_seconds())
        assert not kernel.is_running

    def test_widget_messages_that_an_async_cell_takes_in_between_do_not_pile_up(self) -> None:
        kernel = Kernel()
        cell = kernel.begin()
        for _ in range(100):
            kernel.pass_on("comm_msg", data={})
        kernel.wait(minutes=1)
        assert kernel.use.queued == 0
        kernel.end(cell)
        assert not kernel.is_running

    def test_a_cell_that_a_restart_has_ended_does_not_hold_its_app_for_ever(self) -> None:
        kernel = Kernel()
        kernel.begin()
        kernel.wait(hours=1)
        kernel.restart()
        kernel.say("status", None, execution_state="starting")
        assert (kernel.is_running, kernel.use.used_at) == (False, at(hours=1))

    def test_a_kernel_has_started_once_it_answers_anything(self) -> None:
        kernel = Kernel()
        seen = [kernel.use.has_started]
        kernel.end(kernel.begin("kernel_info_request"))
        seen.append(kernel.use.has_started)
        kernel.restart()
        kernel.say("status", None, execution_state="starting")
        seen.append(kernel.use.has_started)
        assert seen == [False, True, False]

    def test_a_kernel_that_crashes_again_and_again_does_not_count_for_ever(self) -> None:
        kernel = Kernel()
        for _ in range(100):
            kernel.wait(minutes=1)
            kernel.restart()
            kernel.say("status", None, execution_state="starting")
        use = kernel.use
        assert use.crashes
        assert use.used_at == at(minutes=RESTARTS_IN_A_ROW)
        # Somebody starts to use it.
        request = kernel.begin()
        assert not kernel.use.crashes
        assert kernel.is_running
        kernel.end(request)
        kernel.wait(minutes=1)
        kernel.restart()
        kernel.say("status", None, execution_state="starting")
        assert kernel.use.used_at == kernel.now()

    def test_a_tab_that_connects_to_each_new_process_does_not_use_it(self) -> None:
        kernel = Kernel()
        for _ in range(20):
            kernel.wait(minutes=1)
            kernel.restart()
            kernel.say("status", None, execution_state="starting")
            for question in ("kernel_info_request", "comm_info_request", "history_request"):
                kernel.end(kernel.begin(question))
        kernel.begin("history_request")  # it crashes meanwhile
        kernel.wait(minutes=1)
        kernel.restart()
        kernel.say("status", None, execution_state="starting")
        assert kernel.use.crashes
        assert kernel.use.used_at == at(minutes=RESTARTS_IN_A_ROW)

    def test_somebody_whose_cell_crashes_the_kernel_each_time_uses_it(self) -> None:
        kernel = Kernel()
        for _ in range(20):
            kernel.wait(minutes=1)
            kernel.begin()
            kernel.restart()
            kernel.say("status", None, execution_state="starting")
        assert not kernel.use.crashes
        assert kernel.use.used_at == at(minutes=20)

    def test_a_kernel_that_never_says_that_it_is_done_is_in_doubt_until_it_answers(self) -> None:
        kernel = Kernel()
        kernel.begin("kernel_info_request")
        kernel.wait(minutes=1)
        kernel.begin()
        kernel.wait(minutes=5)
        assert not kernel.is_running
        assert kernel.use.silent_since == at(minutes=1)
        kernel.requests.answered("k")
        # It may have worked until now.
        answered = kernel.use
        assert (answered.silent_since, answered.used_at) == (None, at(minutes=6))
        kernel.begin()
        assert kernel.use.silent_since == at(minutes=6)

    def test_a_restart_is_noticed_though_its_first_words_were_lost(self) -> None:
        kernel = Kernel()
        kernel.begin()
        kernel.restart()
        kernel.end(kernel.begin("kernel_info_request"))
        assert not kernel.is_running

    def test_a_kernel_that_speaks_in_its_clients_sessions_does_not_seem_to_restart(self) -> None:
        kernel = Kernel()
        kernel.session = kernel.client
        kernel.begin()
        kernel.client = kernel.session = Session(key=b"")
        kernel.end(kernel.begin("kernel_info_request"))
        assert kernel.is_running

    def test_a_kernel_that_names_no_request_when_it_is_done_is_done(self) -> None:
        kernel = Kernel()
        kernel.begin()
        kernel.end(None)
        assert not kernel.is_running

    def test_kernels_that_are_gone_are_forgotten(self) -> None:
        kernel = Kernel()
        kernel.begin()
        kernel.requests.forget_all_but(["other"])
        assert kernel.requests.use_of("k") is None

    def test_a_message_that_can_not_be_read_breaks_nothing(self) -> None:
        kernel = Kernel()
        for message in ([], [b"<IDS|MSG>"], [b"<IDS|MSG>", b"", b'"status"', b"{}", b"", b"["]):
            kernel.requests.hear("k", message)
            kernel.requests.hear_passed_on("k", message)
        assert not kernel.is_running


class TestWhatCountsAsUse:
    def used_after(self, *requests: dict[str, Any] | str, kernel: Kernel | None = None) -> bool:
        """Whether short requests count as use, by default an hour after the kernel's start."""
        if kernel is None:
            kernel = Kernel()
            kernel.wait(hours=1)
        before = kernel.use.used_at
        for request in requests:
            each = kernel.request(request) if isinstance(request, str) else request
            kernel.say("status", each, execution_state="busy")
            kernel.end(each)
        return kernel.use.used_at != before

    @pytest.mark.parametrize(
        "kind", ["comm_info_request", "history_request", "comm_close", *CONTROL]
    )
    def test_a_client_that_merely_connects_does_not_count(self, kind: str) -> None:
        assert not self.used_after(kind)

    @pytest.mark.parametrize(
        "kind", ["complete_request", "inspect_request", "comm_msg", "comm_open", "execute_request"]
    )
    def test_what_people_do_counts(self, kind: str) -> None:
        assert self.used_after(kind)

    @pytest.mark.parametrize(
        ("kind", "content"),
        [
            ("comm_open", {"target_name": "jupyter.widget.control"}),
            ("comm_msg", {"data": {"method": "request_states"}}),
            ("comm_msg", {"data": {"method": "request_state"}}),
        ],
    )
    def test_a_page_with_widgets_that_is_loaded_again_does_not_count(
        self, kind: str, content: dict[str, Any]
    ) -> None:
        kernel = Kernel()
        kernel.wait(hours=1)
        request = kernel.pass_on(kind, **content)
        assert not self.used_after(request, kernel=kernel)
        kernel.wait(minutes=1)
        moved = kernel.pass_on("comm_msg", data={"method": "update", "state": {"value": 3}})
        assert self.used_after(moved, kernel=kernel)

    @pytest.mark.parametrize("size", [10, 10_000])
    def test_a_widget_that_plays_by_itself_does_not_count_for_ever(self, size: int) -> None:
        kernel = Kernel()
        data = {"method": "update", "state": {"value": "x" * size}}
        kernel.wait(hours=1)
        for _ in range(100):
            kernel.wait(seconds=1)
            played = kernel.pass_on("comm_msg", comm_id="play", data=data)
            assert self.used_after(played, kernel=kernel) is (kernel.use.used_at == kernel.now())
        assert kernel.use.used_at is not None
        assert kernel.use.used_at <= at(hours=1, seconds=20)
        assert self.used_after(kernel.pass_on("comm_msg", comm_id="slider"), kernel=kernel)

    def test_silent_executions_that_recur_do_not_count_for_ever(self) -> None:
        kernel = Kernel()
        kernel.end(kernel.begin())
        kernel.wait(hours=1)
        for _ in range(100):
            kernel.end(kernel.begin(shown=False))
            kernel.wait(minutes=1)
        assert kernel.use.used_at == at(hours=1, minutes=SILENT_IN_A_ROW - 1)
        # Visible executions count as use, and so do long ones.
        kernel.end(kernel.begin())
        assert kernel.use.used_at == kernel.now()
        for _ in range(10):
            kernel.end(kernel.begin(shown=False))
        long = kernel.begin(shown=False)
        kernel.wait(minutes=1)
        assert kernel.is_running
        kernel.end(long)
        assert kernel.use.used_at == kernel.now()

    def test_shown_executions_that_go_into_no_history_do_not_count_for_ever(self) -> None:
        kernel = Kernel()
        kernel.wait(hours=1)
        for _ in range(100):
            request = kernel.pass_on(code="dir()", silent=False, store_history=False)
            kernel.say("status", request, execution_state="busy")
            kernel.say("execute_input", request, code="dir()")
            kernel.end(request)
            kernel.wait(minutes=1)
        assert kernel.use.used_at == at(hours=1, minutes=SILENT_IN_A_ROW - 1)

    def test_a_late_answer_to_our_own_question_ends_what_nobody_saw(self) -> None:
        kernel = Kernel()
        question = kernel.request("kernel_info_request")
        kernel.requests.left_unanswered("k", question["header"]["msg_id"])
        before = kernel.use
        kernel.wait(hours=3)
        kernel.say("status", question, execution_state="busy")
        kernel.end(question)
        assert kernel.use.used_at == at(hours=3)
        assert kernel.use.heard != before.heard

    def test_nothing_is_known_of_what_was_used_before_somebody_listened(self) -> None:
        assert Kernel(from_start=False).use.used_at is None

    @pytest.mark.parametrize("jump", [timedelta(days=1), -timedelta(days=1)], ids=str)
    def test_a_clock_that_jumps_makes_nothing_older_or_younger(self, jump: timedelta) -> None:
        kernel = Kernel()
        kernel.end(kernel.begin())
        kernel.wait(minutes=30)
        kernel.begin()
        kernel.clock_error = jump
        kernel.requests.clock_jumped()
        assert kernel.use.used_at == START + jump
        assert kernel.use.running_since == kernel.now()
