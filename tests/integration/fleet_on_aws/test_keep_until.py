"""The stack without any Prometheus: an exception tag spares an app, wherever it is, and nothing
else is spared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from sagemaker_autoshutdown.clock import to_iso, utcnow
from sagemaker_autoshutdown.fleet.acting.model import EXCEPTION_TAG
from sagemaker_autoshutdown.hosts.marks import MARK_TAG
from tests.localstudio import fleet as fleets
from tests.localstudio.names import arn
from tests.localstudio.state import AppKey, Domain
from tests.localstudio.testing import BlockingStudio
from tests.ministack import wait_for

from .conftest import Fleet

DOMAIN = "d-keeping00001"
LIMIT = 400.0
#: The hours are never now: the functions have to know the zone to read the others.
CONFIG = f"""
[prices]
price_list_api = false
[act]
enabled = ["seen"]
warning = "90s"
[act.limits]
share = 1.0
[[rules]]
name = "nights"
which = {{ domain = "d-other" }}
when = {{ off_hours = "off=(M-F,19);on=(M-F,7);tz=Europe/Berlin" }}
[[rules]]
name = "long"
which = {{ domain = "{DOMAIN}" }}
when = {{ up_for = "1s" }}
"""
KEPT = {"by-app", "by-space", "by-profile", "later"}
DUE = {"plain", "over", "unreadable"}


@pytest.fixture
def apps(studio: BlockingStudio) -> Iterator[dict[str, AppKey]]:
    """Code Editors in private spaces, each of another user."""
    made: dict[str, AppKey] = {}

    def fill(s: Any) -> None:
        now, into = s.now(), fleets.Fleet()
        s.account.create_domain(Domain(DOMAIN, DOMAIN, now, now, {"AuthMode": "IAM"}))
        for name in sorted(KEPT | DUE):
            what = (name, "CodeEditor", "default", "ml.t3.large", now - timedelta(hours=1))
            made[name] = fleets.enter(s.account, into, DOMAIN, *what)
        day = {EXCEPTION_TAG: f"keep-until:{to_iso(utcnow() + timedelta(days=1))}"}
        space = made["by-space"].owner_name
        s.account.tags.update(
            {
                made["by-app"].arn: day,
                arn(f"space/{DOMAIN}/{space}"): day,
                arn(f"user-profile/{DOMAIN}/by-profile"): day,
                made["over"].arn: {EXCEPTION_TAG: "keep-until:2020-01-01"},
                made["unreadable"].arn: {EXCEPTION_TAG: "keep"},
            }
        )

    def empty(s: Any) -> None:
        for key in made.values():
            s.account.remove(key)

    studio.do(fill)
    yield made
    studio.do(empty)


@pytest.mark.whole_stack
def test_an_exception_spares_an_app_without_any_prometheus(
    fleet: Fleet, studio: BlockingStudio, apps: dict[str, AppKey]
) -> None:
    names = {key.owner_name: name for name, key in apps.items()}

    def marked(name: str) -> bool:
        found = studio.do(lambda s: dict(s.account.tags.get(apps[name].arn, {})))
        return MARK_TAG in found

    def up() -> set[str]:
        found = studio.do(
            lambda s: {app.key for app in s.account.apps(s.now()) if app.status == "InService"}
        )
        return {name for name, key in apps.items() if key in found}

    fleet.deploy(CONFIG, Act="true")
    wait_for(lambda: marked("later"), "a mark", LIMIT)
    tag = {"Key": EXCEPTION_TAG, "Value": "keep-until:2099-01-01"}
    studio.client().add_tags(ResourceArn=apps["later"].arn, Tags=[tag])

    wait_for(lambda: not up() & DUE, "the end of the others", LIMIT)
    wait_for(lambda: not marked("later"), "the mark is taken off", LIMIT)
    group = fleet.deployment.outputs()["AuditLogGroup"]

    def audit() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for line in fleet.engines.logs(group):
            event = json.loads(line)
            found.setdefault(event["event"], set()).add(names[event["owner_name"]])
        return found

    wait_for(lambda: audit().get("stopped") == DUE and audit().get("kept") == KEPT, "the audit")
    assert audit()["marked"] == DUE | {"later"}
    assert up() == KEPT
    assert not any(map(marked, KEPT))
    deleted = {
        names.get(call.parameters.get("SpaceName", ""))
        for call in studio.calls()
        if call.operation == "DeleteApp"
    }
    assert not deleted & KEPT
