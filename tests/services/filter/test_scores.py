"""Scores in the store: found again by any collection, merged by any number of writers."""

from __future__ import annotations

import io
import logging
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.filter.checks import CHECKS, Measured, Score
from services.filter.scores import _encode, _read, _row, add_scores, load_scores
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Box

SHAS = [f"{digit}{index:063x}" for index, digit in enumerate("0123456789abcdef" * 3)]
BOX = Box(left=1, top=2, right=3.5, bottom=4, score=0.25)


def scores_of(shas, check="text", value=0.5):
    return {sha: {check: Measured(20, 10, Score(value, (BOX,), "one line"))} for sha in shas}


def test_come_back_as_they_were(store):
    wanted = scores_of(SHAS)
    add_scores(store, wanted)
    assert load_scores(store, SHAS, ["text"]) == wanted
    assert load_scores(store, SHAS[:2], ["text", "faces"]) == scores_of(SHAS[:2])
    assert load_scores(store, ["f" * 64], ["text"]) == {}


def test_lie_under_check_and_version(store):
    add_scores(store, scores_of(SHAS[:1]))
    (info,) = store.iterate("scores/")
    assert info.key == layout.scores("text", CHECKS["text"].version, "0")


def test_the_first_writer_wins(store):
    add_scores(store, scores_of(SHAS[:1], value=0.1))
    add_scores(store, scores_of(SHAS[:1], value=0.2))
    assert load_scores(store, SHAS[:1], ["text"])[SHAS[0]]["text"].score.value == 0.1


def test_writers_at_once_lose_nothing(store):
    shas = [f"{index // 8:x}{index:063x}" for index in range(32)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda sha: add_scores(store, scores_of([sha])), shas))
    assert set(load_scores(store, shas, ["text"])) == set(shas)


def other_columns():
    sink = io.BytesIO()
    pq.write_table(pa.table({"sha256": SHAS[:1], "score": [1.0]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize("damage", [b"PAR1 nonsense PAR1", other_columns()])
def test_a_damaged_shard_is_dropped_and_replaced(store, caplog, damage):
    add_scores(store, scores_of(SHAS[:1]))
    (info,) = store.iterate("scores/")
    store.put(info.key, damage)
    with caplog.at_level(logging.WARNING):
        assert load_scores(store, SHAS[:1], ["text"]) == {}
    assert "computed again" in caplog.text
    add_scores(store, scores_of(SHAS[:1]))
    assert load_scores(store, SHAS[:1], ["text"]) == scores_of(SHAS[:1])


@given(
    value=st.floats(allow_nan=False),
    detail=st.text(st.characters(codec="utf-8"), max_size=30),
    width=st.integers(0, 2**31 - 1),
    boxes=st.integers(0, 3),
)
def test_any_score_survives_the_table(value, detail, width, boxes):
    measured = Measured(width, 7, Score(value, (BOX,) * boxes, detail))

    class OneObject:
        def get_with_etag(self, key):
            return _encode({"a": _row("a", measured)}), "etag"

    rows, etag = _read(OneObject(), "scores/text-1/a.parquet")
    assert etag == "etag"
    assert rows == {"a": _row("a", measured)}
