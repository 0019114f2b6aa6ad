"""The CloudFormation template: it creates what the command creates, for admins who use templates.

It is made from the scripts and the policy, so that they always agree.
"""

from __future__ import annotations

import json
from textwrap import indent
from typing import Any

from .._version import __version__
from . import policy
from .script import (
    END_OF_SETTINGS,
    INDEX_URL,
    NAME_PREFIX,
    SHA256,
    VERSION,
    WHEEL,
    Kind,
    render,
    without_comments,
)
from .start_logs import GROUP, PREFIX

#: Parameter → the line of the scripts' settings that it sets.
PARAMETERS = {
    "Version": "VERSION",
    "Wheel": "WHEEL",
    "Sha256": "SHA256",
    "IndexUrl": "INDEX_URL",
    "IdleTimeout": "IDLE_TIMEOUT",
    "WarningTime": "WARNING_TIME",
    "KeepTerminals": "KEEP_TERMINALS",
    "MoreSettings": "MORE_SETTINGS",
}
RESOURCES = {
    Kind.CLASSIC: "StudioClassic",
    Kind.SPACE: "JupyterLabSpaces",
    Kind.NOTEBOOK_INSTANCE: "NotebookInstances",
}
_HEAD = f"""\
# Made by: jupyter sagemaker-autoshutdown lifecycle-config template cloudformation
# The scripts below are those of this folder without their comments.
AWSTemplateFormatVersion: "2010-09-09"
Description: >-
  sagemaker-autoshutdown {__version__}: the lifecycle configurations that install it, and the
  rights of the apps' execution role. The outputs say where to put their ARNs.

Parameters:
  Revision:
    Type: String
    Default: "1"
    AllowedPattern: "[a-zA-Z0-9]{{1,8}}"
    Description: >-
      Part of the names. Change it whenever you change anything else here: lifecycle configurations
      can't be changed, only replaced by others of another name.
  ExecutionRoleNames:
    Type: CommaDelimitedList
    Default: ""
    Description: >-
      The execution roles of the apps (their names). Empty to attach the policy yourself.
  DomainId:
    Type: String
    Default: ""
    AllowedPattern: "(d-[a-z0-9-]{{1,61}})?"
    Description: The domain of the policy. Empty for any.
  Version:
    Type: String
    Default: {__version__}
    AllowedPattern: '{VERSION}'
    Description: The version to install, and no other.
  Wheel:
    Type: String
    Default: ""
    AllowedPattern: '({WHEEL})?'
    Description: >-
      The source of its wheel or of a bundle - s3://BUCKET/KEY, https://... or a path in the image.
      Empty for the package index.
  Sha256:
    Type: String
    Default: ""
    AllowedPattern: '({SHA256})?'
    Description: The SHA-256 of the wheel. Empty for no check.
  IndexUrl:
    Type: String
    Default: ""
    AllowedPattern: '({INDEX_URL})?'
    Description: A package index other than pip's own.
  IdleTimeout:
    Type: Number
    Default: 7200
    MinValue: 1
    MaxValue: 31622400
    Description: The idle limit - seconds without activity after which an app is shut down.
  WarningTime:
    Type: Number
    Default: 600
    MinValue: 1
    MaxValue: 31622400
    Description: How many seconds before a shutdown users get a warning.
  KeepTerminals:
    Type: String
    Default: "false"
    AllowedValues: ["true", "false"]
    Description: Whether an open terminal keeps its app up.
  SettingsSource:
    Type: String
    Default: ""
    AllowedPattern: '((s3://[a-z0-9][a-z0-9.-]*|ssm:)/[a-zA-Z0-9._/-]+)?'
    Description: >-
      The settings_source that MoreSettings names, if it does - the policy lets the role read it.
  MoreSettings:
    Type: String
    Default: "{{}}"
    AllowedPattern: "\\\\{{[^'$]*\\\\}}"
    Description: Any other settings of the extension, as a JSON object.
  WatchStarts:
    Type: String
    Default: "false"
    AllowedValues: ["true", "false"]
    Description: >-
      Whether to count, and alert on, starts that installed nothing and users who switched it off.
      The log group /aws/sagemaker/studio must exist - Studio creates it with the first app.
  AlarmTopicArn:
    Type: String
    Default: ""
    Description: The SNS topic that alarms go to. Empty for none.

Conditions:
  WatchStarts: !Equals [!Ref WatchStarts, "true"]
  HasTopic: !Not [!Equals [!Ref AlarmTopicArn, ""]]
  AttachPolicy: !Not [!Equals [!Join ["", !Ref ExecutionRoleNames], ""]]
  OneDomain: !Not [!Equals [!Ref DomainId, ""]]
  WheelInS3: !Equals [!Select [0, !Split [":", !Ref Wheel]], s3]
  SettingsInS3: !Equals [!Select [0, !Split [":", !Ref SettingsSource]], s3]
  SettingsInSsm: !Equals [!Select [0, !Split [":", !Ref SettingsSource]], ssm]

Resources:
"""

