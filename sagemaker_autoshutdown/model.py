"""The product's words as values: observations, decisions and reasons.

Everything here is frozen and free of I/O. Times are aware ``datetime`` in UTC, durations are
``timedelta``, money is ``Decimal`` in USD. Seconds and ISO 8601 text exist only at the edges
(traits, REST, command line).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum


class HostKind(str, Enum):
    """Where this server runs, which determines how "shutting down" works."""

    CLASSIC = "classic"
    SPACE = "space"
    NOTEBOOK_INSTANCE = "notebook-instance"
    NONE = "none"


class OwnerKind(str, Enum):
    """To whom an app belongs. SageMaker's API filters by either, never by both."""

    USER_PROFILE = "user-profile"
    SPACE = "space"


class AppType(str, Enum):
    """The kinds of app that this product shuts down.

    The first two are SageMaker's own values. SageMaker has no app type for a notebook instance;
    ours gives all hosts the same form.
    """

    KERNEL_GATEWAY = "KernelGateway"
    JUPYTER_LAB = "JupyterLab"
    NOTEBOOK_INSTANCE = "NotebookInstance"


class AppStatus(str, Enum):
    """SageMaker's statuses of an app. A notebook instance's are mapped onto them."""

    PENDING = "Pending"
    IN_SERVICE = "InService"
    DELETING = "Deleting"
    DELETED = "Deleted"
    FAILED = "Failed"

    @property
    def is_billed(self) -> bool:
        """Whether an app in this status is billed. AWS does not say whether ``Deleting`` is."""
        return self in (AppStatus.IN_SERVICE, AppStatus.DELETING)


class State(str, Enum):
    """The state of an app for the user: the status object's ``state``."""

    BUSY = "busy"
    ACTIVE = "active"
    IDLE = "idle"
    WARNED = "warned"
    KEPT = "kept"
    SHUTTING_DOWN = "shutting_down"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Action(str, Enum):
    """The action for an app now."""

    KEEP = "keep"
    SHUT_DOWN = "shut_down"


class Reason(str, Enum):
    """Why an app is in its state. The same value is log text, audit record, API field, metric
    label and the key to the panel's sentence."""

    # Something holds the app.
    KERNEL_BUSY = "kernel_busy"
    KERNEL_STATE_UNKNOWN = "kernel_state_unknown"
    TERMINAL_STATE_UNKNOWN = "terminal_state_unknown"
    BACKGROUND_JOB = "background_job"
    DETACHED_JOB = "detached_job"
    HOLDING_PROGRAM = "holding_program"
    GPU_BUSY = "gpu_busy"
    SERVER_UNSEEN = "server_unseen"
    CONNECTED = "connected"
    TERMINAL_KEPT = "terminal_kept"
    KEEP_ALIVE = "keep_alive"
    # Nothing holds it.
    RECENTLY_ACTIVE = "recently_active"
    NO_RECENT_ACTIVITY = "no_recent_activity"
    NO_KERNELS = "no_kernels"
    # It is due, or gone.
    IDLE_TIMEOUT = "idle_timeout"
    BUSY_TOO_LONG = "busy_too_long"
    USER_REQUEST = "user_request"
    DRY_RUN = "dry_run"
    # SageMaker causes it.
    APP_STARTING = "app_starting"
    APP_DELETING = "app_deleting"
    APP_FAILED = "app_failed"
    # Something keeps us from knowing or acting.
    ACTIVITY_UNSEEN = "activity_unseen"
    APPS_UNSEEN = "apps_unseen"
    SHUTDOWN_FAILED = "shutdown_failed"


