"""AWS accepts an update and works on it for some seconds: nothing is judged before it is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sagemaker_autoshutdown.lifecycle import throttling
from tests.localstudio.operations import SERVICES, Backend

from .conftest import Account
from .test_notebooks import NAME, attached, enter


def slow(account: Account, monkeypatch: pytest.MonkeyPatch, operation: str) -> list[float]:
    """The operation takes effect only at the second wait; returns the waits."""
    functions = SERVICES[0].functions
    update, kind = functions[operation], operation[len("Update") :]
    describe = functions[f"Describe{kind}"]
    status = "NotebookInstanceStatus" if kind == "NotebookInstance" else "Status"
    pending: list[dict[str, Any]] = []
    waits: list[float] = []

    async def begin(backend: Backend, p: dict[str, Any]) -> Any:
        pending.append(p)
        return {}

    async def observe(backend: Backend, p: dict[str, Any]) -> Any:
        described = await describe(backend, p) or {}
        return {**described, status: "Updating"} if pending else described

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            account.studio.run(lambda studio: update(studio.backend, pending.pop()))

    monkeypatch.setitem(functions, operation, begin)
    monkeypatch.setitem(functions, f"Describe{kind}", observe)
    monkeypatch.setattr(throttling, "sleep", wait)
    return waits


@pytest.mark.parametrize(
    ("operation", "options"),
    [
        ("UpdateDomain", ()),
        ("UpdateUserProfile", ("--user-profile", "ada")),
        ("UpdateNotebookInstance", ("--notebook-instance", NAME)),
    ],
)
def test_an_update_that_is_under_way_is_not_taken_for_lost(
    account: Account, monkeypatch: pytest.MonkeyPatch, operation: str, options: tuple[str, ...]
) -> None:
    enter(account)
    waits = slow(account, monkeypatch, operation)
    code, out, err = account.run("install", "--yes", *options)
    assert (code, err, len(waits)) == (0, "", 2)
    assert "verified" in out


def test_an_update_that_never_ends_is_given_up(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(account)
    waits: list[float] = []
    monkeypatch.setattr(throttling, "sleep", waits.append)
    notebook = account.studio.studio.account.notebook(NAME, account.studio.studio.now())
    account.studio.do(
        lambda studio: studio.account.change_notebook(replace(notebook, status="Updating"))
    )
    code, out, _ = account.run("install", "--yes", "--notebook-instance", NAME)
    assert (code, sum(waits)) == (1, throttling.UPDATE_TIME)
    assert f"{NAME} is Updating" in out
    assert attached(account) is None
