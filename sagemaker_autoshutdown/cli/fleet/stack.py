"""``fleet deploy``, ``bundle``, ``template`` and ``uninstall``: the fleet on AWS.

``fleet/on_aws/deploy.py`` plans; this module shows the plan, asks and carries it out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...aws import Aws, AwsError
from ...errors import Failed, Misused
from .._admin import NotDone, add_region, agreed, say_aside
from ._observation import add_config, config_of

if TYPE_CHECKING:
    from ...fleet.on_aws.bundle import Bundle
    from ...fleet.on_aws.deploy import Deployment, Wanted

_NAME = "sagemaker-autoshutdown-fleet"


def add_parsers(commands: Any) -> None:
    """Adds the commands to those of ``fleet``."""
    deploy = commands.add_parser(
        "deploy",
        help="deploy the fleet to AWS, or update it there",
        description="Shows the plan, asks, then creates or updates a CloudFormation stack: "
        "EventBridge Scheduler, SQS, Lambda, DynamoDB. Run the same command again after an "
        "interruption.",
    )
    add_config(deploy)
    _add_stack(deploy)
    _add_code(deploy)
    deploy.add_argument("--code", type=Path, metavar="ZIP", help="the file that fleet bundle made")
    deploy.add_argument(
        "--act",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether to deploy the function that marks, warns and shuts down by the rules "
        "(default: no change; a new stack only records what it would do)",
    )
    deploy.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another parameter of the template, such as Memory=1769; may be given several times",
    )
    _add_asking(deploy)
    deploy.set_defaults(run=run_deploy)
    bundle = commands.add_parser(
        "bundle",
        help="make the zip of the Lambda functions",
        description="Packs this package and the wheels that it needs, checked by their checksums, "
        "for Lambda. The same versions give the same bytes.",
    )
    _add_code(bundle)
    bundle.add_argument("--output", type=Path, metavar="ZIP", help="default: a name with its hash")
    bundle.set_defaults(run=run_bundle)
    template = commands.add_parser(
        "template",
        help="write the CloudFormation templates or the Terraform module",
        description="Writes the stack of fleet deploy as CloudFormation (with a template for the "
        "roles of member accounts) or as a Terraform module.",
    )
    template.add_argument("which", choices=("cloudformation", "terraform"))
    template.add_argument(
        "folder", type=Path, help="the folder to write to; it is created if it does not exist"
    )
    template.set_defaults(run=run_template)
    uninstall = commands.add_parser(
        "uninstall",
        help="delete the stack and everything that it recorded",
        description="Deletes the stack, its table, queues, logs and audit, and the bucket that "
        "fleet deploy made. Run the same command again after an interruption.",
    )
    _add_stack(uninstall)
    _add_asking(uninstall)
    uninstall.set_defaults(run=run_uninstall)


def _add_stack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=_NAME, metavar="NAME", help=f"default: {_NAME}")
    parser.add_argument(
        "--bucket", default="", help="an existing bucket, instead of one that is made for the stack"
    )
    add_region(parser)


def _add_code(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--architecture", default="arm64", choices=("arm64", "x86_64"), help="default: arm64"
    )
    parser.add_argument(
        "--python",
        default="3.13",
        choices=("3.13", "3.12"),
        help="the Python version of the functions (default: 3.13)",
    )
    parser.add_argument(
        "--wheels",
        type=Path,
        metavar="FOLDER",
        help="a folder of wheels, for when no package index can be reached",
    )


def _add_asking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show the plan and stop")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


# -- what a stack has recorded


def add_stack_record(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments by which a command reads the record of a stack."""
    parser.add_argument(
        "--stack",
        nargs="?",
        const=_NAME,
        default="",
        metavar="NAME",
        help=f"read the record of a fleet on AWS, by the name of its stack (default: {_NAME})",
    )
    # Not "region": other commands use that for the list of regions to sweep.
    add_region(parser, "stack_region", "the region of the stack")


def stack_record(arguments: argparse.Namespace) -> tuple[Aws, dict[str, str]]:
    """A client for AWS, and the outputs of the stack. Raises ``Failed``."""
    from ...fleet.on_aws.deploy import Deployment, NotDeployed

    aws = Aws(arguments.stack_region)
    try:
        outputs = Deployment(aws, arguments.stack).outputs()
    except (AwsError, NotDeployed) as error:
        raise _failed(error) from error
    if not outputs:
        raise Failed(
            f"There is no stack {arguments.stack} in {aws.effective_region}. Name another with "
            "--stack and --region, or make it with: jupyter sagemaker-autoshutdown fleet deploy"
        )
    return aws, outputs


# -- bundle and template


def run_bundle(arguments: argparse.Namespace) -> int:
    """Makes the zip file."""
    bundle = _built(arguments)
    path = arguments.output or Path(bundle.name)
    try:
        path.write_bytes(bundle.content)
    except OSError as error:
        raise Failed(f"{path} can't be written: {error}.") from None
    print(f"{path}: {len(bundle.content):,} bytes, SHA-256 {bundle.sha256}")
    return 0


