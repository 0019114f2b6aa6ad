"""A kernel that claims to be idle is asked before its app goes, and asking leaves no trace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tornado import web, websocket
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from sagemaker_autoshutdown.activity import kernel_probe
from sagemaker_autoshutdown.activity import reader as reading
from sagemaker_autoshutdown.activity.kernel_probe import Answer, CpuMeter, Told, ask
from sagemaker_autoshutdown.activity.kernel_requests import KernelUse
from sagemaker_autoshutdown.model import EventKind, Reason, State

from ..virtual import DENIED, Server, kernel_model
from ..worlds import START, at
from .test_activity import Reader
from .test_monitor import WARNINGS, deleted, make

__all__ = ["make"]

#: Seconds of patience where a kernel stays silent, but what it was asked must have arrived.
UNTIL_SILENCE = 2.0
#: A kernel that this server started, listens to and has not heard.
UNHEARD = KernelUse("", None, 0, START, 0, from_start=True)


def say(handler: websocket.WebSocketHandler, parent: dict[str, str], state: str) -> None:
    """A kernel's claim about its state."""
    content = {"execution_state": state}
    handler.write_message({"channel": "iopub", "parent_header": parent, "content": content})


async def told_by(
    on_message: Callable[..., None],
    patience: float = 20.0,
    meter: CpuMeter | None = None,
    claimed: str = "idle",
) -> Told:
    """What comes of asking a kernel whose server does this with each message."""

    class Channels(websocket.WebSocketHandler):
        def on_message(self, message: str | bytes) -> None:
            on_message(self, message)

    server = HTTPServer(web.Application([(r"/channels", Channels)]))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    try:
        url = HTTPRequest(f"ws://127.0.0.1:{port}/channels")
        return await ask(url, patience, meter, claimed)
    finally:
        server.stop()
        await server.close_all_connections()


