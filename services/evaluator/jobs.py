"""Entry points of the long work, as worker processes call them.

Imports of what needs PyTorch happen inside, in the worker: the server process that names these
functions stays small and starts at once.
"""

from __future__ import annotations

from services.evaluator.requests import ComparisonRequest, EvaluationRequest
from tagloom.artifacts.evaluation import Evaluation, SnapshotScore
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["compare", "evaluate"]


def evaluate(store: Store, request: EvaluationRequest, *, report: Report) -> Evaluation:
    """See `services.evaluator.evaluate.evaluate_run`."""
    report("load", 0, 0, "loading PyTorch")
    from services.evaluator.evaluate import evaluate_run

    return evaluate_run(store, request, report)


def compare(store: Store, request: ComparisonRequest, *, report: Report) -> SnapshotScore:
    """See `services.evaluator.compare.compare_folders`."""
    report("load", 0, 0, "loading PyTorch")
    from services.evaluator.compare import compare_folders

    return compare_folders(store, request, report)
