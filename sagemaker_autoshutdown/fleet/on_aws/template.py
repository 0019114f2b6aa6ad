"""The stack as a CloudFormation template, and the roles of member accounts as another.

Both are made here, so that their rights are those of ``policies.py``. The Terraform module deploys
the same template, so there is only one description of the stack, and the tests deploy it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..._version import __version__
from .policies import (
    ACT_IN_ACCOUNT,
    ACTOR,
    CONFIGURATION,
    READ_ACCOUNT,
    SWEEPER,
    Statement,
    subbed,
)

HANDLERS = "sagemaker_autoshutdown.fleet.on_aws.handlers"
#: The architectures of the functions' code, by Lambda's names.
ARCHITECTURES = ("arm64", "x86_64")
#: Python versions whose image is recent enough for the wheels.
PYTHONS = ("3.13", "3.12")
#: Names of the roles in member accounts, which ``accounts[].role_arn`` of the configuration names.
READER, ACTING = "sagemaker-autoshutdown-fleet-reader", "sagemaker-autoshutdown-fleet-actor"
#: Seconds that a function may take. Its queue gets six times as much, as AWS advises.
TIMEOUTS = (60, 120, 300, 900)
#: Sweeps at the same time.
CONCURRENCIES = (2, 5, 20, 100)

Node = dict[str, Any]


def _ref(name: str) -> Node:
    return {"Ref": name}


def _att(name: str, attribute: str = "Arn") -> Node:
    return {"Fn::GetAtt": [name, attribute]}


def _sub(text: str) -> Node:
    return {"Fn::Sub": text}


def _if(condition: str, value: Any, other: Any = None) -> Node:
    return {"Fn::If": [condition, value, _ref("AWS::NoValue") if other is None else other]}


def _parameter(description: str, default: Any = None, kind: str = "String", **more: Any) -> Node:
    head: Node = {"Type": kind, "Description": description}
    if default is not None:
        head["Default"] = default
    return {**head, **more}


_ARN = r"(arn:aws[a-z-]*:{}:[a-z0-9-]*:\d{{12}}:\S+)?"

PARAMETERS: Node = {
    "Bucket": _parameter(
        "A bucket in this account and region for the code, the configuration and the long parts "
        "of the record.",
        AllowedPattern="[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    ),
    "CodeKey": _parameter(
        "The bucket's key of the code that fleet bundle made. Name a new key for new code.",
        MinLength=1,
    ),
    "Configuration": _parameter(
        "The fleet's configuration file - s3://BUCKET/config/KEY or the name of an SSM parameter "
        "after ssm:. Empty for this account and region, and no Prometheus.",
        "",
        AllowedPattern="(s3://[a-z0-9.-]+/config/\\S+|ssm:/sagemaker-autoshutdown/\\S+)?",
    ),
    "IntervalMinutes": _parameter(
        "Minutes between two sweeps. Prometheus shows a sample for five minutes, so graphs have "
        "gaps if this is more than four.",
        4,
        "Number",
        MinValue=1,
        MaxValue=60,
    ),
    "Act": _parameter(
        "Whether to deploy the function that marks, warns and shuts down. Without it, the audit "
        "records what would be shut down.",
        "false",
        AllowedValues=["true", "false"],
    ),
    "Architecture": _parameter(
        "The architecture of the code.", ARCHITECTURES[0], AllowedValues=list(ARCHITECTURES)
    ),
    "Python": _parameter(
        "The version of Python that the code was bundled for.",
        PYTHONS[0],
        AllowedValues=list(PYTHONS),
    ),
    "Timeout": _parameter(
        "Seconds that a function may take. 10,000 apps take about 30 s, 100,000 about 6 minutes.",
        "300",
        AllowedValues=[str(each) for each in TIMEOUTS],
    ),
    "Memory": _parameter(
        "MB for the sweeper - 512 for up to 10,000 apps in an account and region, 1769 for "
        "100,000. More memory is more CPU.",
        512,
        "Number",
        MinValue=256,
        MaxValue=10240,
    ),
    "Concurrency": _parameter(
        "The most accounts and regions to sweep at once.",
        "5",
        AllowedValues=[str(each) for each in CONCURRENCIES],
    ),
    "ReserveConcurrency": _parameter(
        "Whether to reserve that many executions for the functions. An account whose limit is 10 "
        "executions has none to reserve.",
        "true",
        AllowedValues=["true", "false"],
    ),
    "ReaderRoleName": _parameter(
        "The name of the role that the sweeper assumes in member accounts.",
        READER,
        AllowedPattern="[\\w+=,.@-]{1,64}",
    ),
    "ActorRoleName": _parameter(
        "The name of the role that the actor assumes in member accounts to shut apps down.",
        ACTING,
        AllowedPattern="[\\w+=,.@-]{1,64}",
    ),
    "PrometheusWorkspaceArn": _parameter(
        "The workspace of Amazon Managed Prometheus that the configuration names. Empty for none.",
        "",
        AllowedPattern=_ARN.format("aps"),
    ),
    "NotifyTopicArn": _parameter(
        "The SNS topic that the configuration names for warnings. Empty for none.",
        "",
        AllowedPattern=_ARN.format("sns"),
    ),
    "AlarmTopicArn": _parameter(
        "The SNS topic that alarms go to. Empty for none.", "", AllowedPattern=_ARN.format("sns")
    ),
    "KmsKeyArn": _parameter(
        "A KMS key for the table and the logs. Its policy must let CloudWatch Logs use it. "
        "Empty for AWS's own keys.",
        "",
        AllowedPattern=_ARN.format("kms"),
    ),
    "LogDays": _parameter(
        "Days for which the functions' logs are kept.",
        30,
        "Number",
        AllowedValues=[7, 14, 30, 60, 90, 180, 365],
    ),
    "AuditDays": _parameter(
        "Days for which the audit is kept. It lists marks, spared apps and shutdowns, and why.",
        400,
        "Number",
        AllowedValues=[90, 180, 365, 400, 731, 1096, 1827, 3653],
    ),
}

CONDITIONS: Node = {
    "Act": {"Fn::Equals": [_ref("Act"), "true"]},
    "Reserve": {"Fn::Equals": [_ref("ReserveConcurrency"), "true"]},
    **{
        f"Has{name}": {"Fn::Not": [{"Fn::Equals": [_ref(name), ""]}]}
        for name in ("PrometheusWorkspaceArn", "NotifyTopicArn", "AlarmTopicArn", "KmsKeyArn")
    },
}


def stack() -> Node:
    """The template of the stack."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"sagemaker-autoshutdown {__version__}: a fleet of SageMaker Studio apps, "
        "seen from outside, without a machine of yours",
        "Parameters": PARAMETERS,
        "Mappings": {
            "Visibility": {str(each): {"Seconds": 6 * each} for each in TIMEOUTS},
            # As numbers, because not every property accepts a parameter, which is text.
            "Concurrency": {str(each): {"Executions": each} for each in CONCURRENCIES},
        },
        "Conditions": CONDITIONS,
        "Resources": {
            **_storage(),
            **_queues(),
            **_logs(),
            **_roles(),
            **_functions(),
            **_schedule(),
            **_alarms(),
        },
        "Outputs": {
            "TableName": {"Value": _ref("Table")},
            "BucketName": {"Value": _ref("Bucket")},
            "AuditLogGroup": {"Value": _ref("AuditLog")},
            "SweepQueueUrl": {"Value": _ref("SweepQueue")},
            "SweepDeadLetterQueueUrl": {"Value": _ref("SweepDeadLetters")},
            "SweeperName": {"Value": _ref("Sweeper")},
            "SweeperRoleArn": {"Value": _att("SweeperRole")},
            "ActorRoleArn": {"Condition": "Act", "Value": _att("ActorRole")},
        },
    }


