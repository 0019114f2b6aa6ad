"""The admin's traits: which values are refused, with which message, and what applies then."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Application, Config, LoggingConfigurable

from sagemaker_autoshutdown.settings.admin import Policy, Rule, SageMakerAutoShutdown, load

SECONDS = [
    "idle_timeout",
    "poll_interval",
    "warning_time",
    "active_time",
    "min_idle_timeout",
    "max_idle_timeout",
]
SECONDS_OR_OFF = ["max_busy_time", "max_keep_alive", "avoided_cost_cap"]


class Server(LoggingConfigurable):
    """Holds the values of the config file and of the command line."""


def loaded(config: Config | None = None, **traits: Any) -> tuple[SageMakerAutoShutdown, list[str]]:
    config = config or Config(SageMakerAutoShutdown=traits)
    return load(Server(config=config, log=logging.getLogger("tests")))


def test_the_defaults_are_the_documented_ones() -> None:
    config, problems = loaded()
    assert problems == []
    assert config.policy() == Policy()
    assert (config.poll_interval, config.max_keep_alive, config.allow_user_settings) == (
        60.0,
        86400.0,
        True,
    )


@pytest.mark.parametrize("name", [*SECONDS, *SECONDS_OR_OFF])
@pytest.mark.parametrize(
    "value", [-1, 0.5, 1e9, float("nan"), float("inf"), "2h", [1], True], ids=repr
)
def test_a_time_that_makes_no_sense_is_refused_with_what_is_allowed(
    name: str, value: object
) -> None:
    with pytest.raises(TraitError, match=name):
        SageMakerAutoShutdown(**{name: value})


@pytest.mark.parametrize("name", SECONDS)
def test_no_time_to_wait_is_refused_where_it_would_shut_down_everything_at_once(name: str) -> None:
    with pytest.raises(TraitError, match="from 1 to"):
        SageMakerAutoShutdown(**{name: 0})


@pytest.mark.parametrize("name", SECONDS_OR_OFF)
def test_zero_is_off_where_the_help_says_so(name: str) -> None:
    assert getattr(SageMakerAutoShutdown(**{name: 0}), name) == 0


def test_f7_a_value_that_is_refused_leaves_the_default_in_force_and_is_told() -> None:
    config, problems = loaded(idle_timeout=-5, keep_terminals="perhaps", poll_interval=30)
    assert (config.idle_timeout, config.keep_terminals) == (7200.0, False)
    assert config.poll_interval == 30
    assert len(problems) == 2
    assert "SageMakerAutoShutdown.idle_timeout must be in seconds, from 1 to" in problems[0]
    assert "(its default, 7200.0, applies)" in problems[0]
    assert "keep_terminals" in problems[1]


def test_a_name_that_is_no_setting_is_told_with_those_that_are() -> None:
    _, problems = loaded(idle_timout=60)
    assert "idle_timout is not a setting" in problems[0]
    assert "idle_timeout" in problems[0]


@pytest.mark.parametrize(
    ("argument", "problem"),
    [("idle_timeout=1800", ""), ("idle_timeout=soon", "soon"), ("dry_run=perhaps", "perhaps")],
)
def test_the_command_line_counts_like_the_config_file(argument: str, problem: str) -> None:
    application = Application()
    application.parse_command_line([f"--SageMakerAutoShutdown.{argument}"])
    config, problems = loaded(application.config)
    assert [problem in text for text in problems] == ([True] if problem else [])
    assert config.idle_timeout == (1800 if not problem else 7200)


@pytest.mark.parametrize(
    ("arguments", "patterns"),
    [
        (["a b"], ["a b"]),
        (["['a b', 'c']"], ["a b", "c"]),
        (["['a b']"], ["a b"]),
        (["a", "b"], ["a", "b"]),
        (["[ab]*"], ["[ab]*"]),
        (["[]"], []),
    ],
)
def test_a_list_on_the_command_line_is_not_taken_for_one_pattern(
    arguments: list[str], patterns: list[str]
) -> None:
    application = Application()
    application.parse_command_line(
        [f"--SageMakerAutoShutdown.ignored_programs={each}" for each in arguments]
    )
    config, problems = load(application)
    assert (config.ignored_programs, problems) == (patterns, [])


def test_bounds_that_contradict_each_other_are_told() -> None:
    config, (problem,) = loaded(min_idle_timeout=600, max_idle_timeout=300)
    assert (config.min_idle_timeout, config.max_idle_timeout) == (300, 300)
    assert "min_idle_timeout (600 s) is above max_idle_timeout (300 s)" in problem


class TestRules:
    def test_they_become_part_of_the_policy_in_their_order(self) -> None:
        config, problems = loaded(
            idle_timeout_rules=[
                {"instance_type": "ml.g*", "idle_timeout": 1800},
                {"owner": "intern-*", "app_type": "JupyterLab", "idle_timeout": 600},
            ]
        )
        assert problems == []
        assert config.policy().rules == (
            Rule(timedelta(minutes=30), "ml.g*"),
            Rule(timedelta(minutes=10), "*", "intern-*", "JupyterLab"),
        )

    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            ("ml.g*", "must be a dict"),
            ({"instance_type": "ml.g*"}, "needs idle_timeout"),
            ({"idle_timeout": True}, "needs idle_timeout"),
            ({"idle_timeout": "60"}, "needs idle_timeout"),
            ({"idle_timeout": 0}, "from 1 to"),
            ({"idle_timeout": 60, "user": "x"}, "unknown key user"),
            ({"idle_timeout": 60, "owner": 5}, "owner in a rule"),
        ],
        ids=str,
    )
    def test_one_that_makes_no_sense_is_told_and_the_general_limit_applies(
        self, rule: object, said: str
    ) -> None:
        config, (problem,) = loaded(idle_timeout_rules=[rule])
        assert said in problem
        assert config.policy().rules == ()


def test_settings_that_users_may_change_are_named_or_refused() -> None:
    assert loaded(allow_user_settings=["idle_timeout"])[0].user_may_change("idle_timeout")
    assert not loaded(allow_user_settings=["idle_timeout"])[0].user_may_change("warning_time")
    assert not loaded(allow_user_settings=False)[0].user_may_change("idle_timeout")
    config, (problem,) = loaded(allow_user_settings=["idle_time"])
    assert "idle_time" in problem
    assert "ignore_connections" in problem
    assert config.allow_user_settings is False


def test_the_metadata_file_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESOURCE_METADATA_FILE", raising=False)
    standard = "/opt/ml/metadata/resource-metadata.json"
    assert SageMakerAutoShutdown().resource_metadata_file == standard
    monkeypatch.setenv("RESOURCE_METADATA_FILE", "/elsewhere.json")
    assert SageMakerAutoShutdown().resource_metadata_file == "/elsewhere.json"
    assert SageMakerAutoShutdown(resource_metadata_file="/x").resource_metadata_file == "/x"


def test_every_setting_tells_its_unit() -> None:
    for name in (*SECONDS, *SECONDS_OR_OFF):
        assert "econds" in SageMakerAutoShutdown.class_traits()[name].help


@pytest.mark.parametrize("section", [None, [], "idle", 7])
def test_a_section_that_is_none_leaves_the_defaults_in_force(section: object) -> None:
    config, problems = loaded(Config(SageMakerAutoShutdown=section))
    assert config.policy() == Policy()
    assert len(problems) == 1


def test_a_number_that_no_float_can_hold_is_refused_not_raised() -> None:
    config, problems = loaded(idle_timeout=10**400)
    assert config.policy() == Policy()
    assert "idle_timeout" in problems[0]


@pytest.mark.parametrize(
    ("text", "applies"),
    [("['idle_timeout']", ["idle_timeout"]), ("False", False), ("True", True)],
)
def test_what_users_may_change_can_be_said_on_the_command_line(text: str, applies: object) -> None:
    application = Application()
    application.parse_command_line([f"--SageMakerAutoShutdown.allow_user_settings={text}"])
    config, problems = load(application)
    assert (config.allow_user_settings, problems) == (applies, [])


def test_a_slip_in_what_users_may_change_gives_them_nothing_more() -> None:
    application = Application()
    application.parse_command_line(["--SageMakerAutoShutdown.allow_user_settings=nonsense"])
    config, problems = load(application)
    assert config.allow_user_settings is False
    assert "users cannot change their settings" in problems[0]
