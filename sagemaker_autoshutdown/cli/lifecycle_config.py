"""``lifecycle-config``: installs the extension for a whole domain, from an admin's machine.

`lifecycle` plans; this module shows the plan, asks and carries it out. Unlike the other commands,
these call AWS with the admin's own credentials, and no server.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..aws import Aws, AwsError, ErrorKind
from ..errors import Misused
from ..lifecycle import bundle, groups, native_idle, parallel, policy, templates
from ..lifecycle.groups import Group
from ..lifecycle.native_idle import CODE_EDITOR, JUPYTERLAB, NativeApp
from ..lifecycle.notebooks import Notebooks
from ..lifecycle.plan import Lost, NotDeleted, Plan, Refused, gone, together
from ..lifecycle.script import STUDIO_KINDS, InvalidScript, Kind, ScriptSettings, normalized, render
from ..lifecycle.studio import Studio
from ..lifecycle.target import Target
from ..lifecycle.throttling import Patient
from . import lifecycle_status
from ._admin import NotDone, Progress, add_region, agreed, failed, say_aside
from ._arguments import duration

#: The setting by which servers hold off Studio's own idle shutdown while something runs.
HOLD_OFF = "hold_off_native_idle"

_DEFAULTS = {field.name: field.default for field in fields(ScriptSettings)}


def add_parser(subparsers: Any) -> None:
    """Add the command with its own commands."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "lifecycle-config",
        help="install the extension for a whole domain",
        description="Installs the extension with SageMaker's lifecycle configurations.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    printed = commands.add_parser("render", help="print a script", description="Prints a script.")
    printed.add_argument("kind", type=_kind_of(Kind), metavar="KIND", help=_kinds(Kind))
    printed.add_argument("--output", "-o", type=Path, metavar="FILE", help="write it to this file")
    _add_script_options(printed)
    printed.set_defaults(run=run_render)

    for name, run, what in (
        (
            "install",
            run_install,
            "install the extension for a domain, user profiles or notebook instances",
        ),
        ("uninstall", run_uninstall, "remove exactly what install attached"),
    ):
        command = commands.add_parser(name, help=what, description=f"{what.capitalize()}.")
        _add_targets(command)
        command.add_argument("--yes", "-y", action="store_true", help="do not ask")
        command.add_argument("--dry-run", action="store_true", help="show the plan and stop")
        command.set_defaults(run=run)
        if name == "install":
            command.add_argument(
                "--kind",
                type=_kind_of(STUDIO_KINDS),
                action="append",
                metavar="KIND",
                help=f"{_kinds(STUDIO_KINDS)} only (default: both)",
            )
            command.add_argument(
                "--native-idle",
                type=duration,
                metavar="DURATION",
                help="switch on Studio's own idle shutdown for Code Editor, 1h or longer",
            )
            command.add_argument(
                "--native-idle-jupyterlab",
                type=duration,
                metavar="DURATION",
                help="the same for JupyterLab, as a safety net. Silent work is safe from it only "
                "while the extension's server runs",
            )
            command.add_argument(
                "--script",
                type=Path,
                metavar="FILE",
                help="register your own script, for one --kind",
            )
            _add_script_options(command)

    lifecycle_status.add_parser(commands)

    packed = commands.add_parser(
        "bundle",
        help="pack wheel and scripts into one file for S3 or an image",
        description="Writes a wheel, its checksum and the scripts into one .tar.gz file.",
    )
    packed.add_argument("wheel_file", type=Path, metavar="WHEEL", help="a wheel of this product")
    packed.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="FILE",
        help="the file to write (default: beside the wheel)",
    )
    _add_script_options(packed)
    packed.set_defaults(run=run_bundle)

    coded = commands.add_parser(
        "template",
        help="write the CloudFormation template or the Terraform module",
        description="Writes infrastructure code that creates what `install` creates. It attaches "
        "nothing.",
    )
    coded.add_argument("which", choices=("cloudformation", "terraform"))
    coded.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="FOLDER",
        help="the folder to write to; required for the Terraform module, which has several files",
    )
    coded.set_defaults(run=run_template)

    allowed = commands.add_parser(
        "policy", help="print an IAM policy", description="Prints an IAM policy."
    )
    allowed.add_argument(
        "whose",
        choices=("admin", "status", "execution-role"),
        help="whose policy: of admins who run these commands, of people who only run `status`, or "
        "of the apps' execution roles",
    )
    allowed.add_argument(
        "--domain-id",
        metavar="ID",
        help="only for this domain; its account and region are filled in",
    )
    add_region(allowed)
    allowed.add_argument(
        "--wheel",
        default="",
        metavar="S3",
        help="where apps get the wheel; adds the right to read it",
    )
    allowed.add_argument(
        "--settings-source",
        default="",
        metavar="WHERE",
        help="where apps read settings; adds the right to read them",
    )
    allowed.add_argument(
        "--notebook-instance",
        action="append",
        default=[],
        metavar="NAME",
        help=f"a notebook instance that may be stopped (default: those with the tag "
        f"{policy.NOTEBOOK_TAG})",
    )
    allowed.set_defaults(run=run_policy)