def _storage() -> Node:
    return {
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    {"AttributeName": "scope", "AttributeType": "S"},
                    {"AttributeName": "item", "AttributeType": "S"},
                ],
                "KeySchema": [
                    {"AttributeName": "scope", "KeyType": "HASH"},
                    {"AttributeName": "item", "KeyType": "RANGE"},
                ],
                "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
                "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
                "SSESpecification": _if(
                    "HasKmsKeyArn",
                    {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": _ref("KmsKeyArn")},
                ),
            },
        }
    }


def _queue(name: str, condition: str = "") -> Node:
    """A queue with its dead-letter queue; both accept TLS only."""
    dead = f"{name}DeadLetters"
    visibility = {"Fn::FindInMap": ["Visibility", _ref("Timeout"), "Seconds"]}
    queue = f"{name}Queue"
    found: Node = {
        queue: {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "SqsManagedSseEnabled": True,
                "VisibilityTimeout": visibility,
                # A sweep that is a day late is useless; later ones have charged its time.
                "MessageRetentionPeriod": 86400,
                "RedrivePolicy": {"deadLetterTargetArn": _att(dead), "maxReceiveCount": 3},
            },
        },
        dead: {
            "Type": "AWS::SQS::Queue",
            "Properties": {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 1209600},
        },
        f"{queue}Policy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [_ref(queue), _ref(dead)],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "TlsOnly",
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "sqs:*",
                            "Resource": [_att(queue), _att(dead)],
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }
                    ],
                },
            },
        },
    }
    return {each: _when(condition, value) for each, value in found.items()}


