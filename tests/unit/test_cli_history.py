"""``history``: what its lines say."""

from __future__ import annotations

import pytest

from sagemaker_autoshutdown.cli import history, main


class Server:
    """Answers with one shutdown."""

    def get(self, path: str, **query: object) -> dict[str, object]:
        shutdown = {"at": "2026-11-02T14:00:00Z", "kind": "shutdown", "message": "a is shut down"}
        return {"events": [{**shutdown, "idle_seconds": 7200.4}, shutdown]}


def test_a_reader_need_not_ask_for_json_to_learn_how_long_an_app_was_idle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(history, "connect", lambda _: Server())
    assert main(["history"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("2026-11-02 14:00:00Z  shutdown ")
    assert first.endswith("a is shut down (idle for 2 h)")
    # An older server's event, or one of an app that was in use.
    assert second.endswith("a is shut down")
