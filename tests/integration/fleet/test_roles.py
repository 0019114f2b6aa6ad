"""Several accounts with one configuration file: each is called with its own role's credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.localstudio.testing import BlockingStudio
from tests.serving import Gate, serving

from .conftest import Run, document, fill

ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><Arn>{arn}</Arn><AssumedRoleId>A:b</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ROLE{account}</AccessKeyId><SecretAccessKey>not-a-secret</SecretAccessKey>
<SessionToken>token</SessionToken><Expiration>{until}</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"""
DENIED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to assume</Message></Error>
</ErrorResponse>"""


class Calls:
    """An STS, and, in front of the local Studio, a proxy that records whose requests pass."""

    def __init__(self, studio_url: str) -> None:
        self.studio_url = studio_url
        self.assumed: list[dict[str, str]] = []
        self.signed: dict[str, int] = {}
        self.refused: set[str] = set()
        self.closed_regions: set[str] = set()

    def assume(self, form: Mapping[str, str]) -> tuple[int, str]:
        """STS's answer."""
        self.assumed.append(dict(form))
        account = form["RoleArn"].split(":")[4]
        if account in self.refused:
            return 403, DENIED
        until = datetime.now(timezone.utc) + timedelta(hours=1)
        return 200, ANSWER.format(
            arn=form["RoleArn"], account=account, until=f"{until:%Y-%m-%dT%H:%M:%SZ}"
        )


@pytest.fixture
def gate(studio: BlockingStudio) -> Iterator[tuple[Calls, str]]:
    gate = Calls(studio.endpoint_url)

    class Handler(Gate):
        def respond(self, body: bytes) -> None:
            if body.startswith(b"Action=AssumeRole"):
                form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
                status, text = gate.assume(form)
                self.answer(status, text.encode(), "text/xml")
                return
            key, region = self.signer
            if region in gate.closed_regions:
                text = (
                    '{"__type": "AccessDeniedException", "Message": "an explicit deny in an SCP"}'
                )
                self.answer(400, text.encode(), "application/x-amz-json-1.1")
                return
            gate.signed[key] = gate.signed.get(key, 0) + 1
            self.forward(gate.studio_url, body)

    with serving(Handler) as url:
        yield gate, url


def accounts(folder: Path) -> Path:
    path = folder / "fleet.toml"
    path.write_text(
        """
[[accounts]]
regions = ["us-east-2"]

[[accounts]]
name = "production"
role_arn = "arn:aws:iam::111111111111:role/fleet"
external_id = "handshake"
regions = ["us-east-2", "eu-west-1"]

[[accounts]]
name = "research"
role_arn = "arn:aws:iam::222222222222:role/fleet"
regions = ["us-east-2"]
"""
    )
    return path


def test_each_account_is_asked_with_its_own_roles_credentials(
    gate: tuple[Calls, str],
    studio: BlockingStudio,
    run: Run,
    environment: Mapping[str, str],
    tmp_path: Path,
) -> None:
    fill(studio, apps=20)
    note, url = gate
    env = {**environment, "AWS_ENDPOINT_URL_SAGEMAKER": url, "AWS_ENDPOINT_URL_STS": url}
    done = run("status", "--json", "--config", str(accounts(tmp_path)), env=env)
    found = document(done)
    assert {(each["account_id"], each["region"]) for each in found["accounts"]} == {
        ("123456789012", "us-east-2"),
        ("111111111111", "us-east-2"),
        ("111111111111", "eu-west-1"),
        ("222222222222", "us-east-2"),
    }
    assert len(found["apps"]) == 4 * 20
    assert set(note.signed) == {"LOCALSTUDIO", "ROLE111111111111", "ROLE222222222222"}
    # One account with its two regions makes twice the calls of the others.
    assert note.signed["ROLE111111111111"] == 2 * note.signed["ROLE222222222222"]
    external = {call["RoleArn"].split(":")[4]: call.get("ExternalId") for call in note.assumed}
    assert external == {"111111111111": "handshake", "222222222222": None}


def test_an_account_that_does_not_let_us_in_leaves_the_others_as_they_are(
    gate: tuple[Calls, str],
    studio: BlockingStudio,
    run: Run,
    environment: Mapping[str, str],
    tmp_path: Path,
) -> None:
    fill(studio, apps=20)
    note, url = gate
    note.refused.add("222222222222")
    env = {**environment, "AWS_ENDPOINT_URL_SAGEMAKER": url, "AWS_ENDPOINT_URL_STS": url}
    done = run("status", "--config", str(accounts(tmp_path)), env=env)
    assert done.returncode == 1
    assert "research us-east-2" in done.stderr
    assert "not authorized to assume" in done.stderr
    assert "Traceback" not in done.stderr
    assert "63 up" in done.stdout


def test_a_region_that_is_denied_leaves_the_other_two_as_they_are(
    gate: tuple[Calls, str],
    studio: BlockingStudio,
    run: Run,
    environment: Mapping[str, str],
) -> None:
    fill(studio, apps=20)
    note, url = gate
    note.closed_regions.add("eu-west-1")
    env = {**environment, "AWS_ENDPOINT_URL_SAGEMAKER": url, "AWS_ENDPOINT_URL_STS": url}
    regions = [
        part
        for region in ("us-east-2", "eu-west-1", "eu-central-1")
        for part in ("--region", region)
    ]
    done = run("status", "--json", *regions, env=env)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [each["region"] for each in found["accounts"]] in (
        ["us-east-2", "eu-central-1"],
        ["eu-central-1", "us-east-2"],
    )
    assert len(found["apps"]) == 2 * 20
    (problem,) = found["problems"]
    assert problem.startswith("eu-west-1: ")
    assert "sagemaker:ListApps" in problem
