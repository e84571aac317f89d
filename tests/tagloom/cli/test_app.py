"""The root command: help, exit codes, options before and after a command's name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.experiment import Experiment
from tagloom.cli import doctor
from tagloom.cli.app import _COMMANDS, main
from tagloom.store import open_store


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"TAGLOOM_TARGET": None, **environment})


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help_and_the_purpose_that_the_root_gives(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert name in run("--help").output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, tagloom.cli.app as app\n"
        "for name in app._COMMANDS: app.main.get_command(None, name)\n"
        "heavy = {'torch', 'kfp', 'grpc', 'numpy', 'rich', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["scrpae"], "did you mean 'scrape'?"),
        (["scrape", "--collection", "a"], "exactly one of --folder, --zip, --s3"),
        (["scrape", "--collection", "a", "--folder", ".", "--posts", "1"], "taken whole"),
        (["filter", "--collection", "a", "--dataset", "a", "--resolution", "1"], "range"),
        (["generate", "--network", "n", "--seeds", "3-1", "--out", "o"], "range of seeds"),
        (["generate", "--network", "n", "--seeds", "x", "--out", "o"], "not a seed or a range"),
        (["evaluate"], "Give either RUN, or both --real and --fake."),
        (["evaluate", "r", "--metrics", "fud"], "Unknown metric 'fud'"),
        (["train", "--run", "r", "--dataset", "d", "--kimg", "0"], "--kimg"),
        (["operations", "wait", "runs/a"], "operations/SERVICE.ID"),
        (["up", "--target", "127.0.0.1:1"], "up serves here"),
        (["--target", "127.0.0.1:1", "up"], "up serves here"),
    ],
)
def test_wrong_use_exits_2_with_a_sentence(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.output


def test_errors_exit_1_and_are_documents_with_json(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("experiment: a\ncolect: {folder: b}\n")
    result = run("run", str(path), "--store", str(tmp_path / "store"), "--json")
    assert result.exit_code == 1
    sentence = f"{path}, line 2: unknown key `colect`; did you mean `collect`?"
    assert result.stderr == f"{sentence} [SPEC_INVALID]\n"
    assert json.loads(result.stdout)["error"]["message"] == sentence
    assert not (tmp_path / "store").exists()


def test_options_count_before_and_after_the_command_and_beat_the_environment() -> None:
    assert json.loads(run("--json", "version").stdout) == json.loads(
        run("version", "--json").stdout
    )
    nowhere = "127.0.0.1:1"
    for arguments in (["--target", nowhere, "ls", "runs"], ["ls", "runs", "--target", nowhere]):
        result = run(*arguments, TAGLOOM_TARGET="127.0.0.1:2")
        assert result.exit_code == 1
        assert nowhere in result.stderr


def test_an_unknown_kind_is_named_before_anything_starts(tmp_path: Path) -> None:
    result = run("ls", "cats", "--store", str(tmp_path / "store"))
    assert result.exit_code == 1
    assert "write one of collections, datasets" in result.stderr
    assert not (tmp_path / "store").exists()


def test_doctor_tells_what_lacks(tmp_path: Path) -> None:
    result = run(
        "doctor", "--json", "--store", str(tmp_path / "none"), TAGLOOM_INCEPTION_WEIGHTS=""
    )
    findings = {item["what"]: item for item in json.loads(result.stdout)}
    assert findings["Inception-v3 weights"]["state"] == "missing"
    assert "EfficientNet-Lite0" in findings["Inception-v3 weights"]["detail"]
    assert findings["store"]["state"] == "missing"
    assert not (tmp_path / "none").exists()
    assert findings["export"]["state"] == "ok"
    assert "onnxruntime" in findings["export"]["detail"]
    assert findings["CPU kernels"]["detail"].startswith("numba")
    assert findings["checkpoint reader"]["state"] == "ok"
    assert "seccomp" in findings["checkpoint reader"]["detail"]
    broken = run("doctor", TAGLOOM_INCEPTION_WEIGHTS=str(tmp_path / "gone.pth"))
    assert broken.exit_code == 1
    assert "there is no file" in broken.output


def test_doctor_tells_what_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # as if it were not installed
    result = run("doctor", "--json", "--store", str(tmp_path), TAGLOOM_KERNELS="torch")
    findings = {item["what"]: item for item in json.loads(result.stdout)}
    for what, says in (
        ("export", "onnx not installed, so networks are exported as safetensors"),
        ("CPU kernels", "TAGLOOM_KERNELS=torch"),
    ):
        assert findings[what]["state"] == "missing"
        assert findings[what]["detail"].startswith(says)
        assert not findings[what]["required"]
    assert "pip install 'tagloom[export]'" in findings["export"]["detail"]


def test_a_kernel_that_nobody_knows_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGLOOM_KERNELS", "fast")
    (finding,) = doctor._kernels()
    assert finding.state == "broken"
    assert "set it to auto or torch" in finding.detail


def test_what_triton_lacks_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install a C compiler, such as gcc" in list(doctor._lacking_for_triton())
    (tmp_path / "gcc").write_text("#!/bin/sh\n")
    (tmp_path / "gcc").chmod(0o755)
    assert "install a C compiler, such as gcc" not in list(doctor._lacking_for_triton())


def test_an_experiments_report_as_a_file(tmp_path: Path) -> None:
    def get(name: str, where: Path | str) -> Result:
        return run("get", name, "--report", str(where), TAGLOOM_STORE=str(tmp_path / "store"))

    early = get("experiments/cats", "-")
    assert early.exit_code == 1
    assert early.stderr.endswith("`tagloom run` writes it at its end. [REPORT_MISSING]\n")
    store = open_store(str(tmp_path / "store"))
    store.put(layout.experiment_report("cats"), b"<p>\xf0\x9f\x90\x88</p>")
    assert get("experiments/cats", "-").stdout_bytes == b"<p>\xf0\x9f\x90\x88</p>"
    page = tmp_path / "report.html"
    assert get("experiments/cats", page).exit_code == 0
    assert page.read_bytes() == b"<p>\xf0\x9f\x90\x88</p>"
    store.put(layout.experiment_report("cats"), b"another")
    assert "[FILE_EXISTS]" in get("experiments/cats", page).stderr
    assert "[INVALID_NAME]" in get("runs/cats", "-").stderr


def test_experiments_lie_with_whoever_ran_them(tmp_path: Path) -> None:
    """Also with --target: `ls` and `get` look at the same place, and no server is asked."""
    store = str(tmp_path / "store")
    options = ["--store", store, "--target", "127.0.0.1:1"]
    none = run("ls", "experiments", *options)
    assert none.exit_code == 0
    assert none.stdout == f"No experiments in the store {store}; --store names another.\n"
    assert not (tmp_path / "store").exists()
    document = Experiment(
        id="cats", create_time=now(), update_time=now(), state="failed", inputs_sha256="0"
    )
    open_store(store).put(layout.experiment_document("cats"), document.to_bytes())
    (found,) = json.loads(run("ls", "experiments", "--json", *options).stdout)
    assert found["name"] == "experiments/cats"
    assert json.loads(run("get", "experiments/cats", "--json", *options).stdout)["id"] == "cats"
    missing = run("get", "experiments/dogs", *options)
    assert "There is no experiments/dogs; `tagloom ls experiments` lists" in missing.stderr


def test_networks_stay_and_it_says_why() -> None:
    refused = run("rm", "networks/cats")
    assert refused.exit_code == 1
    assert "below networks/cats/ in the store. [NOT_REMOVABLE]" in refused.stderr
