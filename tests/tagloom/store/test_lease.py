"""Leases: one owner at a time, by everybody's own clock, and numbers that only grow."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tagloom.errors import DataLoss, InvalidArgument, Unavailable
from tagloom.store import Store, open_store
from tagloom.store.lease import (
    Lease,
    LeaseHeld,
    LeaseLost,
    Sightings,
    acquire,
    read_lease,
)
from tests.conformance.racers import in_threads
from tests.faults.naughty import Fault, NaughtyStore

KEY = "leases/operations/filter/1"


class Clock:
    """A monotonic clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.minio)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = request.getfixturevalue("s3_url") if request.param == "s3" else str(tmp_path)
    return open_store(url)


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_first_owner(store: Store) -> None:
    lease = acquire(store, KEY, "a", 60)
    assert (lease.key, lease.owner, lease.fence, lease.ttl_s) == (KEY, "a", 1, 60)
    assert 59 < lease.remaining_s <= 60
    lease.check()
    record, _ = read_lease(store, KEY)
    assert (record.owner, record.fence, record.released) == ("a", 1, False)


def test_held_by_another(store: Store) -> None:
    acquire(store, KEY, "a", 60)
    with pytest.raises(LeaseHeld) as caught:
        acquire(store, KEY, "b", 60)
    assert caught.value.metadata["owner"] == "a"
    assert 59 < float(caught.value.metadata["remaining_s"]) <= 60


def test_same_name_is_another_owner(local: Store) -> None:
    acquire(local, KEY, "a", 60)
    with pytest.raises(LeaseHeld):
        acquire(local, KEY, "a", 60)


def test_release_lets_the_next_in_with_a_larger_number(store: Store) -> None:
    acquire(store, KEY, "a", 60).release()
    assert acquire(store, KEY, "b", 60).fence == 2


def test_takeover_after_a_silent_ttl_and_the_old_owner_learns_of_it(store: Store) -> None:
    clock = Clock()
    watching = Sightings(clock)
    old = acquire(store, KEY, "a", 10)
    with pytest.raises(LeaseHeld):
        acquire(store, KEY, "b", 10, sightings=watching)
    clock.now += 9.9
    with pytest.raises(LeaseHeld):
        acquire(store, KEY, "b", 10, sightings=watching)
    clock.now += 0.2
    new = acquire(store, KEY, "b", 10, sightings=watching)
    assert new.fence == 2
    with pytest.raises(LeaseLost) as caught:
        old.renew()
    assert caught.value.reason == "LEASE_LOST"
    assert old.remaining_s == 0
    with pytest.raises(LeaseLost):
        old.check()
    old.release()
    new.renew()
    assert read_lease(store, KEY)[0].owner == "b"


def test_renewal_starts_the_wait_anew(store: Store) -> None:
    clock = Clock()
    watching = Sightings(clock)
    lease = acquire(store, KEY, "a", 10)
    for _ in range(3):
        clock.now += 9
        lease.renew()
        with pytest.raises(LeaseHeld):
            acquire(store, KEY, "b", 10, sightings=watching)


def test_a_first_sight_waits_a_whole_ttl_whatever_the_document_says(local: Store) -> None:
    """Clock skew: `expires` may lie years back, and decides nothing."""
    acquire(local, KEY, "a", 10)
    document = json.loads(local.get(KEY))
    document["expires"] = "2001-01-01T00:00:00Z"
    local.put(KEY, json.dumps(document).encode())
    with pytest.raises(LeaseHeld) as caught:
        acquire(local, KEY, "b", 10, sightings=Sightings())
    assert float(caught.value.metadata["remaining_s"]) > 9


def test_others_wait_at_least_as_long_as_the_owner_believes(local: Store) -> None:
    lease = acquire(local, KEY, "a", 0.3)
    while True:
        try:
            acquire(local, KEY, "b", 60)
            break
        except LeaseHeld:
            time.sleep(0.01)
    assert lease.remaining_s == 0
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_lease_that_ran_out_and_that_nobody_took_can_be_renewed(local: Store) -> None:
    lease = acquire(local, KEY, "a", 0.05)
    time.sleep(0.1)
    with pytest.raises(LeaseLost):
        lease.check()
    lease.renew()
    lease.check()


def test_released_lease_is_not_ours(local: Store) -> None:
    lease = acquire(local, KEY, "a", 60)
    lease.release()
    lease.release()
    with pytest.raises(LeaseLost):
        lease.check()
    with pytest.raises(LeaseLost):
        lease.renew()


