"""The cost between two sweeps, and the start of a run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from sagemaker_autoshutdown.fleet.advance import REMEMBERED, advance
from sagemaker_autoshutdown.fleet.model import (
    CANVAS,
    CODE_EDITOR,
    JUPYTER_LAB,
    JUPYTER_SERVER,
    NOTEBOOKS,
    RSTUDIO_SERVER,
    SPACES,
    SYSTEM,
    ReportKey,
    Resource,
    Space,
    State,
)

from .scenes import (
    NOON,
    POLICY,
    SCOPE,
    after,
    app,
    dollars,
    notebook,
    rates,
    stepped,
    sweep,
    volume,
)

EMPTY = State(SCOPE)


def test_what_ran_before_the_first_sweep_is_not_charged() -> None:
    step = stepped(EMPTY, sweep(0, app()))
    assert not step.charges
    assert step.state.runs[app().key].up_since == NOON


def test_what_ran_at_two_sweeps_is_charged_for_the_time_between() -> None:
    first = stepped(EMPTY, sweep(0, app()))
    assert dollars(stepped(first.state, sweep(6, app()))) == Decimal("0.1")


def test_the_same_sweep_twice_adds_nothing() -> None:
    first = stepped(EMPTY, sweep(0, app()))
    second = stepped(first.state, sweep(6, app()))
    assert advance(second.state, sweep(6, app()), rates(), POLICY) is None


def test_a_sweep_that_comes_late_adds_nothing() -> None:
    later = stepped(EMPTY, sweep(6, app()))
    assert advance(later.state, sweep(0, app()), rates(), POLICY) is None


def test_apps_that_share_an_instance_are_charged_once() -> None:
    apps = [app(name=f"app-{number}") for number in range(4)]
    first = stepped(EMPTY, sweep(0, *apps))
    assert dollars(stepped(first.state, sweep(60, *apps))) == 1


def test_an_instance_that_an_app_joins_is_charged_from_its_first_app_on() -> None:
    first = stepped(EMPTY, sweep(0, app(name="one")))
    joined = app(name="two", created=after(50))
    for order in ([app(name="one"), joined], [joined, app(name="one")]):
        assert dollars(stepped(first.state, sweep(60, *order))) == 1


def test_apps_of_two_owners_or_types_share_nothing() -> None:
    apps = [app(), app(owner="bob"), app(name="gpu", instance_type="ml.g5.xlarge")]
    first = stepped(EMPTY, sweep(0, *apps))
    assert dollars(stepped(first.state, sweep(60, *apps))) == 3


def test_apps_of_other_types_are_charged_each() -> None:
    apps = [app(CODE_EDITOR, owner=f"s-{number}", in_space=True) for number in range(3)]
    first = stepped(EMPTY, sweep(0, *apps))
    assert dollars(stepped(first.state, sweep(60, *apps))) == 3


def test_what_is_free_is_in_no_charge() -> None:
    free = [
        app(JUPYTER_SERVER, instance_type=SYSTEM),
        app(RSTUDIO_SERVER, instance_type=SYSTEM),
    ]
    paid = app(RSTUDIO_SERVER, owner="rich", instance_type="ml.c5.4xlarge")
    first = stepped(EMPTY, sweep(0, *free, paid))
    step = stepped(first.state, sweep(60, *free, paid))
    assert [(key.owner, charge.nano) for key, charge in step.charges.items()] == [("rich", 10**9)]


def test_an_app_that_is_new_since_the_last_sweep_counts_from_its_creation() -> None:
    first = stepped(EMPTY, sweep(0))
    step = stepped(first.state, sweep(60, app(created=after(30))))
    assert dollars(step) == Decimal("0.5")
    assert step.state.runs[app().key].up_since == after(30)


def test_a_creation_time_that_is_older_than_the_run_is_not_its_start() -> None:
    """An app that is started again within a day keeps its CreationTime."""
    first = stepped(EMPTY, sweep(0))
    step = stepped(first.state, sweep(60, app(created=after(-600))))
    assert not step.charges
    assert step.state.runs[app().key].up_since == after(60)


def test_a_run_that_was_replaced_between_two_sweeps_begins_anew() -> None:
    first = stepped(EMPTY, sweep(0, app()))
    step = stepped(first.state, sweep(60, app(created=after(45))))
    assert dollars(step) == Decimal("0.25")
    assert step.state.runs[app().key].up_since == after(45)


def test_an_app_that_was_on_its_way_out_and_is_up_again_is_another_run() -> None:
    """SageMaker gives an app that is started again within a day the CreationTime that it had."""
    key = app().key
    leaving = app()._replace(status="Deleting")
    state = stepped(EMPTY, sweep(0, app())).state
    for minutes in (5, 10):
        state = stepped(state, sweep(minutes, leaving)).state
        assert state.runs[key].up_since == NOON, "it goes on until it is gone"
    again = stepped(state, sweep(15, app())).state.runs[key]
    assert again.up_since == after(15)
    assert again.changed_at == app().changed_at
    seen_late = stepped(stepped(EMPTY, sweep(0, leaving)).state, sweep(5, app())).state
    assert seen_late.runs[key].up_since == after(5)


def test_a_notebook_instance_that_stops_has_not_begun_anew() -> None:
    """Its LastModifiedTime changes then, too."""
    first = stepped(EMPTY, sweep(0, notebook()))
    stopping = notebook(status="Stopping")._replace(changed_at=after(50))
    step = stepped(first.state, sweep(60, stopping))
    assert dollars(step) == 1
    assert step.state.runs[stopping.key].up_since == NOON
    again = notebook()._replace(changed_at=after(110))
    assert stepped(step.state, sweep(120, again)).state.runs[again.key].up_since == after(110)


def test_a_notebook_instance_that_is_deleted_was_stopped_before() -> None:
    leaving = notebook(status="Deleting")
    first = stepped(EMPTY, sweep(0, leaving))
    assert not stepped(first.state, sweep(60, leaving)).charges


def test_what_is_gone_is_charged_until_it_was_last_seen() -> None:
    first = stepped(EMPTY, sweep(0, app()))
    step = stepped(first.state, sweep(60))
    assert not step.charges
    assert step.ended == (app().key,)
    assert not step.state.runs


def test_what_is_pending_is_not_charged() -> None:
    first = stepped(EMPTY, sweep(0, app(status="Pending")))
    assert not stepped(first.state, sweep(60, app(status="Pending"))).charges


def test_a_list_that_could_not_be_read_ends_no_run_and_loses_no_cost() -> None:
    first = stepped(EMPTY, sweep(0, notebook()))
    second = stepped(first.state, sweep(6, unseen={NOTEBOOKS: "not allowed"}))
    assert not second.ended
    assert not second.charges
    third = stepped(second.state, sweep(12, notebook()))
    assert dollars(third) == Decimal("0.2")
    assert third.state.runs[notebook().key].up_since == NOON


def test_a_long_gap_is_charged_and_said_to_be_an_estimate() -> None:
    first = stepped(EMPTY, sweep(0, app()))
    (charge,) = stepped(first.state, sweep(120, app())).charges.values()
    assert (charge.nano, charge.estimated_nano) == (2 * 10**9, 2 * 10**9)
    (charge,) = stepped(first.state, sweep(6, app())).charges.values()
    assert charge.estimated_nano == 0


def test_a_night_is_divided_between_its_two_days() -> None:
    evening = (datetime(2026, 9, 1, 23, tzinfo=timezone.utc) - NOON) / timedelta(minutes=1)
    first = stepped(EMPTY, sweep(evening, app()))
    step = stepped(first.state, sweep(evening + 180, app()))
    assert {key.day: charge.nano for key, charge in step.charges.items()} == {
        "2026-09-01": 10**9,
        "2026-09-02": 2 * 10**9,
    }


def test_what_has_no_price_is_told_beside_the_sum_and_not_as_nothing() -> None:
    unknown = app(instance_type="ml.unknown")
    first = stepped(EMPTY, sweep(0, unknown))
    (charge,) = stepped(first.state, sweep(60, unknown)).charges.values()
    assert (charge.nano, charge.unpriced_us) == (0, 3600 * 10**6)


def test_an_app_of_a_space_is_paid_for_by_the_profile_that_the_space_belongs_to() -> None:
    found = app(JUPYTER_LAB, owner="team-a", in_space=True)
    spaces = [Space("d-1", "team-a", "ada", "Private")]
    first = stepped(EMPTY, sweep(0, found, spaces=spaces))
    (key,) = stepped(first.state, sweep(60, found, spaces=spaces)).charges
    assert key.owner == "ada"


def test_a_volume_costs_whether_its_app_is_up_or_not() -> None:
    first = stepped(EMPTY, sweep(0, volume("team-a")))
    assert dollars(stepped(first.state, sweep(60, volume("team-a")))) == 1


def test_a_volume_that_grows_is_charged_on_without_a_hole() -> None:
    first = stepped(EMPTY, sweep(0, volume("team-a", 100)))
    step = stepped(first.state, sweep(60, volume("team-a", 200)))
    assert dollars(step) == 2
    assert step.state.runs[volume("team-a").key].size_gb == 200


def test_volumes_wait_for_a_list_of_spaces_that_can_be_read() -> None:
    first = stepped(EMPTY, sweep(0, volume("team-a")))
    second = stepped(first.state, sweep(30, unseen={SPACES: "denied"}))
    assert dollars(stepped(second.state, sweep(60, volume("team-a")))) == 1


def test_a_canvas_session_costs_by_the_hour_whatever_it_runs_on() -> None:
    session = app(CANVAS, instance_type="")
    first = stepped(EMPTY, sweep(0, session))
    assert dollars(stepped(first.state, sweep(60, session))) == 1


def test_a_server_is_remembered_for_longer_than_prometheus_is_asked_about() -> None:
    name = ReportKey("d-1", "user-profile", "ada", "classic")
    first = stepped(EMPTY, sweep(0, reports={name: NOON}))
    later = stepped(first.state, sweep(24 * 60, reports={}))
    assert later.state.heard == {name: NOON}
    days = REMEMBERED / timedelta(minutes=1) + 1
    assert stepped(later.state, sweep(days, reports={})).state.heard == {}


def test_a_server_that_reports_all_day_is_written_down_once_an_hour() -> None:
    name = ReportKey("d-1", "user-profile", "ada", "classic")
    state, written = EMPTY, 0
    for minutes in range(0, 240, 5):
        step = stepped(state, sweep(minutes, reports={name: after(minutes)}))
        state, written = step.state, written + len(step.heard)
    assert written == 4


def test_a_fleet_that_stands_still_writes_no_run_again() -> None:
    apps = [app(owner=f"user-{number}") for number in range(50)]
    first = stepped(EMPTY, sweep(0, *apps))
    assert len(first.began) == 50
    second = stepped(first.state, sweep(5, *apps))
    assert not second.began
    assert not second.ended


@given(
    st.lists(st.integers(1, 600), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=13, max_size=13),
)
def test_however_often_it_is_swept_a_fleet_that_stands_still_costs_the_same(
    pauses: list[int], twice: list[bool]
) -> None:
    resources: tuple[Resource, ...] = (app(), app(name="b"), notebook(), volume("s"))
    state, minutes, spent = EMPTY, 0, Decimal(0)
    for pause, again in zip([0, *pauses], twice):
        minutes += pause
        found = sweep(minutes, *resources)
        step = advance(state, found, rates(), POLICY)
        if step is not None:
            state, spent = step.state, spent + dollars(step)
        if again:
            assert advance(state, found, rates(), POLICY) is None
    # An instance, a notebook instance and a volume, each a dollar an hour.
    assert abs(spent - 3 * Decimal(minutes) / 60) < Decimal("0.000001")