_OUTPUTS = """
Outputs:
  JupyterLabBuiltInLifecycleConfigArn:
    Description: >-
      For AWS::SageMaker::Domain and UserProfile, as JupyterLabAppSettings.BuiltInLifecycleConfigArn
      of DefaultUserSettings, DefaultSpaceSettings and UserSettings.
    Value: !GetAtt JupyterLabSpaces.StudioLifecycleConfigArn
  JupyterServerLifecycleConfigArn:
    Description: >-
      For Studio Classic, in JupyterServerAppSettings, as DefaultResourceSpec.LifecycleConfigArn and
      among LifecycleConfigArns.
    Value: !GetAtt StudioClassic.StudioLifecycleConfigArn
  NotebookInstanceLifecycleConfigName:
    Description: For AWS::SageMaker::NotebookInstance, as LifecycleConfigName.
    Value: !GetAtt NotebookInstances.NotebookInstanceLifecycleConfigName
"""


def template() -> str:
    """The template, as YAML."""
    configs = "\n".join(_config(kind) for kind in Kind)
    return _HEAD + configs + "\n" + _policy() + _alarms() + _OUTPUTS


def _config(kind: Kind) -> str:
    # A name may not hold a version's dots and plus.
    dashed = '!Join ["-", !Split ["+", !Join ["-", !Split [".", !Ref Version]]]]'
    name = f'!Sub ["{NAME_PREFIX}${{Dashed}}-{kind.value}-r${{Revision}}", {{Dashed: {dashed}}}]'
    if kind is Kind.NOTEBOOK_INSTANCE:
        about = f"""\
    Type: AWS::SageMaker::NotebookInstanceLifecycleConfig
    Properties:
      NotebookInstanceLifecycleConfigName: {name}
      OnStart:
      - Content:
          Fn::Base64: !Join
"""
        depth = 10
    else:
        about = f"""\
    Type: AWS::SageMaker::StudioLifecycleConfig
    Properties:
      StudioLifecycleConfigName: {name}
      StudioLifecycleConfigAppType: {kind.app_type}
      StudioLifecycleConfigContent:
        Fn::Base64: !Join
"""
        depth = 8
    # Little indentation, because of the same limit.
    script = (
        f'- ""\n- - !Sub |+\n{indent(_top(kind), " " * 3)}  - |\n{indent(_rest(kind), " " * 3)}'
    )
    return f"  {RESOURCES[kind]}:\n{about}{indent(script, ' ' * depth)}"


def _top(kind: Kind) -> str:
    """The script up to the end of its settings, with the parameters in them.

    Without comments, here as below: a template without a bucket may not be long.
    """
    top = without_comments(render(kind).partition(END_OF_SETTINGS)[0])
    for parameter, name in PARAMETERS.items():
        before, _, after = top.partition(f"\n{name}=")
        _, _, after = after.partition("\n")
        top = f"{before}\n{name}='${{{parameter}}}'\n{after}"
    return top


def _rest(kind: Kind) -> str:
    return without_comments(render(kind).partition(END_OF_SETTINGS)[2])


