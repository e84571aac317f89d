"""EvaluatorService over gRPC: converts and delegates, nothing else."""

from __future__ import annotations

import asyncio
import os

from google.longrunning import operations_proto_pb2 as operations_pb2
from google.protobuf.empty_pb2 import Empty

from services.evaluator import catalog, jobs
from services.evaluator.convert import (
    comparison_request,
    evaluation_message,
    evaluation_request,
    score_message,
)
from services.evaluator.metrics import EvaluatorMetrics
from services.evaluator.requests import check_comparison, check_evaluation
from tagloom.folders import served_roots
from tagloom.paging import page_size
from tagloom.rpc.job import Job
from tagloom.rpc.service import Kit
from tagloom.rpc.settings import is_loopback
from tagloom.v1 import evaluator_pb2, evaluator_pb2_grpc

__all__ = ["EvaluatorService", "register"]


class EvaluatorService(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """The methods of evaluator.proto."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._roots = served_roots(os.environ, loopback=is_loopback(kit.settings.address))
        self._metrics = EvaluatorMetrics(kit.registry)
        kit.operations.handle(
            "CreateEvaluation",
            evaluator_pb2.CreateEvaluationRequest,
            evaluator_pb2.Evaluation,
            self._evaluate,
        )
        kit.operations.handle(
            "CompareFolders",
            evaluator_pb2.CompareFoldersRequest,
            evaluator_pb2.SnapshotScore,
            self._compare,
        )

    async def CreateEvaluation(
        self, request: evaluator_pb2.CreateEvaluationRequest, context: object
    ) -> operations_pb2.Operation:
        """Accepts the work after checking all that can be checked at once."""
        work = evaluation_request(request)

        async def check() -> None:
            await asyncio.to_thread(check_evaluation, self._kit.store, work)
            await asyncio.to_thread(catalog.check_absent, self._kit.store, work.evaluation_id)

        return await self._kit.operations.start(
            "CreateEvaluation",
            request,
            request_id=request.request_id,
            target=f"evaluations/{work.evaluation_id}",
            check=check,
            join=True,
        )

    async def CompareFolders(
        self, request: evaluator_pb2.CompareFoldersRequest, context: object
    ) -> operations_pb2.Operation:
        """Accepts the work when both folders may be read."""
        work = comparison_request(request, self._roots)

        async def check() -> None:
            await asyncio.to_thread(check_comparison, work)

        return await self._kit.operations.start(
            "CompareFolders", request, request_id=request.request_id, check=check
        )

    async def GetEvaluation(
        self, request: evaluator_pb2.GetEvaluationRequest, context: object
    ) -> evaluator_pb2.Evaluation:
        """One evaluation."""
        return evaluation_message(
            await asyncio.to_thread(catalog.read_evaluation, self._kit.store, request.name)
        )

    async def ListEvaluations(
        self, request: evaluator_pb2.ListEvaluationsRequest, context: object
    ) -> evaluator_pb2.ListEvaluationsResponse:
        """A page of evaluations."""
        found, token = await asyncio.to_thread(
            catalog.list_evaluations,
            self._kit.store,
            page_size(request.page_size),
            request.page_token,
        )
        return evaluator_pb2.ListEvaluationsResponse(
            evaluations=map(evaluation_message, found), next_page_token=token
        )

    async def DeleteEvaluation(
        self, request: evaluator_pb2.DeleteEvaluationRequest, context: object
    ) -> Empty:
        """Removes an evaluation."""
        await asyncio.to_thread(catalog.delete_evaluation, self._kit.store, request.name)
        return Empty()

    async def _evaluate(
        self, request: evaluator_pb2.CreateEvaluationRequest, job: Job
    ) -> evaluator_pb2.Evaluation:
        evaluation = await job.run_in_worker(jobs.evaluate, evaluation_request(request))
        self._metrics.finished(evaluation)
        return evaluation_message(evaluation)

    async def _compare(
        self, request: evaluator_pb2.CompareFoldersRequest, job: Job
    ) -> evaluator_pb2.SnapshotScore:
        return score_message(
            await job.run_in_worker(jobs.compare, comparison_request(request, self._roots))
        )


def register(kit: Kit) -> None:
    """Adds EvaluatorService to a server (entry point of the group `tagloom.services`)."""
    # One at a time: each takes every core it gets.
    kit.operations.at_once = 1
    evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server(EvaluatorService(kit), kit.server)
    kit.announce(evaluator_pb2.DESCRIPTOR)
