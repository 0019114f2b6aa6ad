"""The same for notebook instances, by name."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sagemaker_autoshutdown import __version__
from sagemaker_autoshutdown.lifecycle import policy
from tests.localstudio import Fault, names
from tests.localstudio.state import NotebookInstance

from .conftest import Account

NAME = "analysis"


def enter(account: Account, name: str = NAME, status: str = "Stopped", **settings: Any) -> None:
    """A notebook instance, with no process behind it."""
    now = account.studio.studio.now()
    notebook = NotebookInstance(name, "ml.t3.medium", status, now, now, settings=settings)
    account.studio.do(lambda studio: studio.account.create_notebook(notebook, now))


def attached(account: Account, name: str = NAME) -> str | None:
    """The name of the attached configuration."""
    described = account.client.describe_notebook_instance(NotebookInstanceName=name)
    config: str | None = described.get("NotebookInstanceLifecycleConfigName")
    return config


def hooks(account: Account, config: str) -> dict[str, str]:
    """The scripts of a lifecycle configuration, by hook."""
    described = account.client.describe_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=config
    )
    return {
        hook: base64.b64decode(described[hook][0]["Content"]).decode()
        for hook in ("OnCreate", "OnStart")
        if described.get(hook)
    }


def test_it_is_attached_to_a_stopped_one_and_taken_off_again(account: Account) -> None:
    enter(account, RoleArn=names.ROLE_ARN)
    assert account.run("install", "--yes", "--notebook-instance", NAME)[0] == 0
    config = attached(account)
    assert config is not None
    assert "JupyterSystemEnv" in hooks(account, config)["OnStart"]
    changes = account.changes()
    assert account.run("install", "--yes", "--notebook-instance", NAME)[0] == 0
    assert account.changes() == changes

    _, out, _ = account.run("status", "--notebook-instances", "--json")
    [row] = json.loads(out)
    assert (row["owner"], row["next_start"]) == (NAME, __version__)

    assert account.run("uninstall", "--yes", "--notebook-instance", NAME)[0] == 0
    assert attached(account) is None
    listed = account.client.list_notebook_instance_lifecycle_configs()
    assert listed["NotebookInstanceLifecycleConfigs"] == []


def test_one_that_runs_is_named_as_needing_a_stop_first(account: Account) -> None:
    enter(account, status="InService")
    enter(account, "stopped")
    code, out, err = account.run(
        "install", "--yes", "--notebook-instance", NAME, "--notebook-instance", "stopped"
    )
    assert f"Not yet: {NAME} is InService and can be changed only while it is stopped" in out
    assert attached(account) is None
    assert attached(account, "stopped") is not None
    # A pipeline must not mistake it for done.
    assert (code, err) == (1, 'The steps marked "Not yet" were not done.\n')


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_what_can_not_be_done_yet_is_not_taken_for_done(account: Account, command: str) -> None:
    enter(account)
    if command == "uninstall":
        account.run("install", "--yes", "--notebook-instance", NAME)
    account.studio.do(lambda studio: studio.account.start_notebook(NAME, studio.now()))
    code, out, _ = account.run(command, "--notebook-instance", NAME, "--yes")
    assert code == 1
    assert out.startswith("Nothing can be done yet.\n")
    assert "aws sagemaker stop-notebook-instance --notebook-instance-name analysis" in out
    assert account.run(command, "--notebook-instance", NAME, "--dry-run")[0] == 0


def test_what_was_there_goes_on_running_and_comes_back(account: Account) -> None:
    encoded = {
        hook: [{"Content": base64.b64encode(f"#!/bin/bash\n# {hook}\n".encode()).decode()}]
        for hook in ("OnCreate", "OnStart")
    }
    account.client.create_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName="theirs", **encoded
    )
    enter(account, NotebookInstanceLifecycleConfigName="theirs")
    account.run("install", "--yes", "--notebook-instance", NAME)
    config = attached(account)
    assert config not in (None, "theirs")
    scripts = hooks(account, str(config))
    assert scripts["OnCreate"] == "#!/bin/bash\n# OnCreate\n"
    assert "# OnStart" in scripts["OnStart"]
    account.run("uninstall", "--yes", "--notebook-instance", NAME)
    assert attached(account) == "theirs"


def create(account: Account, name: str, **scripts: str) -> None:
    """Somebody else's lifecycle configuration."""
    encoded = {
        hook: [{"Content": base64.b64encode(script.encode()).decode()}]
        for hook, script in scripts.items()
    }
    account.client.create_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=name, **encoded
    )