REASON_TEXT: Mapping[Reason, str] = {
    Reason.KERNEL_BUSY: "a cell is running",
    Reason.KERNEL_STATE_UNKNOWN: "a kernel is in a state that is not known to be idle",
    Reason.TERMINAL_STATE_UNKNOWN: "a terminal does not say when it was last used",
    Reason.BACKGROUND_JOB: "a background job is working",
    Reason.DETACHED_JOB: "a job that runs outside of any terminal or notebook is working",
    Reason.HOLDING_PROGRAM: "a program that holds its app is running",
    Reason.GPU_BUSY: "a GPU is working",
    Reason.SERVER_UNSEEN: "another Jupyter server on this app could not be asked",
    Reason.CONNECTED: "a browser is connected to a kernel, which counts as use here",
    Reason.TERMINAL_KEPT: "a terminal is open, which counts as use here",
    Reason.KEEP_ALIVE: "kept alive by the user",
    Reason.RECENTLY_ACTIVE: "used a short while ago",
    Reason.NO_RECENT_ACTIVITY: "nothing has run for a while",
    Reason.NO_KERNELS: "no kernel or terminal is open",
    Reason.IDLE_TIMEOUT: "idle until its limit",
    Reason.BUSY_TOO_LONG: "busy for longer than the administrator allows",
    Reason.USER_REQUEST: "shut down at the user's request",
    Reason.DRY_RUN: "would be shut down, but dry run is on",
    Reason.APP_STARTING: "the app is starting",
    Reason.APP_DELETING: "the app is being shut down",
    Reason.APP_FAILED: "the app failed to start; it is not billed",
    Reason.ACTIVITY_UNSEEN: "kernels or terminals could not be seen, so nothing is shut down",
    Reason.APPS_UNSEEN: "SageMaker did not list the apps, so nothing is shut down",
    Reason.SHUTDOWN_FAILED: "the shutdown failed and will be tried again",
}


class PriceSource(str, Enum):
    """Where a price is from, best first."""

    OVERRIDE = "override"
    API = "api"
    LIST = "list"
    ESTIMATE = "estimate"
    UNPRICED = "unpriced"


@dataclass(frozen=True)
class Host:
    """Where this server runs and for whom.

    ``domain_id`` and ``owner`` are empty on a notebook instance and off SageMaker. ``app_name`` is
    the app in which this server itself runs (``default`` in Classic; on a notebook instance, its
    name). ``message`` says why nothing is done if ``kind`` is ``NONE``.
    """

    kind: HostKind
    region: str = ""
    domain_id: str = ""
    owner: str = ""
    owner_kind: OwnerKind = OwnerKind.USER_PROFILE
    app_name: str = ""
    account_id: str = ""
    message: str = ""

    @property
    def volume_owner(self) -> str:
        """The owner of the billed EBS volume: the space, or the notebook instance."""
        return self.owner or self.app_name

    def billing_key(self, app: App) -> str:
        """The name of the billed instance: in Classic the one instance of a type that all apps
        of a domain and owner share, elsewhere the app."""
        if self.kind is HostKind.CLASSIC:
            return f"{self.domain_id}/{self.owner}/{app.instance_type}"
        if self.kind is HostKind.NOTEBOOK_INSTANCE:
            return app.name
        return f"{self.domain_id}/{self.owner}/{app.app_type.value}/{app.name}"


@dataclass(frozen=True)
class Mark:
    """A fleet's announcement about an app: it shuts the app down, not before ``shutdown_at``, by
    which of its rules, and why."""

    shutdown_at: datetime
    rule: str
    why: str


@dataclass(frozen=True)
class App:
    """An app as SageMaker lists it, within this host's domain and owner.

    ``run_started_at`` is the start of this run as far as it is known: names are reused, and
    SageMaker's own ``CreationTime`` may predate the run by up to 24 hours. ``status_since`` is when
    this server first saw the app in its present status. ``failure`` is SageMaker's own reason, or
    the reason why the app is ``unseen``: listed, but without the facts that a decision needs.
    """

    name: str
    app_type: AppType
    status: AppStatus
    instance_type: str
    run_started_at: datetime
    status_since: datetime
    image_arn: str = ""
    failure: str = ""
    unseen: bool = False


