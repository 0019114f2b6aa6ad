"""Checks the running Jupyter server: is the extension loaded, and does it work?"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_config_path

from .._version import __version__
from ..api.client import Client, find
from ..errors import Failed
from ..text import when
from .findings import Finding, Level

EXTENSION = "sagemaker_autoshutdown"
_FILES = ("jupyter_server_config.json", "jupyter_config.json")


def found(url: str | None, token: str | None, use: Callable[[Client], object]) -> Iterator[Finding]:
    """Checks whether a server with the extension runs; ``use`` is called with a client for it."""
    enabled = is_enabled(jupyter_config_path())
    if enabled is None:
        yield Finding(
            Level.WARNING,
            "extension",
            "not enabled by any configuration of this environment",
            "Install sagemaker-autoshutdown into the Jupyter server's environment; that enables "
            "it. (You may have run doctor in another environment than the server's.)",
        )
    elif not enabled:
        yield Finding(
            Level.PROBLEM,
            "extension",
            "disabled in the configuration",
            f"Run: jupyter server extension enable {EXTENSION}; then restart the server.",
        )
    try:
        client = Client(find(url, token))
        client.get("status")
    except Failed as failure:
        yield Finding(Level.PROBLEM, "server", str(failure), "Start or restart the Jupyter server.")
        return
    yield Finding(Level.OK, "server", f"the extension is loaded at {client.server.url}")
    use(client)


def is_enabled(folders: list[str]) -> bool | None:
    """Whether Jupyter's configuration enables the extension; None if it does not mention it."""
    decided = decided_by(folders)
    return None if decided is None else decided[1]


def decided_by(folders: list[str]) -> tuple[Path, bool] | None:
    """The file that enables or disables the extension, and which of the two.

    A setting in a file itself counts for more than any ``.d`` folder (jupyter_server's
    ``find_server_extensions``), then the server's own files, then earlier folders.
    """
    files = [Path(folder, name) for name in _FILES for folder in folders]
    for folder in folders:
        files += sorted(Path(folder, "jupyter_server_config.d").glob("*.json"), reverse=True)
    for file in files:
        try:
            section = json.loads(file.read_text(encoding="utf-8"))["ServerApp"]
            return file, bool(section["jpserver_extensions"][EXTENSION])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def state(client: Client) -> Iterator[Finding]:
    """The findings from the server's own status."""
    status: dict[str, Any] = client.get("status")
    yield from _version(status)
    yield from _checks(status)
    for problem in status["problems"]:
        # Shutdowns work even if something could not be saved.
        level = Level.WARNING if problem["code"] in _NOT_GRAVE else Level.PROBLEM
        yield Finding(level, "server", problem["message"], problem["remedy"])
    if status["recording_error"]:
        yield Finding(
            Level.WARNING,
            "records",
            status["recording_error"],
            "Costs and history are incomplete. Shutdowns are not affected.",
        )
    if status["dry_run"]:
        yield Finding(
            Level.WARNING,
            "dry run",
            "the administrator has switched it on: nothing is shut down",
            "Set SageMakerAutoShutdown.dry_run to False and restart the server.",
        )
    for app in status["apps"]:
        if app["error"]:
            error = app["error"]
            yield Finding(
                Level.PROBLEM,
                "shutdown",
                f"{app['app_name']} could not be shut down: {error['code']}: {error['message']}",
                error["remedy"],
            )
    for note in client.get("settings")["notes"]:
        yield Finding(Level.NOTE, "settings", note)
    for note in status["notes"]:
        yield Finding(Level.NOTE, "server", note)


_NOT_GRAVE = {"settings_not_saved", "bad_setting"}


def _version(status: dict[str, Any]) -> Iterator[Finding]:
    if status["version"] != __version__:
        yield Finding(
            Level.NOTE,
            "version",
            f"the server has loaded {status['version']}, and this is {__version__}",
            "Restart the server if it was upgraded.",
        )


def _checks(status: dict[str, Any]) -> Iterator[Finding]:
    if status["host"] == "none":
        yield Finding(
            Level.PROBLEM,
            "checks",
            f"the server does nothing: {status['message']}",
            "See 'host' above; restart the server once that is in order.",
        )
    elif status["check_overdue"]:
        last = when(status["checked_at"], status["now"]) if status["checked_at"] else "never"
        yield Finding(
            Level.PROBLEM,
            "checks",
            f"they have stopped; the last good one: {last}",
            "See the other findings and the server's log; restart the server if there are none.",
        )
    elif status["checked_at"]:
        yield Finding(
            Level.OK, "checks", f"the last good one: {when(status['checked_at'], status['now'])}"
        )
    else:
        yield Finding(Level.NOTE, "checks", "the first one is still to come")


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution of this environment."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
