"""Blocking work off the event loop: no call waits for another, and nothing is left behind."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from sagemaker_autoshutdown import threads
from sagemaker_autoshutdown.threads import MOST_IDLE, in_thread


@pytest.fixture(autouse=True)
def no_idle_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other tests serve no test here."""
    monkeypatch.setattr(threads, "_idle", [])


async def test_a_result_that_nobody_waits_for_any_more_is_dropped_in_silence() -> None:
    said: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    may_end = threading.Event()
    task = asyncio.ensure_future(in_thread(may_end.wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()
    await _until_one_is_idle()
    await asyncio.sleep(0)
    assert not said


def test_a_thread_that_outlives_the_server_ends_in_silence_and_serves_the_next(
    capfd: pytest.CaptureFixture[str],
) -> None:
    may_end, has_ended = threading.Event(), threading.Event()

    def hang() -> None:
        may_end.wait()
        has_ended.set()

    async def give_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(in_thread(hang), 0.01)

    asyncio.run(give_up())
    may_end.set()
    assert has_ended.wait(60)
    assert asyncio.run(in_thread(lambda: 1)) == 1
    assert capfd.readouterr().err == ""


class _OddError(BaseException):
    pass


@pytest.mark.parametrize("error", [KeyError, _OddError])
async def test_what_goes_wrong_is_handed_on_and_the_thread_goes_on(
    error: type[BaseException],
) -> None:
    def fail() -> None:
        raise error

    for _ in range(3):
        with pytest.raises(error):
            await asyncio.wait_for(in_thread(fail), 30)
    assert await asyncio.wait_for(in_thread(lambda: 1), 30) == 1


async def test_a_call_that_hangs_does_not_keep_the_process() -> None:
    assert (await in_thread(threading.current_thread)).daemon


async def test_a_call_that_hangs_holds_up_no_other() -> None:
    """All the threads that waited for work may be taken by such calls."""
    may_end = threading.Event()
    hanging = [asyncio.ensure_future(in_thread(may_end.wait)) for _ in range(2 * MOST_IDLE + 1)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(in_thread(lambda: "done"), 60) == "done"
    may_end.set()
    await asyncio.gather(*hanging)


async def test_a_check_after_another_starts_no_new_thread() -> None:
    """To start one, the event loop waits until it runs."""
    used: set[int] = set()
    for _ in range(50):
        # A job that was given to a thread that has ended is never done.
        used.add(await asyncio.wait_for(in_thread(threading.get_ident), 30))
        await _until_one_is_idle()
    assert len(used) <= MOST_IDLE + 1


async def test_a_burst_of_calls_leaves_few_threads_behind() -> None:
    may_end = threading.Event()
    before = set(threading.enumerate())
    burst = [asyncio.ensure_future(in_thread(may_end.wait)) for _ in range(20)]
    await asyncio.sleep(0)
    may_end.set()
    await asyncio.gather(*burst)
    end = time.monotonic() + 60
    while (
        len([each for each in set(threading.enumerate()) - before if each.is_alive()]) > MOST_IDLE
    ):
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


async def test_a_thread_that_waits_for_work_holds_nothing_of_the_last_one() -> None:
    class Big:
        pass

    import gc
    import weakref

    big = Big()
    gone = weakref.ref(big)
    await in_thread(lambda held=big: None)  # type: ignore[misc]
    del big
    await _until_one_is_idle()
    gc.collect()
    assert gone() is None


async def _until_one_is_idle() -> None:
    end = time.monotonic() + 60
    while not threads._idle:
        assert time.monotonic() < end
        await asyncio.sleep(0.001)
