"""When a run is due: rules, hours, exceptions, and what is left alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from sagemaker_autoshutdown.fleet.acting.model import (
    EXCEPTION_TAG,
    Answer,
    Grade,
    Hold,
    Kind,
    Limits,
    Phase,
    RunId,
    Task,
    Verdict,
)
from sagemaker_autoshutdown.fleet.acting.plan import plan
from sagemaker_autoshutdown.fleet.acting.steps import exception_of
from sagemaker_autoshutdown.fleet.acting.wire import from_json, to_json
from sagemaker_autoshutdown.fleet.config import InvalidConfig, read
from sagemaker_autoshutdown.fleet.coverage import report_key
from sagemaker_autoshutdown.fleet.model import Resource, Run, Space, State
from sagemaker_autoshutdown.fleet.rules.hours import parse
from sagemaker_autoshutdown.fleet.rules.judge import verdicts
from sagemaker_autoshutdown.fleet.rules.model import (
    Facts,
    Idle,
    Reported,
    Rule,
    Rules,
    When,
    Which,
)
from sagemaker_autoshutdown.fleet.view import lines
from sagemaker_autoshutdown.hosts.marks import mark_text

from .scenes import NOON, POLICY, SCOPE, after, app, notebook, rates, stepped, sweep

HOURS = "off=(M-F,19);on=(M-F,7);tz=Europe/Berlin"


def judge(
    resource: Resource,
    rules: Rules,
    *,
    minutes: float = 600,
    facts: Facts | None = None,
    reported_at: float | None = None,
    asked: bool = False,
    tags: dict[str, dict[str, str]] | None = None,
    unseen: dict[str, str] | None = None,
    hold: Hold | None = None,
    spaces: Iterable[Space] = (),
) -> Verdict | None:
    """The rules' verdict on one app that was first seen at noon, this much later."""
    first = stepped(State(SCOPE), sweep(0, resource)).state
    name = report_key(resource.key)
    reports = {name: after(reported_at)} if name and reported_at is not None else None
    found = replace(
        sweep(minutes, resource, reports=reports if reports or not asked else {}, spaces=spaces),
        tags=tags or {},
        unseen=unseen or {},
    )
    state = stepped(first, found).state
    listed = lines(state, found, rates(), POLICY)
    holds = {hold.run: hold} if hold else {}
    return next(iter(verdicts(listed, state, found, rules, facts or Facts(), holds)), None)


def rule(which: Which | None = None, **when: object) -> Rules:
    """One rule, for which every class acts."""
    made = Rule("r", which or Which(), (When(**when),))  # type: ignore[arg-type]
    return Rules((made,), frozenset(Grade))


EDITOR = app("CodeEditor")
HOUR = timedelta(hours=1)


def test_what_is_up_for_too_long_is_seen_and_due() -> None:
    found = judge(EDITOR, rule(up_for=9 * HOUR))
    assert found is not None
    assert (found.answer, found.grade, found.acts) == (Answer.DUE, Grade.SEEN, True)
    assert found.evidence == {"up_since": "2026-09-01T12:00:00Z"}
    assert judge(EDITOR, rule(up_for=11 * HOUR)) is None


def test_the_first_rule_that_fits_decides_also_where_it_is_not_due() -> None:
    spared = Rule("spare", Which(owner=("ad*",)))
    due = Rule("all", Which(), (When(up_for=HOUR),))
    assert judge(EDITOR, Rules((spared, due), frozenset(Grade))) is None
    assert judge(EDITOR, Rules((due, spared), frozenset(Grade))) is not None


@pytest.mark.parametrize(
    "which",
    [
        Which(domain=("d-2",)),
        Which(space=("*",)),
        Which(app_type=("Jupyter*",)),
        Which(instance_type=("ml.g*",)),
        Which(coverage=("reports",)),
        Which(tags={"team": ("*",)}),
    ],
)
def test_a_rule_is_about_nothing_else(which: Which) -> None:
    assert judge(EDITOR, rule(which, up_for=HOUR)) is None


@pytest.mark.parametrize("status", ["Deleting", "Pending", "Updating"])
def test_what_is_not_in_service_is_not_due(status: str) -> None:
    assert judge(EDITOR._replace(status=status), rule(up_for=HOUR)) is None


