"""The HTTP side of the SageMaker API: one POST to ``/`` per call, in the form of AWS JSON 1.1.

This module owns headers, the order of steps and the journal; `operations` implements the calls.
"""

from __future__ import annotations

import json
import logging
import uuid
from typing import Any

from tornado import web
from tornado.iostream import StreamClosedError

from . import names
from .errors import ApiError
from .faults import Fault, Faults, drop_connection
from .journal import Journal
from .operations import SERVICES, Backend, OperationTable
from .protocol import format_answer, format_error, parse_request

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/x-amz-json-1.1"
#: STS uses XML; only GetCallerIdentity is answered.
WHO_AM_I = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>{names.ROLE_ARN}</Arn><UserId>A:b</UserId>
<Account>{names.ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""


class ApiHandler(web.RequestHandler):
    """Answers for every service and operation."""

    def initialize(self, backend: Backend, journal: Journal, faults: Faults) -> None:
        """Tornado's hook."""
        self.backend = backend
        self.journal = journal
        self.faults = faults

    async def post(self) -> None:
        """One call of the API."""
        if self.request.body.startswith(b"Action=GetCallerIdentity"):
            self.journal.ended(self.journal.arrived("GetCallerIdentity", {}), "ok")
            self.set_header("Content-Type", "text/xml")
            self.finish(WHO_AM_I)
            return
        self.set_header("Content-Type", CONTENT_TYPE)
        self.set_header("x-amzn-RequestId", str(uuid.uuid4()))
        prefix, _, name = self.request.headers.get("X-Amz-Target", "").partition(".")
        number = self.journal.arrived(name, _raw(self.request.body))
        try:
            outcome = await self._answer(prefix, name, number)
        except ApiError as error:
            outcome = self._refuse(error)
        except Exception:
            log.exception("%s failed", name)
            outcome = self._refuse(ApiError("InternalFailure", f"{name} failed; see the log"))
        self.journal.ended(number, outcome)

    async def _answer(self, prefix: str, name: str, number: int) -> str:
        operation, function = _service(prefix).find(name)
        if self.request.headers.get("Content-Type") != CONTENT_TYPE:
            raise ApiError("SerializationException", f"Content-Type must be {CONTENT_TYPE}")
        parameters = parse_request(operation, self.request.body)
        self.journal.understood(number, parameters)
        fault = await self.faults.meet(name, parameters.get("AppName"))
        if fault is not None and not fault.after:
            return self._fail(fault)
        body = format_answer(operation, await function(self.backend, parameters))
        if fault is not None:
            return self._fail(fault)
        await self._finish(body)
        return "ok"

    def _fail(self, fault: Fault) -> str:
        if fault.drop:
            drop_connection(self)
            return "dropped"
        if fault.body is not None:
            self.set_status(fault.status or 200)
            self.finish(fault.body)
            return f"body with {fault.status or 200}"
        return self._refuse(ApiError(fault.code or "InternalFailure", fault.message, fault.status))

    def _refuse(self, error: ApiError) -> str:
        self.set_status(error.status)
        self.set_header("x-amzn-ErrorType", error.code)
        self.finish(format_error(error))
        return error.code

    async def _finish(self, body: bytes) -> None:
        try:
            await self.finish(body)
        except (ConnectionError, StreamClosedError):
            log.info("The caller did not wait for the answer")


def handlers(
    backend: Backend, journal: Journal, faults: Faults
) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The API's one route."""
    return [("/", ApiHandler, {"backend": backend, "journal": journal, "faults": faults})]


def _service(prefix: str) -> OperationTable:
    for table in SERVICES:
        if table.prefix == prefix:
            return table
    raise ApiError("UnknownOperationException", f"The local Studio does not serve {prefix!r}")


def _raw(body: bytes) -> dict[str, Any]:
    """The parameters before they have been checked, for the journal."""
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
