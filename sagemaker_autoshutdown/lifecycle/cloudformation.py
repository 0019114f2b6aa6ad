"""The CloudFormation template: what the command creates, for those who keep such things in code.

Made from the scripts and the policy, so that it can't tell another story than they do:

    python -m sagemaker_autoshutdown.lifecycle.cloudformation > lifecycle-config/cloudformation.yaml
"""

from __future__ import annotations

import sys
from textwrap import indent
from typing import Any

from .._version import __version__
from . import policy
from .script import INDEX_URL, NAME_PREFIX, SHA256, VERSION, WHEEL, Kind, render, without_comments

#: Parameter → the line of the scripts' settings that it stands for.
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
#: Below this line of the scripts their comments are left out: what may be given to CloudFormation
#: without a bucket is limited. They stand in the scripts of the repository.
END_OF_SETTINGS = "# ---- Nothing to edit below.\n"

_HEAD = f"""\
# Made by: python -m sagemaker_autoshutdown.lifecycle.cloudformation
# The scripts below are those of this folder without the comments that follow their settings.
AWSTemplateFormatVersion: "2010-09-09"
Description: >-
  sagemaker-autoshutdown {__version__}: the lifecycle configurations that install it, and what the
  execution role of the apps must be allowed. The outputs say where to put their ARNs.

Parameters:
  Revision:
    Type: String
    Default: "1"
    AllowedPattern: "[a-zA-Z0-9]{{1,8}}"
    Description: >-
      Part of the names. Change it whenever you change anything else here: lifecycle configurations
      can't be changed, only replaced by others of another name.
  ExecutionRoleName:
    Type: String
    Default: ""
    Description: The execution role of the apps (its name). Empty to attach the policy yourself.
  Version:
    Type: String
    Default: {__version__}
    AllowedPattern: '{VERSION}'
    Description: What is installed - this version and no other.
  Wheel:
    Type: String
    Default: ""
    AllowedPattern: '({WHEEL})?'
    Description: >-
      Where its wheel or a bundle comes from - s3://BUCKET/KEY, https://... or a path in the image.
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
    Description: Another package index than pip's own.
  IdleTimeout:
    Type: Number
    Default: 7200
    MinValue: 1
    Description: Seconds without activity until an app is shut down.
  WarningTime:
    Type: Number
    Default: 600
    MinValue: 1
    Description: Seconds before a shutdown in which users are warned.
  KeepTerminals:
    Type: String
    Default: "false"
    AllowedValues: ["true", "false"]
    Description: Whether an open terminal keeps its app up.
  MoreSettings:
    Type: String
    Default: "{{}}"
    AllowedPattern: "\\\\{{[^'$]*\\\\}}"
    Description: Any other settings of the extension, as a JSON object.

Conditions:
  AttachPolicy: !Not [!Equals [!Ref ExecutionRoleName, ""]]
  WheelInS3: !Equals [!Select [0, !Split [":", !Ref Wheel]], s3]

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
    return _HEAD + configs + "\n" + _policy() + _OUTPUTS


def _config(kind: Kind) -> str:
    # A version's dots and plus may not stand in a name.
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
    # As little indented as can be, for the same limit.
    script = (
        f'- ""\n- - !Sub |+\n{indent(_top(kind), " " * 3)}  - |\n{indent(_rest(kind), " " * 3)}'
    )
    return f"  {RESOURCES[kind]}:\n{about}{indent(script, ' ' * depth)}"


def _top(kind: Kind) -> str:
    """The script as far as its settings go, with the parameters in them."""
    top = render(kind).partition(END_OF_SETTINGS)[0]
    for parameter, name in PARAMETERS.items():
        before, _, after = top.partition(f"\n{name}=")
        _, _, after = after.partition("\n")
        top = f"{before}\n{name}='${{{parameter}}}'\n{after}"
    return top


def _rest(kind: Kind) -> str:
    return END_OF_SETTINGS + without_comments(render(kind).partition(END_OF_SETTINGS)[2])


def _policy() -> str:
    lines = [
        "  ExecutionRolePolicy:",
        "    Type: AWS::IAM::ManagedPolicy",
        "    Properties:",
        "      Description: What sagemaker-autoshutdown does with the role of its apps",
        '      Roles: !If [AttachPolicy, [!Ref ExecutionRoleName], !Ref "AWS::NoValue"]',
        "      PolicyDocument:",
        '        Version: "2012-10-17"',
        "        Statement:",
    ]
    for statement in policy.role_policy()["Statement"]:
        lines += _statement(statement, 10)
    lines += [
        "          - Fn::If:",
        "              - WheelInS3",
        *_statement(
            policy.role_policy("s3://bucket/key")["Statement"][-1],
            14,
            'Fn::Sub ["arn:${AWS::Partition}:s3:::${Place}", '
            '{Place: !Select [1, !Split ["s3://", !Join ["", [!Ref Wheel, "s3://none/"]]]]}]',
        ),
        '              - !Ref "AWS::NoValue"',
    ]
    return "\n".join(lines) + "\n"


def _statement(statement: dict[str, Any], depth: int, resource: str = "") -> list[str]:
    place = f"!{resource[4:]}" if resource else _resource(statement["Resource"])
    lines = [
        f"- Sid: {statement['Sid']}",
        f"  Effect: {statement['Effect']}",
        "  Action:",
        *(f"    - {action}" for action in statement["Action"]),
        *f"  Resource: {place}".replace(": \n", ":\n").splitlines(),
    ]
    return [" " * depth + line for line in lines]


def _resource(arn: str | list[str]) -> str:
    """The stack's own partition, region and account in place of any."""
    if isinstance(arn, list):
        return "".join(f"\n    - {_resource(each)}" for each in arn)
    if arn == "*":
        return '"*"'
    own = ["${AWS::Partition}", "sagemaker", "${AWS::Region}", "${AWS::AccountId}"]
    return f'!Sub "arn:{":".join(own)}:{arn.split(":", 5)[5]}"'


if __name__ == "__main__":
    sys.stdout.write(template())