@pytest.mark.parametrize("phase", [Phase.MARKED, Phase.ACTING])
def test_what_is_on_its_way_out_is_told_as_gone_and_never_as_spared(phase: Phase) -> None:
    """A function was killed after its call: people must not hear that the app stays."""
    run = RunId(SCOPE, EDITOR.key, NOON)
    hold = Hold(run, phase, 3, NOON, NOON, "r", told=True, mark="m", attempts=1)
    going = EDITOR._replace(status="Deleting")
    found = judge(going, rule(up_for=HOUR), hold=hold)
    assert found is not None
    assert found.answer is Answer.UNKNOWN
    runs = {EDITOR.key: Run(NOON, NOON, "ml.t3.medium")}
    now = NOON + 10 * HOUR
    assert plan([found], [hold], runs, 1, Limits(), now).tasks == ()
    assert plan([], [hold], {}, 0, Limits(), now).tasks == (Task(Kind.FINISH, run),)


def test_classes_that_are_not_enabled_do_not_act() -> None:
    found = judge(EDITOR, replace(rule(up_for=HOUR), grades=frozenset({Grade.REPORTED})))
    assert found is not None
    assert not found.acts


def test_a_rule_that_only_reports_does_not_act() -> None:
    [made] = rule(up_for=HOUR).rules
    found = judge(EDITOR, Rules((replace(made, acts=False),), frozenset(Grade)))
    assert found is not None
    assert not found.acts


def test_free_apps_and_a_domains_rstudio_are_left_alone() -> None:
    everything = rule(up_for=HOUR)
    assert judge(app("JupyterServer", instance_type="system"), everything) is None
    assert judge(app("RStudioServerPro", instance_type="ml.c5.4xlarge"), everything) is None
    named = rule(Which(app_type=("RStudioServerPro",)), up_for=HOUR)
    assert judge(app("RStudioServerPro", instance_type="ml.c5.4xlarge"), named) is not None


def test_a_type_that_is_new_is_left_alone_by_rules_that_do_not_name_it() -> None:
    new = app("QuantumLab", instance_type="ml.q1.large")
    for which in (Which(), Which(app_type=("*",)), Which(app_type=("Quantum*",))):
        assert judge(new, rule(which, up_for=HOUR)) is None
    assert judge(new, rule(Which(app_type=("QuantumLab",)), up_for=HOUR)) is not None


def test_tags_that_can_not_be_seen_make_it_unknown() -> None:
    asked = rule(Which(tags={"team": ("x*",)}), up_for=HOUR)
    found = judge(EDITOR, asked, unseen={"tags": "denied"})
    assert found is not None
    assert found.answer is Answer.UNKNOWN
    name = "app/d-1/ada/codeeditor/default"
    assert judge(EDITOR, asked, tags={name: {"team": "xyz"}}) is not None


def test_a_space_has_the_tags_of_the_profile_that_owns_it_and_its_own_above_them() -> None:
    """Somebody who tags a user means all apps of that user."""
    lab = app("JupyterLab", in_space=True, owner="lab")
    spaces = [Space("d-1", "lab", "ada", "Private")]
    asked = rule(Which(tags={"team": ("x",)}), up_for=HOUR)
    of_ada = {"user-profile/d-1/ada": {"team": "x", EXCEPTION_TAG: "keep-until:2026-09-03"}}
    found = judge(lab, asked, tags=of_ada, spaces=spaces)
    assert found is not None
    assert (found.profile, found.kept_until) == ("ada", at("2026-09-04T00:00"))
    assert judge(lab, asked, tags=of_ada) is None, "it is not known whose it is"
    of_lab = {"space/d-1/lab": {"team": "y"}}
    assert judge(lab, asked, tags={**of_ada, **of_lab}, spaces=spaces) is None


# -- what its own extension says

LAB = app("JupyterLab", in_space=True, owner="lab")


def reported(**values: object) -> Facts:
    name = report_key(LAB.key)
    assert name is not None
    one = Reported(**values)  # type: ignore[arg-type]
    return Facts({(name, "JupyterLab", "default"): one}, expects_reports=True)