def _kinds(kinds: Iterable[Kind]) -> str:
    return ", ".join(kind.value for kind in kinds)


def _kind_of(kinds: Iterable[Kind]) -> Callable[[str], Kind]:
    def kind(text: str) -> Kind:
        for each in kinds:
            if each.value == text:
                return each
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {_kinds(kinds)}")

    return kind


def _add_targets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--domain-id", metavar="ID", help="the domain (default: the only one)")
    parser.add_argument(
        "--user-profile",
        action="append",
        default=[],
        metavar="NAME",
        help="only this user profile of the domain (may be repeated)",
    )
    parser.add_argument(
        "--profiles-from",
        type=Path,
        metavar="FILE",
        help="only user profiles that this file names, one per line",
    )
    parser.add_argument(
        "--tag", type=_tag, metavar="KEY=VALUE", help="only user profiles with this tag"
    )
    parser.add_argument(
        "--percent",
        type=_percent,
        default=100.0,
        metavar="N",
        help="only this percentage of user profiles; a larger one includes the smaller one",
    )
    parser.add_argument(
        "--everywhere-it-is-mine",
        action="store_true",
        help="only user profiles with a script of their own that this command attached",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out user profiles with such a name, such as 'team-*' (may be repeated)",
    )
    parser.add_argument(
        "--notebook-instance",
        action="append",
        default=[],
        metavar="NAME",
        help="this notebook instance instead of a domain (may be repeated)",
    )
    add_region(parser)


def _tag(text: str) -> str:
    if text.find("=") < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, such as team=ml")
    return text


def _percent(text: str) -> float:
    try:
        percent = float(text.rstrip("%"))
    except ValueError:
        percent = 0.0
    if not 0 < percent <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage above 0 and up to 100")
    return percent


def _add_script_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the script's settings")
    group.add_argument(
        "--idle-timeout",
        type=duration,
        metavar="DURATION",
        help="the idle limit, such as 90m (default: 2h)",
    )
    group.add_argument(
        "--warning-time",
        type=duration,
        metavar="DURATION",
        help="how long before a shutdown users get a warning (default: 10m)",
    )
    group.add_argument(
        "--keep-terminals", action="store_true", default=None, help="an open terminal holds its app"
    )
    group.add_argument(
        "--settings-source",
        metavar="WHERE",
        help="s3://BUCKET/KEY or ssm:/PARAMETER, from where running servers read their limits",
    )
    group.add_argument(
        "--set",
        dest="more",
        type=_setting,
        action="append",
        metavar="NAME=JSON",
        help="any other setting of the extension (may be repeated)",
    )
    group.add_argument(
        "--wheel",
        metavar="WHERE",
        help="the wheel: s3://BUCKET/KEY, https://... or a path in the image (default: the package "
        "index)",
    )
    group.add_argument("--sha256", metavar="HEX", help="the SHA-256 that the wheel must have")
    group.add_argument(
        "--checksum-of",
        type=Path,
        metavar="WHEEL",
        help="take the SHA-256 from this copy of the wheel",
    )
    group.add_argument(
        "--index-url", metavar="URL", help="another package index (default: the image's)"
    )
    group.add_argument(
        "--package-version",
        dest="version",
        metavar="VERSION",
        help="the version to install (default: this command's)",
    )


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=JSON: write times in seconds, such as max_keep_alive=3600, and "
            "texts in double quotes"
            if equals
            else f"{text!r} has no value: write NAME=JSON"
        ) from None


# ---- the commands


def run_render(arguments: argparse.Namespace) -> int:
    """Prints a script, or writes it to a file with the line ends that it must have."""
    script = render(arguments.kind, _script_settings(arguments))
    if arguments.output is None:
        sys.stdout.write(script)
    else:
        arguments.output.write_bytes(script.encode())
    return 0


