"""Names by which a cluster knows runs."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from services.trainer.launch.names import LONGEST_NAME, job_name, run_label
from tagloom.artifacts.layout import RESOURCE_ID

IDS = st.from_regex(RESOURCE_ID, fullmatch=True)
RFC_1035 = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


@given(IDS)
def test_every_run_has_a_name_that_kubernetes_accepts(run_id: str) -> None:
    name = job_name(run_id)
    assert RFC_1035.fullmatch(name)
    assert len(name) <= LONGEST_NAME
    assert len(f"{name}-node-0-99-abcde") <= 63, "a host name's part would be too long"
    assert LABEL.fullmatch(run_label(run_id))
    assert job_name(run_id) == name


@given(st.lists(IDS, min_size=2, max_size=2, unique=True))
def test_two_runs_never_share_one(run_ids: list[str]) -> None:
    one, other = run_ids
    assert job_name(one) != job_name(other)
    assert run_label(one) != run_label(other)


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{50}", fullmatch=True), st.integers(0, 9))
def test_runs_that_differ_only_where_names_are_cut_off(start: str, digit: int) -> None:
    assert job_name(f"{start}{digit}") != job_name(f"{start}{(digit + 1) % 10}")


def test_a_short_id_is_seen_as_it_is() -> None:
    assert job_name("betta-1") == "train-betta-1"
    assert run_label("betta-1") == "betta-1"
    assert job_name("a-") != "train-a-"
    assert run_label("a-") not in ("a-", "a")
