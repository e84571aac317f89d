"""Verdicts of a dataset as a Parquet table, one row an image, in the order of the collection."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.filter.bulk import without_collector
from services.filter.closeness import closeness
from services.filter.scores import BOX_TYPE
from tagloom.artifacts import layout
from tagloom.artifacts.base import Record
from tagloom.artifacts.dataset import Dataset, Verdict
from tagloom.errors import DataLoss, NotFound
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["all_verdicts", "encode_verdicts", "find_verdict", "read_closest", "read_verdicts"]

_ROW_GROUP = 1000
"""rows: what a reader fetches at least; the largest page"""

_RESULT = pa.struct(
    [
        ("check", pa.string()),
        ("score", pa.float64()),
        ("unit", pa.string()),
        ("threshold", pa.float64()),
        ("minimum", pa.bool_()),
        ("passed", pa.bool_()),
        ("boxes", pa.list_(BOX_TYPE)),
        ("detail", pa.string()),
        ("related", pa.string()),
    ]
)
_SQUARE = pa.struct(
    [
        ("left", pa.int32()),
        ("top", pa.int32()),
        ("side", pa.int32()),
        ("held_out", pa.bool_()),
        ("file", pa.string()),
    ]
)
_RECORD = pa.schema(
    [
        ("sha256", pa.string()),
        ("source", pa.string()),
        ("kept", pa.bool_()),
        ("failed_checks", pa.list_(pa.string())),
        ("results", pa.list_(_RESULT)),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("tiles", pa.int32()),
        ("squares", pa.list_(_SQUARE)),
        ("label", pa.string()),
    ]
)
_SCHEMA = _RECORD.append(pa.field("closeness", pa.float64()))


@without_collector()
def encode_verdicts(verdicts: Sequence[Verdict]) -> bytes:
    """The table as a Parquet file."""
    columns = dict(zip(_RECORD.names, _columns(verdicts, _RECORD), strict=True))
    # Written down, so that the borderline images are found without reading the others.
    columns["closeness"] = pa.array(map(closeness, verdicts), pa.float64())
    sink = io.BytesIO()
    table = pa.table(columns, schema=_SCHEMA)
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP)
    return sink.getvalue()


def _columns(records: Sequence[Record], schema: pa.Schema) -> list[pa.Array]:
    """The fields of many records, an array each: as rows of dicts they take twice as long."""
    if not records:
        return [pa.array([], field.type) for field in schema]
    columns = zip(*map(attrgetter(*schema.names), records), strict=True)
    return [_array(column, field.type) for column, field in zip(columns, schema, strict=True)]


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if not (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)):
        return pa.array(values, kind)
    parts = pa.schema(list(kind.value_type))
    inner = [record for records in values for record in records]
    offsets = np.concatenate([[0], np.cumsum([len(records) for records in values])])
    structs = pa.StructArray.from_arrays(_columns(inner, parts), fields=list(parts))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs)


def read_verdicts(
    store: Store, dataset_id: str, *, start: int = 0, limit: int = _ROW_GROUP
) -> tuple[list[Verdict], int]:
    """Verdicts [start, start + limit) and how many there are in all; reads no more than needed.

    Raises NotFound (RESOURCE_NOT_FOUND), DataLoss (DAMAGED_TABLE).
    """
    key, end = _committed(store, dataset_id), start + limit
    try:
        with store.open(key) as file, pq.ParquetFile(file) as table:
            total, first, rows = table.metadata.num_rows, 0, list[dict[str, Any]]()
            for group in range(table.num_row_groups):
                size = table.metadata.row_group(group).num_rows
                if first < end and first + size > start:
                    part = table.read_row_group(group).slice(max(0, start - first), limit)
                    rows += part.to_pylist()
                first += size
    except (pa.ArrowException, OSError, ObjectNotFound) as error:
        raise _damaged(key) from error
    return [_verdict(row) for row in rows[:limit]], total


def read_closest(
    store: Store, dataset_id: str, *, start: int = 0, limit: int = _ROW_GROUP
) -> tuple[list[Verdict], int]:
    """`read_verdicts` with the borderline images first; of equally close ones, in their order."""
    key = _committed(store, dataset_id)
    try:
        with store.open(key) as file, pq.ParquetFile(file) as table:
            everything = table.read()
    except (pa.ArrowException, OSError, ObjectNotFound) as error:
        raise _damaged(key) from error
    if "closeness" in everything.column_names:
        how_close = everything.column("closeness").to_numpy()
    else:  # an older table
        how_close = np.array([closeness(_verdict(row)) for row in everything.to_pylist()])
    chosen = np.argsort(how_close, kind="stable")[start : start + limit]
    return [_verdict(row) for row in everything.take(chosen).to_pylist()], everything.num_rows


def all_verdicts(store: Store, dataset: Dataset) -> list[Verdict]:
    """All of one revision. Raises DataLoss (DAMAGED_TABLE)."""
    key = layout.dataset_verdicts(dataset.id, dataset.files)
    try:
        rows = pq.read_table(io.BytesIO(store.get(key))).to_pylist()
    except (pa.ArrowException, ObjectNotFound) as error:
        raise _damaged(key) from error
    return [_verdict(row) for row in rows]


def find_verdict(store: Store, dataset_id: str, sha256: str) -> Verdict:
    """The verdict on one image. Raises NotFound (VERDICT_NOT_FOUND), and as `read_verdicts`."""
    key = _committed(store, dataset_id)
    try:
        with store.open(key) as file:
            table = pq.read_table(file, schema=_SCHEMA, filters=[("sha256", "=", sha256)])
    except (pa.ArrowException, OSError, ObjectNotFound) as error:
        raise _damaged(key) from error
    for row in table.to_pylist():
        return _verdict(row)
    raise NotFound(
        f"datasets/{dataset_id} has no verdict on {sha256[:80]!r}; list its verdicts to see the "
        "images that were judged.",
        reason="VERDICT_NOT_FOUND",
        field="sha256",
        sha256=sha256[:80],
    )


def _verdict(row: Mapping[str, Any]) -> Verdict:
    return Verdict.model_validate(_known(row))


def _known(value: Any) -> Any:
    """Columns that came later are missing, or null, in older tables: their defaults hold."""
    if isinstance(value, Mapping):
        return {key: _known(part) for key, part in value.items() if part is not None}
    return [_known(part) for part in value] if isinstance(value, list) else value


def _committed(store: Store, dataset_id: str) -> str:
    """The key of the table, once the dataset exists."""
    name = f"datasets/{dataset_id}"
    dataset = Dataset.load(store, layout.dataset_manifest(dataset_id), name)
    return layout.dataset_verdicts(dataset_id, dataset.files)


def _damaged(key: str) -> DataLoss:
    return DataLoss(
        f"{key} is damaged or missing; remove the dataset and make it again (scores are kept).",
        reason="DAMAGED_TABLE",
        key=key,
    )
