"""The README's tables say what the code does."""

from __future__ import annotations

import json
import re

import yaml

from sagemaker_autoshutdown.lifecycle.policy import Place, role_policy
from sagemaker_autoshutdown.model import State
from sagemaker_autoshutdown.settings.admin import SageMakerAutoShutdown
from tests.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def settings_table() -> str:
    """The table of the administrator's settings, as the README must hold it."""
    rows = ["| setting | default | |", "|---|---|---|"]
    traits = SageMakerAutoShutdown.class_traits(config=True)
    # In the order of config.py, which begins with what matters most.
    for name in (name for name in vars(SageMakerAutoShutdown) if name in traits):
        trait = traits[name]
        default = trait.default()
        if name in ("data_dir", "resource_metadata_file"):
            shown = "see right"
        else:
            shown = f"`{default:g}`" if isinstance(default, float) else f"`{default!r}`"
        rows.append(f"| `{name}` | {shown} | {trait.help} |")
    return "\n".join(rows)


def section(name: str) -> str:
    """What stands between two markers."""
    found = re.search(rf"<!-- {name}: begin[^>]*-->\n(.*?)\n<!-- {name}: end -->", README, re.S)
    assert found, f"the README has no section {name}"
    return found.group(1)


def test_the_table_of_settings_is_that_of_the_traits() -> None:
    assert section("settings") == settings_table()


def test_every_state_is_explained() -> None:
    for state in State:
        assert f"| `{state.value}` |" in README


def test_every_room_that_the_map_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = text.split("## Where does a change go?")[1].split("##")[0]
    for row in rooms.splitlines():
        if not row.startswith("| `"):
            continue
        for name in re.findall(r"`([\w./-]+)`", row.split("|")[1]):
            inside = ROOT / "sagemaker_autoshutdown" / name
            assert inside.exists() or (ROOT / name).exists(), f"there is no {name}"


def test_every_module_has_a_room_on_the_map() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in (ROOT / "sagemaker_autoshutdown").iterdir():
        if path.name.startswith(("_", ".")) or path.suffix not in ("", ".py"):
            continue
        name = f"{path.name}/" if path.is_dir() else path.name
        if name in ("labextension/", "jupyter_server_config.d/"):
            continue
        assert f"`{name}`" in text, f"CONTRIBUTING.md does not say what {name} is for"


def test_what_the_readme_calls_an_iam_action_is_in_its_policy() -> None:
    table = README.split("### The rights it needs")[1].split("```json")[0]
    policy = README.split("```json")[1].split("```")[0]
    actions = set(re.findall(r"`(sagemaker:\w+)`", table))
    assert actions
    assert actions == {
        action
        for each in json.loads(policy)["Statement"]
        for action in each["Action"]
        if action.startswith("sagemaker:")
    }
    place = Place("aws", "REGION", "ACCOUNT", "DOMAIN-ID", "DOMAIN-ID")
    assert json.loads(policy) == role_policy(place=place)


def test_the_rest_paths_of_the_readme_exist() -> None:
    spec = yaml.safe_load(
        (ROOT / "sagemaker_autoshutdown/api/openapi.yaml").read_text(encoding="utf-8")
    )
    known = {path.split("/api/")[1] for path in spec["paths"]}
    named = set(re.findall(r"`(?:GET|POST|PUT|DELETE) ([\w{}/-]+)", section("rest")))
    assert named == known
