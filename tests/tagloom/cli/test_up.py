"""`tagloom up`: its options before and after its name, and its answer to --json."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest


@pytest.mark.parametrize("before", [True, False])
def test_the_store_and_json_count_on_both_sides_of_its_name(tmp_path: Path, before: bool) -> None:
    general = ["--store", str(tmp_path / "mine"), "--json"]
    own = ["--service", "scraper", "--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
    words = [*general, "up", *own] if before else ["up", *own, *general]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TAGLOOM_")}
    # Somebody's usual target is of no concern to a server.
    clean["TAGLOOM_TARGET"] = "127.0.0.1:1"
    with subprocess.Popen(
        [sys.executable, "-m", "tagloom.cli", *words],
        cwd=tmp_path,
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # A server that never answers must not hold the tests up.
        watch = threading.Timer(120, process.kill)
        watch.start()
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.rstrip() == "}":
                break
        process.send_signal(signal.SIGTERM)
        rest, log = process.communicate()
        watch.cancel()
    assert process.returncode == 0, log
    assert rest == ""
    document = json.loads("".join(lines))
    assert document["services"] == ["scraper"]
    assert document["store"] == str(tmp_path / "mine")
    assert f"127.0.0.1:{document['address'].rpartition(':')[2]}" in log
    assert int(document["metrics_address"].rpartition(":")[2]) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
