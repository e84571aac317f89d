"""A server that is not there, not ours, or not for us: one sentence with what to do, soon."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from kubeflow_server import KubeflowServer

from .conftest import Answer, tagloom


def refused(answer: Answer, reason: str, *says: str) -> None:
    """One sentence on stderr, nothing on stdout."""
    assert answer.code == 1, answer.err
    assert answer.out == ""
    lines = answer.err.strip().splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].endswith(f"[{reason}]")
    for word in says:
        assert word in lines[0]


@pytest.mark.parametrize(
    "url", ["kubeflow.example", "ftp://x", "http://", "http://a:b@c", "http://x:y"]
)
def test_what_is_no_address(file: Path, url: str) -> None:
    answer = tagloom("run", str(file), "--kubeflow", url, cwd=file.parent)
    refused(answer, "KUBEFLOW_URL_INVALID", "write https://host")
    assert "a:b" not in answer.err


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid"])
def test_nobody_there(file: Path, url: str) -> None:
    begin = time.monotonic()
    answer = tagloom("run", str(file), "--kubeflow", url, cwd=file.parent)
    refused(answer, "KUBEFLOW_UNREACHABLE", url, "port-forward")
    assert time.monotonic() - begin < 60


def test_somebody_who_says_nothing(file: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begin = time.monotonic()
        answer = tagloom("run", str(file), "--kubeflow", url, cwd=file.parent)
        refused(answer, "KUBEFLOW_UNREACHABLE", url)
        assert time.monotonic() - begin < 60


def test_a_token_that_is_missing_or_wrong(
    file: Path, kubeflow: Callable[..., KubeflowServer]
) -> None:
    server = kubeflow(token="right")
    run = ["run", str(file), "--kubeflow", server.url]
    refused(tagloom(*run, cwd=file.parent), "KUBEFLOW_TOKEN_REFUSED", "wants a token")
    answer = tagloom(*run, cwd=file.parent, TAGLOOM_KUBEFLOW_TOKEN="wrong")
    refused(answer, "KUBEFLOW_TOKEN_REFUSED", "refused the token", "--kubeflow-token-file")
    answer = tagloom(*run, "--kubeflow-token-file", "none", cwd=file.parent)
    refused(answer, "FILE_UNREADABLE", "none")


def test_namespaces(file: Path, kubeflow: Callable[..., KubeflowServer]) -> None:
    several, one = kubeflow(namespaces=("ann", "bob")), kubeflow()
    run = ["run", str(file), "--kubeflow", several.url]
    refused(tagloom(*run, cwd=file.parent), "KUBEFLOW_NAMESPACE_MISSING", "--kubeflow-namespace")
    answer = tagloom(*run, "--kubeflow-namespace", "eve", cwd=file.parent)
    refused(answer, "KUBEFLOW_NAMESPACE_NOT_FOUND", "no namespace eve")
    answer = tagloom(
        "run", str(file), "--kubeflow", one.url, "--kubeflow-namespace", "ann", cwd=file.parent
    )
    refused(answer, "KUBEFLOW_NAMESPACE_UNUSED", "leave --kubeflow-namespace out")
    assert not several.runs
    assert not one.runs


@pytest.mark.parametrize("version", ["1.8.5", "2.3.0", "3.0.1"])
def test_other_versions(file: Path, kubeflow: Callable[..., KubeflowServer], version: str) -> None:
    server = kubeflow(version=version)
    answer = tagloom("run", str(file), "--kubeflow", server.url, cwd=file.parent)
    refused(answer, "KUBEFLOW_VERSION", f"Kubeflow Pipelines {version}", "2.14")


class Page(http.server.BaseHTTPRequestHandler):
    """Some other program: answers with a page, or knows no such path."""

    status = 200

    def do_GET(self) -> None:
        body = b"<!doctype html><title>Log in</title>"
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def page(status: int) -> Iterator[str]:
    handler = type("Handler", (Page,), {"status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("status", [200, 404])
def test_another_program(file: Path, status: int) -> None:
    with page(status) as url:
        answer = tagloom("run", str(file), "--kubeflow", url, cwd=file.parent)
    refused(answer, "KUBEFLOW_VERSION", url)


def test_a_server_that_knows_less(file: Path, kubeflow: Callable[..., KubeflowServer]) -> None:
    class Older(KubeflowServer):
        def upload_version(self, call: object) -> object:
            from kubeflow_models import invalid

            raise invalid("Failed to add implicit deps: task final status not supported yet")

    with Older(kubeflow().launcher) as server:
        answer = tagloom("run", str(file), "--kubeflow", server.url, cwd=file.parent)
    refused(answer, "KUBEFLOW_VERSION", "task final status not supported yet", "same minor")


def test_a_certificate_is_trusted_when_its_ca_is_named(
    file: Path, kubeflow: Callable[..., KubeflowServer], tmp_path: Path
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    pair = (tmp_path / "cert.pem", tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(pair[0])
    issued.private_key_pem.write_to_path(pair[1])
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = kubeflow(certificate=(str(pair[0]), str(pair[1])), token="t")
    run = ["run", str(file), "--kubeflow", server.url]
    refused(tagloom(*run, cwd=file.parent), "KUBEFLOW_NOT_TRUSTED", "--kubeflow-ca")
    answer = tagloom(*run, "--kubeflow-ca", "ca.pem", cwd=file.parent)
    refused(answer, "KUBEFLOW_TOKEN_REFUSED")  # it got that far
    refused(tagloom(*run, "--kubeflow-ca", "no.pem", cwd=file.parent), "FILE_UNREADABLE", "no.pem")


def test_photos_of_this_machine_are_not_on_the_cluster(
    file: Path, kubeflow: Callable[..., KubeflowServer]
) -> None:
    file.write_text(file.read_text().replace("/nowhere", "photos"))
    server = kubeflow()
    answer = tagloom("run", str(file), "--kubeflow", server.url, cwd=file.parent)
    refused(answer, "FOLDER_ELSEWHERE", "'photos'", "absolute path")
    assert server.requests == []


def test_stop_needs_a_cluster_and_a_run(
    file: Path, kubeflow: Callable[..., KubeflowServer]
) -> None:
    answer = tagloom("run", str(file), "--stop", cwd=file.parent)
    assert answer.code == 2
    assert "--kubeflow URL" in answer.err
    answer = tagloom("run", str(file), "--kubeflow", kubeflow().url, "--stop", cwd=file.parent)
    refused(answer, "KUBEFLOW_NOT_RUNNING", "No run of cats is active")
