"""Work over processes: in order, and a piece that kills its process costs itself alone."""

from __future__ import annotations

import os

import psutil
import pytest
from filter_pieces import Fatal, double, fatal_once, read

from services.filter.processes import Died, Processes
from tagloom.cores import usable_cores
from tagloom.errors import InvalidArgument, Unavailable


def test_results_come_in_order_from_other_processes(store):
    with Processes(store.url, expected=100) as processes:
        results = list(processes.spread(double, range(20, 40)))
    assert [piece for piece, _ in results] == list(range(20, 40))
    assert [outcome[0] for _, outcome in results] == [2 * piece for piece in range(20, 40)]
    workers = {outcome[1] for _, outcome in results}
    assert os.getpid() not in workers
    assert len(workers) <= usable_cores()


def test_a_deadly_piece_costs_itself_alone(store):
    pieces = [1, 2, 13, 4, 5, 6, 7, 8, 9, 10]
    with Processes(store.url, expected=len(pieces)) as processes:
        results = dict(processes.spread(double, pieces))
    assert list(results) == pieces
    assert results.pop(13) == Died(13)
    assert {piece: outcome[0] for piece, outcome in results.items()} == {
        piece: 2 * piece for piece in pieces if piece != 13
    }


def test_a_process_that_was_killed_from_outside_blames_nobody(store, tmp_path):
    """Each of these ends its process the first time: as if the machine ran out of memory."""
    pieces = [Fatal(index, str(tmp_path / f"{index}")) for index in range(4)]
    with Processes(store.url, expected=len(pieces)) as processes:
        assert list(processes.spread(fatal_once, pieces)) == [
            (piece, piece.number) for piece in pieces
        ]


def test_another_work_gets_other_processes(store):
    """What the first one keeps in memory (networks, for one) is gone."""
    store.put("a/b", b"hello")
    with Processes(store.url, expected=1) as processes:
        first = {outcome[1] for _, outcome in processes.spread(double, [1, 2])}
        assert {outcome[1] for _, outcome in processes.spread(double, [3])} == first
        list(processes.spread(read, ["a/b"]))
        assert not first & {outcome[1] for _, outcome in processes.spread(double, [4])}


def test_errors_and_the_store_pass_through(store):
    store.put("a/b", b"hello")
    with Processes(store.url, expected=1) as processes:
        assert list(processes.spread(read, ["a/b"])) == [("a/b", b"hello")]
        with pytest.raises(InvalidArgument, match="Ninety-nine"):
            list(processes.spread(double, [99]))


def test_nothing_to_do_starts_nothing(store):
    before = len(psutil.Process().children(recursive=True))
    with Processes(store.url, expected=0) as processes:
        assert list(processes.spread(double, [])) == []
        assert len(psutil.Process().children(recursive=True)) == before


def test_processes_that_cannot_start_are_no_fault_of_a_file(tmp_path):
    gone = tmp_path / "gone"  # they open the store when they start
    with (
        Processes(str(gone), expected=1) as processes,
        pytest.raises(Unavailable, match="cannot be started"),
    ):
        list(processes.spread(double, [1, 2]))