def _when(condition: str, resource: Node) -> Node:
    return {"Type": resource["Type"], "Condition": condition, **resource} if condition else resource


def _queues() -> Node:
    return {**_queue("Sweep"), **_queue("Task", "Act")}


def _logs() -> Node:
    def group(name: str, days: str) -> Node:
        return {
            "Type": "AWS::Logs::LogGroup",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "LogGroupName": _sub(f"/sagemaker-autoshutdown/${{AWS::StackName}}/{name}"),
                "RetentionInDays": _ref(days),
                "KmsKeyId": _if("HasKmsKeyArn", _ref("KmsKeyArn")),
            },
        }

    return {
        "SweeperLog": group("sweeper", "LogDays"),
        "ActorLog": _when("Act", group("actor", "LogDays")),
        "AuditLog": group("audit", "AuditDays"),
    }


def _role(service: str, statements: Sequence[Any]) -> Node:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": service},
                        "Action": "sts:AssumeRole",
                    }
                ],
            },
            "Policies": [
                {
                    "PolicyName": "fleet",
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)},
                }
            ],
        },
    }


def _allowed(sid: str, actions: list[str], resource: Any) -> Node:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}


def _roles() -> Node:
    reader = _if(
        "HasPrometheusWorkspaceArn",
        _allowed(
            "Prometheus",
            ["aps:QueryMetrics", "aps:RemoteWrite"],
            _ref("PrometheusWorkspaceArn"),
        ),
    )
    keys = _if(
        "HasKmsKeyArn",
        _allowed("Key", ["kms:Decrypt", "kms:GenerateDataKey"], _ref("KmsKeyArn")),
    )
    tasks = _if("Act", _allowed("SendTasks", ["sqs:SendMessage"], _att("TaskQueue")))
    topic = _if("HasNotifyTopicArn", _allowed("Warn", ["sns:Publish"], _ref("NotifyTopicArn")))

    def assume(role: str) -> Node:
        return _allowed(
            "MemberAccounts",
            ["sts:AssumeRole"],
            _sub(f"arn:${{AWS::Partition}}:iam::*:role/${{{role}}}"),
        )

    return {
        "SweeperRole": _role(
            "lambda.amazonaws.com",
            [
                *_statements(SWEEPER, READ_ACCOUNT, CONFIGURATION),
                assume("ReaderRoleName"),
                reader,
                tasks,
                keys,
            ],
        ),
        "ActorRole": _when(
            "Act",
            _role(
                "lambda.amazonaws.com",
                [
                    *_statements(ACTOR, ACT_IN_ACCOUNT, CONFIGURATION),
                    assume("ActorRoleName"),
                    topic,
                    keys,
                ],
            ),
        ),
        "ScheduleRole": _role(
            "scheduler.amazonaws.com",
            [_allowed("Send", ["sqs:SendMessage"], [_att("SweepQueue"), _att("SweepDeadLetters")])],
        ),
    }


def _statements(*groups: Sequence[Statement]) -> list[Any]:
    return [subbed(statement) for group in groups for statement in group]