@pytest.mark.parametrize(("late", "is_due"), [(14, False), (16, True)])
def test_a_covered_app_is_left_to_its_extension_until_that_is_late(
    late: float, is_due: bool
) -> None:
    facts = reported(idle=3 * HOUR, deadline=after(600 - late))
    for rules in (rule(up_for=HOUR), rule(idle_for=HOUR)):
        found = judge(LAB, rules, facts=facts, reported_at=599)
        assert (found is not None) is is_due


def test_a_covered_app_in_use_is_left_alone_although_an_old_deadline_is_still_read() -> None:
    facts = reported(idle=timedelta(0), deadline=after(500))
    assert judge(LAB, rule(up_for=HOUR), facts=facts, reported_at=599) is None


def test_while_prometheus_does_not_answer_what_could_report_is_unknown() -> None:
    silent = Facts(None, expects_reports=True)
    found = judge(LAB, rule(up_for=HOUR), facts=silent)
    assert found is not None
    assert found.answer is Answer.UNKNOWN
    due = judge(EDITOR, rule(up_for=HOUR), facts=silent)
    assert due is not None
    assert due.answer is Answer.DUE, "a Code Editor never reports"


def test_silence_is_a_guess_and_begins_with_the_last_report() -> None:
    facts = Facts({}, expects_reports=True)
    found = judge(LAB, rule(silent_for=2 * HOUR), facts=facts, reported_at=400)
    assert found is not None
    assert (found.grade, found.why) == (Grade.GUESSED, "silent for 3 h 20 min")
    assert judge(LAB, rule(silent_for=4 * HOUR), facts=facts, reported_at=400) is None
    never = judge(LAB, rule(silent_for=HOUR), facts=facts, asked=True)
    assert never is None, "who was never heard of can't have fallen silent"
    assert judge(EDITOR, rule(silent_for=HOUR), facts=facts, asked=True) is None


def test_a_keep_alive_that_a_silent_extension_reported_last_still_holds() -> None:
    facts = reported(kept_until=after(900))
    found = judge(LAB, rule(silent_for=2 * HOUR), facts=facts, reported_at=400)
    assert found is not None
    assert found.kept_until == after(900)


def test_what_is_up_again_after_a_deletion_has_not_been_up_since_before_it() -> None:
    """Started again between two sweeps, with the CreationTime that it had."""
    run = RunId(SCOPE, EDITOR.key, NOON)
    gone = Hold(run, Phase.DONE, 5, NOON, after(540), rule="r")
    assert judge(EDITOR, rule(up_for=2 * HOUR), hold=gone) is None
    assert judge(EDITOR, rule(up_for=2 * HOUR), minutes=661, hold=gone) is not None
    off = rule(off_hours=parse("off=(T,20:30);tz=UTC"))
    assert judge(EDITOR, off, minutes=520) is not None
    assert judge(EDITOR, off, minutes=545, hold=gone) is None


def test_two_conditions_are_as_weak_as_the_weaker() -> None:
    facts = Facts({}, expects_reports=True)
    found = judge(LAB, rule(silent_for=HOUR, up_for=HOUR), facts=facts, reported_at=400)
    assert found is not None
    assert found.grade is Grade.GUESSED


# -- Canvas

CANVAS = app("Canvas", instance_type="")


@pytest.mark.parametrize(
    ("idle", "measured", "expected"),
    [(3, 595, Answer.DUE), (1, 595, None), (3, 500, Answer.UNKNOWN)],
)
def test_canvas_is_judged_by_what_cloudwatch_measured_lately(
    idle: float, measured: float, expected: Answer | None
) -> None:
    facts = Facts(canvas={CANVAS.key: Idle(idle * HOUR, after(measured))})
    found = judge(CANVAS, rule(idle_for=2 * HOUR), facts=facts)
    assert (found.answer if found else None) is expected
    if expected is Answer.DUE and found:
        assert found.grade is Grade.REPORTED


def test_a_measurement_of_an_earlier_session_of_canvas_is_not_about_this_one() -> None:
    """CloudWatch still has it when the user has just started a session again, at noon."""
    for measured, is_due in ((-5, False), (5, True)):
        facts = Facts(canvas={CANVAS.key: Idle(3 * HOUR, after(measured))})
        found = judge(CANVAS, rule(idle_for=2 * HOUR), minutes=10, facts=facts)
        assert (found is not None) is is_due


