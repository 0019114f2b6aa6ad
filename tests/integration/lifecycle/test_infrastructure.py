"""The CloudFormation template and the Terraform module create the same as the command."""

from __future__ import annotations

import base64
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import hcl2
import pytest

from sagemaker_autoshutdown import cli
from sagemaker_autoshutdown.lifecycle import cloudformation, policy, switched_off, templates
from sagemaker_autoshutdown.lifecycle import script as script_module
from sagemaker_autoshutdown.lifecycle.script import (
    Kind,
    ScriptSettings,
    config_name,
    made_by_command,
    render,
    version_of,
    without_comments,
)
from tests.paths import LIFECYCLE_CONFIG
from tests.terraform import Terraform, initialized

from .cloudformation_yaml import load

FOLDER = LIFECYCLE_CONFIG
TEMPLATE = FOLDER / "cloudformation.yaml"
DOMAIN_ID = "d-f0lwireyzpjp"
DOMAIN_ARN = f"arn:aws:sagemaker:us-east-2:123456789012:domain/{DOMAIN_ID}"
SOURCE = "ssm:/studio/autoshutdown"
#: Values that are hard to quote.
OTHER = ScriptSettings(
    version="1.2.3",
    wheel="s3://bucket/folder/sagemaker_autoshutdown-1.2.3-py3-none-any.whl",
    sha256="0123456789abcdef" * 4,
    index_url="https://packages.example.com/simple/?a=b&c=d",
    idle_timeout=1800,
    warning_time=300,
    keep_terminals=True,
    more={
        "idle_timeout_rules": [{"instance_type": "ml.g*", "idle_timeout": 900}],
        "settings_source": SOURCE,
    },
)
#: Parameter → the command's option.
PATTERNS = {
    "Version": script_module.VERSION,
    "Wheel": script_module.WHEEL,
    "Sha256": script_module.SHA256,
    "IndexUrl": script_module.INDEX_URL,
}
SETTINGS = pytest.mark.parametrize("settings", [ScriptSettings(), OTHER], ids=["default", "other"])


# ---- CloudFormation


def resolved(value: Any, parameters: dict[str, Any]) -> Any:
    """A template's value with its functions evaluated, as far as this template uses them."""
    if isinstance(value, list):
        items = [resolved(item, parameters) for item in value]
        return [item for item in items if item is not NO_VALUE]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        return {key: resolved(each, parameters) for key, each in value.items()}
    [(function, given)] = value.items()
    if function == "Fn::If":
        chosen = given[1] if parameters[given[0]] == "true" else given[2]
        return resolved(chosen, parameters)
    if function == "Fn::Select":
        # Not by what comes first: it would leave out nothing that is empty.
        return resolved(given[1], parameters)[int(given[0])]
    argument = resolved(given, parameters)
    if function == "Ref":
        return NO_VALUE if argument == "AWS::NoValue" else parameters[argument]
    if function == "Fn::Sub":
        text, more = argument if isinstance(argument, list) else (argument, {})
        known = {**parameters, **more}
        text = re.sub(r"\$\{([\w:]+)\}", lambda found: str(known[found[1]]), text)
        return text.replace("${!", "${")
    if function == "Fn::Join":
        return argument[0].join(argument[1])
    if function == "Fn::Split":
        return argument[1].split(argument[0])
    if function == "Fn::Base64":
        return base64.b64encode(argument.encode()).decode()
    return {function: argument}


NO_VALUE = object()


def parameters_for(settings: ScriptSettings) -> dict[str, Any]:
    """The stack's parameters, and CloudFormation's own additions."""
    lines = settings.assignments()
    return {
        "Revision": "1",
        "AWS::Partition": "aws",
        "AWS::Region": "us-east-2",
        "AWS::AccountId": "123456789012",
        "ExecutionRoleNames": ["role", "other"],
        "DomainId": DOMAIN_ID if settings is OTHER else "",
        "SettingsSource": SOURCE if settings is OTHER else "",
        "WatchStarts": "true",
        "AlarmTopicArn": "",
        "HasTopic": "false",
        "AttachPolicy": "true",
        "OneDomain": "true" if settings is OTHER else "false",
        "WheelInS3": "true" if settings.wheel.startswith("s3:") else "false",
        "SettingsInS3": "false",
        "SettingsInSsm": "true" if settings is OTHER else "false",
        **{parameter: lines[name] for parameter, name in cloudformation.PARAMETERS.items()},
    }


