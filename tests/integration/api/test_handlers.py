"""The REST API as a client meets it, on a real server with a real monitor."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sagemaker_autoshutdown.api.handlers import PREFIX, ROUTES
from sagemaker_autoshutdown.clock import from_iso, to_iso, utcnow
from sagemaker_autoshutdown.monitor import Monitor
from tests import spec
from tests.localstudio.faults import Fault
from tests.localstudio.testing import BlockingStudio

from ..ready_kernel import ready_kernel
from .conftest import CPU_APP, GPU_APP, Call


@pytest.fixture
def checked(monitor: Monitor, call: Call) -> Call:
    """``call``, once the monitor has checked."""

    async def after_a_check(*args: Any, **kwargs: Any) -> Any:
        if monitor.status().checked_at is None:
            await monitor.check()
        return await call(*args, **kwargs)

    return after_a_check


def app_of(status: dict[str, Any], name: str) -> dict[str, Any]:
    (app,) = [app for app in status["apps"] if app["app_name"] == name]
    return app  # type: ignore[no-any-return]


# ---- status -------------------------------------------------------------------------------------


async def test_the_status_is_as_the_document_says(checked: Call) -> None:
    reply = await checked("GET", "status")
    assert reply.status == 200
    spec.check("Status", reply.body)
    assert reply.body["host"] == "classic"
    assert {app["app_name"] for app in reply.body["apps"]} >= {CPU_APP, GPU_APP}
    assert reply.body["problems"] == []


async def test_before_the_first_check_the_status_is_one_too(monitor: Monitor, call: Call) -> None:
    spec.check("Status", (await call("GET", "status")).body)


async def test_what_could_not_be_listed_is_shown_not_raised(
    studio: BlockingStudio, checked: Call
) -> None:
    studio.fault(Fault("ListApps", code="AccessDeniedException"))
    reply = await checked("GET", "status")
    spec.check("Status", reply.body)
    (problem,) = reply.body["problems"]
    assert problem["iam_action"] == "sagemaker:ListApps"


# ---- settings -----------------------------------------------------------------------------------


async def test_a_page_that_asks_gets_a_check_at_once_however_long_the_interval(
    checked: Call, monitor: Monitor
) -> None:
    monitor.start()
    before = (await checked("GET", "status")).body["checked_at"]
    reply = await checked("POST", "check")
    assert reply.status == 202
    spec.check("Check", reply.body)
    for _ in range(2400):
        if (await checked("GET", "status")).body["checked_at"] > before:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no check")


async def test_settings_are_changed_and_shown(checked: Call) -> None:
    reply = await checked("PUT", "settings", {"idle_timeout": 3600, "keep_terminals": True})
    assert reply.status == 200
    spec.check("Settings", reply.body)
    assert reply.body == (await checked("GET", "settings")).body
    assert reply.body["idle_timeout"]["value"] == 3600
    status = (await checked("GET", "status")).body
    assert app_of(status, CPU_APP)["idle_timeout"] == 3600, "the deadline is computed anew"
    reply = await checked("PUT", "settings", {"idle_timeout": None})
    assert reply.body["idle_timeout"]["source"] == "admin"


async def test_a_bad_value_is_a_400_that_says_what_is_allowed(checked: Call) -> None:
    for body in [
        '{"idle_timeout": true}',
        '{"idle_timeout": NaN}',
        '{"idle_timeout": Infinity}',
        '{"idle_timeout": 1e400}',
        '{"idle_timeout": "1h"}',
        '{"idle_timeout": 0}',
        '{"keep_terminals": 1}',
        '{"poll_interval": 1}',
        '{"keep_terminals": true, "idle_timeout": -5}',
    ]:
        before = (await checked("GET", "settings")).body
        reply = await checked("PUT", "settings", body)
        assert reply.status == 400, body
        spec.check("Error", reply.body)
        assert set(reply.body["errors"]) <= set(json.loads(body))
        assert reply.body["errors"]
        assert (await checked("GET", "settings")).body == before, "nothing was changed"


async def test_a_body_that_is_no_json_object_is_a_400(checked: Call) -> None:
    for body in (b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 50_000):
        for path in ("settings", f"apps/{CPU_APP}/keep-alive"):
            reply = await checked("PUT", path, body)
            assert reply.status == 400, (path, body[:10])
            spec.check("Error", reply.body)
            assert "JSON object" in reply.body["message"]


async def test_a_huge_body_is_refused(checked: Call) -> None:
    reply = await checked("PUT", "settings", b'{"idle_timeout": "' + b"x" * 70_000 + b'"}')
    assert reply.status == 413
    spec.check("Error", reply.body)


# ---- keep-alive ---------------------------------------------------------------------------------


async def test_an_app_is_kept_alive_and_let_go(checked: Call) -> None:
    before = utcnow()
    reply = await checked("PUT", f"apps/{CPU_APP}/keep-alive", {"seconds": 36000})
    assert reply.status == 200
    spec.check("App", reply.body)
    until = from_iso(reply.body["kept_until"])
    assert timedelta(0) <= until - before - timedelta(seconds=36000) < timedelta(seconds=30)
    assert from_iso(reply.body["shutdown_at"]) >= until
    status = (await checked("GET", "status")).body
    assert app_of(status, CPU_APP)["kept_until"] == reply.body["kept_until"]
    assert app_of(status, GPU_APP)["kept_until"] is None

    for _ in range(2):  # taking it back twice is not an error
        reply = await checked("DELETE", f"apps/{CPU_APP}/keep-alive")
        assert reply.status == 200
        spec.check("App", reply.body)
        assert reply.body["kept_until"] is None


async def test_a_keep_alive_can_be_given_until_a_time(checked: Call) -> None:
    until = (utcnow() + timedelta(hours=5)).replace(microsecond=0)
    reply = await checked("PUT", f"apps/{CPU_APP}/keep-alive", {"until": to_iso(until)})
    assert from_iso(reply.body["kept_until"]) == until


async def test_a_bad_keep_alive_is_a_400_and_changes_nothing(checked: Call) -> None:
    for body in [
        "{}",
        '{"seconds": 3600, "until": "2099-01-01T00:00:00Z"}',
        '{"hours": 1}',
        '{"seconds": 3600, "hours": 1}',
        '{"seconds": true}',
        '{"seconds": NaN}',
        '{"seconds": 0}',
        '{"seconds": -1}',
        '{"seconds": "3600"}',
        '{"seconds": null}',
        '{"seconds": 86401}',
        '{"seconds": 1e300}',
        '{"until": "soon"}',
        '{"until": ""}',
        '{"until": 3600}',
        '{"until": null}',
        '{"until": "2020-01-01T00:00:00Z"}',
        '{"until": "2099-01-01T00:00:00Z"}',
        '{"until": "0001-01-01T00:00:00+23:59"}',
        '{"until": "9999-12-31T23:59:59-23:59"}',
    ]:
        reply = await checked("PUT", f"apps/{CPU_APP}/keep-alive", body)
        assert reply.status == 400, body
        spec.check("Error", reply.body)
        status = (await checked("GET", "status")).body
        assert app_of(status, CPU_APP)["kept_until"] is None


class TestWithoutKeepAlives:
    @pytest.fixture
    def traits(self) -> dict[str, Any]:
        return {"poll_interval": 3600.0, "max_keep_alive": 0.0}

    async def test_a_keep_alive_is_a_conflict(self, checked: Call) -> None:
        reply = await checked("PUT", f"apps/{CPU_APP}/keep-alive", {"seconds": 60})
        assert reply.status == 409
        assert "administrator" in reply.body["message"]


# ---- apps ---------------------------------------------------------------------------------------


async def test_an_app_is_shut_down_at_once(studio: BlockingStudio, checked: Call) -> None:
    reply = await checked("DELETE", f"apps/{CPU_APP}")
    assert reply.status == 202
    spec.check("App", reply.body)
    assert reply.body["state"] == "shutting_down"
    assert reply.body["reason"] == "user_request"
    await asyncio.get_running_loop().run_in_executor(
        None, lambda: studio.wait_for_call("DeleteApp", CPU_APP)
    )
    assert not studio.calls("DeleteApp", GPU_APP)
    again = await checked("DELETE", f"apps/{CPU_APP}")
    assert again.status == 409, "it is under way already"
    kept = await checked("PUT", f"apps/{CPU_APP}/keep-alive", {"seconds": 60})
    assert kept.status == 409


async def test_f25_a_shutdown_that_is_denied_is_explained(
    studio: BlockingStudio, checked: Call
) -> None:
    studio.fault(Fault("DeleteApp", code="AccessDeniedException"))
    await checked("DELETE", f"apps/{GPU_APP}")
    for _ in range(2400):
        status = (await checked("GET", "status")).body
        if app_of(status, GPU_APP)["error"]:
            break
        await asyncio.sleep(0.05)
    spec.check("Status", status)
    app = app_of(status, GPU_APP)
    # A request is one attempt: the app keeps its state, with the reason why it is still there.
    assert (app["state"], app["reason"]) == ("active", "recently_active")
    assert app["error"]["iam_action"] == "sagemaker:DeleteApp"
    assert app_of(status, CPU_APP)["error"] is None


class TestInDryRun:
    @pytest.fixture
    def traits(self) -> dict[str, Any]:
        return {"poll_interval": 3600.0, "dry_run": True}

    async def test_nothing_is_shut_down_by_hand_either(
        self, studio: BlockingStudio, checked: Call
    ) -> None:
        reply = await checked("DELETE", f"apps/{CPU_APP}")
        assert reply.status == 409
        assert "ry run" in reply.body["message"]
        assert not studio.calls("DeleteApp")


async def test_an_unknown_app_is_a_404(checked: Call) -> None:
    for name in ["nobody", "a/b", "ü", "%", "..", "x" * 300, "a b", "<script>"]:
        for method, path in (("DELETE", ""), ("DELETE", "/keep-alive"), ("PUT", "/keep-alive")):
            body = {"seconds": 60} if method == "PUT" else None
            reply = await checked(method, f"apps/{quote(name, safe='')}{path}", body)
            assert reply.status == 404, (method, path)
            spec.check("Error", reply.body)


# ---- records ------------------------------------------------------------------------------------


async def test_what_happened_is_told_newest_first_and_page_by_page(checked: Call) -> None:
    for hours in (1, 2, 3):
        await checked("PUT", f"apps/{CPU_APP}/keep-alive", {"seconds": 3600 * hours})
    await checked("PUT", f"apps/{GPU_APP}/keep-alive", {"seconds": 3600})
    whole = (await checked("GET", "history")).body
    spec.check("History", whole)
    assert whole["next_before"] is None
    apps = [event["app_name"] for event in whole["events"] if event["kind"] == "keep_alive"]
    assert apps == [GPU_APP, CPU_APP, CPU_APP, CPU_APP]

    one = (await checked("GET", "history", params={"app_name": CPU_APP})).body
    assert {event["app_name"] for event in one["events"]} == {CPU_APP}

    pages: list[Any] = []
    query = {"limit": "2"}
    while True:
        page = (await checked("GET", "history", params=query)).body
        pages += page["events"]
        if page["next_before"] is None:
            break
        query["before"] = page["next_before"]
    assert pages == whole["events"]


async def test_a_bad_page_is_a_400(checked: Call) -> None:
    for query in [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "ten"},
        {"limit": ""},
        {"limit": "1.5"},
        {"limit": "\u0663"},
        {"before": "yesterday"},
        {"before": ""},
        {"app_name": ""},
        {"before": "0001-01-01T00:00:00+23:59"},
    ]:
        reply = await checked("GET", "history", params=query)
        assert reply.status == 400, query
        spec.check("Error", reply.body)
        assert set(reply.body["errors"]) == set(query)


async def test_costs_are_told_by_group(checked: Call) -> None:
    for group_by in ["day", "instance_type", "instance", "app", "state"]:
        reply = await checked("GET", "costs", params={"group_by": group_by})
        assert reply.status == 200
        spec.check("Costs", reply.body)
        assert reply.body["group_by"] == group_by


async def test_costs_are_told_as_csv(checked: Call) -> None:
    for how in ({"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}):
        reply = await checked("GET", "costs", **how)
        assert reply.headers["Content-Type"].startswith("text/csv")
        assert reply.body.startswith(b"key,usd,")


async def test_a_bad_question_about_costs_is_a_400(checked: Call) -> None:
    for query in [
        {"from": "yesterday"},
        {"to": ""},
        {"from": "2026-09-02T00:00:00Z", "to": "2026-09-01T00:00:00Z"},
        {"group_by": "week"},
        {"format": "xml"},
    ]:
        reply = await checked("GET", "costs", params=query)
        assert reply.status == 400, query
        spec.check("Error", reply.body)
        assert set(reply.body["errors"]) & set(query)


# ---- off SageMaker ------------------------------------------------------------------------------


class TestOffSageMaker:
    @pytest.fixture
    def on_sagemaker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RESOURCE_METADATA_FILE", "/nonexistent.json")

    async def test_everything_answers_and_nothing_is_done(
        self, monitor: Monitor, call: Call, tmp_path: Path
    ) -> None:
        status = (await call("GET", "status")).body
        spec.check("Status", status)
        assert (status["host"], status["apps"], status["problems"]) == ("none", [], [])
        assert "/nonexistent.json" in status["message"]
        spec.check("Settings", (await call("GET", "settings")).body)
        assert (await call("GET", "history")).body == {"events": [], "next_before": None}
        costs = (await call("GET", "costs")).body
        spec.check("Costs", costs)
        assert costs["rows"] == []
        assert (await call("DELETE", "apps/default")).status == 404
        assert (await call("PUT", "apps/default/keep-alive", {"seconds": 60})).status == 404
        assert not (tmp_path / "records").exists(), "nothing is left on the disk"


# ---- who may ------------------------------------------------------------------------------------

REQUESTS = [
    ("GET", "status"),
    ("POST", "check"),
    ("POST", "page-closed"),
    ("GET", "settings"),
    ("PUT", "settings"),
    ("DELETE", f"apps/{CPU_APP}"),
    ("PUT", f"apps/{CPU_APP}/keep-alive"),
    ("DELETE", f"apps/{CPU_APP}/keep-alive"),
    ("GET", "history"),
    ("GET", "costs"),
]


def test_every_route_of_the_document_is_served_and_every_one_served_is_in_it() -> None:
    served = {
        (method, f"/{PREFIX}/" + path.replace("([^/]+)", "{app_name}"))
        for path, handler in ROUTES
        for method in ("get", "put", "post", "patch", "delete")
        if method in vars(handler)
    }
    written = {
        (method, path)
        for path, item in spec.load()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert served == written


def test_the_list_of_requests_here_is_whole() -> None:
    tried = {(method, path.replace(CPU_APP, "([^/]+)")) for method, path in REQUESTS}
    assert tried == {
        (method.upper(), path)
        for path, handler in ROUTES
        for method in ("get", "put", "post", "patch", "delete")
        if method in vars(handler)
    }


async def test_no_stranger_sees_or_changes_anything(studio: BlockingStudio, checked: Call) -> None:
    for method, path in REQUESTS:
        body = "{}" if method == "PUT" else None
        for header in ("", "token wrong"):
            # With a valid XSRF token, so that only the login is missing.
            headers = {"Authorization": header, "Cookie": "_xsrf=abc", "X-XSRFToken": "abc"}
            reply = await checked(method, path, body, headers=headers)
            assert reply.status == 403, (method, path)
            spec.check("Error", reply.body)
    assert not studio.calls("DeleteApp")


async def test_nobody_passes_whom_the_authorizer_refuses(
    studio: BlockingStudio, checked: Call, jp_serverapp: Any
) -> None:
    asked = []

    class Nobody:
        def is_authorized(self, handler: object, user: object, action: str, resource: str) -> bool:
            asked.append((action, resource))
            return resource != "sagemaker_autoshutdown"

    jp_serverapp.web_app.settings["authorizer"] = Nobody()
    for method, path in REQUESTS:
        asked.clear()
        reply = await checked(method, path, "{}" if method == "PUT" else None)
        assert reply.status == 403, (method, path)
        expected = "read" if method == "GET" else "write"
        assert (expected, "sagemaker_autoshutdown") in asked
    assert not studio.calls("DeleteApp")


async def test_a_method_that_is_not_there_is_a_405(checked: Call) -> None:
    assert (await checked("GET", "check")).headers["Allow"] == "POST, OPTIONS"
    for method in ("POST", "PATCH", "HEAD"):
        for path in ("status", "settings", f"apps/{CPU_APP}", "history", "costs"):
            reply = await checked(method, path, None if method == "HEAD" else "{}")
            assert reply.status == 405, (method, path)
            assert reply.headers["Allow"].endswith(", OPTIONS")


class TestWithoutToken:
    """As in a Studio space: the proxy in front authenticates, and the server has no token."""

    @pytest.fixture
    def jp_argv(self) -> list[str]:
        return ["--IdentityProvider.token="]

    async def test_no_other_site_changes_anything(
        self, studio: BlockingStudio, monitor: Monitor, call: Call
    ) -> None:
        await monitor.check()
        assert (await call("GET", "status", headers={"Authorization": ""})).status == 200
        for method, path in REQUESTS:
            if method == "GET":
                continue
            body = '{"idle_timeout": 60}' if method == "PUT" else None
            reply = await call(method, path, body, headers={"Authorization": ""})
            assert reply.status == 403, (method, path)
            assert "_xsrf" in reply.body["message"]
        assert monitor.settings.policy.user_idle_timeout is None
        assert not studio.calls("DeleteApp")

    async def test_its_own_pages_can(self, monitor: Monitor, call: Call) -> None:
        headers = {"Authorization": "", "Cookie": "_xsrf=abc", "X-XSRFToken": "abc"}
        reply = await call("PUT", "settings", {"idle_timeout": 60}, headers=headers)
        assert reply.status == 200


# ---- no activity --------------------------------------------------------------------------------


async def test_f14_no_request_of_ours_counts_as_activity(
    checked: Call, jp_serverapp: Any, jp_fetch: Any
) -> None:
    kernel_id, client = await ready_kernel(jp_serverapp)
    client.stop_channels()
    kernel = jp_serverapp.kernel_manager.get_kernel(kernel_id)
    try:
        # Its messages reach the server's own listener a little later.
        quiet = 0
        last = kernel.last_activity
        while quiet < 20:
            await asyncio.sleep(0.05)
            same = (kernel.execution_state, kernel.last_activity) == ("idle", last)
            quiet, last = quiet + 1 if same else 0, kernel.last_activity
        before = jp_serverapp.web_app.last_activity(), kernel.last_activity
        for method, path in REQUESTS:
            body = '{"seconds": 60}' if "keep" in path else '{"warning_time": 60}'
            await checked(method, path, body if method == "PUT" else None)
        assert (jp_serverapp.web_app.last_activity(), kernel.last_activity) == before
    finally:
        await jp_fetch("api", "kernels", kernel_id, method="DELETE")


def test_no_key_of_ours_in_the_web_apps_settings_counts_as_activity(
    monitor: Monitor, jp_serverapp: Any
) -> None:
    ours = [key for key in jp_serverapp.web_app.settings if "autoshutdown" in str(key)]
    assert ours
    assert not any(key.endswith("_last_activity") for key in ours)


# ---- nothing of it is noise ---------------------------------------------------------------------


async def test_a_refused_request_is_no_fault_of_the_server(
    checked: Call, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await checked("PUT", "settings", {"idle_timeout": -1})
        await checked("DELETE", "apps/nobody")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "Traceback" not in caplog.text