def test_canvas_without_a_measurement_is_unknown_and_other_apps_are_never_idle() -> None:
    for facts in (Facts(canvas={}), Facts()):
        found = judge(CANVAS, rule(idle_for=HOUR), facts=facts)
        assert found is not None
        assert found.answer is Answer.UNKNOWN
    assert judge(EDITOR, rule(idle_for=HOUR)) is None


# -- hours


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("moment", "began"),
    [
        ("2026-09-01T17:00", "2026-09-01T17:00"),  # a Tuesday, 19:00 in summer
        ("2026-09-01T17:59", "2026-09-01T17:00"),
        ("2026-09-01T18:00", None),
        ("2026-09-01T16:59", None),
        ("2026-12-01T17:30", None),  # 18:30 in winter
        ("2026-12-01T18:30", "2026-12-01T18:00"),
        ("2026-09-05T17:30", None),  # a Saturday
    ],
)
def test_hours_are_the_zones_own_and_last_an_hour(moment: str, began: str | None) -> None:
    assert parse(HOURS).began(at(moment)) == (at(began) if began else None)


def test_an_hour_that_is_skipped_counts_later_and_one_that_comes_twice_once() -> None:
    skipped = parse("off=(U,2:30);tz=Europe/Berlin")
    assert skipped.began(at("2026-03-29T01:45")) == at("2026-03-29T01:30")
    twice = parse("off=(U,2);tz=Europe/Berlin")
    assert twice.began(at("2026-10-25T00:30")) == at("2026-10-25T00:00")
    assert twice.began(at("2026-10-25T01:30")) is None


def test_who_starts_it_again_in_that_hour_is_left_alone() -> None:
    # First seen at 14:00 in Berlin.
    off = rule(off_hours=parse("off=(T,19);on=(W,7);tz=Europe/Berlin"))
    assert judge(EDITOR, off, minutes=5 * 60 + 10) is not None
    assert judge(EDITOR, off, minutes=4 * 60 + 50) is None
    began = rule(off_hours=parse("off=(T,13:30);tz=Europe/Berlin"))
    assert judge(EDITOR, began, minutes=10) is None, "it began after that"


def test_an_on_time_within_the_hour_ends_it() -> None:
    """Times of a Tuesday, in UTC; the app was first seen at noon."""
    for on, minutes, is_due in (
        ("on=(T,20:30)", 8 * 60 + 29, True),
        ("on=(T,20:30)", 8 * 60 + 30, False),
        ("on=(T,20)", 8 * 60 + 29, True),  # at the same time: off
        ("on=(M-U,19)", 8 * 60 + 29, True),
    ):
        found = judge(EDITOR, rule(off_hours=parse(f"off=(T,20);{on}")), minutes=minutes)
        assert (found is not None) is is_due, (on, minutes)


def test_what_was_marked_in_the_hour_may_go_after_it_until_the_morning() -> None:
    off = rule(off_hours=parse("off=(T,19);on=(W,7);tz=Europe/Berlin"))
    run = RunId(SCOPE, EDITOR.key, NOON)
    hold = Hold(run, Phase.MARKED, 2, NOON, NOON, rule="r", marked_at=after(310))
    assert judge(EDITOR, off, minutes=400) is None
    assert judge(EDITOR, off, minutes=400, hold=hold) is not None
    assert judge(EDITOR, off, minutes=18 * 60, hold=hold) is None, "it is on again"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("on=(M-F,7)", "no off="),
        ("off=(M-F,25)", "0 to 23"),
        ("off=(X,19)", "M T W H F S U"),
        ("off=19", "not a time such as"),
        ("off=(M,1);off=(T,1)", "given twice"),
        ("off=(M,1);tz=Mars/Base", "Mars/Base"),
        ("of=(M,1)", "is not off"),
    ],
)
def test_hours_that_can_not_be_read_say_which_part_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        parse(text)


