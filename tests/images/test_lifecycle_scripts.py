"""The lifecycle scripts in stand-ins of the images: they install, and never keep Studio down."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown import __version__, cli
from sagemaker_autoshutdown.lifecycle.script import Kind, ScriptSettings, normalized, render
from sagemaker_autoshutdown.settings.admin import FIXED_SETTINGS_FILE
from tests.localstudio import space, user
from tests.localstudio.testing import running_studio
from tests.serving import serving

from .images import DISTRIBUTION, Environment
from .standin import Outcome, StandIn

#: Seconds: the scripts' limit of 60, whatever happens, and more on a busy machine. SageMaker gives
#: up after 300.
BOUND = 150.0
LIMIT = 1800


def kinds_of(image: Environment) -> list[Kind]:
    """The hosts that an image is for. Notebook instances have no file of their own."""
    if image.image.is_classic:
        return [Kind.CLASSIC]
    if image.image.name == "sagemaker-distribution-2.0.1":
        return [Kind.SPACE, Kind.NOTEBOOK_INSTANCE]
    return [Kind.SPACE]


def settings_for(stand_in: StandIn, wheel: Path, **more: Any) -> ScriptSettings:
    """Settings that install the wheel from a path in the image."""
    place = stand_in.root / "wheels" / wheel.name
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(wheel.read_bytes())
    options = {
        "wheel": f"/wheels/{wheel.name}",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "idle_timeout": LIMIT,
        **more,
    }
    return ScriptSettings(**options)


def failed_open(outcome: Outcome) -> str:
    """The one line that says why nothing was installed."""
    assert outcome.code == 0
    [line] = outcome.log
    assert line.startswith("sagemaker-autoshutdown: NOT INSTALLED: ")
    assert line.endswith(". Studio starts without it.")
    return line


def test_f10_a_script_installs_and_changes_nothing_else(
    bare_image: Environment, wheel: Path, tmp_path: Path
) -> None:
    for kind in kinds_of(bare_image):
        bare_image.uninstall()
        before = bare_image.freeze()
        stand_in = StandIn(kind, bare_image, tmp_path / kind.value)
        script = render(kind, settings_for(stand_in, wheel))
        with stand_in.server() as server:
            assert not server.has_extension
            first = stand_in.run(script)
            assert first.log == [
                f"sagemaker-autoshutdown: installed {__version__}, limit {LIMIT} s; "
                "the server was restarted with it"
            ]
            assert first.code == 0
            server.wait_for_extension()
            _, status = server.ask("sagemaker-autoshutdown/api/status")
            assert status["host"] == kind.value
            _, settings = server.ask("sagemaker-autoshutdown/api/settings")
            assert settings["idle_timeout"]["admin"] == LIMIT
            pid = server.pid

            again = stand_in.run(script)
            assert again.log == [
                f"sagemaker-autoshutdown: {__version__} was installed already, nothing was changed"
            ]
            assert again.code == 0
            assert server.pid == pid
        assert len(stand_in.restarts) == 1
        added = set(bare_image.freeze()) - set(before)
        assert [line.partition(" @ ")[0].partition("==")[0] for line in added] == [DISTRIBUTION]
        assert set(before) <= set(bare_image.freeze())


def test_f12_no_cron_is_asked_to_do_anything(one_stand_in: StandIn, wheel: Path) -> None:
    for name in ("crontab", "crond", "cron", "service", "systemctl"):
        one_stand_in.add_program(name, f'echo "$0 $*" >> {one_stand_in.root}/used')
    with one_stand_in.server() as server:
        one_stand_in.run(render(Kind.SPACE, settings_for(one_stand_in, wheel)))
        server.wait_for_extension()
    assert not (one_stand_in.root / "used").exists()


def test_what_the_wheel_asks_for_is_not_installed_with_it(
    one_stand_in: StandIn, wheel: Path
) -> None:
    """An image may be older than a later version requires; its packages stay all the same."""
    demanding = one_stand_in.root / "demanding" / wheel.name
    demanding.parent.mkdir()
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(demanding, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            if item.filename.endswith("/METADATA"):
                content = content.replace(b"Requires-Dist: tornado", b"Requires-Dist: tornado>=99,")
                assert b"tornado>=99" in content
            target.writestr(item, content)
    outcome = one_stand_in.run(render(Kind.SPACE, settings_for(one_stand_in, demanding)))
    assert f"installed {__version__}" in outcome.log[0]


def test_the_settings_hold_against_a_users_own_configuration(
    one_stand_in: StandIn, wheel: Path
) -> None:
    mine = one_stand_in.home / ".jupyter" / "jupyter_server_config.json"
    mine.parent.mkdir()
    mine.write_text(json.dumps({"SageMakerAutoShutdown": {"idle_timeout": 999999}}))
    one_stand_in.run(render(Kind.SPACE, settings_for(one_stand_in, wheel)))
    with one_stand_in.server() as server:
        server.wait_for_extension()
        _, settings = server.ask("sagemaker-autoshutdown/api/settings")
    assert settings["idle_timeout"]["admin"] == LIMIT


def test_a_changed_limit_is_in_force_after_the_next_run(one_stand_in: StandIn, wheel: Path) -> None:
    settings = settings_for(one_stand_in, wheel)
    one_stand_in.run(render(Kind.SPACE, settings))
    shorter = replace(settings, idle_timeout=900, more={"max_keep_alive": 3600})
    with one_stand_in.server() as server:
        outcome = one_stand_in.run(render(Kind.SPACE, shorter))
        assert "the server was restarted" in outcome.log[0]
        server.wait_until(
            lambda: (
                (server.ask("sagemaker-autoshutdown/api/settings")[1] or {})
                .get("idle_timeout", {})
                .get("admin")
                == 900
            )
        )


def test_without_roots_rights_the_environments_own_configuration_has_to_do(
    one_stand_in: StandIn, wheel: Path
) -> None:
    without_root(one_stand_in)
    outcome = one_stand_in.run(render(Kind.SPACE, settings_for(one_stand_in, wheel)))
    assert "users can edit the settings" in outcome.log[0]
    assert not one_stand_in.fixed_settings.exists()
    assert f" {one_stand_in.root}/opt/conda{FIXED_SETTINGS_FILE}, " in outcome.log[0]
    assert not one_stand_in.environment.fixed_settings.is_symlink()
    with one_stand_in.server() as server:
        server.wait_for_extension()
        _, settings = server.ask("sagemaker-autoshutdown/api/settings")
    assert settings["idle_timeout"]["admin"] == LIMIT


def test_a_server_that_is_not_up_yet_starts_with_it(one_stand_in: StandIn, wheel: Path) -> None:
    outcome = one_stand_in.run(render(Kind.SPACE, settings_for(one_stand_in, wheel)))
    assert "no server was running" in outcome.log[0]
    with one_stand_in.server() as server:
        server.wait_for_extension()


# ---- what can go wrong -----------------------------------------------------------------------


def test_f11_an_index_that_never_answers_does_not_keep_studio_from_starting(
    one_stand_in: StandIn,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        script = render(Kind.SPACE, ScriptSettings(index_url=index))
        outcome = one_stand_in.run(script, as_shipped=True)
    assert outcome.seconds < BOUND
    assert "could not be fetched from the package index" in failed_open(outcome)
    starts_without(one_stand_in)


def test_an_index_that_answers_for_ever_is_given_up_in_time(one_stand_in: StandIn) -> None:
    script = render(Kind.SPACE, ScriptSettings(index_url=""))
    assert "\nINSTALL_TIME=25\n" in script
    with dripping_server() as url:
        script = script.replace("INDEX_URL=''", f"INDEX_URL='{url}'")
        outcome = one_stand_in.run(script.replace("INSTALL_TIME=25", "INSTALL_TIME=20"))
    assert "no answer in time" in failed_open(outcome)
    assert outcome.seconds < BOUND


@pytest.mark.parametrize(
    "odd",
    ["-u HOME", "LC_ALL=no_SUCH.locale", "SHELLOPTS=errexit:nounset:pipefail", "POSIXLY_CORRECT=1"],
)
def test_an_odd_environment_changes_nothing(one_stand_in: StandIn, wheel: Path, odd: str) -> None:
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    outcome = one_stand_in.run(script, prefix=("env", *odd.split()))
    assert f"installed {__version__}" in "".join(outcome.log)
    assert one_stand_in.fixed_settings.exists()


def test_a_wheel_that_is_not_the_expected_one_is_not_installed(
    one_stand_in: StandIn, wheel: Path
) -> None:
    settings = settings_for(one_stand_in, wheel, sha256="0" * 64)
    line = failed_open(one_stand_in.run(render(Kind.SPACE, settings)))
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in line
    assert "0" * 64 in line
    starts_without(one_stand_in)


def test_a_wheel_of_another_version_is_not_left_behind(one_stand_in: StandIn, wheel: Path) -> None:
    settings = settings_for(one_stand_in, wheel, version="9.9.9")
    assert "9.9.9 could not be installed" in failed_open(
        one_stand_in.run(render(Kind.SPACE, settings))
    )
    starts_without(one_stand_in)


def test_a_wheel_that_is_not_there_is_said(one_stand_in: StandIn) -> None:
    settings = ScriptSettings(wheel="/wheels/none.whl")
    assert "/wheels/none.whl" in failed_open(one_stand_in.run(render(Kind.SPACE, settings)))


def test_f8_a_home_that_can_not_be_written_to_does_not_matter(
    one_stand_in: StandIn, wheel: Path
) -> None:
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    outcome = one_stand_in.run(script, HOME="/proc/no-home")
    assert (outcome.code, outcome.log[0].split(",")[0]) == (
        0,
        f"sagemaker-autoshutdown: installed {__version__}",
    )


def test_a_full_disk_leaves_nothing_half_installed(one_stand_in: StandIn, wheel: Path) -> None:
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    # No file can grow beyond 8 KB.
    limited = ("bash", "-c", "ulimit -f 8; trap '' XFSZ; exec \"$0\"")
    failed_open(one_stand_in.run(script, prefix=limited))
    assert DISTRIBUTION not in "".join(one_stand_in.environment.freeze())
    starts_without(one_stand_in)
    assert "is the disk full?" in failed_open(one_stand_in.run(script, TMPDIR="/proc"))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Kind.CLASSIC, "for JupyterServer, but this is an app of type JupyterLab"),
        (Kind.NOTEBOOK_INSTANCE, "for notebook instances, but this is an app of type JupyterLab"),
    ],
)
def test_f8_a_script_attached_to_the_wrong_app_type_says_so(
    one_stand_in: StandIn, wheel: Path, kind: Kind, says: str
) -> None:
    script = render(kind, settings_for(one_stand_in, wheel))
    line = failed_open(one_stand_in.run(script))
    assert says.removeprefix("for ") in line
    starts_without(one_stand_in)


def test_an_image_without_the_servers_environment_says_so(one_stand_in: StandIn) -> None:
    (one_stand_in.root / "opt/conda").unlink()
    line = failed_open(one_stand_in.run(render(Kind.SPACE)))
    assert "there is no" in line
    assert "/opt/conda/bin/python" in line


@pytest.mark.parametrize("name", ["pip", "prometheus_client"])
def test_an_image_that_lacks_a_package_says_which(
    one_stand_in: StandIn, wheel: Path, name: str
) -> None:
    environment = one_stand_in.environment
    hidden = Path(environment.python).parent.parent / "lib"
    [package] = hidden.glob(f"python3*/site-packages/{name}")
    aside = package.with_name("aside")
    package.rename(aside)
    try:
        outcome = one_stand_in.run(render(Kind.SPACE, settings_for(one_stand_in, wheel)))
    finally:
        aside.rename(package)
    assert f"missing in its environment: {name}" in failed_open(outcome)


@pytest.mark.parametrize(
    ("name", "value"), [("MORE_SETTINGS", "'{dry_run: true}'"), ("IDLE_TIMEOUT", "24h")]
)
def test_settings_that_are_no_json_do_not_become_the_defaults(
    one_stand_in: StandIn, wheel: Path, name: str, value: str
) -> None:
    """The admin may have wanted only to watch, or an app to stay up for a day."""
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    script = re.sub(rf"^{name}=.*", f"{name}={value}", script, flags=re.MULTILINE)
    line = failed_open(one_stand_in.run(script))
    assert f"the settings can't be used: {value.strip(chr(39))} is not JSON" in line
    starts_without(one_stand_in)


def test_settings_that_can_not_be_written_do_not_become_the_defaults(
    one_stand_in: StandIn, wheel: Path
) -> None:
    one_stand_in.add_program("install", 'echo "install: No space left on device" >&2; exit 1')
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    line = failed_open(one_stand_in.run(script))
    assert "the settings can't be written to /etc, nor to " in line
    assert "No space left on device" in line
    starts_without(one_stand_in)


def test_settings_of_another_time_are_not_taken_for_the_admins(
    one_stand_in: StandIn, wheel: Path
) -> None:
    """The extension would read the settings in /etc, not the new ones in the environment."""
    settings = settings_for(one_stand_in, wheel)
    without_root(one_stand_in)
    one_stand_in.fixed_settings.parent.mkdir(parents=True)
    one_stand_in.fixed_settings.write_text("{}")
    line = failed_open(one_stand_in.run(render(Kind.SPACE, settings)))
    assert f"{one_stand_in.fixed_settings} holds other settings, and can't be replaced" in line
    assert "a password is required" in line


def test_time_that_runs_out_is_not_taken_for_a_slip_in_the_settings(
    one_stand_in: StandIn, wheel: Path
) -> None:
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    script = script.replace("    write_settings\n", "    TIME_LIMIT=0\n    write_settings\n")
    line = failed_open(one_stand_in.run(script))
    assert "no answer in time" in line
    assert "JSON" not in line


def test_f9_a_script_edited_on_windows_works_once_it_is_registered(
    one_stand_in: StandIn, wheel: Path
) -> None:
    windows = render(Kind.SPACE, settings_for(one_stand_in, wheel)).replace("\n", "\r\n")
    outcome = one_stand_in.run(normalized(windows))
    assert "installed" in outcome.log[0]


def test_a_folder_that_the_script_runs_in_can_not_change_what_it_runs(
    one_stand_in: StandIn, wheel: Path
) -> None:
    for module in ("boto3", "json", "pip", "sagemaker_autoshutdown"):
        (one_stand_in.home / f"{module}.py").write_text("raise SystemExit('not this one')")
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    outcome = one_stand_in.run(script, PYTHONPATH=str(one_stand_in.home), PIP_USER="1")
    [line] = outcome.log
    assert f"installed {__version__}" in line
    assert one_stand_in.fixed_settings.exists()


# ---- S3 --------------------------------------------------------------------------------------


def test_a_wheel_comes_from_s3_with_the_apps_own_role(one_stand_in: StandIn, wheel: Path) -> None:
    settings = replace(settings_for(one_stand_in, wheel), wheel=f"s3://bucket/some/{wheel.name}")
    with bucket({f"/bucket/some/{wheel.name}": wheel.read_bytes()}) as url:
        outcome = one_stand_in.run(render(Kind.SPACE, settings), AWS_ENDPOINT_URL_S3=url)
    assert "installed" in outcome.log[0]


def test_a_role_that_may_not_read_the_bucket_is_named_in_the_log(
    one_stand_in: StandIn, wheel: Path
) -> None:
    settings = replace(settings_for(one_stand_in, wheel), wheel=f"s3://bucket/{wheel.name}")
    with bucket({}) as url:
        outcome = one_stand_in.run(render(Kind.SPACE, settings), AWS_ENDPOINT_URL_S3=url)
    line = failed_open(outcome)
    assert f"s3://bucket/{wheel.name}" in line
    assert "Forbidden" in line


def test_a_bundle_in_s3_is_all_that_a_domain_without_internet_needs(
    one_stand_in: StandIn, wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bundle.tar.gz"
    where = f"s3://bucket/{file.name}"
    command = ["lifecycle-config", "bundle", str(wheel), "-o", str(file), "--wheel", where]
    assert cli.main(command) == 0
    assert where in capsys.readouterr().out
    with tarfile.open(file) as archive:
        [name] = [each for each in archive.getnames() if each.endswith("/space.sh")]
        member = archive.extractfile(name)
        assert member is not None
        script = member.read().decode()
    with bucket({f"/bucket/{file.name}": file.read_bytes()}) as url:
        outcome = one_stand_in.run(script, AWS_ENDPOINT_URL_S3=url)
        damaged = one_stand_in.run(
            script.replace(where, "s3://bucket/none.tar.gz"), AWS_ENDPOINT_URL_S3=url
        )
    assert "installed" in outcome.log[0]
    assert "was installed already" in damaged.log[0]


# ---- beside others ---------------------------------------------------------------------------


def test_studios_own_idle_shutdown_is_named_where_it_is_on(
    one_stand_in: StandIn, wheel: Path, tmp_path: Path
) -> None:
    idle = {"IdleSettings": {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 90}}
    with running_studio(tmp_path / "studio") as studio:
        domain_id = studio.create_domain(
            DefaultUserSettings={"JupyterLabAppSettings": {"AppLifecycleManagement": idle}}
        )
        studio.create_owner(user("ada"))
        studio.create_owner(
            space("team-a"),
            OwnershipSettings={"OwnerUserProfileName": "ada"},
            SpaceSharingSettings={"SharingType": "Private"},
        )
        one_stand_in.is_in(domain_id)
        script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
        # A busy machine may need more than the script allows to import boto3.
        script = script.replace("TIME_LIMIT=$((SECONDS + 5))", "TIME_LIMIT=$((SECONDS + 60))")
        env = {**studio.aws_environment(), "RESOURCE_METADATA_FILE": str(one_stand_in.metadata)}
        outcome = one_stand_in.run(script, (), as_shipped=False, **env)
    assert "installed" in outcome.log[0]
    assert "own idle shutdown" in outcome.log[1]
    assert "90 minutes" in outcome.log[1]


@pytest.mark.parametrize("name", ["server_config.json", "config.json"])
def test_a_user_who_switches_it_off_is_seen_in_the_log(
    one_stand_in: StandIn, wheel: Path, name: str
) -> None:
    mine = one_stand_in.home / ".jupyter" / f"jupyter_{name}"
    mine.parent.mkdir(parents=True)
    off = {"ServerApp": {"jpserver_extensions": {"sagemaker_autoshutdown": False}}}
    mine.write_text(json.dumps(off))
    outcome = one_stand_in.run(render(Kind.SPACE, settings_for(one_stand_in, wheel)))
    assert "installed" in outcome.log[0]
    assert f"SWITCHED OFF by {mine}" in outcome.log[1]
    starts_without(one_stand_in)


def test_a_users_python_that_may_switch_it_off_is_named(one_stand_in: StandIn, wheel: Path) -> None:
    mine = one_stand_in.home / ".jupyter" / "jupyter_server_config.py"
    mine.parent.mkdir()
    mine.write_text("c.ServerApp.jpserver_extensions['sagemaker_autoshutdown'] = False\n")
    outcome = one_stand_in.run(render(Kind.SPACE, settings_for(one_stand_in, wheel)))
    assert f"perhaps switched off: {mine}" in outcome.log[1]


def test_an_environment_is_changed_by_its_owner(
    one_image: Environment, wheel: Path, tmp_path: Path
) -> None:
    """On a notebook instance the script runs as root, and the environment is ec2-user's."""
    stand_in = StandIn(Kind.NOTEBOOK_INSTANCE, one_image, tmp_path / "root")
    stand_in.add_program("stat", "echo ec2-user")
    note = f'printf "%s\\n" "$*" >> {stand_in.root}/sudo'
    stand_in.add_program("sudo", f'{note}; shift 3; exec "$@"')
    outcome = stand_in.run(render(Kind.NOTEBOOK_INSTANCE, settings_for(stand_in, wheel)))
    assert "installed" in outcome.log[0]
    [line] = (stand_in.root / "sudo").read_text().splitlines()
    # timeout runs as the user who can end the command.
    assert re.match("-n -u ec2-user timeout -k 2 [0-9]+ env ", line)
    assert " -m pip --isolated " in line
    assert " install --no-deps --no-index " in line