def resources(settings: ScriptSettings) -> dict[str, Any]:
    """The template's resources as a stack with these settings has them."""
    template = load(TEMPLATE)
    return dict(resolved(template["Resources"], parameters_for(settings)))


def unquoted(script: str) -> str:
    """A script whose values are quoted only if they must be, with the same meaning."""
    return re.sub(
        r"^([A-Z_0-9]+)='(.*)'$",
        lambda found: f"{found[1]}={shlex.quote(found[2])}",
        script,
        flags=re.MULTILINE,
    )


def test_the_files_of_the_repository_are_those_that_the_command_writes() -> None:
    for which, contents in (
        ("cloudformation", templates.cloudformation_files()),
        ("terraform", templates.terraform_files()),
    ):
        for name, content in contents.items():
            assert (FOLDER / name).read_text() == content, (
                f"lifecycle-config template {which} --output lifecycle-config ({name})"
            )
    shipped = {path.name for path in (FOLDER / "terraform").iterdir() if path.is_file()}
    assert {f"terraform/{name}" for name in shipped} <= set(templates.terraform_files())
    # The limit of a template without a bucket, with room for future additions.
    assert len(TEMPLATE.read_bytes()) < 51_200 - 512


def test_the_command_writes_them_where_there_is_no_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["lifecycle-config", "template", "terraform", "-o", str(tmp_path)]) == 0
    assert (tmp_path / "terraform/main.tf").read_text() == (
        FOLDER / "terraform/main.tf"
    ).read_text()
    assert (tmp_path / "space.sh").read_text() == (FOLDER / "space.sh").read_text()
    capsys.readouterr()
    assert cli.main(["lifecycle-config", "template", "cloudformation"]) == 0
    assert capsys.readouterr().out == TEMPLATE.read_text()
    assert cli.main(["lifecycle-config", "template", "terraform"]) == 2


def test_a_start_that_went_wrong_raises_an_alarm() -> None:
    """In both, by the words that the scripts use."""
    found = resources(ScriptSettings())
    module = (FOLDER / "terraform" / "main.tf").read_text()
    scripts = render(Kind.SPACE) + inspect.getsource(switched_off)
    for metric, word in cloudformation.WATCHED.items():
        assert word in scripts
        pattern = found[f"{metric}Filter"]["Properties"]["FilterPattern"]
        assert pattern == f'"sagemaker-autoshutdown: {word}"'
        assert found[f"{metric}Alarm"]["Properties"]["MetricName"] == metric
        assert re.search(rf'{metric} += "{word}"', module)


def test_cfn_lint_finds_nothing() -> None:
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(TEMPLATE)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.stdout, result.returncode) == ("", 0)


@SETTINGS
def test_a_stack_creates_the_scripts_that_the_command_does(settings: ScriptSettings) -> None:
    found = resources(settings)
    for kind, name in cloudformation.RESOURCES.items():
        properties = found[name]["Properties"]
        if kind is Kind.NOTEBOOK_INSTANCE:
            [hook] = properties["OnStart"]
            content = hook["Content"]
        else:
            content = properties["StudioLifecycleConfigContent"]
            assert properties["StudioLifecycleConfigAppType"] == kind.app_type
        script = unquoted(base64.b64decode(content).decode())
        # The first line names the template's version.
        expected = without_comments(render(kind, settings)).partition("\n#\n")[2]
        assert script.partition("\n#\n")[2] == unquoted(expected)


@SETTINGS
def test_a_stacks_names_tell_the_version_that_it_installs(settings: ScriptSettings) -> None:
    found = resources(settings)
    for kind, name in cloudformation.RESOURCES.items():
        given = found[name]["Properties"]
        key = "NotebookInstance" if kind is Kind.NOTEBOOK_INSTANCE else "Studio"
        config = given[f"{key}LifecycleConfigName"]
        assert version_of(config) == settings.version
        assert not made_by_command(config)
        assert re.fullmatch("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", config)


