"""An owner that is suspended (SIGSTOP), replaced, and woken: real processes, real signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tagloom.store import open_store
from tagloom.store.fenced import FencedStore
from tagloom.store.lease import LeaseHeld, acquire

LEASE = "leases/operations/trainer/1"
DOCUMENT = "runs/cats/progress.json"

OWNER = textwrap.dedent(
    """
    import itertools, sys, time
    from tagloom.store import open_store
    from tagloom.store.fenced import FencedStore
    from tagloom.store.lease import LeaseLost, acquire

    store = open_store(sys.argv[1])
    lease = acquire(store, sys.argv[2], "the first owner", 1.0)
    fenced = FencedStore(store, lease.key, lease.fence)
    try:
        for kimg in itertools.count():
            lease.renew()
            fenced.put_fenced_json(sys.argv[3], {"kimg": kimg, "owner": "first"})
            fenced.put("snapshot", f"first {kimg}".encode())
            print(kimg, flush=True)
            time.sleep(0.01)
    except LeaseLost:
        pass
    # It lost the lease and goes on all the same, as a careless program would.
    refused = 0
    for write in (
        lambda: fenced.put_fenced_json(sys.argv[3], {"kimg": 10**9, "owner": "first"}),
        lambda: fenced.put("snapshot", b"first, too late"),
        lambda: fenced.put("another", b"first, too late", if_none_match=True),
        lambda: fenced.delete("snapshot"),
        lease.renew,
    ):
        try:
            write()
        except LeaseLost:
            refused += 1
    print("refused", refused, flush=True)
    """
)


@pytest.mark.parametrize("kind", ["local", pytest.param("s3", marks=pytest.mark.minio)])
def test_woken_owner_is_refused(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("s3_url") if kind == "s3" else str(tmp_path / "store")
    store = open_store(url)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, url, LEASE, DOCUMENT], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        for _ in range(5):
            assert owner.stdout.readline()
        with pytest.raises(LeaseHeld):
            acquire(store, LEASE, "the second owner", 60)
        owner.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        while True:
            try:
                lease = acquire(store, LEASE, "the second owner", 60)
                break
            except LeaseHeld:
                assert time.monotonic() - stopped < 20
                time.sleep(0.05)
        assert time.monotonic() - stopped >= 0.9, "the owner's time was not respected"
        assert lease.fence == 2
        fenced = FencedStore(store, lease.key, lease.fence)
        fenced.put_fenced_json(DOCUMENT, {"kimg": 0, "owner": "second"})
        fenced.put("snapshot", b"second")
        owner.send_signal(signal.SIGCONT)
        told, _ = owner.communicate(timeout=30)
    finally:
        owner.kill()
        owner.communicate()
    assert told.splitlines()[-1] == "refused 5"
    assert json.loads(store.get(DOCUMENT)) == {"kimg": 0, "owner": "second", "fence": 2}
    assert store.get("snapshot") == b"second"
    assert not store.exists("another")
    lease.renew()
