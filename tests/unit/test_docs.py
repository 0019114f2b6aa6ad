"""README and docs agree with the code."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml

from sagemaker_autoshutdown import cli
from sagemaker_autoshutdown.lifecycle.policy import Place, role_policy
from sagemaker_autoshutdown.model import Reason, State
from sagemaker_autoshutdown.settings.admin import SageMakerAutoShutdown
from tests.generators import build_tables
from tests.generators.build_tables import section
from tests.paths import DOCS, ROOT

sys.path.insert(0, str(DOCS / "_ext"))

import command_line
import rest_api

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "RELEASE.md", "SECURITY.md")),
    ROOT / "lifecycle-config" / "README.md",
    *sorted(DOCS.glob("*.md")),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def page(name: str) -> str:
    """The text of a page of ``docs/``."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "part"), build_tables.TABLES)
def test_the_tables_of_settings_and_metrics_are_those_of_the_code(name: str, part: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert section(text, part) == build_tables.TABLES[name, part](), "run make render"


def test_every_state_and_every_reason_is_explained() -> None:
    text = page("how-it-decides")
    for value in (*State, *Reason):
        assert f"| `{value.value}` |" in text, f"how-it-decides.md does not explain {value.value}"


def test_every_module_that_the_map_names_is_there() -> None:
    rows = CONTRIBUTING.split("## Where does a change go?")[1].split("##")[0]
    for row in rows.splitlines():
        if not row.startswith("| `"):
            continue
        for name in re.findall(r"`([\w./-]+)`", row.split("|")[1]):
            inside = ROOT / "sagemaker_autoshutdown" / name
            assert inside.exists() or (ROOT / name).exists(), f"there is no {name}"


def test_every_module_is_on_the_map() -> None:
    for path in (ROOT / "sagemaker_autoshutdown").iterdir():
        if path.name.startswith(("_", ".")) or path.suffix not in ("", ".py"):
            continue
        name = f"{path.name}/" if path.is_dir() else path.name
        if name in ("labextension/", "jupyter_server_config.d/"):
            continue
        assert f"`{name}`" in CONTRIBUTING, f"CONTRIBUTING.md does not say what {name} is for"


def test_what_grows_at_the_top_level_gets_a_room() -> None:
    names = sorted(path.name for path in (ROOT / "sagemaker_autoshutdown").glob("*.py"))
    assert len(names) <= 14, names


def test_every_file_that_contributors_are_sent_to_is_there() -> None:
    steps = CONTRIBUTING.split("## Add a metric")[1].split("## House rules")[0]
    named = re.findall(r"`([\w./-]+(?:\.\w+|/))`", steps)
    assert len(named) > 20
    folders = (ROOT, ROOT / "sagemaker_autoshutdown", ROOT / "sagemaker_autoshutdown" / "hosts")
    nested = {"runtime.py": ROOT / "tests/localstudio/runtime.py"}
    nested |= {"openapi.yaml": ROOT / "sagemaker_autoshutdown/api/openapi.yaml"}
    for name in named:
        found = name in nested and nested[name].exists()
        assert found or any((folder / name).exists() for folder in folders), f"there is no {name}"


def test_the_policy_of_the_docs_is_that_of_the_command() -> None:
    table = page("permissions").split("```json")[0]
    policy = page("permissions").split("```json")[1].split("```")[0]
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


def test_the_rest_paths_of_the_docs_exist() -> None:
    spec = yaml.safe_load(rest_api.SPEC.read_text(encoding="utf-8"))
    known = {path.split("/api/")[1] for path in spec["paths"]}
    rest = section(page("rest-api"), "rest")
    assert set(re.findall(r"`(?:GET|POST|PUT|DELETE) ([\w{}/-]+)", rest)) == known


def test_the_reference_of_the_rest_api_names_every_request_and_schema() -> None:
    text = rest_api.reference()
    spec = yaml.safe_load(rest_api.SPEC.read_text(encoding="utf-8"))
    for path, item in spec["paths"].items():
        for method in set(item) & set(rest_api.METHODS):
            assert f"\n### {method.upper()} {path.removeprefix(rest_api.PREFIX)}\n" in text
    for name in spec["components"]["schemas"]:
        assert f"\n### {name}\n" in text


def test_every_command_is_in_the_table_of_commands() -> None:
    text = page("command-line")
    commands = [each.prog.rpartition(" ")[2] for each in command_line.commands(cli.parser())]
    assert re.findall(r"^\| \[`([\w-]+)`\]", text, re.MULTILINE) == commands
    assert command_line.MARK in text
    for name in commands:
        assert f"\n## {name}\n" in f"\n{command_line.reference()}"


def code_of(path: Path) -> str:
    """The blocks of code of a page."""
    text = path.read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^ *```.*?\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL))


def commands_of_the_docs() -> list[Any]:
    """Each command line of this product in a block of code."""
    found = []
    for path in PAGES:
        commands = r"^ *(?:\$ )?jupyter sagemaker-autoshutdown (.*)$"
        for line in re.findall(commands, code_of(path), re.MULTILINE):
            found.append(pytest.param(line, id=f"{path.name}: {line}"[:80]))
    return found


@pytest.mark.parametrize("line", commands_of_the_docs())
def test_every_command_of_the_docs_is_one(line: str) -> None:
    words = shlex.split(line, comments=True)
    if "--version" in words or "--help" in words:
        return
    assert callable(cli.parser().parse_args(words).run)


def test_every_target_of_make_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = makefile.partition(".PHONY:")[2].replace("\\\n", " ").partition("\n")[0]
    targets = {*phony.split(), *makefile.partition("\nPARTS := ")[2].partition("\n")[0].split()}
    workflows = [*(ROOT / ".github" / "workflows").glob("*.yml"), ROOT / ".pre-commit-config.yaml"]
    assert len(workflows) > 2
    for path in [*PAGES, *workflows]:
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"(?:`|run: |entry: )make ([a-z-]+)", text)
        named += re.findall(r"^ *make ([a-z-]+)", code_of(path), re.MULTILINE)
        for target in named:
            assert target in targets, f"{path.name} names `make {target}`, which is not there"


def test_the_links_and_pictures_of_the_readme_work_on_the_package_index() -> None:
    source = PROJECT["urls"]["Source"]
    raw = source.replace("https://github.com/", "https://raw.githubusercontent.com/")
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 10
    for link in links:
        for base in (f"{source}/blob/main/", f"{raw}/main/"):
            if link.startswith(base):
                assert (ROOT / link.removeprefix(base)).is_file(), f"there is no {link}"
                break
        else:
            pytest.fail(f"{link} does not work outside of the repository")


def test_the_readme_stays_short() -> None:
    assert len(README.splitlines()) <= 140, "longer texts belong into docs/"


def test_the_settings_that_can_change_on_running_servers_are_listed() -> None:
    traits = SageMakerAutoShutdown.class_traits(config=True)
    live = {name for name, trait in traits.items() if trait.metadata.get("live")}
    assert set(re.findall(r"`(\w+)`", section(page("rollout"), "live"))) == live
