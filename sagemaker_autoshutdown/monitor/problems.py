"""Problems that keep the product from doing its work: logged once, shown for as long as they last.

This module owns the wording of the loop's own problems, and since when each exists.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from ..aws import AwsError
from ..model import Problem
from ..text import without_ids

_APPS, _ACTIVITY, _CHECK = "apps_unseen", "activity_unseen", "check_failed"


class Problems:
    """The problems of one host. ``found_at_start`` existed before the loop, and stay."""

    def __init__(
        self,
        found_at_start: tuple[Problem, ...],
        now: Callable[[], datetime],
        log: logging.Logger,
    ) -> None:
        self._found_at_start = found_at_start
        self._now = now
        self._log = log
        self._present: dict[str, Problem] = {}

    @property
    def present(self) -> tuple[Problem, ...]:
        """The present problems."""
        return (*self._found_at_start, *self._present.values())

    def apps_unseen(self, error: AwsError | None) -> None:
        """SageMaker could not list the apps, or could (None)."""
        if error is None:
            self._clear(_APPS)
            return
        self._set(
            _APPS,
            error.kind.value,
            f"SageMaker did not list the apps ({error}), so nothing is shut down.",
            error.remedy,
            error.iam_action,
        )

    def activity_unseen(self, error: str) -> None:
        """Kernels and terminals could not be seen, or could (empty)."""
        if not error:
            self._clear(_ACTIVITY)
            return
        self._set(
            _ACTIVITY,
            _ACTIVITY,
            f"Kernels and terminals could not be seen ({error}), so nothing is shut down.",
            "The check is retried. If the problem lasts, restart the Jupyter server.",
        )

    def check_failed(self, error: BaseException) -> str:
        """A check ended with an exception; returns the message for users."""
        message = f"A check failed: {type(error).__name__}: {error}"
        before = self._present.get(_CHECK)
        if before is None or before.message != message:
            # Once, not once a minute.
            self._log.error("sagemaker_autoshutdown: the traceback:", exc_info=error)
        remedy = (
            "The check is retried. If the problem lasts, please report it with the server's log."
        )
        self._set(_CHECK, _CHECK, message, remedy)
        return message

    def check_went_well(self) -> None:
        """A check ended without an exception."""
        self._clear(_CHECK)

    def _set(
        self, key: str, code: str, message: str, remedy: str, iam_action: str | None = None
    ) -> None:
        before = self._present.get(key)
        since = before.since if before is not None else self._now()
        if before is not None and without_ids(before.message) == without_ids(message):
            message = before.message  # as logged
        else:
            self._log.warning("sagemaker_autoshutdown: %s %s", message, remedy)
        self._present[key] = Problem(code, message, remedy, since, iam_action)

    def _clear(self, key: str) -> None:
        if self._present.pop(key, None) is not None:
            self._log.info("sagemaker_autoshutdown: over: %s", key)
