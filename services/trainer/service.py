"""TrainerService over gRPC: converts and delegates, nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from google.longrunning import operations_proto_pb2 as operations_pb2
from google.protobuf.empty_pb2 import Empty

from services.trainer import records, runs
from services.trainer.convert import (
    requested_options,
    run_message,
    snapshot_message,
    tick_message,
)
from services.trainer.follow import Follower, StopReason
from services.trainer.launch.choose import choose_launcher
from services.trainer.metrics import TrainingMetrics
from services.trainer.options import plan_run
from tagloom.artifacts.run import Progress, Run, Tick
from tagloom.paging import page_size
from tagloom.progress import Wait
from tagloom.rpc.job import Job, Stop
from tagloom.rpc.service import Kit
from tagloom.store.interface import Store
from tagloom.v1 import trainer_pb2 as pb
from tagloom.v1 import trainer_pb2_grpc

__all__ = ["TrainerService", "register"]

_REASONS: dict[Stop, StopReason] = {
    Stop.CANCEL: "cancel",
    Stop.HAND_BACK: "hand back",
    Stop.LOST: "lost",
}
_OUTCOMES: dict[Stop | None, str] = {
    None: "failed",
    Stop.CANCEL: "stopped",
    Stop.HAND_BACK: "handed_back",
    Stop.LOST: "lost",
}
"""How a training ended that brought no run, by what its job was asked to do."""


class TrainerService(trainer_pb2_grpc.TrainerServiceServicer):
    """The methods of trainer.proto."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._launcher = choose_launcher(os.environ)
        # Threads of their own: a training that is followed for days keeps nobody else waiting.
        threads = max(self._launcher.at_once, kit.settings.max_operations)
        self._followers = ThreadPoolExecutor(threads, thread_name_prefix="follow")
        kit.operations.at_once = self._launcher.at_once  # the others wait in the queue
        self._metrics = TrainingMetrics(kit.registry)
        kit.operations.handle("CreateRun", pb.CreateRunRequest, pb.Run, self._create)
        kit.operations.handle("ResumeRun", pb.ResumeRunRequest, pb.Run, self._resume)

    async def CreateRun(
        self, request: pb.CreateRunRequest, context: object
    ) -> operations_pb2.Operation:
        """Accepts the training after checking all that can be checked at once."""
        planned: list[Run] = []

        async def check() -> None:
            await asyncio.to_thread(runs.check_absent, self._kit.store, request.run_id)
            planned.append(await asyncio.to_thread(self._plan, request))

        operation = await self._kit.operations.start(
            "CreateRun",
            request,
            request_id=request.request_id,
            target=f"runs/{request.run_id}",
            check=check,
            join=True,
        )
        for run in planned:  # to be seen at once; the operation would write it otherwise
            run = run.model_copy(update={"operation": operation.name})
            await asyncio.to_thread(runs.enter_run, self._kit.store, run)
        return operation

    async def GetRun(self, request: pb.GetRunRequest, context: object) -> pb.Run:
        """One run."""
        return run_message(await asyncio.to_thread(runs.get_run, self._kit.store, request.name))

    async def ListRuns(self, request: pb.ListRunsRequest, context: object) -> pb.ListRunsResponse:
        """A page of runs."""
        size = page_size(request.page_size)
        found, token = await asyncio.to_thread(
            runs.list_runs, self._kit.store, size, request.page_token
        )
        return pb.ListRunsResponse(runs=map(run_message, found), next_page_token=token)

    async def StopRun(self, request: pb.StopRunRequest, context: object) -> pb.Run:
        """Asks for a stop; the answer shows the run as it is now."""
        active = await self._kit.operations.unfinished(request.name)
        return run_message(
            await asyncio.to_thread(runs.stop_run, self._kit.store, request.name, active)
        )

    async def ResumeRun(
        self, request: pb.ResumeRunRequest, context: object
    ) -> operations_pb2.Operation:
        """Accepts the continuation of a run that has ended."""

        async def check() -> None:
            view = await asyncio.to_thread(runs.get_run, self._kit.store, request.name)
            active = await self._kit.operations.unfinished(request.name)
            runs.check_resumable(view.run, request.kimg, active)

        return await self._kit.operations.start(
            "ResumeRun",
            request,
            request_id=request.request_id,
            target=request.name,
            check=check,
            join=True,
        )

    async def ListSnapshots(
        self, request: pb.ListSnapshotsRequest, context: object
    ) -> pb.ListSnapshotsResponse:
        """A page of snapshots."""
        size = page_size(request.page_size)
        found, token = await asyncio.to_thread(
            runs.list_snapshots, self._kit.store, request.parent, size, request.page_token
        )
        return pb.ListSnapshotsResponse(
            snapshots=map(snapshot_message, found), next_page_token=token
        )

    async def ListTicks(
        self, request: pb.ListTicksRequest, context: object
    ) -> pb.ListTicksResponse:
        """A page of the history."""
        size = page_size(request.page_size, 1000, 10_000)
        found, token = await asyncio.to_thread(
            runs.list_ticks, self._kit.store, request.parent, size, request.page_token
        )
        return pb.ListTicksResponse(ticks=map(tick_message, found), next_page_token=token)

    async def DeleteRun(self, request: pb.DeleteRunRequest, context: object) -> Empty:
        """Removes a run that is not being trained."""
        active = await self._kit.operations.unfinished(request.name)
        await asyncio.to_thread(runs.delete_run, self._kit.store, request.name, active)
        return Empty()

    def _plan(self, request: pb.CreateRunRequest) -> Run:
        return plan_run(
            self._kit.store,
            request.run_id,
            request.dataset,
            request.start,
            requested_options(request.options),
        )

    async def _create(self, request: pb.CreateRunRequest, job: Job) -> pb.Run:
        plan = partial(self._plan, request)
        await asyncio.to_thread(
            runs.enter_if_absent, self._kit.store, request.run_id, job.name, plan
        )
        return await self._follow(request.run_id, runs.starting(job.name), job)

    async def _resume(self, request: pb.ResumeRunRequest, job: Job) -> pb.Run:
        run_id = request.name.removeprefix("runs/")
        return await self._follow(run_id, runs.continuing(job.name, request.kimg), job)

    async def _follow(self, run_id: str, prepare: Callable[[Store, Run], Run], job: Job) -> pb.Run:
        loop = asyncio.get_running_loop()

        def note(
            phase: str, done: int, total: int, message: str = "", *, wait: Wait | None = None
        ) -> None:
            self._metrics.note(phase)
            loop.call_soon_threadsafe(job.note, phase, done, total, message)

        tick: Tick | None = None

        def show(run: Run, progress: Progress) -> None:
            nonlocal tick
            # The history grows for days: it is read when there may be something new in it.
            seen = progress.images_seen / 1000
            if tick is None or not tick.kimg <= seen < tick.kimg + run.options.tick_kimg:
                tick = records.last_tick(self._kit.store, run.id)
            self._metrics.show(run, progress, tick)

        cut_off = False

        def stop() -> StopReason | None:
            return "lost" if cut_off else _REASONS[job.stop] if job.stop else None

        follower = Follower(
            store=self._kit.store,
            launcher=self._launcher,
            note=note,
            stop=stop,
            operation=job.name,
            lease_s=max(self._kit.settings.lease_s / 3, 1.0),
            on_progress=show,
        )
        work = partial(follower.run, run_id, prepare)
        following = asyncio.ensure_future(loop.run_in_executor(self._followers, work))
        outcome = ""
        self._metrics.begin(run_id)
        try:
            run = await asyncio.shield(following)
            outcome = run.state
        except asyncio.CancelledError:
            cut_off = True  # past its grace: the process is killed, its last state is durable
            await asyncio.wait({following})
            raise
        finally:
            self._metrics.end(run_id, outcome or _OUTCOMES[job.stop])
        return run_message(await asyncio.to_thread(runs.get_run, self._kit.store, f"runs/{run_id}"))


def register(kit: Kit) -> None:
    """Adds TrainerService to a server (entry point of the group `tagloom.services`)."""
    trainer_pb2_grpc.add_TrainerServiceServicer_to_server(TrainerService(kit), kit.server)
    kit.announce(pb.DESCRIPTOR)