def test_a_version_with_a_plus_makes_a_name_too() -> None:
    [name] = {
        each["Properties"]["StudioLifecycleConfigName"]
        for each in resources(ScriptSettings(version="1.2+local.3")).values()
        if each["Properties"].get("StudioLifecycleConfigAppType") == "JupyterLab"
    }
    assert name == "sagemaker-autoshutdown-1-2-local-3-space-r1"


def test_the_template_takes_what_the_command_takes_and_nothing_else() -> None:
    parameters = load(TEMPLATE)["Parameters"]
    patterns = {name: parameters[name]["AllowedPattern"] for name in PATTERNS}
    assert patterns == {
        name: pattern if name == "Version" else f"({pattern})?"
        for name, pattern in PATTERNS.items()
    }
    # The template can express every script that the command can.
    assert set(cloudformation.PARAMETERS.values()) == set(ScriptSettings().assignments())
    assert set(cloudformation.PARAMETERS) <= set(parameters)


@SETTINGS
def test_a_stacks_policy_is_the_one_that_the_command_prints(settings: ScriptSettings) -> None:
    found = resources(settings)["ExecutionRolePolicy"]["Properties"]
    assert found["Roles"] == ["role", "other"]
    assert found["PolicyDocument"] == expected_policy(
        settings, SOURCE, "aws", "us-east-2", "123456789012"
    )


@pytest.mark.parametrize(
    ("partition", "region"), [("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-northwest-1")]
)
def test_in_govcloud_and_china_a_stack_names_what_is_there(partition: str, region: str) -> None:
    template = load(TEMPLATE)
    place = {"AWS::Partition": partition, "AWS::Region": region}
    found = resolved(template["Resources"], {**parameters_for(OTHER), **place})
    text = json.dumps(found, default=str)
    assert {*re.findall(r"arn:(aws[\w-]*):", text)} == {partition}
    assert found["ExecutionRolePolicy"]["Properties"]["PolicyDocument"] == expected_policy(
        OTHER, SOURCE, partition, region, "123456789012"
    )


def expected_policy(settings: ScriptSettings, source: str, *place: str) -> dict[str, Any]:
    """The command's output for a stack or module with the same settings."""
    if settings is not OTHER:
        return policy.role_policy(settings.wheel, place=policy.Place(*place))
    where = replace(policy.Place(*place), own_domain=DOMAIN_ID, any_domain=DOMAIN_ID)
    return policy.role_policy(settings.wheel, source, where)


def test_no_parameter_can_become_a_command() -> None:
    template = load(TEMPLATE)
    for name in cloudformation.PARAMETERS:
        parameter = template["Parameters"][name]
        if parameter["Type"] == "String" and "AllowedValues" not in parameter:
            for evil in ("'", "'; touch /tmp/x; '", "${Wheel}'"):
                assert not re.fullmatch(parameter["AllowedPattern"], evil), (name, evil)


# ---- Terraform


#: No account is called: the plan needs none.
PROVIDER = """
provider "aws" {
  region                      = "us-east-2"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}
"""


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    folder = tmp_path_factory.mktemp("terraform") / "lifecycle-config"
    shutil.copytree(FOLDER, folder)
    return initialized(folder / "terraform", PROVIDER)


