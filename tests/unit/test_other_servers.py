"""Which command lines and files reveal another Jupyter server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sagemaker_autoshutdown.activity.other_servers import (
    OtherServer,
    OtherServers,
    ServerSeen,
    _said,
    is_jupyter_server,
)
from sagemaker_autoshutdown.clock import to_iso

from ..worlds import at


@pytest.mark.parametrize(
    "line",
    [
        "/opt/conda/bin/python /opt/conda/bin/jupyter-lab --ip 0.0.0.0",
        "/opt/conda/bin/python3.11 /opt/conda/bin/jupyter lab --port 8889",
        "/opt/conda/bin/python /opt/conda/bin/jupyter-server",
        "/opt/conda/bin/python -m jupyterlab --no-browser",
        "python -m jupyter_server",
        "python -m jupyter lab",
        "python3 -Xfrozen_modules=off -m notebook",
        "/usr/bin/python3 /usr/local/bin/jupyter-notebook",
        "python /opt/conda/bin/jupyterhub-singleuser",
        "python -m jupyterhub.singleuser",
    ],
)
def test_no_way_to_start_a_server_is_overlooked(line: str) -> None:
    assert is_jupyter_server(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "python -m ipykernel_launcher -f /root/.local/share/jupyter/runtime/kernel-1.json",
        "python /opt/conda/bin/jupyter nbconvert --execute a.ipynb",
        "jupyter-nbconvert a.ipynb",
        "python train.py jupyter lab",
        "grep jupyter-lab",
        "vim jupyter_server_config.py",
        "python -m jupyter kernelspec list",
        "bash -c jupyter",
        "",
    ],
)
def test_nothing_else_is_taken_for_a_server(line: str) -> None:
    assert not is_jupyter_server(line.split())


def runtime_file(folder: Path, **changes: object) -> Path:
    info = {
        "pid": 77,
        "port": 8889,
        "hostname": "0.0.0.0",  # noqa: S104
        "base_url": "/jupyterlab/default/",
        "secure": False,
        "sock": "",
        "token": "secret",
        **changes,
    }
    file = folder / "jpserver-77.json"
    file.write_text(json.dumps(info))
    return file


def test_a_server_is_asked_at_its_own_address_with_its_token(tmp_path: Path) -> None:
    file = runtime_file(tmp_path)
    url = "http://127.0.0.1:8889/jupyterlab/default/"
    assert _said(file, file.stat().st_mtime - 5) == OtherServer(77, 8889, url, "secret")


def test_a_file_that_is_older_than_its_process_is_not_believed(tmp_path: Path) -> None:
    """On a space's volume files outlive their servers, and process ids recur."""
    file = runtime_file(tmp_path)
    assert _said(file, file.stat().st_mtime + 60) is None


@pytest.mark.parametrize("changes", [{"sock": "/tmp/x"}, {"port": None}, {"pid": "x"}])  # noqa: S108
def test_a_file_that_names_no_port_gives_no_address(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    assert _said(runtime_file(tmp_path, **changes), 0) is None


def test_a_server_does_not_show_its_token(tmp_path: Path) -> None:
    assert "secret" not in OtherServer(1, 2, "http://127.0.0.1:2/", "secret").label


def test_a_second_servers_terminals_count_by_what_is_typed_and_only_if_each_is_found() -> None:
    servers = OtherServers()
    models = ({"name": "8889/1", "last_activity": to_iso(at(hours=1))}, {"name": "8889/2"})
    seen = ServerSeen(OtherServer(7, 8889), terminals=models)
    assert servers._with_input(seen) == seen
    servers._typed = {7: (at(minutes=1),)}
    assert servers._with_input(seen) == seen
    servers._typed = {7: (at(minutes=1), at(minutes=2))}
    typed = [model["last_input"] for model in servers._with_input(seen).terminals]
    assert typed == [to_iso(at(minutes=1)), to_iso(at(minutes=2))]
