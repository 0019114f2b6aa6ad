"""Tags, in the answers of the tagging API (pages of tagged resources) and of SageMaker."""

from __future__ import annotations

from collections.abc import Mapping

from tests.localstudio.errors import not_found

from ._table import (
    SAGEMAKER,
    SERVICES,
    Answer,
    Backend,
    OperationTable,
    Parameters,
    page_of_ordered,
)

TAGGING = OperationTable("resourcegroupstaggingapi")
SERVICES.append(TAGGING)

#: Resources on a page unless the request says less.
_PAGE = 100


@TAGGING.operation("GetResources")
async def get_resources(backend: Backend, p: Parameters) -> Answer:
    found = sorted(
        (arn, tags)
        for arn, tags in backend.account.tags.items()
        if arn in p.get("ResourceARNList", (arn,))
        and _is_of_type(arn, p.get("ResourceTypeFilters", ()))
        and all(_matches(tags, each) for each in p.get("TagFilters", ()))
    )
    size = {"MaxResults": p.get("ResourcesPerPage", _PAGE)}
    if p.get("PaginationToken"):
        size["NextToken"] = p["PaginationToken"]
    part, token = page_of_ordered(found, size, lambda item: (item[0],))
    return {
        "PaginationToken": token or "",
        "ResourceTagMappingList": [
            {
                "ResourceARN": arn,
                "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
            }
            for arn, tags in part
        ],
    }


@SAGEMAKER.operation("ListTags")
async def list_tags(backend: Backend, p: Parameters) -> Answer:
    tags = backend.account.tags.get(p["ResourceArn"], {})
    return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}


@SAGEMAKER.operation("AddTags")
async def add_tags(backend: Backend, p: Parameters) -> Answer:
    _must_exist(backend, p["ResourceArn"])
    tags = backend.account.tags.setdefault(p["ResourceArn"], {})
    tags.update({tag["Key"]: tag["Value"] for tag in p["Tags"]})
    return await list_tags(backend, p)


@SAGEMAKER.operation("DeleteTags")
async def delete_tags(backend: Backend, p: Parameters) -> Answer:
    tags = backend.account.tags.get(p["ResourceArn"], {})
    for key in p["TagKeys"]:
        tags.pop(key, None)
    return {}


def _must_exist(backend: Backend, arn: str) -> None:
    """A resource that is gone can't be tagged. Domains, spaces and user profiles are not
    checked."""
    kind, _, _ = arn.split(":", 5)[5].partition("/")
    account, now = backend.account, backend.now()
    there = {
        "app": lambda: {app.key.arn for app in account.apps(now) if app.status != "Deleted"},
        "notebook-instance": lambda: {each.arn for each in account.notebooks(now)},
    }
    if kind in there and arn not in there[kind]():
        raise not_found(f"[{arn}]")


def _is_of_type(arn: str, filters: list[str]) -> bool:
    service, resource = arn.split(":")[2], arn.split(":", 5)[5].partition("/")[0]
    return not filters or any(each in (service, f"{service}:{resource}") for each in filters)


def _matches(tags: Mapping[str, str], wanted: Parameters) -> bool:
    values = wanted.get("Values")
    return wanted["Key"] in tags and (not values or tags[wanted["Key"]] in values)
