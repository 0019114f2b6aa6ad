"""Sends samples at an interval, in a thread, and keeps for a while what can't be sent.

What waits is bounded in number and in age; what goes beyond is dropped and counted. Samples are
sent in their order, as receivers demand: while the oldest can't be sent, the others wait.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from .encode import STALE, Sample, Series, encode

#: Seconds to wait for a receiver.
TIMEOUT = 10.0
#: Samples that wait at most: an hour of a busy server, some megabytes.
MAX_PENDING = 50_000
#: Seconds after which a sample is no longer sent: receivers refuse what is older than an hour.
MAX_AGE = 3600.0
#: Seconds between tries of what failed: the first, and the most.
FIRST_BACK_OFF, MAX_BACK_OFF = 1.0, 120.0

#: Labels and value of each series at this moment.
Gather = Callable[[], Iterable[tuple[Series, float]]]
#: Headers that prove who sends a body to a URL, beyond those given.
Sign = Callable[[str, bytes, Mapping[str, str]], Mapping[str, str]]


class Counts(Protocol):
    """Where it is told what became of samples; ``Metrics`` is one."""

    def count_remote_samples(self, outcome: str, samples: int) -> None:
        """``sent`` or ``dropped``."""
        ...

    def count_remote_request(self, outcome: str) -> None:
        """``ok``, ``failed`` or ``refused``."""
        ...

    def set_remote_pending(self, samples: int) -> None:
        """So many wait."""
        ...


@dataclass(frozen=True)
class _Batch:
    body: bytes
    samples: int
    gathered_at: float


class RemoteWriter:
    """Sends what ``gather`` gives to ``url`` every ``interval`` seconds.

    ``gather`` is called in this thread; it is the caller's to hand that over to a loop.
    """

    def __init__(
        self,
        url: str,
        gather: Gather,
        counts: Counts,
        *,
        interval: float,
        headers: Mapping[str, str] | None = None,
        sign: Sign | None = None,
        clock: Callable[[], float] = time.time,
        log: logging.Logger | None = None,
    ) -> None:
        if not url.lower().startswith(("http://", "https://")):
            raise ValueError(f"remote_write_url is a URL that begins with https://; got {url!r}")
        self._url = url
        self._gather = gather
        self._counts = counts
        self._interval = interval
        # A token out of a file ends with a line end, which no header may hold.
        self._headers = {name: str(value).strip() for name, value in (headers or {}).items()}
        self._sign = sign
        self._clock = clock
        self._log = log or logging.getLogger(__name__)
        self._batches: deque[_Batch] = deque()
        self._pending = 0
        self._seen: set[Series] = set()
        self._failures = 0
        self._not_before = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        # Redirects would carry the headers, and with them credentials, elsewhere.
        self._opener = urllib.request.build_opener(_NoRedirects)

    def start(self) -> None:
        """Starts the thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="sagemaker_autoshutdown-remote-write", daemon=True
            )
            self._thread.start()

    def close(self, timeout: float = 0.0) -> None:
        """Ends the thread, waiting for ``timeout`` seconds at most."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        # Not all servers of a domain that starts in the morning in the same second.
        delay = random.uniform(0, min(self._interval, 5.0))  # noqa: S311
        while not self._stop.wait(delay):
            started = time.monotonic()
            try:
                self.tick()
            except Exception:
                self._log.exception("sagemaker_autoshutdown: metrics could not be sent")
            delay = max(0.0, self._interval - (time.monotonic() - started))

    def tick(self) -> None:
        """Gathers samples and sends what waits. One pass of the thread."""
        self._take(list(self._gather()))
        self._drop_old()
        self._send()
        self._counts.set_remote_pending(self._pending)

    def _take(self, gathered: list[tuple[Series, float]]) -> None:
        now = self._clock()
        timestamp = int(now * 1000)
        samples = [Sample(series, value, timestamp) for series, value in gathered]
        present = {series for series, _ in gathered}
        # Without this a receiver shows an app that is gone for five more minutes.
        samples += [Sample(series, STALE, timestamp) for series in sorted(self._seen - present)]
        self._seen = present
        if samples:
            self._batches.append(_Batch(encode(samples), len(samples), now))
            self._pending += len(samples)

    def _drop_old(self) -> None:
        oldest = self._clock() - MAX_AGE
        while self._batches and (
            self._pending > MAX_PENDING or self._batches[0].gathered_at < oldest
        ):
            self._forget("dropped")

    def _forget(self, outcome: str) -> None:
        batch = self._batches.popleft()
        self._pending -= batch.samples
        self._counts.count_remote_samples(outcome, batch.samples)

    def _send(self) -> None:
        while self._batches and self._clock() >= self._not_before and not self._stop.is_set():
            outcome, why, wait = self._post(self._batches[0].body)
            self._counts.count_remote_request(outcome)
            if outcome == "failed":
                self._back_off(why, wait)
                return
            if outcome == "refused":
                self._log.warning(
                    "sagemaker_autoshutdown: %s refuses metrics (%s): they are dropped. Check "
                    "remote_write_url, and the rights and headers that it asks for",
                    self._url,
                    why,
                )
            elif self._failures:
                self._log.info("sagemaker_autoshutdown: metrics can be sent again")
            self._failures, self._not_before = 0, 0.0
            self._forget("sent" if outcome == "ok" else "dropped")

    def _back_off(self, why: str, wait: float | None) -> None:
        if not self._failures:
            self._log.warning(
                "sagemaker_autoshutdown: metrics can't be sent to %s (%s); they are kept for an "
                "hour, and it is tried again",
                self._url,
                why,
            )
        self._failures += 1
        delay = min(FIRST_BACK_OFF * 2 ** min(self._failures - 1, 10), MAX_BACK_OFF)
        self._not_before = self._clock() + max(delay, min(wait or 0.0, MAX_BACK_OFF))

    def _post(self, body: bytes) -> tuple[str, str, float | None]:
        """What became of a request: ``ok``, ``failed`` (try again) or ``refused``; why; and how
        long the receiver asks to wait."""
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
            "User-Agent": "sagemaker-autoshutdown",
            **self._headers,
        }
        try:
            if self._sign is not None:
                headers.update(self._sign(self._url, body, headers))
            request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310
            with self._opener.open(request, timeout=TIMEOUT):
                return "ok", "", None
        except urllib.error.HTTPError as error:
            with error:
                why = f"{error.code} {error.reason}: {error.read(300).decode(errors='replace')}"
            if error.code == 429 or error.code >= 500:
                return "failed", why, _seconds(error.headers.get("Retry-After"))
            return "refused", why, None
        except ValueError as error:
            # What http.client says of a header that it refuses holds the header: not for a log.
            return "refused", f"{type(error).__name__}: check remote_write_headers", None
        except Exception as error:  # the edge: no route, no credentials, TLS, a proxy
            return "failed", str(error) or type(error).__name__, None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """None: a redirect is an error."""
        return


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None