def run_install(arguments: argparse.Namespace) -> int:
    """Installs."""
    settings = _script_settings(arguments)
    native = _native_minutes(arguments)
    own = _own_script(arguments)
    if JUPYTERLAB in native:
        settings = replace(settings, more={HOLD_OFF: True, **settings.more})

    def plan_domain(studio: Studio, target: Target) -> Plan:
        scripts = {kind: own or render(kind, settings) for kind in arguments.kind or STUDIO_KINDS}
        return studio.plan_install(target, scripts, native)

    def plan_notebook(notebooks: Notebooks, name: str) -> Plan:
        return notebooks.plan_install(name, own or render(Kind.NOTEBOOK_INSTANCE, settings))

    return _carry_out(arguments, plan_domain, plan_notebook, _after_install)


def run_uninstall(arguments: argparse.Namespace) -> int:
    """Uninstalls."""
    return _carry_out(
        arguments,
        lambda studio, target: studio.plan_uninstall(target),
        lambda notebooks, name: notebooks.plan_uninstall(name),
        "`lifecycle-config status` shows who still has it: running apps until they restart, and "
        "user profiles with a script of their own until `uninstall --user-profile`.",
    )


def run_bundle(arguments: argparse.Namespace) -> int:
    """Writes the bundle and says how to use it."""
    try:
        version = bundle.version_of_wheel(arguments.wheel_file)
        sha256 = bundle.sha256_of(arguments.wheel_file)
    except (InvalidScript, OSError) as error:
        raise Misused(str(error)) from None
    file = arguments.output or arguments.wheel_file.with_name(
        f"sagemaker-autoshutdown-{version}.tar.gz"
    )
    arguments.sha256, arguments.version = sha256, version
    arguments.wheel = arguments.wheel or f"/opt/{file.name}"
    settings = _script_settings(arguments)
    bundle.write(file, arguments.wheel_file, {kind: render(kind, settings) for kind in Kind})
    print(
        f"Wrote {file}. Copy it to {arguments.wheel} and install with\n"
        f"  --wheel {arguments.wheel} --sha256 {sha256} --package-version {version}"
    )
    return 0


def run_template(arguments: argparse.Namespace) -> int:
    """Writes the files, or prints the CloudFormation template."""
    is_template = arguments.which == "cloudformation"
    contents = templates.cloudformation_files() if is_template else templates.terraform_files()
    if arguments.output is None:
        if not is_template:
            raise Misused("the Terraform module has several files: name a folder with --output")
        sys.stdout.write("".join(contents.values()))
        return 0
    try:
        written = templates.write(contents, arguments.output)
    except OSError as error:
        raise Misused(f"--output: {error}") from None
    print("\n".join(f"Wrote {path}" for path in written))
    return 0


def run_policy(arguments: argparse.Namespace) -> int:
    """Prints the policy."""
    if arguments.whose != "execution-role":
        document = policy.admin_policy() if arguments.whose == "admin" else policy.status_policy()
        print(json.dumps(document, indent=2))
        return 0
    place = None
    if arguments.domain_id:
        aws = Patient(arguments.region, say_aside)
        try:
            described = aws.call_blocking(
                "sagemaker", "DescribeDomain", {"DomainId": arguments.domain_id}
            )
        except AwsError as error:
            raise failed(error) from error
        place = policy.Place.of_domain(described["DomainArn"])
        say_aside(f"For the execution roles: {', '.join(policy.roles_of(described))}")
    document = policy.role_policy(
        arguments.wheel, arguments.settings_source, place, arguments.notebook_instance
    )
    print(json.dumps(document, indent=2))
    return 0


# ---- their parts

_after_install = (
    "Each app gets it at its next start. `lifecycle-config status` shows which apps must restart. "
    "The apps' execution role needs the rights that `lifecycle-config policy execution-role` "
    "prints."
)


def _script_settings(arguments: argparse.Namespace) -> ScriptSettings:
    given = {
        name: value
        for name in _DEFAULTS
        if name != "more" and (value := getattr(arguments, name, None)) is not None
    }
    try:
        if arguments.checksum_of is not None:
            given["sha256"] = bundle.sha256_of(arguments.checksum_of)
            given.setdefault("version", bundle.version_of_wheel(arguments.checksum_of))
        more = dict(arguments.more or ())
        if arguments.settings_source:
            more["settings_source"] = arguments.settings_source
        return ScriptSettings(**given, more=more)
    except (InvalidScript, OSError) as error:
        raise Misused(str(error)) from None


def _native_minutes(arguments: argparse.Namespace) -> dict[NativeApp, int]:
    given = {
        app: seconds
        for app, seconds in (
            (CODE_EDITOR, arguments.native_idle),
            (JUPYTERLAB, arguments.native_idle_jupyterlab),
        )
        if seconds is not None
    }
    if not given:
        return {}
    if arguments.notebook_instance or _group(arguments).is_given:
        raise Misused("--native-idle is for whole domains only")
    if Kind.SPACE not in (arguments.kind or STUDIO_KINDS):
        raise Misused("--native-idle is recorded in the script for spaces: add --kind space")
    if arguments.script is not None and JUPYTERLAB in given:
        raise Misused(
            f"--native-idle-jupyterlab can't be used with --script, which may lack {HOLD_OFF}"
        )
    try:
        return {app: native_idle.minutes_of(seconds) for app, seconds in given.items()}
    except InvalidScript as error:
        raise Misused(f"--native-idle: {error}") from None


