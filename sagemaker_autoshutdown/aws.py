"""Calls to AWS: the only module that imports boto3.

Every call runs in a thread of its own, because boto3 blocks, and is bounded in time. boto3 is
imported in the first of them, so that loading the extension does not pay for it. Errors become
:class:`AwsError`, with a kind that follows from AWS's code: SageMaker answers "throttled", "denied"
and "not found" all with HTTP status 400.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from .threads import in_thread

#: Seconds for a connection, for an answer, and for a call with all its retries.
CONNECT_TIMEOUT = 5
READ_TIMEOUT = 15
CALL_TIMEOUT = 60
#: Attempts in all, the first included. Callers wait longer by themselves, per app: botocore's own
#: retries would hold up all apps.
ATTEMPTS = 3
#: Connections kept for each service: the most calls that run at once.
MAX_CONNECTIONS = 16
#: Operations that are sent once. Their target was observed just before; to send them again, the
#: caller must observe it again.
SENT_ONCE = frozenset({"DeleteApp", "StopNotebookInstance"})


class ErrorKind(str, Enum):
    """The kinds of errors that make a difference to the next step."""

    ACCESS_DENIED = "access_denied"
    THROTTLED = "throttled"
    NOT_FOUND = "not_found"
    IN_USE = "in_use"
    NO_CREDENTIALS = "no_credentials"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    OTHER = "other"


_KIND_BY_CODE = {
    "AccessDenied": ErrorKind.ACCESS_DENIED,
    "AccessDeniedException": ErrorKind.ACCESS_DENIED,
    "UnauthorizedOperation": ErrorKind.ACCESS_DENIED,
    "Throttling": ErrorKind.THROTTLED,
    "ThrottlingException": ErrorKind.THROTTLED,
    "ThrottledException": ErrorKind.THROTTLED,
    "TooManyRequestsException": ErrorKind.THROTTLED,
    "RequestLimitExceeded": ErrorKind.THROTTLED,
    "ResourceNotFound": ErrorKind.NOT_FOUND,
    "ResourceNotFoundException": ErrorKind.NOT_FOUND,
    "ResourceInUse": ErrorKind.IN_USE,
    "ConflictException": ErrorKind.IN_USE,
    "ExpiredToken": ErrorKind.NO_CREDENTIALS,
    "ExpiredTokenException": ErrorKind.NO_CREDENTIALS,
    "InvalidClientTokenId": ErrorKind.NO_CREDENTIALS,
    "UnrecognizedClientException": ErrorKind.NO_CREDENTIALS,
    "InvalidSignatureException": ErrorKind.NO_CREDENTIALS,
}

#: ``RecordNotFound``: a notebook instance. The others: an app; Terraform's provider reads them the
#: same way.
_GONE_WORDS = (
    "RecordNotFound",
    "has already been deleted",
    "previously failed and was automatically deleted",
)


class AwsError(Exception):
    """A failed call. ``code`` is AWS's code, or botocore's class of error."""

    def __init__(self, kind: ErrorKind, operation: str, code: str, message: str) -> None:
        super().__init__(f"{operation}: {code}: {message}" if message else f"{operation}: {code}")
        self.kind = kind
        self.operation = operation
        self.code = code
        self.message = message

    @property
    def iam_action(self) -> str | None:
        """The missing IAM action, if that is the problem."""
        return self.operation if self.kind is ErrorKind.ACCESS_DENIED else None

    @property
    def remedy(self) -> str:
        """The remedy for a user or an admin, in one sentence."""
        return _REMEDY[self.kind].format(operation=self.operation)


_REMEDY = {
    ErrorKind.ACCESS_DENIED: "Ask your administrator to allow the IAM action {operation} to the "
    "execution role.",
    ErrorKind.THROTTLED: "No action is needed: AWS limits the rate of calls, and the call is "
    "retried later.",
    ErrorKind.NOT_FOUND: "No action is needed: it is already gone.",
    ErrorKind.IN_USE: "No action is needed: SageMaker is busy with it, and the call is "
    "retried later.",
    ErrorKind.NO_CREDENTIALS: "Check that this app has an execution role and that its credentials "
    "have not expired; restarting the app renews them.",
    ErrorKind.TIMEOUT: "AWS did not answer in time. The call is retried. If this lasts, check the "
    "network (a VPC-only domain needs an interface endpoint for the SageMaker API).",
    ErrorKind.UNREACHABLE: "AWS could not be reached. Check the network (a VPC-only domain needs "
    "an interface endpoint for the SageMaker API) and the region.",
    ErrorKind.OTHER: "The call is retried. If this lasts, run: "
    "jupyter sagemaker-autoshutdown doctor",
}


@dataclass(frozen=True)
class Role:
    """A role of another account, to be assumed. ``external_id`` is for a trust policy that
    requires one."""

    arn: str
    external_id: str = ""


def region_of_environment() -> str:
    """The region in ``AWS_REGION``, as the AWS command line takes it; boto3 itself reads only
    ``AWS_DEFAULT_REGION``. Empty if it is not set."""
    return os.environ.get("AWS_REGION", "")


class Aws:
    """Clients for one region, created when they are first needed.

    ``on_call`` is called on the event loop for every call, with its operation
    (``sagemaker:ListApps``) and its outcome (``ok`` or an error's code). With a ``role``, calls use
    that role's credentials, which are renewed before they expire.
    """

    def __init__(
        self,
        region: str,
        on_call: Callable[[str, str], None] | None = None,
        role: Role | None = None,
    ) -> None:
        self.region = region
        self._role = role
        self._on_call = on_call or (lambda operation, outcome: None)
        self._clients: dict[str, Any] = {}
        # boto3's default session is not thread-safe while it creates a client.
        self._lock = threading.Lock()
        #: The last answer that each thread got, as sent.
        self._received = threading.local()

    async def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call, for example ``call("sagemaker", "DescribeApp", DomainId=...)``.

        Returns AWS's answer. Raises :class:`AwsError`, and nothing else, when it fails.
        """
        name = f"{service}:{operation}"
        try:
            answer = await asyncio.wait_for(
                in_thread(lambda: self.call_blocking(service, operation, parameters)), CALL_TIMEOUT
            )
        except asyncio.TimeoutError:
            error = AwsError(ErrorKind.TIMEOUT, name, "Timeout", f"no answer in {CALL_TIMEOUT} s")
            self._on_call(name, error.code)
            raise error from None
        except AwsError as error:
            self._on_call(name, error.code)
            raise
        self._on_call(name, "ok")
        return answer

    async def pages(
        self, service: str, operation: str, key: str, **parameters: Any
    ) -> list[dict[str, Any]]:
        """All items under ``key`` of a paged operation."""
        items: list[dict[str, Any]] = []
        following = _Tokens(f"{service}:{operation}")
        while following.token is not None:
            answer = await self.call(service, operation, **parameters, **following.token)
            items.extend(_items(answer, key, f"{service}:{operation}"))
            following.take(answer)
        return items

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        """The same call on the calling thread, which it blocks: for threads and command lines."""
        with _aws_errors(f"{service}:{operation}"):
            attempts = 1 if operation in SENT_ONCE else ATTEMPTS
            method = _method(self._client(service, attempts), operation)
            answer: dict[str, Any] = method(**parameters)
            return answer

    def call_seeing_all(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """Like `call_blocking`; also returns the paths of the answer that this botocore leaves out.

        An older botocore knows fewer members than the service sends. Writing an answer back without
        them may lose them.
        """
        shape = self._client(service).meta.service_model.operation_model(operation).output_shape
        answer = self.call_blocking(service, operation, parameters)
        body = self._received.response["body"]
        return answer, _unknown_members(shape, json.loads(body or b"{}"))

    def knows(self, service: str, operation: str, path: str) -> bool:
        """Whether this botocore can send a parameter, such as ``DefaultUserSettings.X.Y``."""
        shape = self._client(service).meta.service_model.operation_model(operation).input_shape
        for name in path.split("."):
            shape = getattr(shape, "members", {}).get(name)
        return shape is not None

    def tells(self, service: str, operation: str, path: str) -> bool:
        """Whether this botocore returns a member of the answer, such as ``Apps.ResourceSpec``."""
        shape = self._client(service).meta.service_model.operation_model(operation).output_shape
        for name in path.split("."):
            shape = getattr(shape, "member", shape)  # of a list: its items
            shape = getattr(shape, "members", {}).get(name)
        return shape is not None

    @property
    def effective_region(self) -> str:
        """The region of the calls: the given one, else that of the AWS configuration.

        Raises :class:`AwsError` if there is neither.
        """
        if self.region:
            return self.region
        with _aws_errors("sagemaker"):
            return str(self._client("sagemaker").meta.region_name)

    @property
    def botocore_version(self) -> str:
        """The version of botocore."""
        import botocore

        return str(botocore.__version__)

    def pages_blocking(
        self,
        service: str,
        operation: str,
        key: str,
        parameters: dict[str, Any],
        token: str = "NextToken",  # noqa: S107 - the name of a member
    ) -> Iterator[Any]:
        """All items under ``key`` of a paged operation, on the calling thread, as they come.

        ``token`` is the operation's name for the mark of the next page.
        """
        following = _Tokens(f"{service}:{operation}", token)
        while following.token is not None:
            answer = self.call_blocking(service, operation, {**parameters, **following.token})
            yield from _items(answer, key, f"{service}:{operation}")
            following.take(answer)

    def _client(self, service: str, attempts: int = ATTEMPTS) -> Any:
        key = service if attempts == ATTEMPTS else f"{service}, {attempts}"
        with self._lock:
            if key not in self._clients:
                from botocore.config import Config

                client = _session(self._role).client(
                    service,
                    region_name=self.region or None,
                    config=Config(
                        connect_timeout=CONNECT_TIMEOUT,
                        read_timeout=READ_TIMEOUT,
                        max_pool_connections=MAX_CONNECTIONS,
                        retries={"mode": "standard", "total_max_attempts": attempts},
                        user_agent_extra="sagemaker-autoshutdown",
                    ),
                )
                # Registered before the first use: a handler registered during another thread's call
                # may be missed.
                client.meta.events.register("response-received", self._receive)
                self._clients[key] = client
            return self._clients[key]

    def _receive(self, response_dict: dict[str, Any] | None = None, **_: Any) -> None:
        self._received.response = response_dict


def _session(role: Role | None) -> Any:
    """A session of boto3 with this process's own credentials, or with those of a role."""
    import botocore.credentials
    import botocore.session

    if role is None:
        return _boto3_session(botocore.session.get_session())

    arn, more = role.arn, {"RoleSessionName": "sagemaker-autoshutdown-fleet"}
    if role.external_id:
        more["ExternalId"] = role.external_id
    source = botocore.session.Session()

    class Assumed(botocore.credentials.CredentialProvider):
        """Calls STS when credentials are first needed, and again before they expire."""

        METHOD = CANONICAL_NAME = "sagemaker-autoshutdown-role"  # type: ignore[assignment]

        def load(self) -> Any:
            fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
                source.create_client, source.get_credentials(), arn, extra_args=more
            )
            return botocore.credentials.DeferredRefreshableCredentials(
                fetcher.fetch_credentials, self.METHOD
            )

    assuming = botocore.session.Session()
    provider: Any = Assumed
    assuming.register_component(
        "credential_provider", botocore.credentials.CredentialResolver([provider()])
    )
    return _boto3_session(assuming)


@cache
def _loader(data_path: str | None) -> Any:
    """The loader of AWS's service models, shared by all sessions: the model of SageMaker takes
    20 MB and half a second."""
    import botocore.loaders

    return botocore.loaders.create_loader(data_path)


def _boto3_session(session: Any) -> Any:
    import boto3

    loader = _loader(session.get_config_variable("data_path"))
    session.register_component("data_loader", loader)
    made = boto3.session.Session(botocore_session=session)
    # Each session of boto3 adds the same path again.
    loader.search_paths[:] = dict.fromkeys(loader.search_paths)
    return made


class _Tokens:
    """The argument that asks for the next page; ``token`` is None after the last one."""

    def __init__(self, operation: str, name: str = "NextToken") -> None:
        self.token: dict[str, str] | None = {}
        self._operation = operation
        self._name = name
        self._seen: set[str] = set()

    def take(self, answer: dict[str, Any]) -> None:
        """Takes the mark of the next page from an answer. Raises :class:`AwsError` for a mark
        that came before: such a listing would never end."""
        token = answer.get(self._name)
        if token in self._seen:
            raise AwsError(ErrorKind.OTHER, self._operation, "MalformedAnswer", "its pages repeat")
        self._seen.add(token or "")
        self.token = {self._name: token} if token else None


def content_at(aws: Aws, where: str, at_most: int | None = None) -> bytes:
    """The content of ``s3://BUCKET/KEY``, at most this many bytes (None: all), or of the
    parameter ``ssm:/NAME``. Blocks. Raises :class:`AwsError`."""
    if where.startswith("ssm:"):
        wanted = {"Name": where[len("ssm:") :], "WithDecryption": True}
        answer = aws.call_blocking("ssm", "GetParameter", wanted)
        return str(answer["Parameter"]["Value"]).encode()
    bucket, _, key = where[len("s3://") :].partition("/")
    answer = aws.call_blocking("s3", "GetObject", {"Bucket": bucket, "Key": key})
    content = b""
    with _aws_errors("s3:GetObject"):
        # Read until nothing comes: only then does botocore report that an answer was cut off.
        while at_most is None or len(content) < at_most:
            more: bytes = answer["Body"].read(None if at_most is None else at_most - len(content))
            if not more:
                break
            content += more
    return content


def member(answer: dict[str, Any], key: str, operation: str) -> Any:
    """A member that every good answer has. From a body that is not JSON (a proxy's page)
    botocore makes an answer without any members: that raises :class:`AwsError`."""
    if key not in answer:
        raise AwsError(ErrorKind.OTHER, operation, "MalformedAnswer", f"the answer has no {key}")
    return answer[key]


def _items(answer: dict[str, Any], key: str, operation: str) -> list[dict[str, Any]]:
    """The items of one page. A missing list does not mean that there are no items."""
    return member(answer, key, operation) or []


def answered_at(answer: object) -> str | None:
    """The ``Date`` of an answer, or of an :class:`AwsError`, as sent; None if there is none."""
    response = getattr(getattr(answer, "__cause__", None), "response", answer)
    if not isinstance(response, dict):
        return None
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return date if isinstance(date, str) else None


def _unknown_members(shape: Any, value: Any, where: str = "") -> list[str]:
    """The paths in a JSON answer that botocore's model does not know."""
    if isinstance(value, dict) and shape is not None and shape.type_name == "structure":
        return [
            path
            for name, each in value.items()
            for path in (
                _unknown_members(shape.members[name], each, f"{where}.{name}".lstrip("."))
                if name in shape.members
                else [f"{where}.{name}".lstrip(".")]
            )
        ]
    if isinstance(value, list) and shape is not None and shape.type_name == "list":
        return [path for each in value for path in _unknown_members(shape.member, each, where)]
    return []


def _method(client: Any, operation: str) -> Callable[..., Any]:
    from botocore import xform_name

    method: Callable[..., Any] = getattr(client, xform_name(operation))
    return method


class _aws_errors:  # noqa: N801 - reads as the statement that it is
    """``with _aws_errors("sagemaker:ListApps"):`` turns botocore's errors into AwsError."""

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception):
            raise _translate(self._operation, error) from error