class TestOddServers:
    """Other outcomes of a question."""

    async def asked(
        self,
        on_message: Callable[..., None],
        patience: float = 20.0,
        meter: CpuMeter | None = None,
    ) -> Answer:
        return (await told_by(on_message, patience, meter)).answer

    async def test_a_connection_that_breaks_tells_nothing(self) -> None:
        assert await self.asked(lambda handler, _: handler.close()) is Answer.UNKNOWN

    async def test_words_that_make_no_sense_tell_nothing(self) -> None:
        assert await self.asked(lambda handler, _: handler.write_message("?")) is Answer.UNKNOWN

    async def test_a_question_that_got_lost_is_put_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kernel_probe, "AGAIN", 0.1)
        heard: list[str | bytes] = []

        def forgetful(handler: websocket.WebSocketHandler, message: str | bytes) -> None:
            heard.append(message)
            if len(heard) == 3:
                say(handler, json.loads(message)["header"], "idle")

        assert await self.asked(forgetful) is Answer.IDLE

    async def test_silence_is_not_waited_for_for_ever(self) -> None:
        assert await self.asked(lambda *_: None, patience=0.2) is Answer.SILENT

    async def test_a_server_that_is_not_there_tells_nothing(self) -> None:
        socket, port = bind_unused_port()
        socket.close()
        url = HTTPRequest(f"ws://127.0.0.1:{port}/channels")
        answer = (await ask(url, kernel_probe.PATIENCE)).answer
        assert answer is Answer.UNKNOWN

    async def test_what_somebody_else_does_in_it_is_noticed(self) -> None:
        def busy(handler: websocket.WebSocketHandler, message: str | bytes) -> None:
            header = json.loads(message)["header"]
            cell = {"msg_id": "other", "msg_type": "execute_request"}
            for parent, state in ((cell, "busy"), (cell, "idle"), (header, "idle")):
                say(handler, parent, state)

        assert await self.asked(busy) is Answer.USED

    async def test_a_cell_that_begins_while_the_cpu_is_measured_is_noticed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An old gateway took the question for the end of that cell, and the app was warned of or
        shut down."""
        monkeypatch.setattr(kernel_probe, "MEASURED_FOR", 0.01)
        cell = {"msg_id": "other", "msg_type": "execute_request"}

        def works(handler: websocket.WebSocketHandler, message: str | bytes) -> None:
            header = json.loads(message)["header"]
            if header["msg_type"] == kernel_probe.USAGE_QUESTION:
                say(handler, cell, "busy")
                say(handler, header, "idle")
                reply = {"channel": "control", "parent_header": header}
                handler.write_message({**reply, "content": {"kernel_cpu": 0.0}})
            else:
                say(handler, header, "idle")

        assert await self.asked(works, meter=CpuMeter()) is Answer.USED
        assert await self.asked(works, meter=CpuMeter(tells=True)) is Answer.USED

    @pytest.mark.parametrize("claimed", ["idle", "busy"])
    async def test_words_that_belong_to_our_questions_are_not_taken_for_use(
        self, monkeypatch: pytest.MonkeyPatch, claimed: str
    ) -> None:
        """They may come late, and another app's questions may come between."""
        monkeypatch.setattr(kernel_probe, "MEASURED_FOR", 0.01)

        def waits(handler: websocket.WebSocketHandler, message: str | bytes) -> None:
            header = json.loads(message)["header"]
            if header["msg_type"] == kernel_probe.USAGE_QUESTION:
                say(handler, {**header, "msg_id": "another app's"}, "idle")
                reply = {"channel": "control", "parent_header": header}
                handler.write_message({**reply, "content": {"kernel_cpu": 0.0}})
                return
            say(handler, {**header, "msg_type": kernel_probe.USAGE_QUESTION}, "idle")
            reply = {"channel": "shell", "parent_header": header, "content": {}}
            handler.write_message(reply)
            for _ in range(2):
                say(handler, header, "idle")

        told = await told_by(waits, meter=CpuMeter(), claimed=claimed)
        assert (told.answer, told.cpu) == (Answer.IDLE, 0.0)

    async def test_words_without_a_request_do_not_spoil_an_answer(self) -> None:
        def odd(handler: websocket.WebSocketHandler, message: str | bytes) -> None:
            handler.write_message({"channel": "shell", "parent_header": None, "content": {}})
            say(handler, json.loads(message)["header"], "idle")

        assert await self.asked(odd) is Answer.IDLE

    @pytest.mark.parametrize(
        ("status", "answer"),
        [
            (401, Answer.REFUSED),
            (403, Answer.REFUSED),
            (404, Answer.REFUSED),
            (408, Answer.UNKNOWN),
            (429, Answer.UNKNOWN),
            (302, Answer.UNKNOWN),
            (500, Answer.UNKNOWN),
            (503, Answer.UNKNOWN),
        ],
    )
    async def test_a_server_that_takes_no_questions_at_present_has_not_refused_them(
        self, status: int, answer: Answer
    ) -> None:
        """A gateway that was asked too often let a silent cell be shut down."""

        class Channels(web.RequestHandler):
            def get(self) -> None:
                self.set_status(status)

        server = HTTPServer(web.Application([("/channels", Channels)]))
        socket, port = bind_unused_port()
        server.add_socket(socket)
        url = HTTPRequest(f"ws://127.0.0.1:{port}/channels")
        try:
            assert (await ask(url, 20.0)).answer is answer
        finally:
            server.stop()
            await server.close_all_connections()

    @pytest.mark.parametrize("kind", ["kernel_info_request", "comm_info_request", "debug_request"])
    async def test_the_question_of_another_client_is_not_taken_for_use(self, kind: str) -> None:
        def asked_by_two(handler: websocket.WebSocketHandler, message: str | bytes) -> None:
            header = json.loads(message)["header"]
            for parent in ({**header, "msg_id": "other", "msg_type": kind}, header):
                say(handler, parent, "idle")

        assert await self.asked(asked_by_two) is Answer.IDLE

    async def test_the_first_word_on_the_use_of_the_cpu_tells_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is the use since the question before, and there was none."""
        monkeypatch.setattr(kernel_probe, "MEASURED_FOR", 0.01)
        uses = [0.0, 97.0, 42.0]

        def works(handler: websocket.WebSocketHandler, message: str | bytes) -> None:
            header = json.loads(message)["header"]
            say(handler, header, "idle")
            if header["msg_type"] == kernel_probe.USAGE_QUESTION:
                reply = {"channel": "control", "parent_header": header}
                handler.write_message({**reply, "content": {"kernel_cpu": uses.pop(0)}})

        meter = CpuMeter()
        assert [(await told_by(works, meter=meter)).cpu for _ in range(2)] == [0.97, 0.42]

    async def test_a_kernel_that_once_told_its_use_of_the_cpu_and_is_silent_now_may_be_at_work(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One lost answer let a training be shut down: its kernel was never asked again."""
        monkeypatch.setattr(kernel_probe, "MEASURED_FOR", 0.01)
        monkeypatch.setattr(kernel_probe, "USAGE_PATIENCE", UNTIL_SILENCE)
        uses = [None, 0.0, 97.0, None, 42.0]

        def works(handler: websocket.WebSocketHandler, message: str | bytes) -> None:
            header = json.loads(message)["header"]
            say(handler, header, "idle")
            used = uses.pop(0) if header["msg_type"] == kernel_probe.USAGE_QUESTION else None
            if used is not None:
                reply = {"channel": "control", "parent_header": header}
                handler.write_message({**reply, "content": {"kernel_cpu": used}})

        meter = CpuMeter()
        told = [await told_by(works, meter=meter) for _ in range(4)]
        assert [each.cpu for each in told] == [None, 0.97, None, 0.42]
        answers = [each.answer for each in told]
        assert answers == [Answer.IDLE, Answer.IDLE, Answer.SILENT, Answer.IDLE]

    async def test_a_kernel_that_never_tells_its_use_of_the_cpu_is_not_asked_for_it_for_ever(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kernel_probe, "USAGE_PATIENCE", 0.1)
        heard: list[str] = []

        def old(handler: websocket.WebSocketHandler, message: str | bytes) -> None:
            header = json.loads(message)["header"]
            heard.append(header["msg_type"])
            if header["msg_type"] == kernel_probe.QUESTION:
                say(handler, header, "idle")

        meter = CpuMeter()
        answers = [await self.asked(old, meter=meter) for _ in range(5)]
        assert answers == [Answer.IDLE] * 5
        assert heard.count(kernel_probe.USAGE_QUESTION) == kernel_probe.USAGE_QUESTIONS