# ---- helpers ---------------------------------------------------------------------------------


@pytest.fixture
def one_stand_in(one_image: Environment, tmp_path: Path) -> StandIn:
    """A JupyterLab space of one of the images."""
    return StandIn(Kind.SPACE, one_image, tmp_path / "root")


def without_root(stand_in: StandIn) -> None:
    """As for an ordinary user who may not become anybody else."""
    stand_in.add_program("id", 'if [ "$1" = -u ]; then echo 1000; else exec /usr/bin/id "$@"; fi')
    stand_in.add_program("sudo", 'echo "sudo: a password is required" >&2; exit 1')


def starts_without(stand_in: StandIn) -> None:
    """The server starts as if nothing had been tried."""
    with stand_in.server() as server:
        assert server.ask("api")[0] == 200
        assert not server.has_extension
    assert "sagemaker_autoshutdown" not in server.log.read_text()


def dripping_server() -> Any:
    """Answers every request with a byte now and then, so that no read ever times out."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            while not over.wait(0.5):
                try:
                    self.wfile.write(b" ")
                    self.wfile.flush()
                except OSError:
                    return

        log_message: Callable[..., None] = lambda *_: None

    return serving(Handler)


def bucket(objects: dict[str, bytes]) -> Any:
    """S3's side of a download; a missing object is forbidden, as for a role without ListBucket."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            content = objects.get(self.path)
            self.send_response(403 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.send_header("ETag", '"1"')
            self.end_headers()
            if with_body and content is not None:
                self.wfile.write(content)

        log_message: Callable[..., None] = lambda *_: None

    return serving(Handler)