def _built(arguments: argparse.Namespace) -> Bundle:
    from ...fleet.on_aws.bundle import NotBundled, build, try_import

    try:
        bundle = build(arguments.architecture, arguments.python, arguments.wheels)
        if bundle.runs_here:
            try_import(bundle)
            say_aside("Its handlers were imported here, as Lambda does.")
        else:
            say_aside(
                f"Not tried here: it is for {bundle.architecture} and Python {bundle.python}."
            )
    except NotBundled as error:
        raise Failed(str(error)) from None
    return bundle


def run_template(arguments: argparse.Namespace) -> int:
    """Writes the templates."""
    from ...fleet.on_aws.files import cloudformation_files, terraform_files
    from ...lifecycle.templates import write

    make = cloudformation_files if arguments.which == "cloudformation" else terraform_files
    try:
        for path in write(make(), arguments.folder):
            print(path)
    except OSError as error:
        raise Failed(f"{arguments.folder} can't be written: {error}.") from None
    return 0


# -- deploy and uninstall


def run_deploy(arguments: argparse.Namespace) -> int:
    """Plans, asks, deploys, and reads the outputs back."""
    from ...fleet.on_aws.deploy import NotDeployed

    wanted = _wanted(arguments)
    deployment = _deployment(arguments)
    try:
        plan = deployment.plan(wanted)
        if not plan.lines:
            print(f"The stack {deployment.name} is up to date. There is nothing to do.")
            return 0
        print("\n".join(plan.lines))
        if arguments.dry_run or not (arguments.yes or agreed()):
            deployment.forget(plan)
            if arguments.dry_run:
                return 0
            raise NotDone("Nothing was changed.")
        deployment.deploy(wanted, plan)
        outputs = deployment.outputs()
    except (AwsError, NotDeployed) as error:
        raise _failed(error) from error
    print("Done and verified.")
    for name, value in outputs.items():
        print(f"  {name}: {value}")
    return 0


def _wanted(arguments: argparse.Namespace) -> Wanted:
    from ...fleet.config import Config
    from ...fleet.on_aws.deploy import Wanted
    from ...fleet.on_aws.template import PARAMETERS

    config: Config = config_of(arguments)  # so that an error in it shows here, not in the cloud
    parameters: dict[str, str] = {}
    if config.interval != Config().interval:
        minutes, rest = divmod(int(config.interval.total_seconds()), 60)
        if rest or not minutes:
            raise Misused("on AWS, interval must be a whole number of minutes")
        parameters["IntervalMinutes"] = str(minutes)
    if config.notify.sns_topic_arn:
        parameters["NotifyTopicArn"] = config.notify.sns_topic_arn
    for each in arguments.parameter:
        name, equals, value = each.partition("=")
        if not equals or name not in PARAMETERS:
            raise Misused(f"--parameter {each}: the parameters are {', '.join(PARAMETERS)}")
        parameters[name] = value
    if arguments.code is not None:
        try:
            content = arguments.code.read_bytes()
        except OSError as error:
            raise Misused(f"{arguments.code} can't be read: {error}.") from None
        name = arguments.code.name
    else:
        bundle = _built(arguments)
        content, name = bundle.content, bundle.name
    parameters.update(Architecture=arguments.architecture, Python=arguments.python)
    if arguments.act is not None:
        parameters["Act"] = "true" if arguments.act else "false"
    if parameters.get("Act") == "true" and arguments.config and not config.rules.grades:
        say_aside(
            "No class may act, so this stays a dry run. Name those that may in the "
            'configuration: [act] enabled = ["seen", "reported"].'
        )
    text = arguments.config.read_text(encoding="utf-8") if arguments.config else ""
    return Wanted(f"code/{name}", content, text, parameters)


def run_uninstall(arguments: argparse.Namespace) -> int:
    """Deletes the stack and everything that belongs to it."""
    from ...fleet.on_aws.deploy import NotDeployed

    deployment = _deployment(arguments)
    try:
        lines = deployment.removal()
        if not lines:
            print(f"The stack {deployment.name} does not exist. There is nothing to delete.")
            return 0
        print("\n".join(lines))
        if arguments.dry_run:
            return 0
        if not arguments.yes and not agreed():
            raise NotDone("Nothing was deleted.")
        deployment.remove()
        left = deployment.removal()
    except (AwsError, NotDeployed) as error:
        raise _failed(error) from error
    if left:
        raise NotDone("This is still there; run the same command again:\n" + "\n".join(left))
    print("Done; nothing is left.")
    return 0


def _deployment(arguments: argparse.Namespace) -> Deployment:
    from ...fleet.on_aws.deploy import Deployment
    from ...lifecycle.throttling import Patient

    aws = Patient(arguments.region, say_aside)
    return Deployment(aws, arguments.stack, arguments.bucket, lambda line: print(line, flush=True))


def _failed(error: Exception) -> NotDone:
    remedy = ""
    if isinstance(error, AwsError):
        action = error.iam_action
        remedy = f"Your own credentials need {action}." if action else ""
    return NotDone(f"{error}\n{remedy}".rstrip())