class TestKernelsThatMayWork:
    """Kernels that do not claim to be idle, on a server whose word may be wrong."""

    async def asked_for(
        self,
        claimed: str,
        answered: set[tuple[str, str]],
        *,
        patience: float = UNTIL_SILENCE,
        with_reply: bool = True,
    ) -> tuple[Told, list[str]]:
        """What comes of asking a kernel that answers only these types on these channels, and the
        types that it was asked."""
        heard: list[str] = []

        def answer(handler: websocket.WebSocketHandler, text: str | bytes) -> None:
            message = json.loads(text)
            header = message["header"]
            heard.append(header["msg_type"])
            if (message["channel"], header["msg_type"]) in answered:
                say(handler, header, "busy")
                say(handler, header, "idle")
                if with_reply:
                    reply = {"channel": "shell", "parent_header": header, "content": {}}
                    handler.write_message(reply)
            else:
                # The server's own word.
                say(handler, {}, "restarting")

        told = await told_by(answer, patience, claimed=claimed)
        return told, heard

    async def test_a_busy_one_is_asked_nothing_that_it_may_answer_in_the_middle_of_a_cell(
        self,
    ) -> None:
        answered = {("shell", "kernel_info_request"), ("control", "kernel_info_request")}
        told, heard = await self.asked_for("busy", answered)
        assert told.answer is Answer.SILENT
        assert set(heard) == {"execute_request"}

    async def test_a_busy_one_that_has_nothing_to_do_says_so(self) -> None:
        told, _ = await self.asked_for("busy", {("shell", "execute_request")}, patience=20.0)
        assert told.answer is Answer.IDLE

    async def test_a_busy_one_that_puts_executions_off_is_in_a_cell(self) -> None:
        """As jupyter_ui_poll does: the kernel is done with the message, but has not executed it."""
        executions = {("shell", "execute_request")}
        told, _ = await self.asked_for("busy", executions, with_reply=False)
        assert told.answer is Answer.SILENT

    async def test_one_that_starts_and_is_silent_in_a_cell_is_told_from_one_that_has_hung(
        self,
    ) -> None:
        told, _ = await self.asked_for("starting", {("control", "kernel_info_request")})
        assert (told.answer, told.is_alive) == (Answer.SILENT, True)
        told, _ = await self.asked_for("starting", set())
        assert (told.answer, told.is_alive) == (Answer.SILENT, False)

    async def test_one_that_starts_but_waits_says_so(self) -> None:
        answered = {("shell", "execute_request"), ("control", "kernel_info_request")}
        told, _ = await self.asked_for("starting", answered, patience=20.0)
        assert told.answer is Answer.IDLE

    async def test_one_that_starts_is_asked_nothing_that_a_cell_may_let_it_answer(self) -> None:
        answered = {("shell", "kernel_info_request"), ("control", "kernel_info_request")}
        told, _ = await self.asked_for("starting", answered)
        assert (told.answer, told.is_alive) == (Answer.SILENT, True)

    async def test_an_idle_one_is_not_asked_on_its_control_channel(self) -> None:
        told, heard = await self.asked_for("idle", {("control", "kernel_info_request")})
        assert (told.answer, heard) == (Answer.SILENT, ["kernel_info_request"])