class WorkKind(str, Enum):
    """Things that can hold an app, or show that somebody used it.

    ``DOCUMENT`` is a file that was saved or uploaded, ``WEB_APP`` a program behind
    jupyter-server-proxy, ``SERVER`` another Jupyter server on the same app.
    """

    KERNEL = "kernel"
    TERMINAL = "terminal"
    SESSION = "session"
    PROCESS = "process"
    GPU = "gpu"
    SERVER = "server"
    DOCUMENT = "document"
    WEB_APP = "web_app"


class EvidenceKind(str, Enum):
    """The kind of evidence for use, or for its absence."""

    #: A kernel's unanswered request, or the last answered one.
    REQUEST = "request"
    #: A kernel's answer to a question, or its silence.
    ANSWER = "answer"
    #: Processes: CPU, reading and writing.
    PROCESS = "process"
    GPU = "gpu"
    #: Keys typed into a terminal.
    INPUT = "input"
    #: A document that was saved, or a file that was uploaded.
    SAVE = "save"
    #: A browser's message to a program behind jupyter-server-proxy.
    WEB = "web"
    #: Another Jupyter server, and its answer.
    SERVER = "server"


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence, in words for people: ``train.py: 62 % of a CPU, 4 MB/s``.

    ``at`` is when it was seen, or when it happened; None if it is going on now.
    """

    kind: EvidenceKind
    text: str
    at: datetime | None = None


#: Kernel states whose clock starts when the state does. A kernel can hang in any of them.
TRANSIENT_STATES = frozenset({"starting", "restarting", "autorestarting"})


@dataclass(frozen=True)
class Work:
    """Something that can hold an app: a kernel, a terminal, a process (see ``WorkKind``).

    ``state`` is Jupyter's ``execution_state`` (empty if there is none). ``state_since`` is when
    this state was first seen, or earlier if Jupyter knows better. ``apps`` names every app that it
    could belong to: one if that is known, several if it is not.

    ``hold`` says why it holds its app right now, whatever its state: processes below it that work,
    a GPU, a server that does not answer. ``evidence`` supports that. ``silent_since`` is when a
    kernel was asked and did not answer: it counts as busy until the deadline that follows from
    then, when it is asked again. ``claimed_since`` is when a kernel was last active or asked, if
    only its server's word is known about it since; None if its messages are heard.
    """

    kind: WorkKind
    id: str
    label: str
    state: str
    state_since: datetime
    last_activity: datetime | None
    apps: frozenset[str]
    connections: int = 0
    hold: Reason | None = None
    evidence: tuple[Evidence, ...] = ()
    silent_since: datetime | None = None
    claimed_since: datetime | None = None
    #: A GPU's utilisation, if it reports one.
    gpu_percent: float | None = None


@dataclass(frozen=True)
class Presence:
    """Whether somebody has this server open in a browser. ``closed_since`` is since when nobody
    has; None while somebody has, or if that is not known."""

    is_known: bool = False
    closed_since: datetime | None = None


class Limit(str, Enum):
    """Which limit applies, named by its setting."""

    IDLE_TIMEOUT = "idle_timeout"
    CLOSED_IDLE_TIMEOUT = "closed_idle_timeout"


@dataclass(frozen=True)
class Snapshot:
    """One observation of the world.

    ``apps_error`` and ``activity_error`` tell the user what could not be seen; the apps are then
    the last seen ones. ``unasked`` names apps whose kernels have not yet been asked whether they
    are at work: until then, these apps get no warning.
    """

    apps: tuple[App, ...]
    work: tuple[Work, ...]
    apps_error: str = ""
    activity_error: str = ""
    unasked: frozenset[str] = frozenset()
    presence: Presence = field(default_factory=Presence)


@dataclass(frozen=True)
class Holds:
    """Users' requests, by app name."""

    kept_until: Mapping[str, datetime] = field(default_factory=dict)
    shutdown_requested: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """The decision about one app, with its reason and times.

    ``shutdown_at`` is the deadline if one is known. ``subject`` is the thing that the reason is
    about (a notebook's path, a terminal's name), and ``since`` is when it began. ``is_idle`` means
    that the app has not been used for ``active_time`` or longer. ``idle_timeout`` is the limit that
    applies, and ``limit`` says which of the two it is. ``next_at`` is when this verdict changes if
    nothing else happens.
    """

    app: App
    action: Action
    state: State
    reason: Reason
    idle_timeout: timedelta
    idle_since: datetime | None = None
    is_idle: bool = False
    shutdown_at: datetime | None = None
    kept_until: datetime | None = None
    subject: str = ""
    since: datetime | None = None
    next_at: datetime | None = None
    limit: Limit = Limit.IDLE_TIMEOUT