@SETTINGS
def test_the_module_creates_the_scripts_that_the_command_does(
    terraform: Terraform, settings: ScriptSettings
) -> None:
    assert terraform.run("validate").returncode == 0
    planned = terraform.plan(
        execution_role_names=["role"],
        package_version=settings.version,
        wheel=settings.wheel,
        sha256=settings.sha256,
        index_url=settings.index_url,
        idle_timeout=settings.idle_timeout,
        warning_time=settings.warning_time,
        keep_terminals=settings.keep_terminals,
        more_settings=settings.more,
        domain_arn=DOMAIN_ARN if settings is OTHER else "",
    )
    for kind in (Kind.CLASSIC, Kind.SPACE):
        values = planned[f'aws_sagemaker_studio_lifecycle_config.this["{kind.value}"]']
        script = render(kind, settings)
        content = base64.b64decode(values["studio_lifecycle_config_content"]).decode()
        assert content == script
        assert values["studio_lifecycle_config_app_type"] == kind.app_type
        assert values["studio_lifecycle_config_name"] == config_name(kind, script)
    values = planned["aws_sagemaker_notebook_instance_lifecycle_configuration.this"]
    script = render(Kind.NOTEBOOK_INSTANCE, settings)
    assert base64.b64decode(values["on_start"]).decode() == script
    assert values["name"] == config_name(Kind.NOTEBOOK_INSTANCE, script)
    document = json.loads(planned["aws_iam_policy.this"]["policy"])
    place = ("aws", "us-east-2", "123456789012") if settings is OTHER else ("aws",)
    assert document == expected_policy(settings, SOURCE, *place)
    assert planned['aws_iam_role_policy_attachment.this["role"]']["role"] == "role"


@pytest.mark.parametrize(
    ("partition", "region"), [("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-northwest-1")]
)
def test_in_govcloud_and_china_the_module_names_what_is_there(
    terraform: Terraform, partition: str, region: str
) -> None:
    provider = terraform.folder / "provider.tf"
    provider.write_text(PROVIDER.replace("us-east-2", region))
    domain_arn = DOMAIN_ARN.replace("arn:aws:", f"arn:{partition}:").replace("us-east-2", region)
    try:
        planned = terraform.plan(domain_arn=domain_arn, wheel=OTHER.wheel)
    finally:
        provider.write_text(PROVIDER)
    text = planned["aws_iam_policy.this"]["policy"]
    assert {*re.findall(r"arn:([\w*-]*):", text)} == {partition}
    assert {*re.findall(r"arn:[\w-]*:sagemaker:([^:]*):", text)} == {region}


def test_no_variable_can_become_a_command(terraform: Terraform) -> None:
    evil = {"data_dir": "it's $(touch /tmp/x) `y` ${z} $1"}
    planned = terraform.plan(more_settings=evil)
    values = planned['aws_sagemaker_studio_lifecycle_config.this["space"]']
    script = base64.b64decode(values["studio_lifecycle_config_content"]).decode()
    top = script.partition("# ---- Nothing to edit below.")[0]
    told = subprocess.run(
        ["/bin/bash", "-c", top + '\nprintf %s "$MORE_SETTINGS"'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(told) == evil
    (terraform.folder / "test.auto.tfvars.json").write_text('{"more_settings": {"idle_timout": 1}}')
    refused = terraform.run("plan", "-no-color", "-input=false")
    assert "more_settings has unknown settings: idle_timout" in refused.stderr
    # A plan lists the errors of every variable.
    quoted = dict.fromkeys(("index_url", "wheel", "package_version", "sha256"), "/a'b.whl")
    (terraform.folder / "test.auto.tfvars.json").write_text(json.dumps(quoted))
    refused = terraform.run("plan", "-no-color", "-input=false")
    assert refused.returncode == 1
    assert refused.stderr.count("Invalid value for variable") == len(quoted)
    assert set(re.findall(r"var\.(\w+) is", refused.stderr)) == set(quoted)


def test_the_modules_variables_are_the_scripts_settings() -> None:
    """Parsed, not run: all that is possible without terraform."""
    parsed: dict[str, Any] = {}
    for file in sorted((FOLDER / "terraform").glob("*.tf")):
        with file.open() as stream:
            for key, value in hcl2.load(stream).items():
                parsed.setdefault(key, []).extend(value if isinstance(value, list) else [value])
    variables = {name.strip('"') for each in parsed["variable"] for name in each}
    assert {"wheel", "sha256", "idle_timeout", "warning_time", "keep_terminals"} <= variables
    text = (FOLDER / "terraform" / "variables.tf").read_text()
    for pattern in PATTERNS.values():
        escaped = pattern.replace("\\", "\\\\")
        assert f'can(regex("^({escaped})?$", var.' in text
    outputs = {name.strip('"') for each in parsed["output"] for name in each}
    assert "jupyterlab_built_in_lifecycle_config_arn" in outputs
