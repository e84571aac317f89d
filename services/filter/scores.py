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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.filter.bulk import without_collector
from services.filter.checks import CHECKS, Check, Measured, Score
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Box
from tagloom.errors import Unavailable
from tagloom.store.interface import ObjectNotFound, PreconditionFailed, Store

__all__ = ["BOX_TYPE", "add_scores", "load_scores"]

_log = logging.getLogger(__name__)
_ATTEMPTS = 50
_READERS = 8
"""shards read at once: an object store answers one request in milliseconds, many as fast"""

BOX_TYPE = pa.struct([(side, pa.float64()) for side in ("left", "top", "right", "bottom", "score")])
_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("score", pa.float64()),
        ("boxes", pa.list_(BOX_TYPE)),
        ("detail", pa.string()),
        ("vector", pa.binary()),
    ]
)


@without_collector()
def load_scores(
    store: Store, hashes: Collection[str], checks: Iterable[str]
) -> dict[str, dict[str, Measured]]:
    """What is known of these images: hash to check to score; unknown ones are left out."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for sha256 in hashes:
        wanted[sha256[0]].append(sha256)
    names = list(dict.fromkeys(CHECKS[check].source for check in checks))
    found: dict[str, dict[str, Measured]] = defaultdict(dict)
    # By image rather than by check: what is known of one lies together in memory.
    shards = [(name, digit) for digit in sorted(wanted) for name in names]
    asked = {digit: pa.array(hashes, pa.string()) for digit, hashes in wanted.items()}
    with ThreadPoolExecutor(_READERS) as readers:
        tables = readers.map(lambda shard: _table(store, _key(CHECKS[shard[0]], shard[1])), shards)
        for (name, digit), (table, _) in zip(shards, tables, strict=True):
            if table is not None:
                for sha256, measured in _measured(table, asked[digit]):
                    found[sha256][name] = measured
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
    return layout.scores(check.name, check.stored_version, digit)


def _table(store: Store, key: str) -> tuple[pa.Table | None, str | None]:
    """The rows, and the ETag to swap; None when nothing lies there, or nothing readable."""
    try:
        data, etag = store.get_with_etag(key)
    except ObjectNotFound:
        return None, None
    try:
        # Not `pq.read_table`, whose detour over datasets takes twice as long for so small a file.
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        if table.schema != _SCHEMA:
            raise pa.ArrowInvalid(f"its columns are {', '.join(table.column_names)}")
    except (pa.ArrowException, OSError) as error:
        _log.warning("%s is damaged; its scores are computed again: %s", key, error)
        return None, etag
    return table, etag


def _read(store: Store, key: str) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Rows by hash, and the ETag to swap; None when nothing lies there."""
    table, etag = _table(store, key)
    return {row["sha256"]: row for row in table.to_pylist()} if table is not None else {}, etag


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
        "vector": score.vector,
    }


def _measured(table: pa.Table, wanted: pa.Array) -> Iterable[tuple[str, Measured]]:
    """Column by column: most scores have neither boxes nor words, and there are many."""
    table = table.filter(pc.is_in(table["sha256"], wanted))
    boxes: list[tuple[Box, ...]] = [()] * table.num_rows
    for index in np.flatnonzero(pc.list_value_length(table["boxes"])).tolist():
        boxes[index] = tuple(Box(**box) for box in table["boxes"][index].as_py())
    hashes, widths, heights, values, details, vectors = (
        table[name].to_pylist()
        for name in ("sha256", "width", "height", "score", "detail", "vector")
    )
    scores = map(Score, values, boxes, details, (vector or b"" for vector in vectors))
    return zip(hashes, map(Measured, widths, heights, scores), strict=True)
