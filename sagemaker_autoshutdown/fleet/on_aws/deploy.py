"""Brings the stack into an account, and removes it: a plan, the steps, and the state.

Each step first checks the present state, so that the same command continues where an interrupted
one stopped. CloudFormation makes the changes by a change set, which is also the plan.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...aws import Aws, AwsError
from .template import PARAMETERS, as_yaml, stack

DEFAULT_NAME = "sagemaker-autoshutdown-fleet"
#: The tag of a bucket that was made for a stack; its value is the stack's name.
BUCKET_TAG = "sagemaker-autoshutdown-fleet"
#: Our folders in a bucket.
PREFIXES = ("code/", "config/", "record/")
#: Seconds between two calls, and the most that a stack may take.
PAUSE, LIMIT = 2.0, 1800.0
#: The most characters of a bucket's name.
_LONGEST_BUCKET = 63
#: The most bytes of a template without a bucket.
MOST_TEMPLATE = 51_200

_GONE = ("DELETE_COMPLETE", "")
#: Left by a first attempt that did not finish: the stack holds nothing, and can't be updated.
_TO_BE_MADE_ANEW = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "CREATE_FAILED")


class NotDeployed(Exception):
    """The step failed. The message says why and what to do."""


@dataclass(frozen=True)
class Wanted:
    """The wanted state. ``parameters`` are the given ones; others stay as they are."""

    code_key: str
    code: bytes
    config: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def config_key(self) -> str:
        """Differs for each configuration, so that functions and configuration fit."""
        digest = hashlib.sha256(self.config.encode()).hexdigest()[:16]
        return f"config/{digest}.toml" if self.config else ""


@dataclass(frozen=True)
class Plan:
    """The planned steps, a line each. Empty if there is nothing to do."""

    lines: tuple[str, ...]
    change_set: str = ""


class Deployment:
    """One stack in one account and region. Blocks; raises ``AwsError`` and :class:`NotDeployed`."""

    def __init__(
        self,
        aws: Aws,
        name: str = DEFAULT_NAME,
        bucket: str = "",
        say: Callable[[str], None] = lambda line: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._aws = aws
        self.name = name
        self._bucket = bucket
        self._say = say
        self._sleep = sleep

    @property
    def bucket(self) -> str:
        """The bucket: the given one, the stack's, or one of this stack's own."""
        if not self._bucket:
            self._bucket = self._parameters().get("Bucket", "") or self._own_bucket
        return self._bucket

    @property
    def _own_bucket(self) -> str:
        """One that is made for this stack, by its name and the account's number: two stacks share
        none, since uninstalling one deletes it."""
        account_id = self._call("sts", "GetCallerIdentity", {})["Account"]
        end = f"-{account_id}-{self._aws.effective_region}"
        name = self.name.lower()
        if len(name + end) > _LONGEST_BUCKET or name != self.name:
            digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
            name = f"{name[: _LONGEST_BUCKET - len(end) - len(digest) - 1]}-{digest}"
        return name + end

    # -- bringing it in

    def plan(self, wanted: Wanted) -> Plan:
        """The steps of ``deploy``. Changes nothing that is in use: if the stack exists, a change
        set is created and returned in the plan."""
        lines = []
        if not self._has_bucket():
            lines.append(f"create the bucket {self.bucket}, private and encrypted")
        for key, body in self._objects(wanted):
            if not self._has_object(key):
                lines.append(f"upload s3://{self.bucket}/{key} ({len(body):,} bytes)")
        status = self._settled()
        if status in _TO_BE_MADE_ANEW:
            lines.append(f"delete the stack {self.name}, which an earlier attempt left ({status})")
        if not _is_there(status):
            resources = self._template_resources(wanted)
            lines.append(f"create the stack {self.name} with {len(resources)} resources:")
            lines += [f"  create {kind} {name}" for name, kind in resources]
            return Plan(tuple(lines))
        change_set, changes = self._change_set(wanted, "UPDATE")
        if changes:
            lines.append(f"update the stack {self.name}:")
            lines += [f"  {line}" for line in changes]
        return Plan(tuple(lines), change_set)

    def forget(self, plan: Plan) -> None:
        """Deletes the change set of the plan."""
        if plan.change_set:
            self._call(
                "cloudformation",
                "DeleteChangeSet",
                {"StackName": self.name, "ChangeSetName": plan.change_set},
            )

    def deploy(self, wanted: Wanted, plan: Plan) -> None:
        """Carries the plan out, and reads the result back."""
        self._make_bucket()
        for key, body in self._objects(wanted):
            if not self._has_object(key):
                self._say(f"Uploading s3://{self.bucket}/{key} ...")
                self._call("s3", "PutObject", {"Bucket": self.bucket, "Key": key, "Body": body})
        status = self._settled()
        if status in _TO_BE_MADE_ANEW:
            self._delete_stack()
            status = ""
        change_set = plan.change_set
        if not _is_there(status):
            change_set, _ = self._change_set(wanted, "CREATE")
        if change_set:
            self._say(f"The stack {self.name} is being made as planned ...")
            self._call(
                "cloudformation",
                "ExecuteChangeSet",
                {"StackName": self.name, "ChangeSetName": change_set},
            )
        self._read_back(wanted)

    def _read_back(self, wanted: Wanted) -> None:
        status = self._settled()
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            reasons = "\n".join(f"  {line}" for line in self._reasons())
            raise NotDeployed(
                f"The stack {self.name} is {status}:\n{reasons}\nCorrect this and run the same "
                "command again."
            )
        known = self._parameters()
        for name, value in self._given(wanted).items():
            # CloudFormation shows asterisks instead of secret values.
            if known.get(name) != value and not PARAMETERS[name].get("NoEcho"):
                raise NotDeployed(
                    f"The stack {self.name} has {name}={known.get(name)}, not {value}: somebody "
                    "else has changed it meanwhile. Run the same command again."
                )

    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        found = self._stack() or {}
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs") or ()}

    def _objects(self, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
        yield wanted.code_key, wanted.code
        if wanted.config_key:
            yield wanted.config_key, wanted.config.encode()

    def _given(self, wanted: Wanted) -> dict[str, str]:
        config = f"s3://{self.bucket}/{wanted.config_key}" if wanted.config_key else None
        return {
            **wanted.parameters,
            "Bucket": self.bucket,
            "CodeKey": wanted.code_key,
            **({"Configuration": config} if config else {}),
        }

    def _template_resources(self, wanted: Wanted) -> list[tuple[str, str]]:
        acts = wanted.parameters.get("Act") == "true"
        return [
            (name, resource["Type"])
            for name, resource in stack()["Resources"].items()
            if acts or resource.get("Condition") != "Act"
        ]

    # -- change sets

    def _change_set(self, wanted: Wanted, kind: str) -> tuple[str, list[str]]:
        """A change set, and its changes in words; an empty name if there is nothing to do."""
        body = as_yaml(stack())
        name = f"fleet-{hashlib.sha256(f'{body}{time.time_ns()}'.encode()).hexdigest()[:12]}"
        given = self._given(wanted)
        known = self._parameters() if kind == "UPDATE" else {}
        parameters: list[dict[str, Any]] = [
            {"ParameterKey": each, "ParameterValue": value} for each, value in given.items()
        ]
        parameters += [
            {"ParameterKey": each, "UsePreviousValue": True}
            for each in known
            if each not in given and each in PARAMETERS
        ]
        self._call(
            "cloudformation",
            "CreateChangeSet",
            {
                "StackName": self.name,
                "ChangeSetName": name,
                "ChangeSetType": kind,
                "TemplateBody": body,
                "Parameters": parameters,
                "Capabilities": ["CAPABILITY_IAM"],
                "Tags": [{"Key": BUCKET_TAG, "Value": self.name}],
            },
        )
        found = self._wait(lambda: self._described(name), _is_made)
        if found["Status"] == "FAILED":
            self.forget(Plan((), name))
            reason = str(found.get("StatusReason", ""))
            if "didn't contain changes" in reason or "No updates" in reason:
                return "", []
            raise NotDeployed(f"CloudFormation can't make a plan: {reason}")
        return name, [_in_words(change) for change in found.get("Changes") or ()]

    def _described(self, name: str) -> dict[str, Any]:
        wanted: dict[str, Any] = {"StackName": self.name, "ChangeSetName": name}
        found = self._call("cloudformation", "DescribeChangeSet", wanted)
        changes = list(found.get("Changes") or ())
        token = found.get("NextToken")
        while token:
            more = self._call("cloudformation", "DescribeChangeSet", {**wanted, "NextToken": token})
            changes += more.get("Changes") or ()
            token = more.get("NextToken")
        return {**found, "Changes": changes}

    # -- taking it out

    def removal(self) -> list[str]:
        """The steps of ``remove``."""
        lines = []
        if self._settled() not in _GONE:
            lines.append(f"delete the stack {self.name}, its table, its queues and its logs:")
            lines += [f"  delete {each}" for each in self._resources()]
        if self._has_bucket():
            count = sum(1 for _ in self._keys())
            if self._is_ours():
                lines.append(f"delete the bucket {self.bucket} with its {count} objects")
            elif count:
                where = ", ".join(PREFIXES)
                lines.append(f"delete {count} objects of the bucket {self.bucket} ({where})")
        return lines

    def remove(self) -> None:
        """Deletes everything, and checks that it is gone."""
        bucket = self.bucket  # while the stack can still tell
        if self._settled() not in _GONE:
            self._delete_stack()
        if not self._has_bucket():
            return
        ours = self._is_ours()
        batch: list[dict[str, str]] = []
        for key in self._keys():
            batch.append({"Key": key})
            if len(batch) == 1000:
                self._delete_objects(batch)
                batch = []
        if batch:
            self._delete_objects(batch)
        if ours:
            self._say(f"Deleting the bucket {bucket} ...")
            self._call("s3", "DeleteBucket", {"Bucket": bucket})

    def _delete_stack(self) -> None:
        self._say(f"The stack {self.name} is being deleted ...")
        self._call("cloudformation", "DeleteStack", {"StackName": self.name})
        status = self._settled()
        if status not in _GONE:
            reasons = "\n".join(f"  {line}" for line in self._reasons())
            raise NotDeployed(f"The stack {self.name} is {status}:\n{reasons}")

    def _delete_objects(self, batch: list[dict[str, str]]) -> None:
        wanted = {"Bucket": self.bucket, "Delete": {"Objects": batch, "Quiet": True}}
        errors = self._call("s3", "DeleteObjects", wanted).get("Errors")
        if errors:
            raise NotDeployed(
                f"{len(errors)} objects of the bucket {self.bucket} can't be deleted: "
                f"{errors[0].get('Message', '')}"
            )

    def _keys(self) -> Iterator[str]:
        for prefix in PREFIXES:
            wanted: dict[str, Any] = {"Bucket": self.bucket, "Prefix": prefix}
            while True:
                answer = self._call("s3", "ListObjectsV2", wanted)
                for each in answer.get("Contents") or ():
                    yield each["Key"]
                if not answer.get("NextContinuationToken"):
                    break
                wanted["ContinuationToken"] = answer["NextContinuationToken"]

    # -- the bucket

    def _has_bucket(self) -> bool:
        return self._exists("HeadBucket", {"Bucket": self.bucket})

    def _has_object(self, key: str) -> bool:
        """Its name follows from its content, so an existing one is the right one."""
        return self._exists("HeadObject", {"Bucket": self.bucket, "Key": key})

    def _exists(self, operation: str, wanted: dict[str, Any]) -> bool:
        try:
            self._call("s3", operation, wanted)
        except AwsError as error:
            if error.code in ("404", "NoSuchBucket", "NoSuchKey", "NotFound"):
                return False
            if error.code == "403":
                raise NotDeployed(
                    f"The bucket {self.bucket} is somebody else's, or your credentials may not "
                    "use it: name another with --bucket."
                ) from None
            raise
        return True

    def _is_ours(self) -> bool:
        try:
            tags = self._call("s3", "GetBucketTagging", {"Bucket": self.bucket}).get("TagSet") or ()
        except AwsError as error:
            if error.code != "NoSuchTagSet":
                raise
            return False
        return {"Key": BUCKET_TAG, "Value": self.name} in [dict(tag) for tag in tags]

    def _make_bucket(self) -> None:
        """Creates it, and completes an interrupted attempt."""
        bucket, region = self.bucket, self._aws.effective_region
        is_new = not self._has_bucket()
        if is_new:
            self._say(f"Creating the bucket {bucket} ...")
            place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
            more = {} if region == "us-east-1" else place
            self._call("s3", "CreateBucket", {"Bucket": bucket, **more})
        elif not self._is_ours() and bucket != self._own_bucket:
            return  # the admin's own: it is as they want it
        tags = {"TagSet": [{"Key": BUCKET_TAG, "Value": self.name}]}
        self._call("s3", "PutBucketTagging", {"Bucket": bucket, "Tagging": tags})
        closed = dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"),
            True,
        )
        self._call(
            "s3",
            "PutPublicAccessBlock",
            {"Bucket": bucket, "PublicAccessBlockConfiguration": closed},
        )
        partition = "aws-cn" if region.startswith("cn-") else "aws"
        partition = "aws-us-gov" if region.startswith("us-gov-") else partition
        arn = f"arn:{partition}:s3:::{bucket}"
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [arn, f"{arn}/*"],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        }
        self._call("s3", "PutBucketPolicy", {"Bucket": bucket, "Policy": json.dumps(policy)})

    # -- the stack

    def _stack(self) -> dict[str, Any] | None:
        try:
            answer = self._call("cloudformation", "DescribeStacks", {"StackName": self.name})
        except AwsError as error:
            if "does not exist" in error.message:
                return None
            raise
        found = answer.get("Stacks") or ()
        return dict(found[0]) if found else None

    def _parameters(self) -> dict[str, str]:
        found = self._stack() or {}
        return {
            each["ParameterKey"]: each.get("ParameterValue", "")
            for each in found.get("Parameters") or ()
        }

    def _settled(self) -> str:
        """The stack's status, once no operation is under way; empty if there is no stack."""

        def status() -> str:
            found = self._stack()
            return str(found["StackStatus"]) if found else ""

        return str(
            self._wait(status, lambda each: not each.endswith("_IN_PROGRESS") or _waits(each))
        )

    def _resources(self) -> list[str]:
        answer = self._call("cloudformation", "DescribeStackResources", {"StackName": self.name})
        return [
            f"{each['ResourceType']} {each.get('PhysicalResourceId') or each['LogicalResourceId']}"
            for each in answer.get("StackResources") or ()
        ]

    def _reasons(self) -> list[str]:
        """CloudFormation's errors, the first one first."""
        answer = self._call("cloudformation", "DescribeStackEvents", {"StackName": self.name})
        return [
            f"{each.get('LogicalResourceId', '')}: {each['ResourceStatusReason']}"
            for each in reversed(answer.get("StackEvents") or [])
            if str(each.get("ResourceStatus", "")).endswith("FAILED")
            and each.get("ResourceStatusReason")
        ]

    def _wait(self, read: Callable[[], Any], done: Callable[[Any], bool]) -> Any:
        for _ in range(int(LIMIT / PAUSE)):
            found = read()
            if done(found):
                return found
            self._sleep(PAUSE)
        raise NotDeployed(
            f"CloudFormation is still at work after {LIMIT / 60:g} minutes. Run the same command "
            "again: it goes on from there."
        )

    def _call(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._aws.call_blocking(service, operation, parameters)


def _waits(status: str) -> bool:
    """Whether the stack is only a change set that nobody has executed."""
    return status == "REVIEW_IN_PROGRESS"


def _is_there(status: str) -> bool:
    return bool(status) and not _waits(status) and status not in (*_TO_BE_MADE_ANEW, *_GONE)


def _is_made(change_set: Mapping[str, Any]) -> bool:
    return change_set["Status"] in ("CREATE_COMPLETE", "FAILED")


def _in_words(change: Mapping[str, Any]) -> str:
    found = change.get("ResourceChange") or {}
    action = {"Add": "create", "Modify": "change", "Remove": "delete"}.get(
        str(found.get("Action")), str(found.get("Action")).lower()
    )
    replaced = " (replaced)" if found.get("Replacement") == "True" else ""
    return f"{action} {found.get('ResourceType')} {found.get('LogicalResourceId')}{replaced}"
