"""Where the wheel comes from, and what was installed before: only the intended one is run and
replaced."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import socket
import tarfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown import __version__
from sagemaker_autoshutdown.lifecycle.script import Kind, ScriptSettings, render
from tests.localstudio.processes import free_port
from tests.serving import serving

from .standin import StandIn
from .test_lifecycle_scripts import (
    BOUND,
    bucket,
    failed_open,
    one_stand_in,
    settings_for,
)

__all__ = ["one_stand_in"]

NEWER = "9.9.9"


def test_a_source_distribution_is_not_built(one_stand_in: StandIn) -> None:
    """Building one runs its code, before its checksum is verified."""
    mark = one_stand_in.root / "built"
    name = f"sagemaker_autoshutdown-{__version__}"
    backend = f"open({str(mark)!r}, 'w').close()\n"
    project = '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
    with index(
        {f"{name}.tar.gz": archive(name, {"b.py": backend, "pyproject.toml": project})}
    ) as url:
        outcome = one_stand_in.run(render(Kind.SPACE, ScriptSettings(index_url=url)))
    failed_open(outcome)
    assert not mark.exists()


def test_a_users_pip_settings_send_it_nowhere_else(one_stand_in: StandIn, wheel: Path) -> None:
    elsewhere = one_stand_in.root / "elsewhere"
    for conf in (".pip/pip.conf", ".config/pip/pip.conf", "xdg/pip/pip.conf"):
        file = one_stand_in.home / conf
        file.parent.mkdir(parents=True)
        file.write_text(
            "[global]\nindex-url = http://127.0.0.1:9/simple\nno-index = true\n"
            f"[install]\ntarget = {elsewhere}\n"
        )
    # An image's own settings do count, but only for the source of the wheel.
    images = one_stand_in.environment.folder / "pip.conf"
    with index({wheel.name: wheel.read_bytes()}) as url:
        images.write_text(f"[global]\nindex-url = {url}\n[install]\ntarget = {elsewhere}\n")
        try:
            outcome = one_stand_in.run(
                render(Kind.SPACE),
                PIP_TARGET=str(elsewhere),
                XDG_CONFIG_HOME=str(one_stand_in.home / "xdg"),
            )
        finally:
            images.unlink()
    assert f"installed {__version__}" in outcome.log[0]
    assert not elsewhere.exists()


def test_a_bucket_that_never_answers_does_not_keep_studio_from_starting(
    one_stand_in: StandIn,
) -> None:
    settings = ScriptSettings(wheel="s3://bucket/some.whl")
    script = render(Kind.SPACE, settings).replace("INSTALL_TIME=25", "INSTALL_TIME=20")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        outcome = one_stand_in.run(script, AWS_ENDPOINT_URL_S3=url)
    assert "from s3://bucket/some.whl: no answer in time" in failed_open(outcome)
    assert outcome.seconds < BOUND


def test_an_index_that_can_not_be_reached_is_not_taken_for_one_that_lacks_it(
    one_stand_in: StandIn,
) -> None:
    script = render(Kind.SPACE, ScriptSettings(index_url=f"http://127.0.0.1:{free_port()}/simple"))
    line = failed_open(one_stand_in.run(script))
    assert "from the package index: no connection to it" in line


def test_a_version_that_the_index_lacks_is_said(one_stand_in: StandIn) -> None:
    with index({}) as url:
        outcome = one_stand_in.run(render(Kind.SPACE, ScriptSettings(index_url=url)))
    assert "No matching distribution found" in failed_open(outcome)


@pytest.mark.parametrize("name", ["credentials", "models/s3/2006-03-01/endpoint-rule-set-1.json"])
def test_a_users_aws_files_send_it_nowhere_else(
    one_stand_in: StandIn, wheel: Path, name: str
) -> None:
    """A wheel from there would be installed without a checksum, but never with one."""
    where = f"s3://bucket/{wheel.name}"
    settings = ScriptSettings(wheel=where, idle_timeout=1800)
    theirs = as_newer(wheel, one_stand_in.root, b"").read_bytes()
    file = one_stand_in.home / ".aws" / name
    file.parent.mkdir(parents=True)
    # An image's own configuration counts, like that of its pip.
    own = one_stand_in.root / "aws-config"
    with (
        bucket({f"/bucket/{wheel.name}": theirs}) as elsewhere,
        bucket({f"/bucket/{wheel.name}": wheel.read_bytes()}) as url,
    ):
        rule = {"type": "endpoint", "conditions": [], "endpoint": {"url": f"{elsewhere}/bucket"}}
        rules = {"version": "1.0", "parameters": {}, "rules": [rule]}
        ini = f"[default]\nendpoint_url = {elsewhere}\n"
        file.write_text(json.dumps(rules) if name.endswith("json") else ini)
        own.write_text(f"[default]\nendpoint_url = {url}\n")
        prefix = ("env", "-u", "AWS_ENDPOINT_URL", f"AWS_CONFIG_FILE={own}")
        outcome = one_stand_in.run(render(Kind.SPACE, settings), prefix)
    assert outcome.log[0].startswith(
        f"sagemaker-autoshutdown: installed {__version__}, limit 1800 s, wheel without a checksum;"
    )


def test_two_apps_that_start_at_once_undo_nothing_of_each_other(
    one_stand_in: StandIn, wheel: Path
) -> None:
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    file = one_stand_in.prepared(script)
    with one_stand_in.server() as server, ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(one_stand_in.run_prepared, file) for _ in range(2)]
        outcomes = [run.result() for run in runs]
        server.wait_for_extension()
    assert [each.code for each in outcomes] == [0, 0]
    for outcome in outcomes:
        assert f"installed {__version__}" in outcome.log[0]
    assert one_stand_in.fixed_settings.exists()


def test_an_install_that_never_ends_does_not_keep_the_next_from_starting(
    one_stand_in: StandIn, wheel: Path
) -> None:
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    script = script.replace("INSTALL_TIME=25", "INSTALL_TIME=20")
    with locked(one_stand_in.environment.folder / "bin"):
        outcome = one_stand_in.run(script)
    assert "another app has been installing into the same environment for" in failed_open(outcome)
    assert not one_stand_in.fixed_settings.exists()


def test_a_server_that_is_restarted_does_not_hold_the_lock(
    one_stand_in: StandIn, wheel: Path
) -> None:
    one_stand_in.add_program("restart-jupyter-server", "sleep 600 >/dev/null 2>&1 & echo up")
    one_stand_in.run(render(Kind.SPACE, settings_for(one_stand_in, wheel)))
    with locked(one_stand_in.environment.folder / "bin"):
        pass


def test_an_install_does_not_wait_for_one_into_another_environment_of_the_same_python(
    one_stand_in: StandIn, wheel: Path
) -> None:
    one_stand_in.environment.install(wheel)
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    one_stand_in.run(script)
    with locked(Path(one_stand_in.environment.python).resolve()):
        [line] = one_stand_in.run(script).log
    assert line.endswith("was installed already, nothing was changed")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """A lock on a file or folder, as somebody else holds it. BlockingIOError if it is taken."""
    opened = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


# ---- what was there ------------------------------------------------------------------------------


def test_an_upgrade_that_fails_keeps_the_version_that_was_there(
    one_stand_in: StandIn, wheel: Path
) -> None:
    one_stand_in.environment.install(wheel)
    newer = as_newer(wheel, one_stand_in.root, b"raise ImportError('needs more')\n")
    script = render(Kind.SPACE, settings_for(one_stand_in, newer, version=NEWER))
    outcome = one_stand_in.run(script)
    [line] = outcome.log
    assert (outcome.code, "needs more. Studio starts with version" in line) == (0, True)
    assert f"with version {__version__}, as before" in line
    with one_stand_in.server() as server:
        server.wait_for_extension()


def test_an_upgrade_replaces_the_version_that_was_there(one_stand_in: StandIn, wheel: Path) -> None:
    one_stand_in.environment.install(wheel)
    newer = as_newer(wheel, one_stand_in.root, b"")
    script = render(Kind.SPACE, settings_for(one_stand_in, newer, version=NEWER))
    assert f"installed {NEWER}" in one_stand_in.run(script).log[0]
    [line] = [each for each in one_stand_in.environment.freeze() if "autoshutdown" in each]
    assert NEWER in line


@pytest.mark.parametrize("record", ["the wheel's", "none"])
def test_an_install_that_was_killed_half_way_is_made_good_by_the_next_start(
    one_stand_in: StandIn, wheel: Path, record: str
) -> None:
    """pip writes the file that enables the extension, and the list of its files, last."""
    environment = one_stand_in.environment
    script = render(Kind.SPACE, settings_for(one_stand_in, wheel))
    one_stand_in.run(script)
    [info] = (environment.folder / "lib").glob("python3*/site-packages/sagemaker_auto*.dist-info")
    [enabling] = (environment.folder / "etc/jupyter/jupyter_server_config.d").glob("sagemaker*")
    enabling.unlink()
    (info / "RECORD").unlink()
    if record == "the wheel's":
        with zipfile.ZipFile(wheel) as source:
            (info / "RECORD").write_bytes(source.read(f"{info.name}/RECORD"))
    with one_stand_in.server() as server:
        assert not server.has_extension
        assert f"installed {__version__}" in one_stand_in.run(script).log[0]
        server.wait_for_extension()


# ---- helpers -------------------------------------------------------------------------------------


def as_newer(wheel: Path, folder: Path, start_of_app: bytes) -> Path:
    """A copy of the wheel that claims a newer version."""
    copy = folder / "newer" / wheel.name.replace(__version__, NEWER)
    copy.parent.mkdir()
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(copy, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            name = re.sub(
                rf"^(sagemaker_autoshutdown-){__version__}", rf"\g<1>{NEWER}", item.filename
            )
            if name.endswith(".dist-info/METADATA"):
                content = content.replace(
                    f"\nVersion: {__version__}\n".encode(), f"\nVersion: {NEWER}\n".encode()
                )
            if name.endswith(".dist-info/RECORD"):
                content = content.replace(
                    f"sagemaker_autoshutdown-{__version__}".encode(),
                    f"sagemaker_autoshutdown-{NEWER}".encode(),
                )
            if name == "sagemaker_autoshutdown/app.py":
                content = start_of_app or content
            target.writestr(name, content)
    return copy


def archive(name: str, files: dict[str, str]) -> bytes:
    """A source distribution."""
    plain = io.BytesIO()
    files = {**files, "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {__version__}\n"}
    with tarfile.open(fileobj=plain, mode="w:gz") as target:
        for file, content in files.items():
            info = tarfile.TarInfo(f"{name}/{file}")
            info.size = len(content)
            target.addfile(info, io.BytesIO(content.encode()))
    return plain.getvalue()


def index(files: dict[str, bytes]) -> Any:
    """A package index with one project's files."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listed = "".join(f'<a href="/{name}">{name}</a>' for name in files)
            page = f"<!DOCTYPE html><html><body>{listed}</body></html>".encode()
            content = files.get(self.path[1:], page)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return serving(Handler)
