"""The status machine, on a clock that the test sets."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.localstudio.errors import ApiError
from tests.localstudio.names import new_domain_id
from tests.localstudio.state import (
    Account,
    AppKey,
    Domain,
    NotebookInstance,
    Owner,
    Profile,
    Resource,
    Timing,
    user,
)

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
TIMING = Timing(pending=60, deleting=30, stopping=20, retention=24 * 3600, health_check=60)
T3 = Resource("ml.t3.medium")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def account(**options: bool) -> Account:
    """An account with a domain and two user profiles."""
    made = Account(TIMING, **options)
    made.create_domain(Domain("d-1", "studio", START, START))
    for name in ("ada", "grace"):
        made.create_profile(Profile("d-1", user(name), START, START))
    return made


def key(name: str = "app", owner: Owner | None = None) -> AppKey:
    owner = owner or user("ada")
    return AppKey("d-1", owner.kind, owner.name, "KernelGateway", name)


def status(of: Account, seconds: float, name: str = "app") -> str:
    return of.app(key(name), at(seconds)).status


def code_of(error: pytest.ExceptionInfo[ApiError]) -> str:
    return error.value.code


def test_an_app_is_not_in_service_before_its_time_nor_before_its_process_answers() -> None:
    quick, slow = account(), account()
    quick.create_app(key(), T3, at(0))
    quick.app_is_up(key(), 1, at(1))
    assert status(quick, 59.9) == "Pending"
    assert status(quick, 60) == "InService"
    slow.create_app(key(), T3, at(0))
    assert status(slow, 600) == "Pending"
    slow.app_is_up(key(), 1, at(601))
    assert status(slow, 601) == "InService"
    assert slow.app(key(), at(601)).since == at(601)


def test_an_app_is_not_deleted_while_a_process_of_it_is_left() -> None:
    of = account()
    of.create_app(key(), T3, at(0))
    of.app_is_up(key(), 1, at(0))
    of.delete_app(key(), at(100))
    assert status(of, 500) == "Deleting"
    of.app_is_down(key(), 1, at(110))
    assert status(of, 129) == "Deleting"
    assert status(of, 130) == "Deleted"
    of.create_app(key(), T3, at(200))
    of.delete_app(key(), at(300))
    of.app_is_down(key(), 2, at(900))
    assert status(of, 900) == "Deleted"
    assert of.app(key(), at(900)).since == at(900)


def test_a_deleted_app_stays_in_the_list_for_24_hours_and_no_longer() -> None:
    of = account()
    of.create_app(key(), T3, at(0))
    of.delete_app(key(), at(100))
    of.app_is_down(key(), 1, at(100))
    day = TIMING.retention
    assert [app.status for app in of.apps(at(130 + day - 1))] == ["Deleted"]
    assert of.apps(at(130 + day)) == []
    with pytest.raises(ApiError, match="ResourceNotFound"):
        of.app(key(), at(130 + day))


@pytest.mark.parametrize(("keep", "expected"), [(True, at(0)), (False, at(1000))])
def test_an_app_made_again_within_a_day_keeps_its_creation_time_as_on_aws(
    keep: bool, expected: datetime
) -> None:
    of = account(keep_creation_time=keep)
    of.create_app(key(), T3, at(0))
    of.delete_app(key(), at(100))
    of.app_is_down(key(), 1, at(100))
    again = of.create_app(key(), T3, at(1000))
    assert (again.run, again.created_at, again.status) == (2, expected, "Pending")


def test_what_an_earlier_run_reports_late_does_not_touch_the_present_run() -> None:
    of = account()
    of.create_app(key(), T3, at(0))
    of.delete_app(key(), at(100))
    of.app_is_down(key(), 1, at(100))
    of.create_app(key(), T3, at(1000))
    of.app_is_up(key(), 1, at(1001))
    of.app_failed(key(), 1, "late", at(1001))
    assert status(of, 2000) == "Pending"


def test_a_fifth_app_does_not_fit_on_an_instance_but_does_elsewhere() -> None:
    of = account()
    for n in range(4):
        of.create_app(key(f"app{n}"), T3, at(0))
    with pytest.raises(ApiError) as error:
        of.create_app(key("fifth"), T3, at(0))
    assert code_of(error) == "ResourceLimitExceeded"
    of.create_app(key("other-type"), Resource("ml.g4dn.xlarge"), at(0))
    of.create_app(key("fifth", user("grace")), T3, at(0))
    of.app_failed(key("app0"), 1, "broke", at(1))
    of.create_app(key("fifth"), T3, at(1))


def test_deleting_twice_is_refused_as_in_use_and_deleting_nothing_as_not_found() -> None:
    of = account()
    of.create_app(key(), T3, at(0))
    of.delete_app(key(), at(10))
    with pytest.raises(ApiError) as error:
        of.delete_app(key(), at(11))
    assert code_of(error) == "ResourceInUse"
    of.app_is_down(key(), 1, at(11))
    with pytest.raises(ApiError) as error:
        of.delete_app(key(), at(100))
    assert code_of(error) == "ResourceNotFound"
    with pytest.raises(ApiError) as error:
        of.delete_app(key("never-was"), at(100))
    assert code_of(error) == "ResourceNotFound"


def test_an_app_that_exists_can_not_be_created_again_until_it_is_gone() -> None:
    of = account()
    of.create_app(key(), T3, at(0))
    for step in (at(1), at(2)):
        with pytest.raises(ApiError) as error:
            of.create_app(key(), T3, step)
        assert code_of(error) == "ResourceInUse"
        if step == at(1):
            of.delete_app(key(), step)


def test_a_failed_app_says_why_and_can_be_deleted() -> None:
    of = account()
    of.create_app(key(), T3, at(0))
    of.app_failed(key(), 1, "the image is broken", at(5))
    app = of.app(key(), at(6))
    assert (app.status, app.failure_reason) == ("Failed", "the image is broken")
    of.delete_app(key(), at(7))
    of.app_is_down(key(), 1, at(7))
    assert status(of, 37) == "Deleted"


def test_health_checks_move_the_activity_timestamp_of_an_app_that_nobody_uses() -> None:
    of = account()
    app = of.create_app(key(), T3, at(0))
    assert app.last_health_check(at(30), TIMING) is None
    of.app_is_up(key(), 1, at(0))
    app = of.app(key(), at(60))
    assert app.last_health_check(at(60), TIMING) == at(60)
    assert app.last_health_check(at(3719), TIMING) == at(3660)
    of.delete_app(key(), at(3720))
    gone = of.app(key(), at(9000))
    assert gone.last_health_check(at(9000), TIMING) == at(3720)


def test_transitions_are_dated_when_they_happened_not_when_they_were_seen() -> None:
    of = account()
    of.create_app(key(), T3, at(0))
    of.app_is_up(key(), 1, at(1))
    of.apps(at(5000))
    assert [(t.status, t.at) for t in of.transitions] == [("Pending", at(0)), ("InService", at(60))]


def test_a_notebook_instance_stops_and_starts_again_but_only_from_the_right_status() -> None:
    of = account()
    notebook = NotebookInstance("nb", "ml.t3.medium", "Pending", at(0), at(0))
    of.create_notebook(notebook, at(0))
    with pytest.raises(ApiError, match=r"Status \(Pending\) not in \(\[InService\]\)"):
        of.stop_notebook("nb", at(1))
    of.notebook_is_up("nb", 1, at(1))
    assert of.notebook("nb", at(60)).status == "InService"
    of.stop_notebook("nb", at(100))
    of.notebook_is_down("nb", 1, at(101))
    assert of.notebook("nb", at(119)).status == "Stopping"
    assert of.notebook("nb", at(120)).status == "Stopped"
    of.start_notebook("nb", at(200))
    of.notebook_is_up("nb", 2, at(201))
    assert of.notebook("nb", at(260)).status == "InService"
    with pytest.raises(ApiError, match="RecordNotFound") as error:
        of.notebook("other", at(260))
    assert code_of(error) == "ValidationException"


def test_domain_ids_have_the_form_that_aws_gives_them() -> None:
    assert len(new_domain_id()) == 14
    assert new_domain_id() != new_domain_id()