# -- the file


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('[[rules]]\nname = "a"\nwhen = { off_hours = "off=(X,1)" }', 3, "M T W H F S U"),
        ('[[rules]]\nwhich = { app = "x" }', 2, "not known"),
        ("[[rules]]\nwhen = {}", 2, "when names no condition"),
        ("[[rules]]\nwhen = []", 2, "when names no condition"),
        ("[[rules]]\nwhich = { owner = [] }", 2, "the rule is about everything"),
        ('[[rules]]\nwhich = { app_type = "jupyterlab" }', 2, "must be written JupyterLab"),
        ('[[rules]]\nwhich = "team-*"', 2, "must be a table, not a text"),
        (
            '[[rules]]\nwhen = { off_hours = "off=(M,1);tz=Mars/Base" }',
            2,
            "tz=Mars/Base",
        ),
        ("[[rules]]\nwhen = { up_for = 3600 }", 2, "such as"),
        ('[[rules]]\nwhen = { upfor = "1h" }', 2, "idle_for, silent_for"),
        ('[act]\nenabled = ["sure"]', 2, '"seen"'),
        ("[act.limits]\nshare = 2", 2, "0 to 1"),
        ('[act.notify]\nsns_topic_arn = "topic"', 2, "ARN"),
        ('[[rules]]\nname = "a"\n[[rules]]\nname = "a"', 1, "two rules"),
        ('[[rules]]\nwhich = { coverage = "some" }', 2, "reports"),
    ],
)
def test_rules_that_can_not_be_read_name_the_line(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    with pytest.raises(InvalidConfig) as raised:
        read(path)
    assert f"line {line}:" in str(raised.value)
    assert says in str(raised.value)


@pytest.mark.parametrize("act", ["", '[act]\nwarning = "1h"', "[act]\nenabled = []"])
def test_a_file_without_enabled_classes_is_a_dry_run(tmp_path: Path, act: str) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(f'[[rules]]\nwhen = [{{ idle_for = "2h" }}, {{ up_for = "3d" }}]\n{act}\n')
    rules = read(path).rules
    assert rules.grades == frozenset()
    assert rules.rules[0].when == (When(idle_for=2 * HOUR), When(up_for=72 * HOUR))


# -- exceptions, marks, plans


def test_exceptions_are_read_and_nothing_else_is_one() -> None:
    assert exception_of("keep-until:2026-09-02T18:00Z") == at("2026-09-02T18:00")
    assert exception_of("keep-until:2026-09-02") == at("2026-09-03T00:00")
    assert exception_of("keep-until:2026-09-02T18:00:00+02:00") == at("2026-09-02T16:00")
    for other in (None, "", "keep", "keep-until:soon", "keep-for:1h"):
        assert exception_of(other) is None


@pytest.mark.parametrize(
    "until",
    [
        "9999-12-31",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00+12:00",
        "99999-01-01",
        "2026-13-01",
        "-1",
        "nan",
        "\u0662\u0660\u0662\u0666-12-01",
        "x" * 256,
    ],
)
def test_no_value_of_a_users_tag_stops_the_sweep_of_all_apps(until: str) -> None:
    tags = {"app/d-1/ada/codeeditor/default": {EXCEPTION_TAG: f"keep-until:{until}"}}
    found = judge(EDITOR, rule(up_for=HOUR), tags=tags)
    assert found is not None
    assert from_json(Verdict, to_json(found)) == found
    (task,) = planned([found], [], Limits())
    assert task.kind is (Kind.KEEP if found.kept_until else Kind.MARK)
    if until == "9999-12-31":
        assert task.kind is Kind.KEEP


def test_who_wrote_an_exception_that_can_not_be_read_is_told() -> None:
    tags = {"app/d-1/ada/codeeditor/default": {EXCEPTION_TAG: "until tomorrow"}}
    found = judge(EDITOR, rule(up_for=HOUR), tags=tags)
    assert found is not None
    assert "sagemaker-autoshutdown can't be read; write it as keep-until:2026-" in found.why
    allowed = {"app/d-1/ada/codeeditor/default": {EXCEPTION_TAG: "true"}}
    found = judge(EDITOR, rule(up_for=HOUR), tags=allowed)
    assert found is not None
    assert found.why == "up for 10 h", "the tag by which a notebook instance may stop itself"


def test_a_mark_holds_no_character_that_a_tag_may_not() -> None:
    text = mark_text(NOON, "r", 3, "idle (2 h), <x>" * 40)
    assert len(text) <= 256
    assert text.startswith("at=2026-09-01T12:00:00Z rule=r n=3 why=idle -2 h-- -x-")


def made(number: int, **values: object) -> Verdict:
    key = app("CodeEditor", name=f"app-{number}").key
    run = RunId(SCOPE, key, NOON)
    return replace(Verdict(run, Answer.DUE, NOON, NOON, "r", acts=True), **values)  # type: ignore[arg-type]


def planned(said: list[Verdict], holds: list[Hold], limits: Limits, up: int = 100) -> list[Task]:
    ids = {each.run for each in said} | {each.run for each in holds}
    runs = {run.key: Run(NOON, NOON, "ml.t3.medium") for run in ids}
    return list(plan(said, holds, runs, up, limits, after(60)).tasks)


def test_more_than_its_share_of_a_fleet_is_not_touched_at_once() -> None:
    said = [made(number) for number in range(30)]
    assert planned(said, [], Limits(share=0.2)) == []
    assert len(planned(said, [], Limits(share=0.4))) == 30
    few = [made(number) for number in range(5)]
    assert len(planned(few, [], Limits(share=0.2), up=5)) == 5, "small fleets have few"


def test_apps_that_an_exception_keeps_do_not_halt_the_others() -> None:
    kept = [made(number, kept_until=after(600)) for number in range(30)]
    due = [made(30), made(31)]
    found = planned(kept + due, [], Limits(share=0.2))
    assert sorted(task.run.key.name for task in found if task.kind is Kind.MARK) == [
        "app-30",
        "app-31",
    ]


def test_a_sweep_shuts_down_no_more_than_its_limit_and_the_longest_due_first() -> None:
    said = [made(number) for number in range(9)]
    holds = [
        Hold(each.run, Phase.MARKED, 2, NOON, NOON, told=True, due_at=after(50 - number))
        for number, each in enumerate(said)
    ]
    found = planned(said, holds, Limits(stops=3))
    assert [(task.kind, task.run.key.name) for task in found] == [
        (Kind.STOP, "app-8"),
        (Kind.STOP, "app-7"),
        (Kind.STOP, "app-6"),
    ]


def test_a_sweep_warns_of_no_more_than_its_limit() -> None:
    said = [made(number) for number in range(9)]
    assert len(planned(said, [], Limits(marks=3))) == 3


@pytest.mark.parametrize(("minutes", "is_due"), [(59, False), (60, True)])
def test_an_app_that_is_still_up_after_its_deletion_is_due_again_in_an_hour(
    minutes: float, is_due: bool
) -> None:
    """SageMaker may take a while, in which the app may still be listed as in service."""
    said = made(1)
    done = Hold(said.run, Phase.DONE, 5, NOON, after(60 - minutes))
    found = planned([said], [done], Limits())
    assert [task.kind for task in found] == ([Kind.MARK] if is_due else [])


def test_an_exception_without_end_ends_all_the_same() -> None:
    said = [made(1, kept_until=after(10**6))]
    (task,) = planned(said, [], Limits())
    assert task.kind is Kind.KEEP
    kept = Hold(said[0].run, Phase.KEPT, 1, NOON, NOON, kept_since=after(-8 * 24 * 60))
    (task,) = planned(said, [kept], Limits())
    assert task.kind is Kind.MARK


def test_unknown_neither_marks_nor_spares_nor_shuts_down() -> None:
    said = [made(1, answer=Answer.UNKNOWN)]
    hold = Hold(said[0].run, Phase.MARKED, 2, NOON, NOON, told=True, due_at=after(1))
    assert planned(said, [hold], Limits()) == []
    (task,) = planned([], [hold], Limits())
    assert task.kind is Kind.SPARE


def test_holds_and_tasks_come_back_from_json_as_they_were() -> None:
    hold = Hold(made(1).run, Phase.ACTING, 3, NOON, NOON, due_at=after(1), lease_until=after(2))
    assert from_json(Hold, to_json(hold)) == hold
    task = Task(Kind.MARK, hold.run, made(1, warning=HOUR, evidence={"a": "b"}))
    assert from_json(Task, to_json(task)) == task
    with pytest.raises(ValueError, match="no Hold"):
        from_json(Hold, {"run": []})


def test_a_notebook_instance_is_due_as_an_app_is() -> None:
    found = judge(notebook(), rule(Which(app_type=("NotebookInstance",)), up_for=HOUR))
    assert found is not None
    assert found.run.key.name == "nb"
