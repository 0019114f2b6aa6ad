"""How today's other tools judge the same situations. Pure.

Their rules are written here from their documentation. Each is a function of Jupyter's API answers,
the time, and the limit, and tells whether the app counts as in use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sagemaker_autoshutdown.clock import from_iso

Model = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """The answers of ``api/sessions`` and ``api/terminals`` at a moment."""

    sessions: Sequence[Model]
    terminals: Sequence[Model]
    now: datetime


def _is_recent(moment: object, seen: Seen, limit: timedelta) -> bool:
    return isinstance(moment, str) and bool(moment) and seen.now - from_iso(moment) < limit


def activity_probe(seen: Seen, limit: timedelta) -> bool:
    """Studio's own probe for JupyterLab: the latest ``last_activity`` of sessions' kernels and of
    terminals, and nothing else."""
    kernels = [session["kernel"] for session in seen.sessions if session.get("kernel")]
    return any(
        _is_recent(model.get("last_activity"), seen, limit) for model in (*kernels, *seen.terminals)
    )


def cron_script(seen: Seen, limit: timedelta) -> bool:
    """The script that notebook instances run by cron: a session whose kernel is not idle is in
    use, an idle one counts by its last activity. Terminals count likewise."""
    for session in seen.sessions:
        kernel = session.get("kernel") or {}
        if kernel.get("execution_state") != "idle":
            return True
        if _is_recent(kernel.get("last_activity"), seen, limit):
            return True
    return any(_is_recent(model.get("last_activity"), seen, limit) for model in seen.terminals)


def classic_extension(seen: Seen, limit: timedelta) -> bool:
    """The server extension for Studio Classic: sessions as above. It leaves an app without any
    session alone, and terminals hold their app only if there is a session as well."""
    if not seen.sessions:
        return True
    return any(
        (session.get("kernel") or {}).get("execution_state") != "idle"
        or _is_recent((session.get("kernel") or {}).get("last_activity"), seen, limit)
        for session in seen.sessions
    )


TOOLS: Mapping[str, Callable[[Seen, timedelta], bool]] = {
    "Studio's probe": activity_probe,
    "cron script": cron_script,
    "Classic extension": classic_extension,
}
