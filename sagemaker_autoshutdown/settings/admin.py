"""The admin's policy: traits, their units, their bounds, and the pure value made from them."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from jupyter_core.paths import jupyter_data_dir
from traitlets import (
    Bool,
    Bunch,
    Dict,
    Float,
    List,
    TraitError,
    TraitType,
    Unicode,
    Union,
    default,
    validate,
)
from traitlets.config import LoggingConfigurable
from traitlets.config.loader import DeferredConfig

from ..model import longest_gap
from ..prices.table import own_prices

DEFAULT_METADATA_FILE = "/opt/ml/metadata/resource-metadata.json"

#: Settings that an installer has fixed, in the form of Jupyter's own JSON configuration. They win
#: over Jupyter's configuration, in which a user's files can overrule the admin's. If the installer
#: was not root, the file is below the environment's prefix.
FIXED_SETTINGS_FILE = "/etc/sagemaker-autoshutdown/settings.json"

#: Settings that a user may change, within the admin's bounds.
USER_SETTINGS = (
    "idle_timeout",
    "closed_idle_timeout",
    "warning_time",
    "keep_terminals",
    "ignore_connections",
)

#: The shortest time that any setting accepts, in seconds. Tests and demos need it that short.
MIN_SECONDS = 1.0
#: The longest, in seconds: a year. It keeps date arithmetic far from its limits.
MAX_SECONDS = 366 * 86400.0

#: The forms of ``settings_source``.
SETTINGS_SOURCE = r"(s3://[a-z0-9][a-z0-9.-]*|ssm:)/[a-zA-Z0-9._/-]+"

_RULE_PATTERNS = ("instance_type", "owner", "app_type")
_RULE_TIMES = ("idle_timeout", "closed_idle_timeout")


@dataclass(frozen=True)
class Rule:
    """Idle limits for some apps. Without a ``closed_idle_timeout``, the general one applies if
    it is shorter. Patterns are shell-style and case-sensitive."""

    idle_timeout: timedelta
    instance_type: str = "*"
    owner: str = "*"
    app_type: str = "*"
    closed_idle_timeout: timedelta | None = None

    def matches(self, *, instance_type: str, owner: str, app_type: str) -> bool:
        """Whether the rule applies to an app of this instance type, owner and type."""
        return (
            fnmatchcase(instance_type, self.instance_type)
            and fnmatchcase(owner, self.owner)
            and fnmatchcase(app_type, self.app_type)
        )


@dataclass(frozen=True)
class Policy:
    """The admin's traits and the user's settings, merged into one value.

    ``user_idle_timeout`` is the user's own limit, if there is one. It replaces ``idle_timeout``; if
    one of the admin's rules matches, it can only shorten the rule's limit. The same holds for
    ``closed_idle_timeout``, which is None if it equals ``idle_timeout``.
    """

    idle_timeout: timedelta = timedelta(hours=2)
    user_idle_timeout: timedelta | None = None
    closed_idle_timeout: timedelta | None = None
    user_closed_idle_timeout: timedelta | None = None
    rules: tuple[Rule, ...] = ()
    warning_time: timedelta = timedelta(minutes=10)
    active_time: timedelta = timedelta(minutes=5)
    max_busy_time: timedelta = timedelta(0)
    keep_terminals: bool = False
    ignore_connections: bool = True
    dry_run: bool = False

    def limit(self, *, instance_type: str, owner: str, app_type: str) -> timedelta:
        """The idle limit for an app: the first rule that matches, else the general one."""
        rule = self._rule(instance_type, owner, app_type)
        if rule is None:
            return self.idle_timeout if self.user_idle_timeout is None else self.user_idle_timeout
        return _shortest(rule.idle_timeout, self.user_idle_timeout)

    def closed_limit(self, *, instance_type: str, owner: str, app_type: str) -> timedelta:
        """The limit that applies once the last browser tab of the server is closed. It is never
        longer than the other one."""
        limit = self.limit(instance_type=instance_type, owner=owner, app_type=app_type)
        own = self.user_closed_idle_timeout
        rule = self._rule(instance_type, owner, app_type)
        if rule is None:
            return _shortest(limit, self.closed_idle_timeout if own is None else own)
        return _shortest(limit, rule.closed_idle_timeout or self.closed_idle_timeout, own)

    def _rule(self, instance_type: str, owner: str, app_type: str) -> Rule | None:
        """The first rule that matches."""
        for rule in self.rules:
            if rule.matches(instance_type=instance_type, owner=owner, app_type=app_type):
                return rule
        return None


def _shortest(limit: timedelta, *others: timedelta | None) -> timedelta:
    return min([limit, *(other for other in others if other is not None)])


def _check_seconds(name: str, value: float, *, zero_is_off: bool = False) -> None:
    if zero_is_off and value == 0:
        return
    # "not (a <= b)" also refuses NaN
    if not (MIN_SECONDS <= value <= MAX_SECONDS):
        also = " or 0 (off)" if zero_is_off else ""
        raise TraitError(
            f"SageMakerAutoShutdown.{name} must be in seconds, from {MIN_SECONDS:.0f} to "
            f"{MAX_SECONDS:.0f}{also}; got {value!r}"
        )


def parse_rule(raw: Any) -> Rule:
    """One entry of ``idle_timeout_rules``; raises ``TraitError`` that says what is allowed."""
    if not isinstance(raw, Mapping):
        raise TraitError(f"each rule of idle_timeout_rules must be a dict, got {raw!r}")
    unknown = sorted(str(key) for key in set(raw) - {*_RULE_PATTERNS, *_RULE_TIMES})
    if unknown:
        raise TraitError(
            f"unknown key {', '.join(unknown)} in a rule of idle_timeout_rules; the keys are "
            f"{', '.join(_RULE_PATTERNS)} (patterns), {' and '.join(_RULE_TIMES)} (seconds)"
        )
    times = {key: raw[key] for key in _RULE_TIMES if raw.get(key) is not None}
    if "idle_timeout" not in times:
        raise TraitError(f"a rule of idle_timeout_rules needs idle_timeout in seconds: {raw!r}")
    for key, seconds in times.items():
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TraitError(
                f"a rule of idle_timeout_rules needs {key} in seconds, if it has one: {raw!r}"
            )
        _check_seconds(f"idle_timeout_rules: {key}", float(seconds))
    patterns = {key: raw.get(key, "*") for key in _RULE_PATTERNS}
    for key, pattern in patterns.items():
        if not isinstance(pattern, str):
            raise TraitError(f"{key} in a rule of idle_timeout_rules must be a pattern: {raw!r}")
    closed = times.get("closed_idle_timeout")
    return Rule(
        idle_timeout=timedelta(seconds=float(times["idle_timeout"])),
        closed_idle_timeout=None if closed is None else timedelta(seconds=float(closed)),
        **patterns,
    )


class Number(Float):  # type: ignore[type-arg]
    """A number. Python takes True for 1, so a limit of ``True`` would mean a second."""

    def validate(self, obj: Any, value: Any) -> Any:
        """Refuses True and False."""
        if isinstance(value, bool):
            self.error(obj, value)
        return super().validate(obj, value)


class SageMakerAutoShutdown(LoggingConfigurable):
    """The admin's settings, ``c.SageMakerAutoShutdown.*``. Times are in seconds.

    An invalid value is refused with a message; :func:`load` says what applies then.
    """

    idle_timeout = Number(
        7200.0,
        help="The idle limit, in seconds. An app without activity for this long is shut down.",
    ).tag(config=True, live=True)

    closed_idle_timeout = Number(
        None,
        allow_none=True,
        help="The idle limit, in seconds, once the last browser tab of this server is closed. It "
        "counts from the last activity, or from the moment the tab was closed if that is later. "
        "None: idle_timeout applies. While it is not known whether a tab is open, idle_timeout "
        "applies, too.",
    ).tag(config=True, live=True)

    poll_interval = Number(
        60.0,
        help="Seconds between two checks of kernels, terminals and apps. Deadlines are kept to "
        "the second in any case. New activity is noticed this much later at most, a new app "
        "without a kernel or terminal five checks later.",
    ).tag(config=True)

    warning_time = Number(
        600.0,
        help="Seconds before a shutdown at which users are warned. Apps that are already overdue "
        "when first seen get a warning, too. If the idle limit is shorter than this, the warning "
        "is as long as the limit.",
    ).tag(config=True, live=True)

    active_time = Number(
        300.0,
        help="Seconds after its last activity for which an app is shown as active, not idle. In "
        "the costs, a pause that is no longer than this counts as in use. It does not change "
        "the deadline.",
    ).tag(config=True, live=True)

    max_busy_time = Number(
        0.0,
        help="Seconds for which a kernel may stay busy before it no longer holds its app; for "
        "kernels that crashed while busy. A kernel whose processes work still holds it. 0 is off: "
        "a running cell is never interrupted.",
    ).tag(config=True, live=True)

    keep_terminals = Bool(
        False,
        help="Whether an open terminal holds its app. If not, a terminal counts by the last key "
        "typed in it.",
    ).tag(config=True, live=True)

    ignore_connections = Bool(
        True,
        help="Whether an open browser tab does not count as activity. If False, a kernel with a "
        "connected browser holds its app.",
    ).tag(config=True, live=True)

    ignored_programs: List[str] = List(
        Unicode(),
        default_value=[
            *("amazon-*-agent", "atop", "bashtop", "bpytop", "btop", "dbus-*", "docker logs"),
            *("docker stats", "docker-proxy", "dockerd", "glances", "gpg-agent", "gpustat"),
            *("htop", "iostat", "iotop", "less", "mlflow server", "mlflow ui", "mlflow.server"),
            *("more", "nvidia-smi"),
            *("nvitop", "nvtop", "ssh-agent", "ssm-*", "tail", "tensorboard", "top", "vmstat"),
            *("watch", "*/tensorboard_data_server/*"),
            *("code-server", "*/code-server*/lib/*", "*/code-server*/out/*"),
            *("*/share/code-server/*", "*/.*-server*/out/*", "*/ms-python.vscode-pylance-*"),
            # What its extensions run for a user.
            *("!*/vscode_pytest/*", "!*/unittestadapter/*", "!*/terminalserver/*"),
            *("*-langserver*", "*-language-server*", "aws-lsp-*", "lsp_server*", "pylsp", "texlab"),
            # They look for changed files all the time. Their workers are processes of their own.
            *("fastapi dev", "uvicorn --reload"),
        ],
        help="Programs that never count as work, wherever they run and whatever they use: "
        "monitors, services that never rest, language servers. Each entry is a shell-style "
        "pattern. It names a program, or the script or module that an interpreter runs. A pattern "
        "with a slash is a path; one with a blank is a program and a word after it ('aws s3'). "
        "A pattern that begins with '!' takes a program off the list again. "
        "Child processes count by themselves, but those of 'watch' do not count.",
    ).tag(config=True, live=True)

    holding_programs: List[str] = List(
        Unicode(),
        default_value=[
            *("apt* install", "apt* update", "apt* upgrade", "aria2c", "aws s3", "aws wait"),
            *("azcopy", "*conda create", "*conda install", "*conda update", "curl", "dbt build"),
            *("dbt run", "dnf install", "docker build", "docker buildx"),
            *("docker pull", "docker push", "docker run", "docker up", "docker-compose up"),
            *("dvc fetch", "dvc pull", "dvc push", "dvc repro", "gdown"),
            *("git clone", "git fetch", "git-lfs", "git pull", "git push", "git submodule"),
            *("gsutil", "hf download", "hf upload*", "huggingface-cli download"),
            *("huggingface-cli upload*", "jupyter-execute", "jupyter-nbconvert"),
            *("kaggle download", "*mamba create", "*mamba install", "*mamba update"),
            *("nbconvert", "npm ci", "npm install*"),
            *("papermill", "pip* download", "pip* install", "pip* wheel", "poetry add"),
            *("poetry install", "poetry update", "rsync", "s5cmd", "scp", "sftp"),
            *("sm-docker build", "snakemake", "uv add", "uv install", "uv lock", "uv pip"),
            *("uv sync", "wget", "yum install"),
            # Of rclone, what ends by itself: not mount, not serve.
            *("rclone bisync", "rclone cat", "rclone check*", "rclone copy*", "rclone cryptcheck"),
            *("rclone delete*", "rclone *sum", "rclone move*", "rclone purge", "rclone rcat"),
            *("rclone sync", "!*nbconvert --*post*=*serve*", "!*nbconvert serve"),
            *("!aria2c --enable-rpc*", "!rsync --daemon"),
            # JupyterLab-git's page does this by itself, again and again.
            "!git --prune",
        ],
        help="Programs that hold their app for as long as they run, even while they only wait "
        "(see max_waiting_time). A program that asks the user for something does not. Do not "
        "list programs that serve or mount until somebody ends them ('!rsync --daemon'). The "
        "patterns are as in ignored_programs.",
    ).tag(config=True, live=True)

    max_waiting_time = Number(
        14400.0,
        help="Seconds for which a program that only waits may hold its app: one of "
        "holding_programs that uses hardly any CPU and moves hardly any bytes, or one that is "
        "blocked in I/O. 0: no limit.",
    ).tag(config=True)

    ignore_detached_jobs: List[str] = List(
        Unicode(),
        help="Deprecated, use ignored_programs. Programs that do not count once they have left "
        "their terminal or notebook; ['*'] means all of them.",
    ).tag(config=True, live=True)

    work_cpu_percent = Number(
        5.0,
        help="A process works, and holds its app, if it uses at least this share of one CPU, in "
        "percent. The share is an average since the last check, over work_interval at least.",
    ).tag(config=True)

    work_group_cpu_percent = Number(
        50.0,
        help="The processes of a kernel, of a terminal, or all that left theirs, work if they use "
        "at least this share of one CPU together, in percent.",
    ).tag(config=True)

    work_bytes_per_second = Number(
        100_000.0,
        help="A process works if it writes at least this many bytes per second, reads them from a "
        "disk, or sends or receives them over TCP.",
    ).tag(config=True)

    work_gpu_percent = Number(
        5.0,
        help="A GPU works, and holds its app, from this utilization on, in percent.",
    ).tag(config=True)

    work_interval = Number(
        2.0,
        help="The shortest time, in seconds, over which the use of CPU, disk and GPU is averaged.",
    ).tag(config=True)

    max_unknown_gpu_time = Number(
        14400.0,
        help="Seconds for which a GPU that does not report its utilization (one divided by MIG) "
        "may hold its app, counted from the last sign of work. 0: it holds nothing.",
    ).tag(config=True)

    dry_run = Bool(
        False,
        help="Watch, warn and record, but shut nothing down.",
    ).tag(config=True, live=True)

    stop_shutdowns = Bool(
        False,
        help="The emergency stop: no app is shut down, neither at its deadline nor by a user's "
        "command. Everything else goes on. Set it in settings_source, so that it reaches all "
        "servers within minutes.",
    ).tag(config=True, live=True)

    idle_timeout_rules: List[Any] = List(
        help="Idle limits for some apps. The first rule that matches applies. A rule is a dict "
        "with instance_type, owner and app_type (shell-style patterns, each '*' by default), "
        "idle_timeout and, optionally, closed_idle_timeout (in seconds). Users can shorten a "
        "rule's limit, but not lengthen it.",
    ).tag(config=True, live=True)

    allow_user_settings = Union(
        [Bool(), List(Unicode())],
        default_value=True,
        help="Whether users may change their settings: True, False, or a list of the settings that "
        "they may change (" + ", ".join(USER_SETTINGS) + ").",
    ).tag(config=True, live=True)

    min_idle_timeout = Number(
        None,
        allow_none=True,
        help="The shortest idle_timeout that users may set, in seconds; None means no bound. It "
        "does not bind the admin's own settings.",
    ).tag(config=True, live=True)

    max_idle_timeout = Number(
        None,
        allow_none=True,
        help="The longest idle_timeout that users may set, in seconds; None means no bound. It "
        "does not bind the admin's own settings.",
    ).tag(config=True, live=True)

    max_keep_alive = Number(
        86400.0,
        help="The longest keep-alive that a user may ask for, in seconds; 0 allows none.",
    ).tag(config=True, live=True)

    prices: Dict[str, Any] = Dict(
        help="Your own prices in USD per hour by instance type, such as {'ml.t3.medium': 0.045}. "
        "They replace all other prices.",
    ).tag(config=True)

    price_file = Unicode(
        help="Your own price table: a CSV file with the columns instance_type and usd_per_hour "
        "and, optionally, region and date. Empty: none. The setting prices takes precedence over "
        "it.",
    ).tag(config=True)

    price_list_api = Bool(
        True,
        help="Whether to ask the AWS Price List API for prices (pricing:GetProducts), at most "
        "once a day for each instance type. If not, or while the API can't be reached, the "
        "bundled prices apply.",
    ).tag(config=True)

    avoided_cost_cap = Number(
        86400.0,
        help="Seconds after a shutdown that may count as avoided cost. The instance might have "
        "run on for longer or shorter, so avoided cost is an estimate. 0 counts none.",
    ).tag(config=True)

    remote_write_url = Unicode(
        help="The https:// URL to which metrics are sent by Prometheus remote write. Empty: "
        "metrics are not sent. Needs the extra remote-write.",
    ).tag(config=True, secret=True)

    remote_write_interval = Number(
        60.0,
        help="Seconds between two requests that send metrics.",
    ).tag(config=True)

    remote_write_headers: Dict[str, Any] = Dict(
        help="Headers for the metrics receiver, such as {'X-Scope-OrgID': 'team'} or an "
        "Authorization. Anyone who can read the server's configuration can read them.",
    ).tag(config=True, secret=True)

    remote_write_sigv4 = Bool(
        False,
        help="Whether to sign remote write with this app's AWS credentials, as Amazon Managed "
        "Prometheus requires (aps:RemoteWrite).",
    ).tag(config=True)

    remote_write_region = Unicode(
        help="The region of the Amazon Managed Prometheus workspace. Empty: this app's region.",
    ).tag(config=True)

    settings_source = Unicode(
        help="Where servers read settings that take precedence over these, as a JSON object: "
        "s3://BUCKET/KEY or ssm:/PARAMETER. It may hold only settings that can change while a "
        "server runs. If it is invalid or can't be read, the last good ones stay in force. Empty: "
        "nowhere.",
    ).tag(config=True)

    settings_source_interval = Number(
        300.0,
        help="Seconds between two reads of settings_source.",
    ).tag(config=True)

    hold_off_native_idle = Bool(
        False,
        help="Whether to hold off Studio's own idle shutdown of a JupyterLab space while an app "
        "here is busy, kept or unknown. The extension does that with the file that Studio reads "
        "(/tmp/.sagemaker-last-active-timestamp), for as long as this server runs.",
    ).tag(config=True)

    resource_metadata_file = Unicode(
        help="The file in which SageMaker describes this app. Default: $RESOURCE_METADATA_FILE, "
        f"else {DEFAULT_METADATA_FILE}.",
    ).tag(config=True)

    data_dir = Unicode(
        help="The folder for settings and records. Default: sagemaker_autoshutdown in Jupyter's "
        "data directory.",
    ).tag(config=True)

    @default("resource_metadata_file")
    def _default_resource_metadata_file(self) -> str:
        return os.environ.get("RESOURCE_METADATA_FILE") or DEFAULT_METADATA_FILE

    @default("data_dir")
    def _default_data_dir(self) -> str:
        return str(Path(jupyter_data_dir()) / "sagemaker_autoshutdown")

    @validate("settings_source")
    def _validate_settings_source(self, proposal: Bunch) -> str:
        if proposal.value and not re.fullmatch(SETTINGS_SOURCE, proposal.value):
            raise TraitError(
                "SageMakerAutoShutdown.settings_source is s3://BUCKET/KEY or ssm:/PARAMETER; got "
                f"{proposal.value!r}"
            )
        return cast(str, proposal.value)

    @validate(
        "idle_timeout",
        "poll_interval",
        "settings_source_interval",
        "warning_time",
        "active_time",
        "closed_idle_timeout",
        "min_idle_timeout",
        "max_idle_timeout",
        "remote_write_interval",
        "work_interval",
    )
    def _validate_seconds(self, proposal: Bunch) -> float | None:
        if proposal.value is not None:
            _check_seconds(proposal.trait.name, proposal.value)
        return cast("float | None", proposal.value)

    @validate("work_cpu_percent", "work_group_cpu_percent", "work_gpu_percent")
    def _validate_percent(self, proposal: Bunch) -> float:
        # All CPUs together exceed 100 % of one. "not (a < b)" also refuses NaN.
        if not (0 < proposal.value < float("inf")):
            raise TraitError(
                f"SageMakerAutoShutdown.{proposal.trait.name} is a percentage above 0; got "
                f"{proposal.value!r}"
            )
        return cast(float, proposal.value)

    @validate("work_bytes_per_second")
    def _validate_bytes(self, proposal: Bunch) -> float:
        if not (0 < proposal.value < float("inf")):
            raise TraitError(
                "SageMakerAutoShutdown.work_bytes_per_second is a number above 0; got "
                f"{proposal.value!r}"
            )
        return cast(float, proposal.value)

    @validate(
        *("max_busy_time", "max_keep_alive", "avoided_cost_cap"),
        *("max_unknown_gpu_time", "max_waiting_time"),
    )
    def _validate_seconds_or_off(self, proposal: Bunch) -> float:
        _check_seconds(proposal.trait.name, proposal.value, zero_is_off=True)
        return cast(float, proposal.value)

    @validate("data_dir", "resource_metadata_file")
    def _validate_path(self, proposal: Bunch) -> str:
        return str(Path(proposal.value).expanduser())

    @validate("idle_timeout_rules")
    def _validate_rules(self, proposal: Bunch) -> list[Any]:
        for raw in proposal.value:
            parse_rule(raw)
        return cast("list[Any]", proposal.value)

    @validate("prices")
    def _validate_prices(self, proposal: Bunch) -> dict[str, Any]:
        try:
            own_prices(proposal.value)
        except ValueError as error:
            raise TraitError(f"SageMakerAutoShutdown.prices: {error}") from None
        return cast("dict[str, Any]", proposal.value)

    @validate("remote_write_url")
    def _validate_remote_write_url(self, proposal: Bunch) -> str:
        if proposal.value and not proposal.value.lower().startswith(("https://", "http://")):
            raise TraitError(
                "SageMakerAutoShutdown.remote_write_url begins with https:// (or http://)"
            )
        return cast(str, proposal.value)

    @validate("allow_user_settings")
    def _validate_allow_user_settings(self, proposal: Bunch) -> bool | list[str]:
        if not isinstance(proposal.value, bool):
            unknown = sorted(set(proposal.value) - set(USER_SETTINGS))
            if unknown:
                raise TraitError(
                    f"allow_user_settings has unknown names: {', '.join(unknown)}; "
                    f"users' settings are {', '.join(USER_SETTINGS)}"
                )
        return cast("bool | list[str]", proposal.value)

    @property
    def longest_gap(self) -> timedelta:
        """Checks further apart than this count as stopped, and leave a gap in the record."""
        return longest_gap(timedelta(seconds=self.poll_interval))

    def policy(self) -> Policy:
        """The policy from the admin's settings alone."""
        return Policy(
            idle_timeout=timedelta(seconds=self.idle_timeout),
            closed_idle_timeout=None
            if self.closed_idle_timeout is None
            else timedelta(seconds=self.closed_idle_timeout),
            rules=tuple(parse_rule(raw) for raw in self.idle_timeout_rules),
            warning_time=timedelta(seconds=self.warning_time),
            active_time=timedelta(seconds=self.active_time),
            max_busy_time=timedelta(seconds=self.max_busy_time),
            keep_terminals=self.keep_terminals,
            ignore_connections=self.ignore_connections,
            dry_run=self.dry_run or self.stop_shutdowns,
        )

    def user_may_change(self, setting: str) -> bool:
        """Whether users may change this one of ``USER_SETTINGS``."""
        allowed = self.allow_user_settings
        return allowed if isinstance(allowed, bool) else setting in allowed