def _own_script(arguments: argparse.Namespace) -> str | None:
    if arguments.script is None:
        return None
    kinds = 1 if arguments.notebook_instance else len(set(arguments.kind or STUDIO_KINDS))
    if kinds != 1:
        raise Misused("--script is for one kind of app: name it with --kind")
    try:
        return normalized(arguments.script.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misused(f"--script: {error}") from None


def _carry_out(
    arguments: argparse.Namespace,
    plan_domain: Callable[[Studio, Target], Plan],
    plan_notebook: Callable[[Notebooks, str], Plan],
    afterwards: str,
) -> int:
    """Plans, shows the plan, asks, carries it out."""
    group = _group(arguments)
    if arguments.notebook_instance and (arguments.domain_id or group != Group()):
        raise Misused("--notebook-instance can't be used with --domain-id or user profiles")
    if group.excluded and not group.is_given:
        raise Misused(
            "--exclude leaves user profiles out of a group: name one by --percent, --tag, "
            "--profiles-from or --everywhere-it-is-mine"
        )
    if arguments.notebook_instance and getattr(arguments, "kind", None):
        raise Misused("--kind is for the apps of a domain, not for --notebook-instance")
    aws = Patient(arguments.region, say_aside)
    try:
        if arguments.notebook_instance:
            notebooks = Notebooks(aws)
            plan = together(*(plan_notebook(notebooks, n) for n in arguments.notebook_instance))
        else:
            studio = Studio(aws)
            domain_id = arguments.domain_id or studio.only_domain()
            chosen = groups.targets(aws, domain_id, group, Progress().tell)
            plan = together(*_plans(chosen, lambda target: plan_domain(studio, target), group))
    except (AwsError, Refused, InvalidScript) as error:
        raise failed(error) from error
    print(plan.described())
    if arguments.dry_run:
        return 0
    if plan.steps:
        if not arguments.yes and not agreed():
            raise NotDone("Nothing was changed.")
        _do(plan, aws)
        print(f"Done and verified. {afterwards}")
    if plan.waits:
        raise NotDone('The steps marked "Not yet" were not done.')
    return 0


def _plans(
    targets: Sequence[Target], plan: Callable[[Target], Plan], group: Group
) -> Iterator[Plan]:
    """The plan for each target; listed targets that have been deleted since then get none."""

    def unless_gone(target: Target) -> Plan:
        try:
            return plan(target)
        except AwsError as error:
            if group.is_given and group.names is None and gone(error):
                return Plan()
            raise

    progress = Progress()
    for number, found in enumerate(parallel.each(unless_gone, targets), 1):
        progress.tell(number, len(targets), "planned")
        yield found


def _group(arguments: argparse.Namespace) -> Group:
    names = list(arguments.user_profile)
    if arguments.profiles_from is not None:
        try:
            lines = arguments.profiles_from.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise Misused(f"--profiles-from: {error}") from None
        names += [name for line in lines if (name := line.partition("#")[0].strip())]
        if not names:
            raise Misused(f"--profiles-from: {arguments.profiles_from} names nobody")
    return Group(
        names=names or None,
        tag=arguments.tag,
        percent=arguments.percent,
        with_own=arguments.everywhere_it_is_mine,
        excluded=tuple(arguments.exclude),
    )


def _do(plan: Plan, aws: Aws) -> None:
    """Carries the plan out. If it stops, the lines above say what was done and what was not."""
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)
        print(line, flush=True)

    try:
        plan.carry_out(aws, say, Progress().tell)
    except KeyboardInterrupt:
        raise NotDone(f"Interrupted. {_MAY_BE_DONE}") from None
    except AwsError as error:
        stands = "Nothing was changed."
        if error.kind in (ErrorKind.TIMEOUT, ErrorKind.UNREACHABLE):
            stands = _MAY_BE_DONE
        elif any(line.startswith("  done") for line in told):
            stands = "Finished steps stay. Run the command again: it checks and continues."
        raise NotDone(f"{failed(error)}\n{stands}") from error
    except (Refused, Lost, NotDeleted) as error:
        raise failed(error) from error


_MAY_BE_DONE = (
    'The first step marked "not done" may have gone through. Run the command again: it checks and '
    "continues."
)
