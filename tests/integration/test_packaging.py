"""The contents of wheel and sdist, built as for a release."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

import sagemaker_autoshutdown
from tests.paths import ROOT

PACKAGE = "sagemaker_autoshutdown"
PANEL = "share/jupyter/labextensions/sagemaker-autoshutdown"
SOURCES = ("src", "style", "schema")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "uv", "build", "--quiet", "--python", sys.executable]
    done = subprocess.run(
        [*command, "--out-dir", str(folder), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Mapping[str, bytes]:
    """The files of the wheel, with its data files by their targets."""
    [path] = dist.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return {name.partition(".data/data/")[2] or name: data for name, data in files.items()}


@pytest.fixture(scope="module")
def sdist(dist: Path) -> list[str]:
    """The names of the sdist's files."""
    [path] = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def test_the_wheel_holds_the_panel_with_its_settings(wheel: Mapping[str, bytes]) -> None:
    package = json.loads(wheel[f"{PANEL}/package.json"])
    assert f"{PANEL}/{package['jupyterlab']['_build']['load']}" in wheel
    assert f"{PANEL}/static/style.js" in wheel
    assert f"{PANEL}/schemas/sagemaker-autoshutdown/display.json" in wheel
    assert json.loads(wheel[f"{PANEL}/install.json"])["packageManager"] == "python"


def test_the_wheel_enables_the_server_extension(wheel: Mapping[str, bytes]) -> None:
    enabling = json.loads(wheel[f"etc/jupyter/jupyter_server_config.d/{PACKAGE}.json"])
    assert enabling["ServerApp"]["jpserver_extensions"] == {PACKAGE: True}


@pytest.mark.parametrize(
    "name",
    [
        "api/openapi.yaml",
        "api/event.yaml",
        "prices/prices.csv",
        "metrics/dashboards/grafana-dashboard.json",
        "metrics/dashboards/prometheus-rules.yml",
        "metrics/dashboards/fleet-dashboard.json",
        "metrics/dashboards/fleet-rules.yml",
        "py.typed",
    ],
)
def test_the_wheel_holds_what_is_not_python(wheel: Mapping[str, bytes], name: str) -> None:
    assert wheel[f"{PACKAGE}/{name}"] == (ROOT / PACKAGE / name).read_bytes()


def test_the_wheel_holds_every_module_and_nothing_but(wheel: Mapping[str, bytes]) -> None:
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*.py")}
    assert ours <= set(wheel)
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {PACKAGE, "share", "etc"}
    assert not any("node_modules" in name or "tests/" in name for name in wheel)


def test_the_wheel_holds_nothing_that_only_tests_and_builds_need(
    wheel: Mapping[str, bytes],
) -> None:
    stray = [
        name for name in wheel if re.search("localstudio|/build_|generators|price_sources", name)
    ]
    assert stray == []
    encoder = wheel[f"{PACKAGE}/metrics/remote_write/encode.py"].decode()
    assert "decompress" not in encoder, "only tests decode remote write"


def test_the_version_is_the_panels_and_needs_no_metadata(wheel: Mapping[str, bytes]) -> None:
    version = json.loads((ROOT / "labextension" / "package.json").read_text())["version"]
    assert f'__version__ = "{version}"' in wheel[f"{PACKAGE}/_version.py"].decode()
    assert sagemaker_autoshutdown.__version__ == version


def test_the_panel_is_light(wheel: Mapping[str, bytes], tmp_path: Path) -> None:
    scripts = [data for name, data in wheel.items() if name.endswith(".js")]
    archive = tmp_path / "scripts.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for index, data in enumerate(scripts):
            packed.writestr(str(index), data)
        size = sum(info.compress_size for info in packed.infolist())
    assert size < 32_000


def test_the_panel_is_no_developers_build(wheel: Mapping[str, bytes]) -> None:
    assert f"{PANEL}/build_log.json" not in wheel
    for name, data in wheel.items():
        assert str(ROOT).encode() not in data, name


def test_the_panel_was_built_from_the_sources_as_they_are() -> None:
    """A build uses an existing bundle unchanged."""
    built = (ROOT / PACKAGE / "labextension" / "static" / "style.js").stat().st_mtime
    changed = [
        path.relative_to(ROOT).as_posix()
        for folder in SOURCES
        for path in (ROOT / "labextension" / folder).rglob("*")
        if path.is_file()
        and ".spec." not in path.name
        and "testing" not in path.parts
        and path.stat().st_mtime > built
    ]
    assert changed == [], "build the panel again: cd labextension && jlpm build:prod"


def test_the_sdist_builds_without_node_and_carries_no_ballast(sdist: list[str]) -> None:
    assert f"{PACKAGE}/labextension/package.json" in sdist
    assert "labextension/src/index.ts" in sdist
    assert "labextension/yarn.lock" in sdist
    assert not any("node_modules" in name or name.startswith("labextension/lib") for name in sdist)


@pytest.mark.parametrize("folder", ["labextension", "labextension/ui-tests"])
def test_the_lock_files_name_no_registry(folder: str) -> None:
    assert "://" not in (ROOT / folder / "yarn.lock").read_text()