def _readable(message: str) -> str:
    """A message for people. If the answer is not from AWS, botocore repeats all of it."""
    if message.lstrip()[:1] != "<":
        return message
    return "a page of HTML, which AWS does not send: look for a proxy between here and AWS"


def _translate(operation: str, error: Exception) -> AwsError:
    from botocore import exceptions

    name = type(error).__name__
    if isinstance(error, exceptions.ClientError):
        details = error.response.get("Error", {})
        code = details.get("Code") or name
        message = _readable(details.get("Message") or "")
        # For some things that are gone, SageMaker answers with a ValidationException; its words
        # tell.
        if code == "ValidationException" and any(words in message for words in _GONE_WORDS):
            return AwsError(ErrorKind.NOT_FOUND, operation, code, message)
        if error.operation_name == "AssumeRole":
            operation = "sts:AssumeRole"  # on the way to the requested thing
        return AwsError(_KIND_BY_CODE.get(code, ErrorKind.OTHER), operation, code, message)
    # Most specific first: a ConnectTimeoutError is also a ConnectionError.
    for kind, classes in (
        (
            ErrorKind.NO_CREDENTIALS,
            (
                exceptions.NoCredentialsError,
                exceptions.PartialCredentialsError,
                exceptions.CredentialRetrievalError,
                exceptions.TokenRetrievalError,
            ),
        ),
        (ErrorKind.TIMEOUT, (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError)),
        (
            ErrorKind.UNREACHABLE,
            (exceptions.HTTPClientError, exceptions.NoRegionError, exceptions.ConnectionError),
        ),
    ):
        if isinstance(error, classes):
            return AwsError(kind, operation, name, str(error))
    return AwsError(ErrorKind.OTHER, operation, name, str(error))


def sigv4_headers(
    url: str, body: bytes, headers: Mapping[str, str], *, service: str, region: str
) -> dict[str, str]:
    """The headers that sign a POST to an AWS service that boto3 has no client for.

    Blocks: credentials may have to be fetched. Raises botocore's errors.
    """
    import boto3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import NoCredentialsError

    credentials = boto3.session.Session().get_credentials()
    if credentials is None:
        raise NoCredentialsError
    request = AWSRequest("POST", url, dict(headers), body)
    SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(request)
    return dict(request.headers.items())
