"""The pool of worker processes, with real processes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import worker_calls

from tagloom.errors import Cancelled, ResourceExhausted, TagloomError, Unavailable
from tagloom.rpc.workers import WorkerCrashed, WorkerDied, Workers
from tagloom.store.interface import ObjectNotFound

R = TypeVar("R")


def with_pool(test: Callable[[Workers], Awaitable[R]], size: int = 1, **options: Any) -> R:
    async def body() -> R:
        pool = Workers(size, **options)
        try:
            return await asyncio.wait_for(test(pool), 60)
        finally:
            await pool.close()
            assert pool.processes == []

    return asyncio.run(body())


def test_returns_the_result_and_keeps_the_process_warm() -> None:
    async def test(pool: Workers) -> None:
        assert await pool.run(worker_calls.add, 2, b=3) == 5
        (first,) = pool.processes
        assert await pool.run(os.getpid) == first != os.getpid()

    with_pool(test)


def test_runs_at_most_size_calls_at_once() -> None:
    async def test(pool: Workers) -> set[int]:
        started = time.monotonic()
        numbers = await asyncio.gather(*(pool.run(worker_calls.deaf, 0.2) for _ in range(4)))
        assert len(numbers) == 4
        assert time.monotonic() - started >= 0.4
        return set(pool.processes)

    assert len(with_pool(test, size=2)) == 2


def test_deliberate_errors_come_back_as_they_were() -> None:
    async def test(pool: Workers) -> None:
        with pytest.raises(ResourceExhausted, match="The disk is full") as caught:
            await pool.run(worker_calls.refuse)
        assert (caught.value.reason, caught.value.metadata) == ("STORE_FULL", {"key": "a"})
        with pytest.raises(ObjectNotFound):  # a subclass stays one
            await pool.run(worker_calls.not_there)

    with_pool(test)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (worker_calls.crash, "ZeroDivisionError"),
        (worker_calls.leave, "SystemExit"),
        (worker_calls.unpicklable, "PicklingError|AttributeError"),
    ],
)
def test_unexpected_errors_are_logged_and_not_told(
    function: Callable[[], Any], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(pool: Workers) -> None:
        with pytest.raises(WorkerCrashed, match=kind) as caught:
            await pool.run(function)
        assert "secret" not in str(caught.value)
        assert await pool.run(worker_calls.add, 1, 1) == 2

    with caplog.at_level(logging.ERROR):
        with_pool(test)
    assert "Traceback" in caplog.text


def test_what_cannot_be_sent_is_refused_here() -> None:
    async def test(pool: Workers) -> None:
        with pytest.raises(Exception, match="pickle"):
            await pool.run(lambda: None)
        assert await pool.run(worker_calls.add, 1, 1) == 2

    with_pool(test)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_process_takes_only_its_call_with_it(number: int) -> None:
    async def test(pool: Workers) -> None:
        other = asyncio.create_task(pool.run(worker_calls.deaf, 0.5))
        with pytest.raises(WorkerDied, match=signal.Signals(number).name) as caught:
            await pool.run(worker_calls.kill_itself, number)
        assert caught.value.reason == "WORKER_DIED"
        await other
        assert await pool.run(worker_calls.add, 1, 1) == 2

    with_pool(test, size=2)


def test_a_warm_process_killed_between_calls_is_replaced() -> None:
    async def test(pool: Workers) -> None:
        await pool.run(worker_calls.add, 1, 1)
        (number,) = pool.processes
        os.kill(number, signal.SIGKILL)
        await asyncio.sleep(0.1)
        assert await pool.run(os.getpid) != number

    with_pool(test)


def test_progress_arrives_while_the_call_runs() -> None:
    async def test(pool: Workers) -> None:
        seen: list[tuple[str, int, int, str]] = []

        def report(phase: str, done: int, total: int, message: str = "") -> None:
            seen.append((phase, done, total, message))

        call = asyncio.create_task(pool.run(worker_calls.steps, 4, 0.15, report=report))
        await asyncio.sleep(0)
        while not seen:
            await asyncio.sleep(0.01)
        assert not call.done()
        assert await call == 4
        assert seen == [("step", n, 4, f"step {n}") for n in range(4)]

    with_pool(test)


def test_a_message_outlives_the_reports_that_are_too_many_to_send() -> None:
    async def test(pool: Workers) -> None:
        seen: list[tuple[int, str]] = []

        def report(phase: str, done: int, total: int, message: str = "") -> None:
            seen.append((done, message))

        await pool.run(worker_calls.says_something_early, 30, report=report)
        assert seen[0] == (0, "looking")
        assert seen[-1][0] == 30
        assert len(seen) < 30
        assert [message for _, message in seen if message] == ["looking", "found 30"]

    with_pool(test)


def test_cancel_raises_in_the_report_of_the_call(tmp_path: Path) -> None:
    async def test(pool: Workers) -> None:
        cancel = asyncio.Event()
        call = asyncio.create_task(
            pool.run(
                worker_calls.steps_and_tidy,
                str(tmp_path / "tidy"),
                report=lambda *_: cancel.set(),  # as soon as it runs
                cancel=cancel,
            )
        )
        with pytest.raises(Cancelled):
            await call
        assert (tmp_path / "tidy").read_text() == "tidied"
        (number,) = pool.processes  # it ended in good order, so it stays
        assert await pool.run(os.getpid) == number

    with_pool(test)


def test_cancelling_the_awaiting_task_stops_the_call_too(tmp_path: Path) -> None:
    async def test(pool: Workers) -> None:
        running = asyncio.Event()
        call = asyncio.create_task(
            pool.run(
                worker_calls.steps_and_tidy, str(tmp_path / "tidy"), report=lambda *_: running.set()
            )
        )
        await running.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (tmp_path / "tidy").read_text() == "tidied"

    with_pool(test)


def test_a_call_that_does_not_listen_is_killed_after_the_grace() -> None:
    async def test(pool: Workers) -> None:
        cancel = asyncio.Event()
        call = asyncio.create_task(pool.run(worker_calls.deaf, 600.0, cancel=cancel))
        while not pool.processes:
            await asyncio.sleep(0.01)
        cancel.set()
        started = time.monotonic()
        with pytest.raises(Cancelled):
            await call
        assert time.monotonic() - started < 5
        assert await pool.run(worker_calls.add, 1, 1) == 2

    with_pool(test, cancel_grace_s=0.3)


def test_compute_environment_is_set_before_the_process_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A shell may have it, and a command line tried in this process sets it for its children.
    monkeypatch.delenv("MALLOC_MMAP_MAX_", raising=False)

    async def test(pool: Workers) -> None:
        assert await pool.run(worker_calls.environment, "MALLOC_MMAP_MAX_") == "0"

    with_pool(test)
    assert "MALLOC_MMAP_MAX_" not in os.environ


def test_processes_are_replaced_after_so_many_calls_and_leave_when_idle() -> None:
    async def test(pool: Workers) -> None:
        numbers = [await pool.run(os.getpid) for _ in range(3)]
        assert numbers[0] == numbers[1] != numbers[2]
        while pool.processes:
            await asyncio.sleep(0.05)

    with_pool(test, recycle_after=2, idle_s=0.3)


def test_what_a_call_prints_stays_out_of_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    async def test(pool: Workers) -> None:
        await pool.run(worker_calls.chatter)

    with_pool(test)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "printed by a library" in captured.err


def test_large_results_pass() -> None:
    async def test(pool: Workers) -> None:
        assert len(await pool.run(worker_calls.big, 20_000_000)) == 20_000_000

    with_pool(test)


def test_close_ends_running_calls_and_refuses_new_ones(tmp_path: Path) -> None:
    async def test(pool: Workers) -> None:
        file = tmp_path / "child"
        call = asyncio.create_task(pool.run(worker_calls.with_child, str(file)))
        while not file.exists() or not file.read_text():
            await asyncio.sleep(0.02)
        child = psutil.Process(int(file.read_text()))
        await pool.close()
        with pytest.raises(WorkerDied):
            await call
        with pytest.raises(Unavailable, match="shutting down"):
            await pool.run(worker_calls.add, 1, 1)
        # The process group went: what the call had started is gone as well.
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE

    with_pool(test)


def test_programs_started_by_a_call_can_be_stopped_gently() -> None:
    async def test(pool: Workers) -> None:
        assert await pool.run(worker_calls.gentle_child) == -signal.SIGTERM

    with_pool(test)


PARENT = """
import asyncio, sys, worker_calls
from tagloom.rpc.workers import Workers

async def main():
    pool = Workers(1)
    call = asyncio.create_task(pool.run(worker_calls.deaf, 600.0))
    while not pool.processes:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)  # let it get into the call
    print(pool.processes[0], flush=True)
    await call

asyncio.run(main())
"""


def test_processes_die_with_a_parent_that_is_killed() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=env
    ) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    worker.wait(timeout=5)
    assert not worker.is_running()


def test_a_process_that_cannot_be_started_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(pool: Workers) -> None:
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        with pytest.raises(TagloomError, match="No worker process could be started") as caught:
            await pool.run(worker_calls.add, 1, 1)
        assert caught.value.reason == "WORKER_NOT_STARTED"
        monkeypatch.undo()
        assert await pool.run(worker_calls.add, 1, 1) == 2

    with_pool(test)
