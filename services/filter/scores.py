"""Scores in the store: computed once per image and check, whichever collection it came in.

`scores/<check>-<version>/<first hex digit of the hash>.parquet`: sixteen shards a check, so that
a reader of any collection makes sixteen requests a check, whatever else the store holds. Shards
grow by compare-and-swap; several writers lose nothing, and two that scored the same image wrote
the same row. They are derived data: a damaged shard is dropped and its scores computed again.
"""

from __future__ import annotations

import io
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.filter.checks import CHECKS, Check, Measured, Score
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Box
from tagloom.errors import Unavailable
from tagloom.store.interface import ObjectNotFound, PreconditionFailed, Store

__all__ = ["BOX_TYPE", "add_scores", "load_scores"]

_log = logging.getLogger(__name__)
_ATTEMPTS = 50

BOX_TYPE = pa.struct([(side, pa.float64()) for side in ("left", "top", "right", "bottom", "score")])
_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("score", pa.float64()),
        ("boxes", pa.list_(BOX_TYPE)),
        ("detail", pa.string()),
    ]
)


def load_scores(
    store: Store, hashes: Collection[str], checks: Iterable[str]
) -> dict[str, dict[str, Measured]]:
    """What is known of these images: hash to check to score; unknown ones are left out."""
    wanted = frozenset(hashes)
    found: dict[str, dict[str, Measured]] = defaultdict(dict)
    for name in checks:
        for digit in sorted({sha256[0] for sha256 in wanted}):
            rows, _ = _read(store, _key(CHECKS[name], digit))
            for row in rows.values():
                if row["sha256"] in wanted:
                    found[row["sha256"]][name] = _measured(row)
    return dict(found)


def add_scores(store: Store, scores: Mapping[str, Mapping[str, Measured]]) -> None:
    """Makes scores (hash to check to score) durable. Unavailable (SCORES_BUSY) when other writers
    never let go of a shard."""
    shards: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for sha256, by_check in scores.items():
        for name, measured in by_check.items():
            shards[name, sha256[0]][sha256] = _row(sha256, measured)
    for (name, digit), rows in sorted(shards.items()):
        _merge(store, _key(CHECKS[name], digit), rows)


def _merge(store: Store, key: str, rows: Mapping[str, dict[str, Any]]) -> None:
    for _ in range(_ATTEMPTS):
        known, etag = _read(store, key)
        if all(sha256 in known for sha256 in rows):
            return
        data = _encode({**rows, **known})
        try:
            if etag is None:
                store.put(key, data, if_none_match=True)
            else:
                store.put(key, data, if_match=etag)
        except PreconditionFailed:
            continue
        return
    raise Unavailable(
        f"{key} changed {_ATTEMPTS} times while scores were to be added; try again later.",
        reason="SCORES_BUSY",
        key=key,
    )


def _key(check: Check, digit: str) -> str:
    return layout.scores(check.name, check.version, digit)


def _read(store: Store, key: str) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Rows by hash, and the ETag to swap; None when nothing lies there."""
    try:
        data, etag = store.get_with_etag(key)
    except ObjectNotFound:
        return {}, None
    try:
        table = pq.read_table(pa.BufferReader(data), schema=_SCHEMA)
    except (pa.ArrowException, OSError) as error:
        _log.warning("%s is damaged; its scores are computed again: %s", key, error)
        return {}, etag
    return {row["sha256"]: row for row in table.to_pylist()}, etag


def _encode(rows: Mapping[str, dict[str, Any]]) -> bytes:
    ordered = [rows[sha256] for sha256 in sorted(rows)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ordered, schema=_SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def _row(sha256: str, measured: Measured) -> dict[str, Any]:
    score = measured.score
    return {
        "sha256": sha256,
        "width": measured.width,
        "height": measured.height,
        "score": score.value,
        "boxes": [box.model_dump() for box in score.boxes],
        "detail": score.detail,
    }


def _measured(row: Mapping[str, Any]) -> Measured:
    return Measured(
        width=row["width"],
        height=row["height"],
        score=Score(
            value=row["score"],
            boxes=tuple(Box(**box) for box in row["boxes"]),
            detail=row["detail"],
        ),
    )