def _function(
    handler: str, role: str, log: str, memory: Any, concurrency: Any, **variables: Any
) -> Node:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Handler": f"{HANDLERS}.{handler}",
            "Runtime": _sub("python${Python}"),
            "Architectures": [_ref("Architecture")],
            "Code": {"S3Bucket": _ref("Bucket"), "S3Key": _ref("CodeKey")},
            "Role": _att(role),
            "Timeout": _ref("Timeout"),
            "MemorySize": memory,
            "ReservedConcurrentExecutions": _if("Reserve", concurrency),
            "LoggingConfig": {
                "LogFormat": "JSON",
                "ApplicationLogLevel": "INFO",
                "LogGroup": _ref(log),
            },
            "Environment": {
                "Variables": {
                    "FLEET_TABLE": _ref("Table"),
                    "FLEET_BUCKET": _ref("Bucket"),
                    "FLEET_SWEEP_QUEUE": _ref("SweepQueue"),
                    "FLEET_AUDIT_GROUP": _ref("AuditLog"),
                    "FLEET_CONFIG": _ref("Configuration"),
                    "FLEET_INTERVAL_MINUTES": _ref("IntervalMinutes"),
                    **variables,
                }
            },
        },
    }


def _source(function: str, queue: str, batch: int, concurrency: Any) -> Node:
    return {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "FunctionName": _ref(function),
            "EventSourceArn": _att(queue),
            "BatchSize": batch,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": concurrency},
        },
    }


def _functions() -> Node:
    concurrency = {"Fn::FindInMap": ["Concurrency", _ref("Concurrency"), "Executions"]}
    return {
        "Sweeper": _function(
            "sweep",
            "SweeperRole",
            "SweeperLog",
            _ref("Memory"),
            concurrency,
            FLEET_TASK_QUEUE=_if("Act", _ref("TaskQueue"), ""),
        ),
        "SweeperSource": _source("Sweeper", "SweepQueue", 1, concurrency),
        "Actor": _when(
            "Act",
            _function(
                "act", "ActorRole", "ActorLog", 512, 2, FLEET_ACTOR_ROLE=_ref("ActorRoleName")
            ),
        ),
        "ActorSource": _when("Act", _source("Actor", "TaskQueue", 1, 2)),
    }


def _schedule() -> Node:
    return {
        "Schedule": {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": {
                "Description": "All accounts and regions of the fleet are due for a sweep",
                "ScheduleExpression": _sub("rate(${IntervalMinutes} minutes)"),
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {
                    "Arn": _att("SweepQueue"),
                    "RoleArn": _att("ScheduleRole"),
                    "Input": '{"round": "<aws.scheduler.scheduled-time>"}',
                    "RetryPolicy": {"MaximumEventAgeInSeconds": 300, "MaximumRetryAttempts": 5},
                    "DeadLetterConfig": {"Arn": _att("SweepDeadLetters")},
                },
            },
        }
    }


def _alarm(description: str, metric: Node, **more: Any) -> Node:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmDescription": description,
            **metric,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": _if("HasAlarmTopicArn", [_ref("AlarmTopicArn")]),
            **more,
        },
    }


def _visible(queue: str) -> Node:
    return {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": _att(queue, "QueueName")}],
        "Statistic": "Maximum",
        "Period": 300,
    }