class TestWhatIsMadeOfIt:
    """At the next observation of the kernels."""

    @pytest.fixture(autouse=True)
    def no_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading, "LISTED_AGAIN_AFTER", 0.0)

    async def observed(self, answer: Answer) -> Reader:
        reader = Reader()
        await reader.one(kernel_model(last=START), at(hours=2))
        reader.jupyter.answers = {"kernel-of-a": answer}
        assert await reader.reader.ask(["kernel-of-a"], at(hours=2))
        return reader

    async def test_asking_is_no_activity(self) -> None:
        reader = await self.observed(Answer.IDLE)
        for hours in (2, 3):
            work = await reader.one(kernel_model(last=at(hours=2)), at(hours=hours))
            assert (work.state, work.last_activity) == ("idle", START)

    async def test_asking_twice_is_no_activity_either(self) -> None:
        reader = await self.observed(Answer.IDLE)
        await reader.one(kernel_model(last=at(hours=2)), at(hours=2))
        await reader.reader.ask(["kernel-of-a"], at(hours=2))
        work = await reader.one(kernel_model(last=at(hours=3)), at(hours=3))
        assert work.last_activity == START

    async def test_an_observation_while_it_is_asked_takes_the_question_for_no_activity(
        self,
    ) -> None:
        reader = Reader()
        await reader.one(kernel_model(last=START), at(hours=2))
        reader.jupyter.answers = {}
        reader.jupyter.answering = 0.05
        asking = asyncio.ensure_future(reader.reader.ask(["kernel-of-a"], at(hours=2)))
        await asyncio.sleep(0)
        # The gateway has already recorded the question.
        work = await reader.one(kernel_model(last=at(hours=2)), at(hours=2))
        assert work.last_activity == START
        await asking
        work = await reader.one(kernel_model(last=at(hours=2)), at(hours=3))
        assert work.last_activity == START

    async def test_use_after_the_question_is_activity(self) -> None:
        reader = await self.observed(Answer.IDLE)
        await reader.one(kernel_model(last=at(hours=2)), at(hours=2))
        work = await reader.one(kernel_model(last=at(hours=3)), at(hours=4))
        assert work.last_activity == at(hours=3)

    async def test_use_during_the_question_is_activity(self) -> None:
        reader = await self.observed(Answer.USED)
        work = await reader.one(kernel_model(last=at(hours=2)), at(hours=2))
        assert (work.state, work.last_activity) == ("idle", at(hours=2))

    async def test_a_kernel_whose_processes_work_was_used_when_it_was_asked(self) -> None:
        reader = Reader()
        await reader.one(kernel_model(last=START), at(hours=2))
        reader.jupyter.answers, reader.jupyter.cpu = {}, {"kernel-of-a": 0.97}
        await reader.reader.ask(["kernel-of-a"], at(hours=2))
        work = await reader.one(kernel_model(last=START), at(hours=3))
        asked = at(hours=2, seconds=reader.jupyter.answering)
        assert (work.state, work.last_activity) == ("idle", asked)
        assert "its processes use 97 % of a CPU" in work.evidence[0].text
        # The next answer does not undo that.
        reader.jupyter.cpu = {"kernel-of-a": 0.01}
        await reader.reader.ask(["kernel-of-a"], at(hours=3))
        work = await reader.one(kernel_model(last=START), at(hours=4))
        assert work.last_activity == asked

    async def test_a_kernel_that_is_silent_is_busy_until_it_says_anything_else(self) -> None:
        reader = await self.observed(Answer.SILENT)
        for hours in (2, 9):
            work = await reader.one(kernel_model(last=at(hours=2)), at(hours=hours))
            assert (work.state, work.state_since) == ("busy", at(hours=2))
        work = await reader.one(kernel_model(last=at(hours=10)), at(hours=11))
        assert (work.state, work.last_activity) == ("idle", at(hours=10))

    async def test_an_answer_does_not_outlast_the_next_cell(self) -> None:
        """Its server may tell no new time for it."""
        reader = await self.observed(Answer.IDLE)
        await reader.one(kernel_model(last=START), at(hours=2))
        assert (await reader.one(kernel_model(state="busy"), at(hours=2))).state == "busy"

    async def test_a_busy_kernel_that_answers_is_idle_since_its_last_message(self) -> None:
        reader = Reader()
        busy = kernel_model(state="busy", last=at(hours=1))
        assert (await reader.one(busy, at(hours=3))).claimed_since == at(hours=1)
        reader.jupyter.answers = {"kernel-of-a": Answer.IDLE}
        await reader.reader.ask(["kernel-of-a"], at(hours=3))
        for model in (busy, busy, kernel_model(state="idle", last=at(hours=1))):
            work = await reader.one(model, at(hours=3))
            assert (work.state, work.last_activity) == ("idle", at(hours=1))
        work = await reader.one(kernel_model(state="busy", last=at(hours=4)), at(hours=4))
        assert work.state == "busy"

    @pytest.mark.parametrize("answer", [each for each in Answer if each is not Answer.IDLE])
    async def test_a_busy_kernel_that_does_not_answer_stays_busy(self, answer: Answer) -> None:
        reader = Reader()
        busy = kernel_model(state="busy", last=at(hours=1))
        await reader.one(busy, at(hours=3))
        reader.jupyter.answers = {"kernel-of-a": answer}
        await reader.reader.ask(["kernel-of-a"], at(hours=4))
        for _ in range(2):
            work = await reader.one(busy, at(hours=4))
            assert (work.state, work.silent_since) == ("busy", None)
            assert work.state_since == at(hours=3)
            # It is asked again after another limit.
            assert work.claimed_since == at(hours=4, seconds=reader.jupyter.answering)

    async def test_a_busy_kernel_that_was_silent_is_asked_again_as_a_busy_one(self) -> None:
        """Our question has made its server believe that it is idle."""
        reader = Reader()
        await reader.one(kernel_model(state="busy", last=START), at(hours=3))
        reader.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        await reader.reader.ask(["kernel-of-a"], at(hours=3))
        for hours in (3, 5):
            work = await reader.one(kernel_model(last=at(hours=3)), at(hours=hours))
            assert (work.state, work.silent_since is not None) == ("busy", True)
        await reader.reader.ask(["kernel-of-a"], at(hours=5))
        assert reader.jupyter.claimed == {"kernel-of-a": "busy"}
        await reader.one(kernel_model(last=at(hours=3)), at(hours=5))
        # A later cell is another matter.
        await reader.one(kernel_model(last=at(hours=6)), at(hours=6))
        await reader.reader.ask(["kernel-of-a"], at(hours=8))
        assert reader.jupyter.claimed == {"kernel-of-a": "idle"}

    async def test_a_kernel_that_died_meanwhile_is_not_taken_for_busy(self) -> None:
        reader = await self.observed(Answer.SILENT)
        assert (await reader.one(kernel_model(state="dead"), at(hours=2))).state == "dead"

    async def test_what_could_not_be_asked_is_unknown_for_one_observation(self) -> None:
        reader = await self.observed(Answer.UNKNOWN)
        assert (await reader.one(kernel_model(), at(hours=2))).state == "unknown"
        assert (await reader.one(kernel_model(), at(hours=3))).state == "idle"

    @pytest.mark.parametrize(
        ("answer", "state", "is_presumed"),
        [
            (Answer.IDLE, "idle", False),
            (Answer.USED, "idle", False),
            (Answer.SILENT, "busy", True),
            (Answer.UNKNOWN, "unknown", False),
            (Answer.REFUSED, "odd", False),
            (None, "odd", False),
        ],
    )
    async def test_a_kernel_in_an_odd_state_may_be_at_work_until_it_answers(
        self, answer: Answer | None, state: str, is_presumed: bool
    ) -> None:
        reader = Reader()
        work = await reader.one(kernel_model(state="odd", last=START), at(hours=1))
        assert (work.state, work.silent_since) == ("odd", at(hours=1))
        reader.jupyter.answers = None if answer is None else {"kernel-of-a": answer}
        await reader.reader.ask(["kernel-of-a"], at(hours=2))
        work = await reader.one(kernel_model(state="odd", last=START), at(hours=2))
        assert (work.state, work.silent_since is not None) == (state, is_presumed)

    async def test_what_may_not_be_asked_is_taken_at_its_word_and_that_is_said(self) -> None:
        reader = await self.observed(Answer.REFUSED)
        assert (await reader.one(kernel_model(), at(hours=2))).state == "idle"
        assert "refuses" in (await reader.observe(at(hours=2))).notes[0]


