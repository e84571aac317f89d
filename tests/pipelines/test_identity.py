"""Equal inputs give equal names; anything that matters changes them."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipelines.identity import folder_fingerprint, inputs_sha256, request_id, resource_id
from tagloom.artifacts.layout import check_id

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_order_of_keys_does_not_matter(inputs: dict[str, object]) -> None:
    backwards = dict(reversed(inputs.items()))
    assert inputs_sha256(inputs) == inputs_sha256(backwards)


def test_ids_are_valid_and_differ_by_input() -> None:
    ids = {resource_id("x" * 48, {"kimg": kimg}) for kimg in range(100)}
    assert len(ids) == 100
    for value in ids:
        check_id(value, "id")


def test_request_ids_are_uuids_of_method_resource_and_attempt() -> None:
    ids = {
        request_id(method, resource, attempt)
        for method in ("CreateRun", "ResumeRun")
        for resource in ("runs/a", "runs/b")
        for attempt in (0, 1)
    }
    assert len(ids) == 8
    assert all(str(uuid.UUID(value)) == value for value in ids)
    assert request_id("CreateRun", "runs/a") == request_id("CreateRun", "runs/a", 0)


def test_a_folders_fingerprint_follows_names_sizes_and_times(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    photo = tmp_path / "sub" / "a.jpg"
    photo.write_bytes(b"one")
    seen = [folder_fingerprint(tmp_path)]
    assert folder_fingerprint(tmp_path) == seen[0]
    os.utime(photo, ns=(1, 1))
    seen.append(folder_fingerprint(tmp_path))
    photo.write_bytes(b"other")
    os.utime(photo, ns=(1, 1))
    seen.append(folder_fingerprint(tmp_path))
    photo.rename(tmp_path / "sub" / "b.jpg")
    seen.append(folder_fingerprint(tmp_path))
    (tmp_path / "link").symlink_to("/nowhere")
    seen.append(folder_fingerprint(tmp_path))
    assert len(set(seen)) == 5
    assert folder_fingerprint(tmp_path / "none") == ""