def test_32_threads_race_and_one_owns(store: Store) -> None:
    def work(who: int) -> Lease | None:
        try:
            return acquire(store, KEY, f"owner {who}", 60)
        except LeaseHeld:
            return None

    for fence in (1, 2, 3):
        owners = [lease for lease in in_threads(32, work) if isinstance(lease, Lease)]
        assert [lease.fence for lease in owners] == [fence]
        owners[0].release()


def test_renewal_whose_answer_was_lost(local: Store) -> None:
    fault = Fault("after", "put", at=2)
    lease = acquire(NaughtyStore(local, fault), KEY, "a", 60)
    with pytest.raises(Unavailable):
        lease.renew()
    assert fault.hits == 1
    lease.renew()
    assert read_lease(local, KEY)[0].renewals == 2
    lease.check()


def test_renewal_that_failed_while_another_took_over(local: Store) -> None:
    fault = Fault("before", "put", at=2)
    lease = acquire(NaughtyStore(local, fault), KEY, "a", 60)
    with pytest.raises(Unavailable):
        lease.renew()
    clock = Clock()
    watching = Sightings(clock)
    with pytest.raises(LeaseHeld):
        acquire(local, KEY, "b", 60, sightings=watching)
    clock.now += 61
    acquire(local, KEY, "b", 60, sightings=watching)
    with pytest.raises(LeaseLost):
        lease.renew()


def test_removed_document(local: Store) -> None:
    lease = acquire(local, KEY, "a", 60)
    local.delete(KEY)
    with pytest.raises(LeaseLost):
        lease.renew()
    assert not local.exists(KEY)


def test_damaged_document(local: Store) -> None:
    local.put(KEY, b'{"owner": "a", "fence": 0}')
    with pytest.raises(DataLoss) as caught:
        acquire(local, KEY, "b", 60)
    assert caught.value.reason == "DAMAGED_LEASE"


@pytest.mark.parametrize(
    ("owner", "ttl_s"), [("", 1.0), ("a", 0.0), ("a", -1.0), ("a", float("nan"))]
)
def test_wrong_use(local: Store, owner: str, ttl_s: float) -> None:
    with pytest.raises(InvalidArgument):
        acquire(local, KEY, owner, ttl_s)


def test_sightings_forget_the_oldest(local: Store) -> None:
    clock = Clock()
    watching = Sightings(clock, remembered=2)
    for key in ("a", "b", "c"):
        watching.age_s(local, key, "etag")
    clock.now += 5
    assert watching.age_s(local, "c", "etag") == 5
    assert watching.age_s(local, "a", "etag") == 0


class OwnersWithClocksOfTheirOwn(RuleBasedStateMachine):
    """Three machines whose clocks show different times; time passes for all of them alike.

    Whoever believes to own the lease is alone with that belief, and numbers only grow.
    """

    TTL_S = 10.0

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.clocks = [Clock() for _ in range(3)]
        for skew, clock in enumerate(self.clocks):
            clock.now = 1000.0 * skew
        self.sightings = [Sightings(clock) for clock in self.clocks]
        # What each owner's own clock makes of its lease, as `Lease.remaining_s` does.
        self.leases: list[tuple[Lease, float] | None] = [None, None, None]
        self.largest = 0

    @rule(seconds=st.sampled_from([0.1, 3.0, 9.9, 10.1]))
    def wait(self, seconds: float) -> None:
        for clock in self.clocks:
            clock.now += seconds

    @rule(who=st.integers(0, 2))
    def take(self, who: int) -> None:
        try:
            lease = acquire(self.store, KEY, f"{who}", self.TTL_S, sightings=self.sightings[who])
        except LeaseHeld:
            return
        assert lease.fence > self.largest
        self.largest = lease.fence
        self.leases[who] = (lease, self.clocks[who].now)

    @rule(who=st.integers(0, 2))
    def renew(self, who: int) -> None:
        held = self.leases[who]
        if held is None:
            return
        try:
            held[0].renew()
        except LeaseLost:
            self.leases[who] = None
        else:
            assert held[0].fence == self.largest, "an old owner renewed"
            self.leases[who] = (held[0], self.clocks[who].now)

    @rule(who=st.integers(0, 2))
    def release(self, who: int) -> None:
        held = self.leases[who]
        if held is not None:
            held[0].release()
            self.leases[who] = None

    @invariant()
    def nobody_shares_the_belief(self) -> None:
        believers = [
            who
            for who, held in enumerate(self.leases)
            if held is not None and self.clocks[who].now - held[1] < self.TTL_S
        ]
        assert len(believers) <= 1


def test_any_schedule(tmp_path: Path) -> None:
    def fresh() -> OwnersWithClocksOfTheirOwn:
        store = open_store(str(tmp_path))
        store.delete(KEY)
        return OwnersWithClocksOfTheirOwn(store)

    run_state_machine_as_test(
        fresh, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
