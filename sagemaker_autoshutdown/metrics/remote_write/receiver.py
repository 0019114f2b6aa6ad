"""One receiver: its address, how it gets a body, and its answers.

This module owns the request and its secrets: headers, signature, and a password or query in the
URL. Its texts hold none of them, although a receiver may quote a request in its answer, cut,
escaped or in capitals. So if a request carried a credential, only words from a short list are
repeated from its answer. The module keeps no samples and sends nothing twice.
"""

from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

#: Headers that prove who sends a body to a URL, beyond the configured ones.
Sign = Callable[[str, bytes, Mapping[str, str]], Mapping[str, str]]

OK, FAILED, REFUSED = "ok", "failed", "refused"

_FIXED_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "sagemaker-autoshutdown",
}
#: How many bytes of an answer are read, and how many characters are logged.
_READ, _SAID = 4096, 300

#: Helpful words of receivers that hold no secret. If an answer has one, our own copy is shown.
_KNOWN_WORDS = (
    "out of order sample",
    "out of bounds",
    "too old sample",
    "too far in the future",
    "duplicate sample for timestamp",
    "label name too long",
    "label value too long",
    "max series per user",
    "per-user series limit",
    "ingestion rate limit",
    "no org id",
    "snappy: corrupt input",
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "ResourceNotFoundException",
    "SignatureDoesNotMatch",
    "ThrottlingException",
    "UnrecognizedClientException",
    "ValidationException",
)


class Answer(NamedTuple):
    """The outcome of a request.

    ``outcome`` is ``ok``, ``failed`` (to be retried) or ``refused``. ``why`` is for a log; ``kind``
    is the same for answers with the same meaning. ``wait`` is how many seconds the receiver asks to
    wait.
    """

    outcome: str
    why: str = ""
    kind: str = ""
    wait: float | None = None


class Receiver:
    """Takes remote writes at ``url``. Raises ``ValueError`` if that is not an HTTP URL."""

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, sign: Sign | None = None
    ) -> None:
        parts = _split(url)
        host = parts.netloc.rpartition("@")[2]
        # A token read from a file ends with a newline, which no header may hold.
        self._headers = {name: str(value).strip() for name, value in (headers or {}).items()}
        if parts.username is not None and "authorization" not in map(str.lower, self._headers):
            self._headers["Authorization"] = _basic(parts)
        self._has_credentials = bool(self._headers or sign or parts.query or parts.password)
        self._url = parts._replace(netloc=host, fragment="").geturl()
        self._sign = sign
        #: The URL without the parts that may be secret.
        self.label = f"{parts.scheme}://{host}{parts.path}"
        # Redirects would carry the headers, and with them credentials, elsewhere.
        self._opener = urllib.request.build_opener(_NoRedirects)

    def post(self, body: bytes, timeout: float) -> Answer:
        """Sends a body. Blocks for about ``timeout`` seconds at most; never raises."""
        headers = {**_FIXED_HEADERS, **self._headers}
        try:
            if self._sign is not None:
                headers.update(self._sign(self._url, body, headers))
            request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310
            with self._opener.open(request, timeout=timeout):
                return Answer(OK)
        except urllib.error.HTTPError as error:
            with error:
                why = self._said(error)
            outcome = FAILED if error.code == 429 or error.code >= 500 else REFUSED
            return Answer(outcome, why, str(error.code), _seconds(error.headers.get("Retry-After")))
        except http.client.InvalidURL:
            return Answer(REFUSED, "it is not a URL: check remote_write_url", "url")
        except ValueError as error:
            # http.client's error for a refused header holds the header.
            kind = type(error).__name__
            return Answer(REFUSED, f"{kind}: check remote_write_headers", kind)
        except Exception as error:  # the edge: no route, no credentials, TLS, a proxy
            kind = type(error).__name__
            return Answer(FAILED, self._gone_wrong(error), kind)

    def _said(self, error: urllib.error.HTTPError) -> str:
        """The receiver's answer, for the log."""
        body = _beginning(error)
        if not self._has_credentials:
            return f"{error.code} {error.reason}: {body}"[:_SAID]
        said = f"{error.code} {http.client.responses.get(error.code, '')}".strip()
        found = [words for words in _KNOWN_WORDS if words.lower() in body.lower()]
        return f"{said}: {', '.join(found)}" if found else said

    def _gone_wrong(self, error: Exception) -> str:
        """Why a request got no answer, for the log."""
        reason = getattr(error, "reason", error)
        if isinstance(reason, OSError) and reason.strerror:
            return reason.strerror  # the system's own words
        kind = type(reason if isinstance(reason, Exception) else error).__name__
        # A library's message may hold its arguments, or the answer.
        return kind if self._has_credentials else str(error) or kind


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """None: a redirect is an error."""
        return


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # its text holds a part of the URL
        pass
    # Not the URL: a mistyped one may hold a password.
    raise ValueError(
        "remote_write_url is not the URL of a receiver, such as "
        "https://prometheus.example.com/api/v1/write"
    )


def _basic(parts: SplitResult) -> str:
    """The header for the user and password of a URL, which urllib does not understand."""
    text = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(text.encode()).decode()


def _beginning(error: urllib.error.HTTPError) -> str:
    try:
        return error.read(_READ).decode(errors="replace")
    except Exception:  # the connection broke in the middle of the answer: its code is enough
        return ""


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None