class TestBeforeAShutdown:
    """A Classic server with an idle kernel in each app."""

    @pytest.fixture
    def one(self, make: Callable[..., Server]) -> Server:
        one = make("a", "b")
        one.jupyter.kernel_models = [kernel_model("a"), kernel_model("b")]
        one.jupyter.answers = {}
        return one.start()

    def test_processes_that_work_are_neither_warned_of_nor_killed(self, one: Server) -> None:
        one.jupyter.cpu = {"kernel-of-a": 0.97, "kernel-of-b": 0.14}
        one.run(hours=9)
        assert {event.app_name for event in one.told(*WARNINGS)} == {"b"}
        assert deleted(one) == ["b"]
        one.jupyter.cpu = {}
        one.run(hours=11, minutes=30)
        assert deleted(one) == ["b", "a"]

    def test_an_idle_kernel_in_an_odd_state_does_not_hold_its_app_for_ever(
        self, one: Server
    ) -> None:
        one.jupyter.kernel_models = [kernel_model("a", "odd"), kernel_model("b", "unknown")]
        one.jupyter.answers = {"kernel-of-a": Answer.IDLE, "kernel-of-b": Answer.SILENT}
        one.run(hours=1)
        assert one.app("b").reason is Reason.KERNEL_STATE_UNKNOWN
        one.run(hours=9)
        assert deleted(one) == ["a"]
        assert one.app("b").reason is Reason.KERNEL_BUSY

    @pytest.mark.parametrize(
        "answers", [dict.fromkeys(("kernel-of-a", "kernel-of-b"), Answer.REFUSED), None]
    )
    def test_a_kernel_in_an_odd_state_that_can_not_be_asked_holds_its_app(
        self, one: Server, answers: dict[str, Answer] | None
    ) -> None:
        one.jupyter.kernel_models = [kernel_model("a", "odd"), kernel_model("b", "odd")]
        one.jupyter.answers = answers
        one.run(hours=9)
        assert deleted(one) == []

    @pytest.mark.parametrize("state", ["starting", "restarting", "autorestarting"])
    def test_a_cell_in_a_kernel_that_seems_to_start_is_not_killed(
        self, one: Server, state: str
    ) -> None:
        one.jupyter.kernel_models = [kernel_model("a", state), kernel_model("b", state)]
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.jupyter.alive = {"kernel-of-a"}
        one.run(hours=19)
        assert deleted(one) == ["b"]
        app = one.app("a")
        assert (app.state, app.reason) == (State.BUSY, Reason.KERNEL_STATE_UNKNOWN)
        assert {event.app_name for event in one.told(*WARNINGS)} == {"b"}

    @pytest.mark.parametrize("state", ["starting", "restarting", "autorestarting"])
    def test_a_cell_in_a_kernel_whose_first_messages_were_missed_is_not_killed(
        self, one: Server, state: str
    ) -> None:
        one.jupyter.kernel_models = [kernel_model("a", state), kernel_model("b", state)]
        one.jupyter.uses = dict.fromkeys(("kernel-of-a", "kernel-of-b"), UNHEARD)
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT, "kernel-of-b": Answer.SILENT}
        one.jupyter.alive = {"kernel-of-a"}
        one.run(hours=19)
        assert deleted(one) == ["b"]
        assert one.app("a").state is State.BUSY
        assert {event.app_name for event in one.told(*WARNINGS)} == {"b"}

    def test_an_idle_kernel_whose_first_messages_were_missed_is_idle_since_its_start(
        self, one: Server
    ) -> None:
        one.jupyter.kernel_models = [kernel_model("a", "starting"), kernel_model("b", "busy")]
        one.jupyter.uses = {"kernel-of-a": UNHEARD}
        one.run(hours=1, minutes=56)
        assert one.app("a").state is State.WARNED
        one.run(hours=2, minutes=5)
        assert deleted(one) == ["a"]

    @pytest.mark.parametrize("use", [None, UNHEARD])
    def test_f2_a_kernel_that_hangs_in_starting_does_not_hold_its_app(
        self, make: Callable[..., Server], use: KernelUse | None
    ) -> None:
        one = make("a")
        one.jupyter.kernel_models = [kernel_model("a", "starting")]
        one.jupyter.uses = {} if use is None else {"kernel-of-a": use}
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.start().run(hours=1, minutes=59)
        assert deleted(one) == []
        one.run(hours=2, minutes=5)
        assert deleted(one) == ["a"]

    def test_an_idle_kernel_whose_server_missed_that_its_cell_has_ended_is_asked(
        self, one: Server
    ) -> None:
        one.jupyter.kernel_models[0]["execution_state"] = "busy"
        one.run(hours=1, minutes=59)
        assert one.app("a").reason is Reason.KERNEL_BUSY
        assert {"kernel-of-a"} not in one.jupyter.asked
        # It may have been at work until it was asked.
        one.run(hours=3, minutes=55)
        assert (one.app("a").state, deleted(one)) == (State.WARNED, ["b"])
        one.run(hours=5)
        assert deleted(one) == ["b", "a"]

    def test_a_busy_kernel_that_can_not_be_asked_is_not_asked_again_at_once(
        self, one: Server
    ) -> None:
        one.jupyter.kernel_models = [kernel_model("a", "busy")]
        one.jupyter.answers = None
        one.run(hours=1)
        observations = one.jupyter.observations
        one.run(hours=3)
        assert one.jupyter.observations - observations < 2 * 60 + 10

    def test_a_busy_kernel_is_asked_once_in_a_limit_and_never_warned_of(self, one: Server) -> None:
        one.jupyter.kernel_models[0]["execution_state"] = "busy"
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.run(hours=9)
        assert one.jupyter.asked.count({"kernel-of-a"}) == 4
        assert {event.app_name for event in one.told(*WARNINGS)} == {"b"}
        assert (deleted(one), one.app("a").reason) == (["b"], Reason.KERNEL_BUSY)

    def test_a_cell_of_which_its_server_does_not_know_is_not_killed(self, one: Server) -> None:
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.run(hours=9)
        assert deleted(one) == ["b"]
        app = one.app("a")
        assert (app.state, app.reason) == (State.BUSY, Reason.KERNEL_BUSY)

    def test_kernels_are_asked_before_the_warning_and_before_the_shutdown(
        self, one: Server
    ) -> None:
        one.run(hours=1, minutes=49)
        assert one.jupyter.asked == []
        one.run(hours=1, minutes=59)
        assert sorted(one.jupyter.asked, key=sorted) == [{"kernel-of-a"}, {"kernel-of-b"}]
        one.run(hours=9)
        assert [len(one.jupyter.asked), sorted(deleted(one))] == [4, ["a", "b"]]

    def test_nobody_is_warned_of_an_app_that_is_at_work(self, one: Server) -> None:
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.run(hours=9)
        assert {event.app_name for event in one.told(*WARNINGS)} == {"b"}

    def test_the_warning_is_as_long_as_ever_though_kernels_are_asked_before(
        self, one: Server
    ) -> None:
        one.run(hours=9)
        for warning in one.told(EventKind.WARNING):
            assert warning.shutdown_at is not None
            assert warning.shutdown_at - warning.at > timedelta(seconds=599)

    def test_silence_counts_until_the_next_deadline_and_is_asked_about_again(
        self, one: Server
    ) -> None:
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.run(hours=1, minutes=55)
        assert one.app("a").state is State.BUSY
        one.run(hours=3, minutes=39)
        assert (one.app("a").state, len(one.jupyter.asked)) == (State.BUSY, 2 + 1)
        # It was a lost answer: the deadline that follows from the time of the question stands.
        one.jupyter.answers = {}
        one.run(hours=3, minutes=45)
        assert one.app("a").state is State.WARNED
        one.run(hours=9)
        assert [name for name, _ in one.sagemaker.deletions] == ["b", "a"]
        deadline = at(hours=3, minutes=50)
        assert timedelta(0) <= one.sagemaker.deletions[1][1] - deadline < timedelta(seconds=2)

    def test_a_limit_shorter_than_the_wait_for_an_answer_warns_of_no_silent_kernel(
        self, make: Callable[..., Server]
    ) -> None:
        quick = {"idle_timeout": 3.0, "warning_time": 1.0, "active_time": 1.0, "poll_interval": 1.0}
        one = make("a", **quick)
        one.jupyter.kernel_models = [kernel_model("a")]
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.jupyter.answering = kernel_probe.PATIENCE
        one.start()
        for seconds in range(15, 75):
            one.run(seconds=seconds)
            assert one.app("a").state is State.BUSY
        assert (one.told(*WARNINGS), deleted(one)) == ([], [])

    def test_a_kernel_that_stays_silent_holds_its_app_for_as_long_as_the_admin_allows(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", max_busy_time=6 * 3600.0)
        one.jupyter.kernel_models = [kernel_model("a"), kernel_model("a", id="idle")]
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.start().run(hours=7, minutes=45)
        assert deleted(one) == []
        one.run(hours=12)
        assert deleted(one) == ["a"]

    def test_an_app_does_not_wait_for_the_kernels_of_another(self, one: Server) -> None:
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.jupyter.slow = {"kernel-of-a": kernel_probe.PATIENCE}
        one.run(hours=9)
        ((name, when),) = one.sagemaker.deletions
        assert (name, when - at(hours=2) < timedelta(seconds=1)) == ("b", True)

    def test_an_app_does_not_wait_for_a_cell_of_another_that_is_asked_for_again(
        self, one: Server
    ) -> None:
        """Each check listed the kernels again, since our question could have made it busy."""
        one.jupyter.kernel_models[0]["execution_state"] = "busy"
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.jupyter.slow = {"kernel-of-a": kernel_probe.PATIENCE}
        one.run(hours=3)
        ((name, when),) = one.sagemaker.deletions
        assert (name, when - at(hours=2) < timedelta(seconds=0.5)) == ("b", True)
        assert {"kernel-of-a"} in one.jupyter.asked

    def test_a_kernel_that_was_busy_just_now_is_not_asked(self, one: Server) -> None:
        one.run(hours=1)
        one.jupyter.kernel_models[0].update(kernel_model("a", "busy", last=at(hours=1)))
        one.run(hours=2, minutes=59)
        assert one.jupyter.asked == [{"kernel-of-b"}, {"kernel-of-b"}]

    def test_an_app_without_kernels_does_not_wait_for_the_answers(self, one: Server) -> None:
        one.jupyter.kernel_models = [kernel_model("a")]
        one.jupyter.answering = 9.0
        one.run(hours=3)
        due = START + timedelta(hours=2)
        (first, second) = one.sagemaker.deletions
        assert (first[0], second[0]) == ("b", "a")
        assert first[1] - due < timedelta(seconds=1)
        assert second[1] - due < timedelta(seconds=kernel_probe.PATIENCE)

    def test_an_app_that_comes_due_while_another_is_asked_is_asked_in_its_turn(
        self, one: Server
    ) -> None:
        one.run(seconds=30)
        one.jupyter.kernel_models = [kernel_model("a", last=at(seconds=4)), kernel_model("b")]
        one.jupyter.answers = {"kernel-of-b": Answer.SILENT}
        one.jupyter.answering = 9.0
        one.run(hours=1, minutes=50, seconds=2)
        assert one.jupyter.asked == [{"kernel-of-b"}]
        one.run(hours=2, seconds=25)
        assert one.jupyter.asked == [{"kernel-of-b"}, {"kernel-of-a"}, {"kernel-of-a"}]
        assert deleted(one) == ["a"]

    def test_a_cell_that_has_run_for_too_long_needs_no_asking(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", max_busy_time=3600.0)
        one.jupyter.kernel_models = [kernel_model("a", "busy")]
        one.jupyter.answers = {}
        one.start().run(hours=9)
        assert (deleted(one), one.jupyter.asked) == (["a"], [])

    def test_a_cell_that_starts_while_the_others_are_asked_is_seen(self, one: Server) -> None:
        ask_others = one.jupyter.ask

        async def asked(kernels: Any) -> Any:
            answers = await ask_others(kernels)
            one.jupyter.kernel_models[0]["execution_state"] = "busy"
            return answers

        one.jupyter.ask = asked  # type: ignore[method-assign]
        one.run(hours=3)
        assert deleted(one) == ["b"]

    def test_a_shutdown_that_failed_is_not_put_off_by_asking_again(self, one: Server) -> None:
        one.sagemaker.errors["DeleteApp"] = DENIED
        ask_kernels = one.jupyter.ask

        async def asked(kernels: Any) -> Any:
            answers = await ask_kernels(kernels)
            for model in one.jupyter.kernel_models:
                if model["id"] in kernels:
                    model.update(kernel_model(model["app_name"], last=one.now()))
            return answers

        one.jupyter.ask = asked  # type: ignore[method-assign]
        one.run(hours=2, minutes=30)
        tries = len(deleted(one))
        assert tries > 2
        # Only an app's own kernels, at a retry and before the warning.
        assert len(one.jupyter.asked) == tries + 2

    def test_a_users_own_request_needs_no_asking(self, one: Server) -> None:
        one.jupyter.answers = {"kernel-of-a": Answer.SILENT}
        one.run(minutes=5)
        one.do(one.commands.shut_down("a"))
        one.run(minutes=6)
        assert (deleted(one), one.jupyter.asked) == (["a"], [])