@dataclass(frozen=True)
class Price:
    """The hourly price of an instance. ``usd_per_hour`` is None exactly if it is unpriced."""

    instance_type: str
    usd_per_hour: Decimal | None
    source: PriceSource
    date: str = ""


@dataclass(frozen=True)
class VolumePrice:
    """The monthly price of a gigabyte of a volume."""

    usd_per_gb_month: Decimal
    source: PriceSource
    date: str = ""


class EventKind(str, Enum):
    """The kinds of events of an app or of the settings."""

    WARNING = "warning"
    WARNING_OVER = "warning_over"
    SHUTDOWN = "shutdown"
    GONE = "gone"
    FAILURE = "failure"
    KEEP_ALIVE = "keep_alive"
    KEEP_ALIVE_ENDED = "keep_alive_ended"
    SETTINGS = "settings"
    # Never told: another version recorded a kind that this one does not know.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Event:
    """An event: one line of the log, of the audit trail and of the event bus.

    ``shutdown_at`` is the deadline of a warning, or the end of a keep-alive. App fields are empty
    for an event that concerns no app.
    """

    at: datetime
    kind: EventKind
    message: str
    app_name: str = ""
    app_type: str = ""
    instance_type: str = ""
    reason: Reason | None = None
    shutdown_at: datetime | None = None


@dataclass(frozen=True)
class Problem:
    """Something that keeps the product from doing its work, and the remedy."""

    code: str
    message: str
    remedy: str
    since: datetime
    iam_action: str | None = None


@dataclass(frozen=True)
class ShutdownFailure:
    """Why shutting an app down failed the last time, and when it is retried.

    A user's request is not retried: it was for its moment, and the user may have gone on working.
    """

    code: str
    message: str
    remedy: str
    iam_action: str | None
    attempts: int
    since: datetime
    retry_at: datetime | None


@dataclass(frozen=True)
class ShutdownProgress:
    """How far the shutdown of an app is. It is under way unless there is a ``failure``."""

    reason: Reason
    requested_at: datetime
    failure: ShutdownFailure | None = None


@dataclass(frozen=True)
class Money:
    """The cost of a span of time, in USD.

    ``usd`` is ``in_use_usd`` plus ``idle_usd``. ``avoided_usd`` is an estimate and in no sum;
    neither is ``volume_usd``, the cost of a space's EBS volume. ``estimated`` means that part of
    the cost was reconstructed, not observed; ``unpriced_seconds`` is the time of instances without
    a price.
    """

    usd: Decimal = Decimal(0)
    in_use_usd: Decimal = Decimal(0)
    idle_usd: Decimal = Decimal(0)
    idle_share: float | None = None
    avoided_usd: Decimal = Decimal(0)
    volume_usd: Decimal = Decimal(0)
    estimated: bool = False
    unpriced_seconds: float = 0.0


@dataclass(frozen=True)
class Totals:
    """Since midnight, since the first of the month (both UTC), and in the last 30 days."""

    today: Money = field(default_factory=Money)
    month: Money = field(default_factory=Money)
    last_30_days: Money = field(default_factory=Money)


def longest_gap(interval: timedelta) -> timedelta:
    """Observations are planned ``interval`` apart. If two are further apart than this, they
    leave a gap: they count as stopped meanwhile, and that time is recorded as an estimate."""
    return 3 * interval + timedelta(minutes=1)
