"""Without the MinIO program its tests are skipped, loudly; in CI the run fails."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text('pytest_plugins = ["tests.plugins.minio_server"]\n')
    (folder / "test_it.py").write_text(
        textwrap.dedent(
            """
            import pytest

            def test_other() -> None:
                pass

            @pytest.mark.minio
            def test_marked() -> None:
                pass

            def test_by_fixture(s3_url: str) -> None:
                pass
            """
        )
    )
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    inherited["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # nothing but the plugin in question
    paths = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), str(folder)]
    # As a package of its own: torch-fidelity's wheel installs one that is called `tests`, too.
    start = (
        "import sys, types, pytest; tests = types.ModuleType('tests'); "
        f"tests.__path__ = [{str(ROOT / 'tests')!r}]; sys.modules['tests'] = tests; "
        f"sys.path.insert(0, {str(ROOT)!r}); sys.exit(pytest.main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", start, "-q", "-p", "no:cacheprovider", *paths],
        env={**inherited, "TAGLOOM_CACHE": str(folder / "empty"), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("environment", [{}, {"CI": "1"}])
def test_absence_is_loud(tmp_path: Path, environment: dict[str, str]) -> None:
    done = run(tmp_path, environment)
    assert "1 passed, 2 skipped" in done.stdout, done.stdout + done.stderr
    assert "2 tests NOT RUN: there is no MinIO server" in done.stdout
    assert "make minio" in done.stdout
    assert ("CI is set: the run fails" in done.stdout) == bool(environment)
    assert done.returncode == (1 if environment else 0)