def _alarms() -> Node:
    def errors(log: str, name: str) -> Node:
        return {
            "Type": "AWS::Logs::MetricFilter",
            "Properties": {
                "LogGroupName": _ref(log),
                "FilterPattern": '{ $.level = "ERROR" || $.level = "CRITICAL" }',
                "MetricTransformations": [
                    {
                        "MetricNamespace": _sub("SageMakerAutoShutdown/${AWS::StackName}"),
                        "MetricName": name,
                        "MetricValue": "1",
                    }
                ],
            },
        }

    def of_log(name: str) -> Node:
        return {
            "Namespace": _sub("SageMakerAutoShutdown/${AWS::StackName}"),
            "MetricName": name,
            "Statistic": "Sum",
            "Period": 900,
        }

    return {
        "SweeperErrors": errors("SweeperLog", "SweeperErrors"),
        "SweeperErrorsAlarm": _alarm(
            "The sweeper wrote errors to its log: it can't sweep an account, or can't write the "
            "record or to Prometheus",
            of_log("SweeperErrors"),
        ),
        "NoSweepsAlarm": _alarm(
            "No sweep started for an hour or longer: the schedule or the function is off",
            {
                "Namespace": "AWS/Lambda",
                "MetricName": "Invocations",
                "Dimensions": [{"Name": "FunctionName", "Value": _ref("Sweeper")}],
                "Statistic": "Sum",
                "Period": 3600,
            },
            ComparisonOperator="LessThanThreshold",
            EvaluationPeriods=2,
            TreatMissingData="breaching",
        ),
        "SweepDeadLettersAlarm": _alarm(
            "Sweeps failed three times, or the schedule could not send: see the dead-letter queue "
            "and the sweeper's log",
            _visible("SweepDeadLetters"),
        ),
        "ActorErrors": _when("Act", errors("ActorLog", "ActorErrors")),
        "ActorErrorsAlarm": _when(
            "Act",
            _alarm("The function that shuts down wrote errors to its log", of_log("ActorErrors")),
        ),
        "TaskDeadLettersAlarm": _when(
            "Act",
            _alarm(
                "Marks or shutdowns failed three times: see the dead-letter queue and the actor's "
                "log",
                _visible("TaskDeadLetters"),
            ),
        ),
    }


def member() -> Node:
    """The template of a member account: roles that the functions' roles may assume."""

    def role(name: str, trusted: str, statements: Sequence[Statement]) -> Node:
        found = _role("lambda.amazonaws.com", _statements(statements))
        properties = found["Properties"]
        properties["RoleName"] = _ref(name)
        properties["AssumeRolePolicyDocument"]["Statement"] = [
            {
                "Effect": "Allow",
                "Principal": {"AWS": _ref(trusted)},
                "Action": "sts:AssumeRole",
                "Condition": _if(
                    "HasExternalId", {"StringEquals": {"sts:ExternalId": _ref("ExternalId")}}
                ),
            }
        ]
        return found

    names = {name: PARAMETERS[name] for name in ("ReaderRoleName", "ActorRoleName")}
    arn = "The output {} of the fleet's stack."
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"sagemaker-autoshutdown {__version__}: what a fleet in another account may "
        "do in this one",
        "Parameters": {
            "SweeperRoleArn": _parameter(
                arn.format("SweeperRoleArn"), AllowedPattern=_ARN.format("iam").rstrip("?")
            ),
            "ActorRoleArn": _parameter(
                arn.format("ActorRoleArn") + " Empty to let it only read.",
                "",
                AllowedPattern=_ARN.format("iam"),
            ),
            "ExternalId": _parameter(
                "The value of accounts[].external_id in the configuration.", "", NoEcho=True
            ),
            **names,
        },
        "Conditions": {
            "Act": {"Fn::Not": [{"Fn::Equals": [_ref("ActorRoleArn"), ""]}]},
            "HasExternalId": {"Fn::Not": [{"Fn::Equals": [_ref("ExternalId"), ""]}]},
        },
        "Resources": {
            "ReaderRole": role("ReaderRoleName", "SweeperRoleArn", READ_ACCOUNT),
            "ActingRole": _when("Act", role("ActorRoleName", "ActorRoleArn", ACT_IN_ACCOUNT)),
        },
        "Outputs": {
            "ReaderRoleArn": {"Value": _att("ReaderRole")},
            "ActorRoleArn": {"Condition": "Act", "Value": _att("ActingRole")},
        },
    }


def as_yaml(value: Any) -> str:
    """A template as YAML. Texts are quoted, so that none is taken for another type."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        lines = []
        for key, each in value.items():
            name = json.dumps(key) if key.isdigit() else key
            below = _lines(each)
            if len(below) == 1 and not _is_block(each):
                lines.append(f"{name}: {below[0]}")
            else:
                lines += [f"{name}:", *(f"  {line}" for line in below)]
        return lines
    if isinstance(value, (list, tuple)) and value:
        lines = []
        for each in value:
            first, *rest = _lines(each)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return lines
    return [json.dumps(value)]


def _is_block(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple)) and bool(value)
