"""The grid as the pipeline's loop gets it."""

from __future__ import annotations

import json
from typing import Any, get_args

from pipelines.spec import MetricName
from pipelines.steps.evaluate import evaluate_request
from pipelines.steps.plan import PlannedRun, plan_runs
from pipelines.steps.train import training_options
from tagloom.v1 import evaluator_pb2, trainer_pb2

TRAIN: dict[str, Any] = {
    "kimg": 2,
    "start": ["photos-32", "scratch"],
    "augment": ["ada", "none"],
    "batch": 16,
    "g_learning_rate": 0.0,
}


def test_one_item_a_cell_each_its_own_run() -> None:
    items = plan_runs("cats", "datasets/cats-1", TRAIN, {})
    assert [item["label"] for item in items] == [
        "photos-32, ada",
        "photos-32, none",
        "scratch, ada",
        "scratch, none",
    ]
    assert len({item["run_id"] for item in items}) == 4
    assert all(item["dataset"] == "datasets/cats-1" for item in items)


def test_a_wider_grid_keeps_the_runs_it_had() -> None:
    one = plan_runs("cats", "datasets/d", {**TRAIN, "augment": "ada", "start": "scratch"}, {})
    many = plan_runs("cats", "datasets/d", TRAIN, {})
    assert one[0]["run_id"] in {item["run_id"] for item in many}


def test_numbers_survive_the_pipelines_json() -> None:
    # KFP's structs know no integers: 16 comes back as 16.0, and must not become another run.
    floats = json.loads(json.dumps(TRAIN), parse_int=float)
    assert plan_runs("cats", "datasets/d", floats, {}) == plan_runs("cats", "datasets/d", TRAIN, {})
    item = json.loads(json.dumps(plan_runs("cats", "datasets/d", TRAIN, {})[0]), parse_int=float)
    assert PlannedRun.model_validate(item).train.batch == 16


def test_options_given_are_passed_and_those_left_out_stay_unset() -> None:
    planned = PlannedRun.model_validate(plan_runs("cats", "datasets/d", TRAIN, {})[1])
    options = training_options(planned.train, planned.cell.augment)
    assert options.config == trainer_pb2.TrainingOptions.CONFIG_STYLEGAN3_T
    assert options.augment == trainer_pb2.TrainingOptions.AUGMENT_NONE
    assert options.batch == 16
    # A learning rate of 0 was asked for, which is not the same as none asked for.
    assert options.HasField("g_learning_rate")
    assert not options.HasField("d_learning_rate")


def test_metric_names_are_families() -> None:
    scoring = {"metrics": ["fid", "kid", "frechet", "recall"], "samples": 10}
    planned = PlannedRun.model_validate(plan_runs("cats", "datasets/d", TRAIN, scoring)[0])
    request = evaluate_request(planned)
    assert list(request.metrics) == [
        evaluator_pb2.METRIC_FRECHET,
        evaluator_pb2.METRIC_KERNEL,
        evaluator_pb2.METRIC_RECALL,
    ]
    assert request.samples == 10


def test_every_metric_of_a_file_is_one_of_the_evaluators() -> None:
    scoring = {"metrics": get_args(MetricName)}
    planned = PlannedRun.model_validate(plan_runs("cats", "datasets/d", TRAIN, scoring)[0])
    asked = evaluate_request(planned).metrics
    assert len(asked) == len(set(asked))
    assert set(asked) == set(evaluator_pb2.Metric.values()) - {evaluator_pb2.METRIC_UNSPECIFIED}
