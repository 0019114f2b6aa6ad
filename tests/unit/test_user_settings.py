"""Settings: the admin's bounds hold, nothing is lost, and unsaved changes are reported."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import resource
import stat
import threading
from collections.abc import Coroutine, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_autoshutdown.errors import InvalidRequest
from sagemaker_autoshutdown.settings import file as file_module
from sagemaker_autoshutdown.settings import user as settings_module
from sagemaker_autoshutdown.settings.admin import USER_SETTINGS, SageMakerAutoShutdown
from sagemaker_autoshutdown.settings.file import SettingsFile, Stored
from sagemaker_autoshutdown.settings.locks import FileLock
from sagemaker_autoshutdown.settings.user import Settings, applicable, check, merge
from tests import spec

T = TypeVar("T")
NOW = datetime(2026, 9, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


class Clock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "jupyter" / "sagemaker_autoshutdown"


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def admin(data_dir: Path, **traits: Any) -> SageMakerAutoShutdown:
    return SageMakerAutoShutdown(data_dir=str(data_dir), **traits)


def file_of(data_dir: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((data_dir / "settings.json").read_text())
    return document


def write(data_dir: Path, text: str) -> None:
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "settings.json").write_text(text)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- what is allowed ----------------------------------------------------------------------------

PLAIN = SageMakerAutoShutdown()


@pytest.mark.parametrize("name", ["idle_timeout", "warning_time"])
@pytest.mark.parametrize(
    "value",
    [True, float("nan"), float("inf"), -float("inf"), "3600", "", [], {}, 0, -1, 0.5, 10**400],
)
def test_no_time_is_taken_that_is_not_a_sane_number(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(PLAIN, {name: value})
    assert "number of seconds from 1 to 31622400" in caught.value.errors[name]


@pytest.mark.parametrize("value", [0, 1, 1.0, "true", "", [], float("nan")])
def test_no_switch_is_taken_that_is_neither_true_nor_false(value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(PLAIN, {"keep_terminals": value})
    assert "true or false" in caught.value.errors["keep_terminals"]


@pytest.mark.parametrize("changes", [None, [], "idle_timeout", 3600, True])
def test_what_is_no_object_is_refused(changes: object) -> None:
    with pytest.raises(InvalidRequest, match="JSON object"):
        check(PLAIN, changes)


def test_every_field_that_is_wrong_is_named_not_the_first_only() -> None:
    config = SageMakerAutoShutdown(
        allow_user_settings=["idle_timeout"], min_idle_timeout=600.0, max_idle_timeout=14400.0
    )
    with pytest.raises(InvalidRequest) as caught:
        check(config, {"idle_timeout": 20000, "keep_terminals": True, "poll_interval": 5})
    assert caught.value.errors == {
        "idle_timeout": "must be a number of seconds from 600 to 14400, or null for the "
        "administrator's value; got 20000",
        "keep_terminals": "is fixed by your administrator at false",
        "poll_interval": "is not a setting; your settings are idle_timeout, closed_idle_timeout, "
        "warning_time, keep_terminals, ignore_connections",
    }
    for text in caught.value.errors.values():
        assert text in str(caught.value)


@pytest.mark.parametrize("value", [600, 600.0, 14400])
def test_the_bounds_themselves_are_allowed(value: float) -> None:
    config = SageMakerAutoShutdown(min_idle_timeout=600.0, max_idle_timeout=14400.0)
    assert check(config, {"idle_timeout": value}) == {"idle_timeout": float(value)}


def test_going_back_to_the_admins_is_allowed_even_where_it_is_fixed() -> None:
    config = SageMakerAutoShutdown(allow_user_settings=False)
    everything = dict.fromkeys(USER_SETTINGS)
    assert check(config, everything) == everything


# ---- merged with the admin's --------------------------------------------------------------------

values_like_a_file = st.dictionaries(
    st.sampled_from([*USER_SETTINGS, "other"]),
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.sampled_from(["", "3600", "true"])
    | st.lists(st.integers(), max_size=2),
)


@given(
    stored=values_like_a_file,
    allowed=st.booleans() | st.lists(st.sampled_from(USER_SETTINGS)),
    low=st.none() | st.integers(1, 7200),
    high=st.none() | st.integers(7200, 86400),
)
def test_whatever_is_stored_the_admin_of_today_wins(
    stored: dict[str, Any], allowed: Any, low: int | None, high: int | None
) -> None:
    config = SageMakerAutoShutdown(
        allow_user_settings=allowed, min_idle_timeout=low, max_idle_timeout=high
    )
    values, notes = applicable(config, stored)
    assert check(config, values) == values, "what applies would be allowed now"
    policy = merge(config, values)
    for name in USER_SETTINGS:
        if not config.user_may_change(name):
            assert name not in values
    if policy.user_idle_timeout is not None:
        assert (low or 1) <= policy.user_idle_timeout.total_seconds() <= (high or 31622400)
    given_up = [
        name
        for name in USER_SETTINGS
        if stored.get(name) is not None and values.get(name) != stored[name]
    ]
    assert len(notes) == len(given_up), "no value is dropped or changed without a word"


def test_a_user_can_shorten_the_limit_of_a_rule_but_not_lengthen_it() -> None:
    rule = {"instance_type": "ml.g*", "idle_timeout": 1800}
    config = SageMakerAutoShutdown(idle_timeout_rules=[rule])

    def limits(user: float) -> tuple[float, float]:
        policy = merge(config, {"idle_timeout": user})
        kinds = ("ml.g4dn.xlarge", "ml.t3.medium")
        gpu, cpu = (
            policy.limit(instance_type=kind, owner="ada", app_type="KernelGateway")
            for kind in kinds
        )
        return gpu.total_seconds(), cpu.total_seconds()

    assert limits(600) == (600, 600)
    assert limits(36000) == (1800, 36000)


def test_the_admins_policy_is_not_touched_where_the_user_set_nothing() -> None:
    config = SageMakerAutoShutdown(
        idle_timeout=60.0, keep_terminals=True, ignore_connections=False, dry_run=True
    )
    assert merge(config, {}) == config.policy()


# ---- kept ---------------------------------------------------------------------------------------


def test_settings_are_in_force_after_a_restart(data_dir: Path) -> None:
    async def first() -> None:
        settings = await Settings.load(admin(data_dir))
        await settings.change({"idle_timeout": 3600, "keep_terminals": True})
        assert settings.policy.user_idle_timeout == HOUR

    run(first())
    settings = run(Settings.load(admin(data_dir)))
    assert settings.policy.user_idle_timeout == HOUR
    assert settings.policy.keep_terminals is True
    assert settings.problems == ()


def test_null_goes_back_to_the_admins_for_good(data_dir: Path) -> None:
    async def change() -> None:
        settings = await Settings.load(admin(data_dir))
        await settings.change({"idle_timeout": 3600, "keep_terminals": True})
        await settings.change({"idle_timeout": None})
        assert settings.policy.user_idle_timeout is None

    run(change())
    settings = run(Settings.load(admin(data_dir)))
    assert settings.policy.user_idle_timeout is None
    assert settings.policy.keep_terminals is True


def test_a_refused_change_changes_nothing_at_all(data_dir: Path) -> None:
    async def change() -> None:
        settings = await Settings.load(admin(data_dir))
        before = settings.describe()
        with pytest.raises(InvalidRequest):
            await settings.change({"keep_terminals": True, "idle_timeout": "long"})
        assert settings.describe() == before

    run(change())
    assert not data_dir.exists()


def test_only_the_user_can_read_what_is_stored(data_dir: Path) -> None:
    async def change() -> None:
        await (await Settings.load(admin(data_dir))).change({"idle_timeout": 3600})

    before = os.umask(0)
    try:
        run(change())
    finally:
        os.umask(before)
    assert stat.S_IMODE((data_dir / "settings.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((data_dir / "settings.lock").stat().st_mode) == 0o600
    assert names_in(data_dir) == ["settings.json", "settings.lock"], "nothing else is left"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "not a JSON object"),
        ("{}", "version is null"),
        ('{"version": 2, "settings": {"idle_timeout": 60}}', "version is 2"),
        ('{"version": 1, "settings": []}', "not a JSON object"),
        ("[" * 100_000, "recursion"),
        ("\ufffe\udcff", "surrogate"),
    ],
)
def test_f28_a_broken_file_is_put_aside_and_the_admins_settings_apply(
    data_dir: Path, clock: Clock, caplog: pytest.LogCaptureFixture, text: str, why: str
) -> None:
    data_dir.mkdir(parents=True)
    raw = text.encode("utf-8", "surrogateescape") if why == "surrogate" else text.encode()
    (data_dir / "settings.json").write_bytes(raw)

    async def start() -> None:
        settings = await Settings.load(admin(data_dir), clock)
        assert settings.policy.user_idle_timeout is None
        await settings.change({"idle_timeout": 3600})

    with caplog.at_level(logging.WARNING):
        run(start())
    aside = data_dir / "settings.json.broken-20260901T120000Z"
    assert aside.read_bytes() == raw, "what was there can still be looked at"
    assert aside.name in caplog.text
    assert file_of(data_dir)["settings"] == {"idle_timeout": 3600.0}


def test_f28_one_bad_entry_does_not_cost_the_good_ones(data_dir: Path, clock: Clock) -> None:
    until = "2026-09-01T13:00:00Z"
    kept = {"until": until, "run_started_at": "2026-09-01T11:00:00Z"}
    bad: dict[str, Any] = {
        "no": "soon",
        "list": [],
        "text": {"until": "soon", "run_started_at": until},
        "x": None,
    }
    document = {
        "version": 1,
        "settings": {"idle_timeout": "long", "keep_terminals": True},
        "keep_alive": {"good": kept, **bad},
    }
    write(data_dir, json.dumps(document))

    async def start() -> None:
        settings = await Settings.load(admin(data_dir), clock)
        assert settings.policy.keep_terminals is True
        runs = dict.fromkeys(["good", *bad], NOW - HOUR)
        assert settings.kept_until(runs) == {"good": NOW + HOUR}
        notes = " ".join(settings.describe()["notes"])
        assert all(f"keep-alive of {name} " in notes for name in bad)
        assert "idle_timeout" in notes
        await settings.change({"warning_time": 60})

    run(start())
    stored = file_of(data_dir)
    assert stored["settings"]["idle_timeout"] == "long", "it may be a later version's"
    assert stored["keep_alive"] == document["keep_alive"]


def test_what_another_version_stored_is_kept(data_dir: Path) -> None:
    document = {"version": 1, "settings": {"colour": "red"}, "keep_alive": {}, "theme": ["dark"]}
    write(data_dir, json.dumps(document))

    async def change() -> None:
        await (await Settings.load(admin(data_dir))).change({"idle_timeout": 3600})

    run(change())
    document["settings"] = {"colour": "red", "idle_timeout": 3600.0}
    assert file_of(data_dir) == document


def test_stored_values_that_the_admin_no_longer_allows_do_not_apply_but_are_kept(
    data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(
        data_dir,
        json.dumps({"version": 1, "settings": {"idle_timeout": 90000, "keep_terminals": True}}),
    )
    strict = admin(
        data_dir, max_idle_timeout=14400.0, allow_user_settings=["idle_timeout", "warning_time"]
    )
    with caplog.at_level(logging.WARNING):
        settings = run(Settings.load(strict))
    assert settings.policy.user_idle_timeout == 4 * HOUR
    assert settings.policy.keep_terminals is False
    assert "idle_timeout from 1 to 14400 seconds" in caplog.text
    assert "fixed keep_terminals" in caplog.text
    assert settings.describe()["notes"], "the panel can say so, too"
    lenient = run(Settings.load(admin(data_dir)))
    assert lenient.policy.user_idle_timeout == timedelta(seconds=90000)
    assert lenient.policy.keep_terminals is True


def test_two_servers_on_one_home_do_not_undo_each_others_changes(
    data_dir: Path, clock: Clock
) -> None:
    async def change() -> None:
        one = await Settings.load(admin(data_dir), clock)
        two = await Settings.load(admin(data_dir), clock)
        await one.change({"idle_timeout": 3600})
        await one.keep_alive("app-1", NOW - HOUR, NOW + HOUR)
        await two.change({"keep_terminals": True})
        await two.keep_alive("app-2", NOW - HOUR, NOW + HOUR)
        await one.change({"warning_time": 60})
        assert one.policy.keep_terminals is True, "what the other changed holds here, too"

    run(change())
    stored = file_of(data_dir)
    assert stored["settings"] == {
        "idle_timeout": 3600.0,
        "keep_terminals": True,
        "warning_time": 60.0,
    }
    assert set(stored["keep_alive"]) == {"app-1", "app-2"}


# ---- what can't be saved ------------------------------------------------------------------------


@pytest.fixture(params=["full", "no_directory"])
def bad_disk(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[Any]:
    """A disk that accepts nothing; call it to repair it."""
    if request.param == "full":
        # The kernel then refuses every byte, as on a full disk (root may write anywhere else).
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))

        def mend() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    else:
        data_dir.parent.mkdir(parents=True)
        data_dir.write_text("in the way")

        def mend() -> None:
            data_dir.unlink()

    yield mend
    if request.param == "full":
        mend()


def test_what_can_not_be_saved_is_in_force_all_the_same_and_that_is_said(
    data_dir: Path, bad_disk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def change() -> None:
        settings = await Settings.load(admin(data_dir))
        await settings.change({"idle_timeout": 3600})
        await settings.keep_alive("app", NOW, datetime.now(timezone.utc) + HOUR)
        assert settings.policy.user_idle_timeout == HOUR
        assert settings.kept_until({"app": NOW - HOUR})
        (problem,) = settings.problems
        assert problem.code == "settings_not_saved"
        assert "until the server restarts" in problem.message
        assert str(data_dir) in problem.remedy
        described = settings.describe()
        assert described["saved"] is False
        assert problem.message in described["notes"][-1]
        spec.check("Settings", described)

        bad_disk()
        await settings.change({"warning_time": 60})
        assert settings.problems == ()
        assert settings.describe()["saved"] is True

    with caplog.at_level(logging.WARNING):
        run(change())
    assert caplog.text.count("can't be saved") == 1, "once, not with each change"
    stored = file_of(data_dir)
    assert stored["settings"] == {"idle_timeout": 3600.0, "warning_time": 60.0}
    assert set(stored["keep_alive"]) == {"app"}, "what failed before is saved with the next change"


def test_a_disk_that_hangs_is_not_written_to_again_and_again(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, writes = threading.Event(), 0

    async def change() -> None:
        settings = await Settings.load(admin(data_dir))
        monkeypatch.setattr(settings_module, "FILE_TIMEOUT", 0.05)
        write = settings._file.write

        def hang(*changes: Any) -> Stored:
            nonlocal writes
            writes += 1
            released.wait(120)
            return write(*changes)

        monkeypatch.setattr(settings._file, "write", hang)
        await settings.change({"idle_timeout": 3600})
        for _ in range(3):
            settings.save_again()
            await asyncio.sleep(0.01)
        assert (writes, len(settings.problems)) == (1, 1)
        released.set()
        while settings.problems:
            settings.save_again()
            await asyncio.sleep(0.01)

    run(asyncio.wait_for(change(), 60))
    assert file_of(data_dir)["settings"] == {"idle_timeout": 3600.0}


def test_a_failed_write_leaves_the_old_file_whole(data_dir: Path) -> None:
    write(data_dir, json.dumps({"version": 1, "settings": {"idle_timeout": 3600}}))
    before = (data_dir / "settings.json").read_bytes()

    async def change() -> None:
        settings = await Settings.load(admin(data_dir))
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
        try:
            await settings.change({"idle_timeout": 60})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert settings.policy.user_idle_timeout == timedelta(seconds=60)

    run(change())
    assert (data_dir / "settings.json").read_bytes() == before
    assert names_in(data_dir) == ["settings.json", "settings.lock"]


def test_a_broken_file_that_another_server_has_mended_meanwhile_is_not_put_aside(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(data_dir, "rubbish")
    file = SettingsFile(data_dir / "settings.json")

    def mended_before(*_: object) -> FileLock:
        write(data_dir, json.dumps({"version": 1, "settings": {"idle_timeout": 60}}))
        return FileLock(data_dir / "settings.lock")

    monkeypatch.setattr(file_module, "FileLock", mended_before)
    assert file.read().settings == {"idle_timeout": 60}
    assert list(data_dir.glob("*broken*")) == []


def test_a_disk_that_knows_no_locks_takes_settings_all_the_same(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(file_module, "FileLock", no_locks)
    SettingsFile(data_dir / "settings.json").write({"idle_timeout": 60.0}, {})
    assert file_of(data_dir)["settings"] == {"idle_timeout": 60.0}


def test_a_disk_that_hangs_hangs_neither_start_nor_change(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang(*_: object, **__: object) -> Any:
        released.wait(120)
        raise OSError("too late")

    monkeypatch.setattr(settings_module, "FILE_TIMEOUT", 0.05)
    monkeypatch.setattr(SettingsFile, "_read", hang)

    async def change() -> None:
        settings = await Settings.load(admin(data_dir))
        assert "could not be read within" in settings.describe()["notes"][0]
        await settings.change({"idle_timeout": 3600})
        assert settings.policy.user_idle_timeout == HOUR
        assert "no answer in" in settings.problems[0].message

    try:
        run(asyncio.wait_for(change(), 60))
    finally:
        released.set()


def test_a_file_that_can_not_be_read_just_now_is_not_written_over(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(data_dir, json.dumps({"version": 1, "settings": {"keep_terminals": True}}))
    before = (data_dir / "settings.json").read_bytes()

    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    async def change() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", denied)
            settings = await Settings.load(admin(data_dir))
            await settings.change({"idle_timeout": 3600})
            assert settings.problems
        assert (data_dir / "settings.json").read_bytes() == before
        await settings.change({"warning_time": 60})
        assert settings.policy.keep_terminals is True, "what it held counts again"

    run(change())
    assert set(file_of(data_dir)["settings"]) == {"keep_terminals", "idle_timeout", "warning_time"}


def test_a_file_that_can_not_be_read_is_neither_put_aside_nor_overwritten(data_dir: Path) -> None:
    # A directory stands for "permission denied", which root never gets.
    (data_dir / "settings.json").mkdir(parents=True)

    async def change() -> None:
        settings = await Settings.load(admin(data_dir))
        assert "could not be read" in settings.describe()["notes"][0]
        await settings.change({"idle_timeout": 3600})
        assert settings.problems

    run(change())
    assert names_in(data_dir) == ["settings.json", "settings.lock"]
    assert (data_dir / "settings.json").is_dir()


# ---- keep-alives --------------------------------------------------------------------------------


def test_a_keep_alive_survives_a_restart_and_ends_with_its_run(
    data_dir: Path, clock: Clock
) -> None:
    started = NOW - HOUR

    async def give() -> None:
        settings = await Settings.load(admin(data_dir), clock)
        await settings.keep_alive("app", started, NOW + 4 * HOUR)

    run(give())
    settings = run(Settings.load(admin(data_dir), clock))
    assert settings.kept_until({"app": started}) == {"app": NOW + 4 * HOUR}
    # After a restart, this run's start may be known a little differently.
    assert settings.kept_until({"app": started + timedelta(seconds=5)})
    assert settings.kept_until({"app": NOW + timedelta(seconds=1)}) == {}, "another run"
    assert settings.kept_until({"other": started}) == {}


@pytest.mark.parametrize("given_at", ["2026-09-01T11:00:00Z", "9999-01-01T00:00:00Z"])
def test_a_keep_alive_that_was_edited_holds_no_longer_than_the_admin_allows(
    data_dir: Path, clock: Clock, given_at: str
) -> None:
    entry = {
        "until": "9999-12-31T23:59:59Z",
        "run_started_at": "2026-09-01T10:00:00Z",
        "given_at": given_at,
    }
    write(data_dir, json.dumps({"version": 1, "keep_alive": {"app": entry}}))
    runs = {"app": NOW - 2 * HOUR}
    settings = run(Settings.load(admin(data_dir), clock))
    given = min(NOW, datetime.fromisoformat(given_at.replace("Z", "+00:00")))
    assert settings.kept_until(runs) == {"app": given + 24 * HOUR}
    clock.now = NOW + HOUR
    assert settings.kept_until(runs) == {"app": given + 24 * HOUR}, "not a moving end"


def test_a_keep_alive_ends_sooner_when_the_admin_allows_less_or_none(
    data_dir: Path, clock: Clock
) -> None:
    async def give() -> None:
        settings = await Settings.load(admin(data_dir), clock)
        await settings.keep_alive("app", NOW - HOUR, NOW + 20 * HOUR)

    run(give())
    clock.now = NOW + HOUR
    runs = {"app": NOW - HOUR}
    less = run(Settings.load(admin(data_dir, max_keep_alive=4 * 3600), clock))
    assert less.kept_until(runs) == {"app": NOW + 4 * HOUR}
    none = run(Settings.load(admin(data_dir, max_keep_alive=0), clock))
    assert none.kept_until(runs).get("app", NOW) <= clock.now
    # Lowered while the server runs.
    config = admin(data_dir)
    lowered = run(Settings.load(config, clock))
    assert lowered.kept_until(runs) == {"app": NOW + 20 * HOUR}
    config.max_keep_alive = 4 * 3600
    assert lowered.kept_until(runs) == {"app": NOW + 4 * HOUR}


def test_a_keep_alive_that_was_taken_back_does_not_come_back(data_dir: Path, clock: Clock) -> None:
    async def give_and_take() -> None:
        settings = await Settings.load(admin(data_dir), clock)
        await settings.keep_alive("app", NOW, NOW + HOUR)
        await settings.end_keep_alive("app")
        await settings.end_keep_alive("never there")
        assert settings.kept_until({"app": NOW}) == {}

    run(give_and_take())
    assert run(Settings.load(admin(data_dir), clock)).kept_until({"app": NOW}) == {}


def test_keep_alives_that_are_over_do_not_pile_up(data_dir: Path, clock: Clock) -> None:
    async def give() -> None:
        settings = await Settings.load(admin(data_dir), clock)
        await settings.keep_alive("old", NOW, NOW + HOUR)
        clock.now = NOW + 2 * HOUR
        await settings.keep_alive("new", NOW, NOW + 3 * HOUR)

    run(give())
    assert set(file_of(data_dir)["keep_alive"]) == {"new"}


def test_changes_that_overlap_end_as_they_were_made(data_dir: Path) -> None:
    async def change() -> None:
        settings = await Settings.load(admin(data_dir))
        await asyncio.gather(
            *(settings.change({"idle_timeout": seconds}) for seconds in range(1, 30)),
            settings.keep_alive("app", NOW, datetime.now(timezone.utc) + HOUR),
        )
        assert settings.policy.user_idle_timeout == timedelta(seconds=29)

    run(change())
    stored = file_of(data_dir)
    assert stored["settings"] == {"idle_timeout": 29.0}
    assert set(stored["keep_alive"]) == {"app"}


def test_a_change_during_a_slow_write_is_neither_lost_nor_overtaken(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    overlapping = threading.Event()
    real = SettingsFile.write

    def slow(self: SettingsFile, settings: Any, keep_alives: Any) -> Any:
        writes.append(dict(settings))
        if len(writes) == 1:
            # If the second began before the first is done, the first could overtake it.
            assert not overlapping.wait(0.3)
        else:
            overlapping.set()
        return real(self, settings, keep_alives)

    monkeypatch.setattr(SettingsFile, "write", slow)

    async def change() -> None:
        settings = await Settings.load(admin(data_dir))
        first = asyncio.create_task(settings.change({"idle_timeout": 60}))
        while not writes:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(settings.change({"keep_terminals": True}))
        await first
        assert settings.policy.keep_terminals is True
        await second

    run(change())
    assert writes == [{"idle_timeout": 60.0}, {"keep_terminals": True}]
    assert file_of(data_dir)["settings"] == {"idle_timeout": 60.0, "keep_terminals": True}


# ---- shown --------------------------------------------------------------------------------------


def test_what_is_shown_is_what_is_in_force(data_dir: Path) -> None:
    config = admin(
        data_dir,
        min_idle_timeout=600.0,
        allow_user_settings=["idle_timeout"],
        idle_timeout_rules=[{"instance_type": "ml.g*", "idle_timeout": 1800}],
    )

    async def show() -> dict[str, Any]:
        settings = await Settings.load(config)
        await settings.change({"idle_timeout": 3600})
        return settings.describe()

    shown = run(show())
    spec.check("Settings", shown)
    assert shown["idle_timeout"] == {
        "value": 3600.0,
        "admin": 7200.0,
        "user": 3600.0,
        "source": "user",
        "min": 600.0,
        "max": 31622400.0,
        "editable": True,
        "why_fixed": "",
    }
    assert shown["keep_terminals"]["editable"] is False
    assert shown["keep_terminals"]["why_fixed"]
    assert shown["rules"] == [
        {
            "instance_type": "ml.g*",
            "owner": "*",
            "app_type": "*",
            "idle_timeout": 1800.0,
            "closed_idle_timeout": None,
        }
    ]
    assert "path" not in shown