def load(parent: LoggingConfigurable) -> tuple[SageMakerAutoShutdown, list[str]]:
    """The admin's settings from ``parent.config``, and a list of errors in them.

    An invalid value is replaced by its default and named in the list: a mistake in a domain's
    configuration must neither keep Studio from starting nor switch the shutdown off.
    """
    settings = SageMakerAutoShutdown(parent=None, log=parent.log)
    settings.parent = parent
    problems: list[str] = []
    own = parent.config.get(SageMakerAutoShutdown.__name__, {})
    if not isinstance(own, Mapping):
        problems.append(f"SageMakerAutoShutdown must hold settings by name, got {own!r}")
        own = {}
    section = {**own, **fixed_settings(problems)}
    traits = settings.traits(config=True)
    for name, value in section.items():
        if name not in traits:
            problems.append(
                f"SageMakerAutoShutdown.{name} is not a setting; the settings are "
                f"{', '.join(sorted(traits))}"
            )
            continue
        try:
            if isinstance(value, DeferredConfig):
                value = _from_command_line(traits[name], value)
            setattr(settings, name, value)
        except Exception as error:  # a number too large for a float, and other errors
            if name == "allow_user_settings":
                # A mistake must not give users more than the admin intended.
                settings.allow_user_settings = False
                problems.append(
                    f"{name}: {error} (until this is corrected, users cannot change their settings)"
                )
                continue
            what: object = error
            if traits[name].metadata.get("secret"):
                # traitlets' message holds the value, and problems are logged and shown.
                what = f"invalid value. {traits[name].help}"
            problems.append(f"{name}: {what} (its default, {getattr(settings, name)!r}, applies)")
    low, high = settings.min_idle_timeout, settings.max_idle_timeout
    if low is not None and high is not None and low > high:
        problems.append(
            f"min_idle_timeout ({low:g} s) is above max_idle_timeout ({high:g} s): "
            "max_idle_timeout applies"
        )
        settings.min_idle_timeout = high
    return settings, problems


def _from_command_line(trait: TraitType[Any, Any], given: DeferredConfig) -> Any:
    """The value of a setting. traitlets does not parse all lists: it takes ``['a', 'b']`` for one
    entry."""
    value = given.get_value(trait)
    if isinstance(trait, Union) and isinstance(value, str):
        return ast.literal_eval(value)
    if isinstance(trait, List) and isinstance(value, str):
        with suppress(ValueError, SyntaxError):  # the pattern [ab]* is an entry
            return ast.literal_eval(value)
    return value


def fixed_settings(problems: list[str]) -> dict[str, Any]:
    """The settings in the first readable ``FIXED_SETTINGS_FILE``. Adds a problem for each file
    that can't be read."""
    for file in (Path(FIXED_SETTINGS_FILE), Path(sys.prefix + FIXED_SETTINGS_FILE)):
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            return dict(document[SageMakerAutoShutdown.__name__])
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            problems.append(f"{file} can't be read, so its settings do not apply: {error!r}")
    return {}