def _policy() -> str:
    """The role's policy with the stack's own resources, and the rights that only some stacks
    need."""
    place = policy.Place(
        "${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}", "${OwnDomain}", "${AnyDomain}"
    )
    always = policy.role_policy(place=place)["Statement"]
    lines = [
        "  ExecutionRolePolicy:",
        "    Type: AWS::IAM::ManagedPolicy",
        "    Properties:",
        "      Description: The rights of sagemaker-autoshutdown with the role of its apps",
        '      Roles: !If [AttachPolicy, !Ref ExecutionRoleNames, !Ref "AWS::NoValue"]',
        "      PolicyDocument:",
        '        Version: "2012-10-17"',
        "        Statement:",
    ]
    for statement in always:
        lines += _item(statement, 10)
    for condition, options, value in (
        ("WheelInS3", {"wheel": "s3://${Place}"}, _after("s3://", "Wheel")),
        ("SettingsInS3", {"settings_source": "s3://${Place}"}, _after("s3://", "SettingsSource")),
        ("SettingsInSsm", {"settings_source": "ssm:/${Place}"}, _after("ssm:/", "SettingsSource")),
    ):
        [statement] = policy.role_policy(place=place, **options)["Statement"][len(always) :]
        lines += [
            "          - Fn::If:",
            f"              - {condition}",
            *_item(statement, 14, {"Place": value}),
            '              - !Ref "AWS::NoValue"',
        ]
    return "\n".join(lines) + "\n"


#: Metric → the scripts' word that it counts, as in the Terraform module.
WATCHED = {"NotInstalled": "NOT INSTALLED", "SwitchedOff": "SWITCHED OFF"}


def _alarms() -> str:
    """The metric filters and alarms for starts that failed."""
    return "".join(
        f"""\
  {metric}Filter:
    Type: AWS::Logs::MetricFilter
    Condition: WatchStarts
    Properties:
      LogGroupName: {GROUP}
      FilterPattern: '"{PREFIX}{word}"'
      MetricTransformations:
        - {{MetricNamespace: SageMakerAutoShutdown, MetricName: {metric}, MetricValue: "1"}}
  {metric}Alarm:
    Type: AWS::CloudWatch::Alarm
    Condition: WatchStarts
    Properties:
      AlarmDescription: >-
        A Studio app started and its script logged {word} - lifecycle-config status --logs says
        which
      Namespace: SageMakerAutoShutdown
      MetricName: {metric}
      Statistic: Sum
      Period: 300
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: notBreaching
      AlarmActions: !If [HasTopic, [!Ref AlarmTopicArn], !Ref "AWS::NoValue"]
"""
        for metric, word in WATCHED.items()
    )


def _after(start: str, parameter: str) -> str:
    """The text after the start of a parameter's value; harmless for any other value."""
    return f'!Select [1, !Split ["{start}", !Join ["", [!Ref {parameter}, "{start}none"]]]]'


#: Replaces the unknown parts of a policy by a stack's parameters.
_KNOWN = {
    "OwnDomain": '!If [OneDomain, !Ref DomainId, "${sagemaker:DomainId}"]',
    "AnyDomain": '!If [OneDomain, !Ref DomainId, "*"]',
}


def _item(value: dict[str, Any], depth: int, known: dict[str, str] | None = None) -> list[str]:
    """A list's item, as lines of YAML."""
    lines = _yaml(value, {**_KNOWN, **(known or {})})
    return [f"{' ' * depth}{'  ' if number else '- '}{line}" for number, line in enumerate(lines)]


def _yaml(value: Any, known: dict[str, str]) -> list[str]:
    """A value in lines; one line if it fits."""
    if isinstance(value, dict):
        lines = []
        for key, each in value.items():
            below = _yaml(each, known)
            if isinstance(each, str):
                lines.append(f"{_key(key)}: {below[0]}")
            else:
                lines += [f"{_key(key)}:", *(f"  {line}" for line in below)]
        return lines
    if isinstance(value, list):
        return [f"- {_yaml(each, known)[0]}" for each in value]
    used = [name for name in known if f"${{{name}}}" in value]
    text = str(value).replace("${sagemaker:", "${!sagemaker:")
    if used:
        return [f'!Sub ["{text}", {{{", ".join(f"{name}: {known[name]}" for name in used)}}}]']
    return [f'!Sub "{text}"' if "${" in text else json.dumps(text)]


def _key(name: str) -> str:
    """A key of YAML, which would take one word for null."""
    return '"Null"' if name == "Null" else name