def test_a_config_for_the_creation_only_survives_an_upgrade_and_comes_back(
    account: Account,
) -> None:
    create(account, "theirs", OnCreate="#!/bin/bash\n# once\n")
    enter(account, NotebookInstanceLifecycleConfigName="theirs")
    account.run("install", "--yes", "--notebook-instance", NAME)
    first = str(attached(account))
    account.run("install", "--yes", "--notebook-instance", NAME, "--idle-timeout", "1h")
    second = str(attached(account))
    assert first != second
    assert hooks(account, second)["OnCreate"] == "#!/bin/bash\n# once\n"
    account.run("uninstall", "--yes", "--notebook-instance", NAME)
    assert attached(account) == "theirs"


def test_two_scripts_for_the_creation_do_not_share_a_name(account: Account) -> None:
    """Both name theirs the same, one after the other, with the same script for every start."""
    names_given = set()
    for number in (1, 2):
        create(account, "theirs", OnCreate=f"#!/bin/bash\n# {number}\n")
        enter(account, f"n{number}", NotebookInstanceLifecycleConfigName="theirs")
        account.run("install", "--yes", "--notebook-instance", f"n{number}")
        config = str(attached(account, f"n{number}"))
        assert hooks(account, config)["OnCreate"] == f"#!/bin/bash\n# {number}\n"
        names_given.add(config)
        account.client.delete_notebook_instance_lifecycle_config(
            NotebookInstanceLifecycleConfigName="theirs"
        )
    assert len(names_given) == 2


def test_a_script_of_theirs_that_is_not_utf_8_is_refused(account: Account) -> None:
    content = base64.b64encode(b"#!/bin/bash\necho \xe9\n").decode()
    account.client.create_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName="theirs", OnStart=[{"Content": content}]
    )
    enter(account, NotebookInstanceLifecycleConfigName="theirs")
    code, _, err = account.run("install", "--yes", "--notebook-instance", NAME)
    assert (code, "not valid UTF-8" in err, attached(account)) == (1, True, "theirs")


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        ("Lifecycle config is in use by a notebook instance", 0, "it is still in use"),
        ("Unable to delete: Lifecycle Config does not exist", 0, "it is already gone"),
        ("1 validation error detected", 1, "by hand"),
    ],
)
def test_an_error_that_means_neither_gone_nor_in_use_is_not_swallowed(
    account: Account, message: str, code: int, said: str
) -> None:
    enter(account)
    account.run("install", "--yes", "--notebook-instance", NAME)
    account.studio.fault(
        Fault("DeleteNotebookInstanceLifecycleConfig", code="ValidationException", message=message)
    )
    found, out, err = account.run("uninstall", "--yes", "--notebook-instance", NAME)
    assert (found, said in out + err) == (code, True)
    assert attached(account) is None


def test_a_name_that_does_not_exist_is_said(account: Account) -> None:
    code, _, err = account.run("install", "--yes", "--notebook-instance", "nobody")
    assert (code, "there is no notebook instance nobody" in err) == (1, True)


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_the_policy_is_all_that_is_needed(account: Account, command: str) -> None:
    enter(account)
    if command == "uninstall":
        account.run("install", "--yes", "--notebook-instance", NAME)
    begin = len(account.studio.calls())
    assert account.run(command, "--yes", "--notebook-instance", NAME)[0] == 0
    called = {f"sagemaker:{call.operation}" for call in account.studio.calls()[begin:]}
    assert called <= set(policy.ADMIN_NOTEBOOKS[command])
