"""Who shuts an app down, by the known facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from sagemaker_autoshutdown.fleet.coverage import Judge
from sagemaker_autoshutdown.fleet.model import (
    CANVAS,
    CODE_EDITOR,
    JUPYTER_LAB,
    JUPYTER_SERVER,
    KERNEL_GATEWAY,
    Coverage,
    Defaults,
    Domain,
    ReportKey,
    Reports,
    Resource,
    Run,
    Space,
    State,
    Sweep,
)
from sagemaker_autoshutdown.model import AppStatus

from .scenes import LONG_AGO, NOON, POLICY, SCOPE, after, app, notebook, sweep

OURS = "arn:aws:sagemaker:us-east-2:123456789012:studio-lifecycle-config/"
SPACE_SCRIPT = f"{OURS}sagemaker-autoshutdown-0-1-0-space-00000000"
CLASSIC_SCRIPT = f"{OURS}sagemaker-autoshutdown-0-1-0-classic-00000000"
LAB = app(JUPYTER_LAB, owner="team-a", in_space=True)
SERVER = app(JUPYTER_SERVER, instance_type="system")
OLD = Run(LONG_AGO, LONG_AGO, "ml.t3.medium")
REMEMBERS_NOTHING = State(SCOPE)


def judged(
    found: Sweep, resource: Resource, *, state: State = REMEMBERS_NOTHING, run: Run | None = OLD
) -> Coverage:
    return Judge(state, found, POLICY).coverage(resource, run)


def heard(
    at: datetime, owner: str = "team-a", kind: str = "space", owner_kind: str = "space"
) -> Reports:
    return {ReportKey("d-1", owner_kind, owner, kind): at}


def test_a_server_that_was_heard_of_just_now_reports() -> None:
    assert judged(sweep(0, LAB, reports=heard(after(-9))), LAB) is Coverage.REPORTS


def test_a_server_that_is_heard_of_no_more_is_silent() -> None:
    assert judged(sweep(0, LAB, reports=heard(after(-11))), LAB) is Coverage.SILENT


def test_a_server_stays_silent_when_prometheus_has_forgotten_it() -> None:
    state = State(SCOPE, heard=heard(after(-60 * 24 * 5)))
    assert judged(sweep(0, LAB, reports={}), LAB, state=state) is Coverage.SILENT


def test_a_silent_server_is_told_where_nobody_watched_before() -> None:
    """`fleet status` on a laptop has no record, but Prometheus remembers."""
    assert judged(sweep(0, LAB, reports=heard(after(-60))), LAB, run=None) is Coverage.SILENT
    new = app(JUPYTER_LAB, owner="team-a", in_space=True, created=after(-5))
    assert judged(sweep(0, new, reports=heard(after(-60))), new, run=None) is Coverage.NONE


def test_a_space_is_not_looked_after_by_the_server_of_a_user_of_its_name() -> None:
    server = app(JUPYTER_SERVER, owner="ada", in_space=True, instance_type="system")
    kernel = app(KERNEL_GATEWAY, owner="ada", in_space=True)
    found = sweep(
        0, SERVER, app(), server, kernel, reports=heard(NOON, "ada", "classic", "user-profile")
    )
    assert judged(found, app()) is Coverage.REPORTS
    assert judged(found, kernel) is Coverage.NONE


def test_a_server_that_has_just_started_again_is_given_time_to_speak() -> None:
    new = Run(after(-5), LONG_AGO, "ml.t3.medium")
    found = sweep(
        0, LAB, reports=heard(after(-60)), users=Defaults(attached=frozenset([JUPYTER_LAB]))
    )
    assert judged(found, LAB, run=new) is Coverage.ATTACHED


def test_the_server_of_another_space_of_that_name_is_not_taken_for_it() -> None:
    reports = {ReportKey("d-2", "space", "team-a", "space"): NOON}
    assert judged(sweep(0, LAB, reports=reports), LAB) is Coverage.NONE


def test_a_kernel_app_is_looked_after_by_its_owners_server() -> None:
    found = sweep(0, SERVER, app(), reports=heard(NOON, "ada", "classic", "user-profile"))
    assert judged(found, app()) is Coverage.REPORTS
    assert judged(found, SERVER) is Coverage.REPORTS


def test_a_kernel_app_whose_server_is_gone_has_nobody_even_where_nobody_is_asked() -> None:
    assert judged(sweep(0, app()), app()) is Coverage.NONE
    assert judged(sweep(0, SERVER, app()), app()) is Coverage.UNKNOWN
    attached = Defaults(attached=frozenset([JUPYTER_SERVER]))
    assert judged(sweep(0, app(), users=attached), app()) is Coverage.NONE


def test_the_script_of_the_server_is_attached_to_its_kernel_apps() -> None:
    server = app(JUPYTER_SERVER, instance_type="system", config=CLASSIC_SCRIPT)
    found = sweep(0, server, app(), reports={})
    assert judged(found, app()) is Coverage.ATTACHED


@pytest.mark.parametrize("app_type", [JUPYTER_LAB, CODE_EDITOR])
def test_studios_own_shutdown_covers_the_apps_that_it_is_on_for(app_type: str) -> None:
    found = app(app_type, owner="team-a", in_space=True)
    on = Defaults(native=frozenset([app_type]))
    assert judged(sweep(0, found, users=on), found) is Coverage.NATIVE
    other = app(CANVAS)
    assert judged(sweep(0, other, users=on), other) is Coverage.NONE


def test_a_shared_space_has_the_settings_of_shared_spaces() -> None:
    spaces = [Space("d-1", "team-a", "ada", "Shared")]
    on = Defaults(native=frozenset([JUPYTER_LAB]))
    assert judged(sweep(0, LAB, spaces=spaces, users=on), LAB) is Coverage.UNKNOWN
    assert judged(sweep(0, LAB, spaces=spaces, shared=on), LAB) is Coverage.NATIVE


def test_a_silent_server_is_covered_where_studios_own_shutdown_is_on() -> None:
    found = sweep(0, LAB, reports=heard(LONG_AGO), users=Defaults(native=frozenset([JUPYTER_LAB])))
    assert judged(found, LAB) is Coverage.NATIVE


def test_nobody_is_unknown_where_nobody_was_asked_and_none_where_somebody_was() -> None:
    assert judged(sweep(0, LAB), LAB) is Coverage.UNKNOWN
    assert judged(sweep(0, LAB, reports={}), LAB) is Coverage.NONE


def test_what_the_extension_can_not_run_in_has_nobody() -> None:
    for app_type in (CANVAS, "TensorBoard", "RSessionGateway", "RStudioServerPro", CODE_EDITOR):
        found = app(app_type)
        assert judged(sweep(0, found), found) is Coverage.NONE


def test_settings_that_could_not_be_read_are_not_taken_for_none() -> None:
    found = app(CODE_EDITOR, owner="team-a", in_space=True)
    assert judged(sweep(0, found, reports={}, domains=False), found) is Coverage.UNKNOWN


def test_settings_of_one_domain_that_could_not_be_read_are_not_taken_for_none() -> None:
    found = app(CODE_EDITOR, owner="team-a", in_space=True)
    unread = replace(
        sweep(0, found, reports={}), domains={"d-1": Domain("d-1", "team", None, None)}
    )
    assert judged(unread, found) is Coverage.UNKNOWN


def test_a_notebook_instance_is_known_by_its_name() -> None:
    reports = {ReportKey("", "", "nb", "notebook-instance"): NOON}
    assert judged(sweep(0, notebook(), reports=reports), notebook()) is Coverage.REPORTS
    scripted = notebook(config="sagemaker-autoshutdown-0-1-0-notebook-instance-00000000")
    assert judged(sweep(0, scripted), scripted) is Coverage.ATTACHED
    other = notebook(config="somebody-elses")
    assert judged(sweep(0, other, reports={}), other) is Coverage.NONE


def test_the_script_that_an_app_was_started_with_is_attached() -> None:
    scripted = app(JUPYTER_LAB, owner="team-a", in_space=True, config=SPACE_SCRIPT)
    assert judged(sweep(0, scripted, reports={}), scripted) is Coverage.ATTACHED


def test_a_kernel_app_in_a_shared_space_belongs_to_the_server_of_that_space() -> None:
    server = app(JUPYTER_SERVER, owner="shared", in_space=True, instance_type="system")
    kernel = app(KERNEL_GATEWAY, owner="shared", in_space=True)
    found = sweep(0, server, kernel, reports=heard(NOON, "shared", "classic"))
    assert judged(found, kernel) is Coverage.REPORTS


@pytest.mark.parametrize("status", AppStatus)
def test_an_app_is_billed_alike_seen_from_inside_and_from_outside(status: AppStatus) -> None:
    assert app(status=status.value).is_billed == status.is_billed
