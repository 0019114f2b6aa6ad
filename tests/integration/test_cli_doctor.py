"""``doctor`` against a real server and the local Studio, with one fault at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import AwsError, ErrorKind
from sagemaker_autoshutdown.clock import to_iso
from sagemaker_autoshutdown.diagnostics import aws, machine, server
from sagemaker_autoshutdown.diagnostics import other_shutdowns as others
from sagemaker_autoshutdown.diagnostics.findings import Finding, Level
from sagemaker_autoshutdown.diagnostics.settings import admin_settings
from sagemaker_autoshutdown.model import Host, HostKind, OwnerKind
from tests.localstudio import space, user
from tests.localstudio.faults import Fault
from tests.localstudio.servers import ServerOptions
from tests.localstudio.testing import BlockingStudio, running_studio

from .test_cli import Place, Terminal, enter

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Studio Classic, all in order."""
    options = ServerOptions(frontend="server", args=("--SageMakerAutoShutdown.poll_interval=1",))
    with running_studio(tmp_path_factory.mktemp("studio"), server=options) as studio:
        place = Place(studio, studio.classic())
        studio.wait_for_call("ListApps", count=2)
        yield place


@pytest.fixture
def inside(classic: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """This process is in a terminal there."""
    enter(classic, monkeypatch)
    yield classic
    classic.studio.faults_off()


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


def diagnose(terminal: Terminal) -> tuple[int, dict[str, Finding]]:
    """Exit code, and the findings that are not well, by title."""
    code, out, err = terminal("doctor", "--json")
    assert not err
    found = [Finding(**{**item, "level": Level(item["level"])}) for item in json.loads(out)]
    bad = [finding for finding in found if finding.level in (Level.WARNING, Level.PROBLEM)]
    for finding in bad:
        assert finding.remedy, f"{finding} does not say what to do"
    assert code == any(finding.level is Level.PROBLEM for finding in found)
    return code, {finding.title: finding for finding in bad}


def test_where_all_is_well_nothing_is_found_and_nothing_was_changed(
    inside: Place, terminal: Terminal
) -> None:
    assert diagnose(terminal) == (0, {})
    code, out, _ = terminal("doctor")
    assert code == 0
    assert "No problems found" in out
    assert "not-a-secret" not in out
    assert inside.scene.server.token not in out
    for call in inside.studio.calls("DeleteApp"):
        assert call.app_name == aws.NOBODY


@pytest.mark.parametrize("operation", ["ListApps", "DescribeApp", "DeleteApp"])
def test_f25_a_missing_right_is_named(inside: Place, terminal: Terminal, operation: str) -> None:
    inside.studio.fault(Fault(operation, code="AccessDeniedException"))
    code, bad = diagnose(terminal)
    assert code == 1
    finding = bad[f"sagemaker:{operation}"]
    assert finding.level is Level.PROBLEM
    assert f"sagemaker:{operation}" in finding.remedy


def test_credentials_that_are_missing_or_no_good_are_found(
    inside: Place, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.studio.fault(Fault("*", code="ExpiredTokenException"))
    code, bad = diagnose(terminal)
    assert code == 1
    assert "credentials" in bad["AWS"].remedy
    inside.studio.faults_off()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code, bad = diagnose(terminal)
    assert code == 1
    assert "NoCredentialsError" in bad["AWS"].detail


def test_an_aws_that_can_not_be_reached_is_found(
    inside: Place, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "http://127.0.0.1:1")
    code, bad = diagnose(terminal)
    assert code == 1
    assert "endpoint" in bad["AWS"].remedy


def test_metadata_that_are_not_there_are_found(
    inside: Place, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESOURCE_METADATA_FILE", "/nonexistent.json")
    code, bad = diagnose(terminal)
    assert code == 1
    assert "/nonexistent.json" in bad["host"].detail
    assert "AWS" not in bad, "without a host there is nothing to ask for"


def test_a_server_that_is_not_there_is_found(
    inside: Place, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    code, bad = diagnose(terminal)
    assert code == 1
    assert "No running Jupyter server" in bad["server"].detail


def test_settings_that_can_not_be_taken_are_found(
    inside: Place, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    config = tmp_path / "jupyter_server_config.py"
    config.write_text("c.SageMakerAutoShutdown.idle_timeout = -1\n")
    _, bad = diagnose(terminal)
    assert "idle_timeout" in bad["configuration"].detail
    config.write_text("c.SageMakerAutoShutdown.data_dir = '/dev/null/x'\n")
    _, bad = diagnose(terminal)
    assert "/dev/null" in bad["data_dir"].detail
    config.write_text("c.SageMakerAutoShutdown.idle_timeout =\n")
    _, bad = diagnose(terminal)
    assert "can't be read" in bad["configuration"].detail


def test_the_admins_settings_are_those_of_the_servers_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    content = {"SageMakerAutoShutdown": {"data_dir": "/elsewhere"}}
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(content))
    config, faults = admin_settings()
    assert (config.data_dir, faults) == ("/elsewhere", [])


# ---- what the server says of itself --------------------------------------------------------------


class Saying:
    """A client of a server in this state."""

    def __init__(self, **state: Any) -> None:
        from sagemaker_autoshutdown._version import __version__

        self.status = {
            "version": __version__,
            "host": "classic",
            "message": "",
            "now": to_iso(NOW),
            "checked_at": to_iso(NOW - timedelta(seconds=5)),
            "check_overdue": False,
            "dry_run": False,
            "problems": [],
            "notes": [],
            "apps": [],
            "recording_error": "",
            **state,
        }

    def get(self, path: str) -> Any:
        return {"status": self.status, "settings": {"notes": []}}[path]


def bad_state(**state: Any) -> list[Finding]:
    found: list[Finding] = list(server.state(Saying(**state)))  # type: ignore[arg-type]
    return [finding for finding in found if finding.level is not Level.OK]


ERROR = {"code": "AccessDenied", "message": "no", "remedy": "ask"}


@pytest.mark.parametrize(
    ("state", "level", "words"),
    [
        ({"check_overdue": True}, Level.PROBLEM, "stopped"),
        ({"check_overdue": True, "checked_at": None}, Level.PROBLEM, "never"),
        ({"checked_at": None}, Level.NOTE, "still to come"),
        ({"host": "none", "message": "no file"}, Level.PROBLEM, "no file"),
        ({"dry_run": True}, Level.WARNING, "nothing is shut down"),
        ({"recording_error": "disk full"}, Level.WARNING, "disk full"),
        ({"version": "0.0.1"}, Level.NOTE, "0.0.1"),
        ({"notes": ["psutil is not installed"]}, Level.NOTE, "psutil"),
        ({"apps": [{"app_name": "app", "error": ERROR}]}, Level.PROBLEM, "AccessDenied"),
        (
            {"problems": [{"code": "apps_unseen", "message": "blind", "remedy": "do"}]},
            Level.PROBLEM,
            "blind",
        ),
        (
            {"problems": [{"code": "settings_not_saved", "message": "full", "remedy": "do"}]},
            Level.WARNING,
            "full",
        ),
    ],
)
def test_what_the_server_says_is_passed_on(state: dict[str, Any], level: Level, words: str) -> None:
    (finding,) = bad_state(**state)
    assert finding.level is level
    assert words in finding.detail


@pytest.mark.parametrize(
    ("files", "enabled"),
    [
        ({}, None),
        ({"b/jupyter_server_config.d/x.json": True}, True),
        ({"b/jupyter_server_config.d/x.json": True, "a/jupyter_server_config.json": False}, False),
        (
            {"a/jupyter_server_config.d/x.json": True, "b/jupyter_server_config.d/x.json": False},
            True,
        ),
        # As in an environment of a user's who has run `jupyter server extension disable`.
        ({"a/jupyter_server_config.d/x.json": True, "b/jupyter_server_config.json": False}, False),
        ({"a/jupyter_server_config.d/x.json": True, "b/jupyter_config.json": False}, False),
        ({"a/jupyter_config.json": True, "b/jupyter_server_config.json": False}, False),
        ({"a/jupyter_server_config.json": False, "a/jupyter_server_config.d/x.json": True}, False),
    ],
)
def test_an_extension_that_is_switched_off_is_found(
    tmp_path: Path, files: dict[str, bool], enabled: bool | None
) -> None:
    for name, value in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        section = {"ServerApp": {"jpserver_extensions": {"sagemaker_autoshutdown": value}}}
        path.write_text(json.dumps(section))
    (tmp_path / "a").mkdir(exist_ok=True)
    (tmp_path / "a/jupyter_server_config.d").mkdir(exist_ok=True)
    (tmp_path / "a/jupyter_server_config.d/broken.json").write_text("{")
    assert server.is_enabled([str(tmp_path / "a"), str(tmp_path / "b")]) is enabled


# ---- AWS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "level"),
    [
        (0, Level.OK),
        (-30, Level.OK),
        (60, Level.WARNING),
        (-299, Level.WARNING),
        (301, Level.PROBLEM),
        (-86400, Level.PROBLEM),
    ],
)
def test_a_clock_that_is_off_is_found(seconds: int, level: Level) -> None:
    finding = aws.compare_clocks("Tue, 01 Sep 2026 12:00:00 GMT", NOW + timedelta(seconds=seconds))
    assert finding.level is level
    if seconds > 60:
        assert "ahead" in finding.detail
    assert aws.compare_clocks("soon", NOW).level is Level.NOTE


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_only_denied_is_called_denied(kind: ErrorKind) -> None:
    probe = aws.Probe("DeleteApp", on_nobody=True)
    finding = aws.judge(probe, AwsError(kind, "sagemaker:DeleteApp", "Code", "words"))
    expected = {
        ErrorKind.ACCESS_DENIED: Level.PROBLEM,
        ErrorKind.NOT_FOUND: Level.OK,
        ErrorKind.THROTTLED: Level.NOTE,
    }
    assert finding.level is expected.get(kind, Level.WARNING)
    own = aws.Probe("DescribeApp")
    not_found = AwsError(ErrorKind.NOT_FOUND, "sagemaker:DescribeApp", "Code", "words")
    assert aws.judge(own, not_found).level is Level.WARNING, "its own app has to be there"


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockingStudio]:
    """An account without any process."""
    with running_studio(tmp_path) as studio:
        for name, value in studio.aws_environment().items():
            monkeypatch.setenv(name, value)
        yield studio


def test_a_notebook_instances_rights_are_tried_on_none_that_exists(
    account: BlockingStudio,
) -> None:
    host = Host(HostKind.NOTEBOOK_INSTANCE, region="us-east-2", app_name="notebook-1")
    found = {finding.title: finding for finding in aws.access(host)}
    assert found["sagemaker:StopNotebookInstance"].level is Level.OK
    assert found["sagemaker:DescribeNotebookInstance"].level is Level.WARNING, "there is none"
    account.fault(Fault("StopNotebookInstance", code="AccessDeniedException"))
    found = {finding.title: finding for finding in aws.access(host)}
    assert found["sagemaker:StopNotebookInstance"].level is Level.PROBLEM


# ---- other idle shutdowns ------------------------------------------------------------------------

IDLE = {
    "JupyterLabAppSettings": {
        "AppLifecycleManagement": {
            "IdleSettings": {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 60}
        }
    }
}


def space_host(domain_id: str) -> Host:
    return Host(
        HostKind.SPACE,
        region="us-east-2",
        domain_id=domain_id,
        owner="team-a",
        owner_kind=OwnerKind.SPACE,
        app_name="default",
    )


@pytest.mark.parametrize("where", ["domain", "profile", "space"])
def test_studios_own_idle_shutdown_is_found(account: BlockingStudio, where: str) -> None:
    domain_settings: dict[str, Any] = {"DefaultUserSettings": IDLE} if where == "domain" else {}
    domain_id = account.create_domain(**domain_settings)
    account.create_owner(user("ada"), **({"UserSettings": IDLE} if where == "profile" else {}))
    minutes: dict[str, Any] = {"IdleSettings": {"IdleTimeoutInMinutes": 60}}
    lab = {"JupyterLabAppSettings": {"AppLifecycleManagement": minutes}}
    account.create_owner(
        space("team-a"),
        OwnershipSettings={"OwnerUserProfileName": "ada"},
        SpaceSharingSettings={"SharingType": "Private"},
        SpaceSettings={"AppType": "JupyterLab", **(lab if where == "space" else {})},
    )
    (finding,) = others.native(space_host(domain_id))
    assert finding.level is Level.WARNING
    assert "60 minutes" in finding.detail
    assert where in finding.detail


def test_where_studios_own_can_not_be_seen_that_is_said(account: BlockingStudio) -> None:
    domain_id = account.create_domain()
    account.fault(Fault("Describe*", code="AccessDeniedException"))
    (finding,) = others.native(space_host(domain_id))
    assert finding.level is Level.NOTE
    assert "sagemaker:DescribeDomain" in finding.detail


def test_the_classic_extension_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host = Host(HostKind.CLASSIC)
    assert not [f for f in others.installed(host) if f.level is Level.WARNING]
    (tmp_path / f"{others.CLASSIC_EXTENSION}.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    (finding,) = [f for f in others.installed(host) if f.level is Level.WARNING]
    assert others.CLASSIC_EXTENSION in finding.detail


def test_a_timestamp_for_studios_own_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "timestamp"
    monkeypatch.setattr(others, "TIMESTAMP_FILE", str(path))
    assert str(path) not in str(list(others.installed(Host(HostKind.SPACE))))
    path.touch()
    assert str(path) in str(list(others.installed(Host(HostKind.SPACE))))


def test_a_check_that_breaks_does_not_end_the_others(
    inside: Place, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(host: Host) -> Iterator[Finding]:
        raise RuntimeError("oops")

    monkeypatch.setattr(aws, "access", broken)
    code, out, _ = terminal("doctor")
    assert code == 0
    assert "the check failed: RuntimeError: oops" in out
    assert "other idle shutdowns" in out


def test_a_region_that_is_not_known_is_found() -> None:
    found = list(machine.host(Host(HostKind.NOTEBOOK_INSTANCE, app_name="n"), "/file"))
    assert [finding.title for finding in found if finding.level is Level.PROBLEM] == ["region"]
