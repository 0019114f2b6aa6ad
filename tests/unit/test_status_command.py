"""The output of ``status`` about an app."""

from __future__ import annotations

from typing import Any

import pytest

from sagemaker_autoshutdown.cli.status import lines


def status(*evidence: dict[str, Any], label: str = "a.ipynb") -> dict[str, Any]:
    work = {"label": label, "evidence": list(evidence)}
    app = {
        "app_name": "default",
        "state": "busy",
        "reason_text": "a cell is running",
        "subject": "a.ipynb",
        "status": "InService",
        "error": None,
        "kept_until": None,
        "shutdown_at": None,
        "idle_timeout": 7200.0,
        "limit": "closed_idle_timeout",
        "instance_type": "ml.t3.medium",
        "work": [work],
    }
    return {
        "host": "space",
        "owner": "team-a",
        "domain_id": "d-1",
        "region": "us-west-2",
        "message": "",
        "now": "2026-09-01T12:00:00Z",
        "checked_at": "2026-09-01T11:59:57Z",
        "dry_run": False,
        "check_overdue": False,
        "problems": [],
        "notes": [],
        "recording_error": "",
        "apps": [app],
        "instances": [],
        "totals": None,
    }


def test_the_evidence_is_told_with_what_it_is_about_and_when() -> None:
    asked = {"kind": "answer", "text": "answered in 3 ms", "at": "2026-09-01T11:58:00Z"}
    runs = {"kind": "request", "text": "cell running in a.ipynb for 2 h", "at": None}
    told = list(lines(status(asked, runs)))
    assert "  a.ipynb: answered in 3 ms (2 min ago)" in told
    assert "  cell running in a.ipynb for 2 h" in told


def test_a_name_in_the_evidence_can_not_move_the_cursor() -> None:
    seen = {"kind": "process", "text": "evil\x1b[2J.py: 50 % of a CPU", "at": None}
    assert not any("\x1b" in line for line in lines(status(seen, label="\x1b[2J")))


def test_an_app_of_which_nothing_was_seen_has_no_empty_list() -> None:
    assert not any("What was seen" in line for line in lines(status()))


@pytest.mark.parametrize(
    ("shutdown_at", "text"),
    [
        (None, "after 2 h idle, as no tab is open"),
        ("2026-09-01T12:10:00Z", "in 10 min, as no tab is open"),
    ],
)
def test_the_limit_of_a_closed_tab_is_told_apart(shutdown_at: str | None, text: str) -> None:
    told = status()
    told["apps"][0]["shutdown_at"] = shutdown_at
    assert any(text in line for line in lines(told))


def test_a_fleets_mark_is_told_with_its_time_and_rule() -> None:
    told = status()
    told["apps"][0]["mark"] = {
        "shutdown_at": "2026-09-01T12:30:00Z",
        "rule": "gpus",
        "why": "up for longer than 3 d",
    }
    assert any("up for longer than 3 d (rule gpus)" in line for line in lines(told))
