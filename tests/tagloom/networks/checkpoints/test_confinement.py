"""What the confined process cannot do: each tried for real, by code that is already inside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tagloom.errors import DataLoss, ResourceExhausted
from tagloom.networks.checkpoints import confinement
from tagloom.networks.checkpoints.reader import ConfinedReader, read_checkpoint
from tests.plugins.checkpoint_files import checkpoint

PROBE = """
import ctypes, json, mmap, os, signal, socket, subprocess, sys, threading, _posixsubprocess
from tagloom.networks.checkpoints.confinement import confine
folder = sys.argv[1]
inherited = open(os.path.join(folder, "inherited"), "w+b", buffering=0)
libc = ctypes.CDLL(None, use_errno=True)
confine(memory=1 << 30, cpu_seconds=30, written=1 << 20)

def direct(number, *arguments):
    if libc.syscall(ctypes.c_long(number), *arguments) == -1:
        raise OSError(ctypes.get_errno(), "refused")

tries = {
    "open a file to write": lambda: open(os.path.join(folder, "made"), "w"),
    "open a file to read": lambda: open("/etc/passwd"),
    "open by number": lambda: direct(2, b"/etc/passwd", 0) if os.uname().machine == "x86_64"
        else direct(56, -100, b"/etc/passwd", 0),
    "list a folder": lambda: os.listdir("/"),
    "stat a file": lambda: os.stat("/etc/passwd"),
    "make a folder": lambda: os.mkdir(os.path.join(folder, "folder")),
    "remove a file": lambda: os.unlink(os.path.join(folder, "inherited")),
    "rename a file": lambda: os.rename(os.path.join(folder, "inherited"), folder + "/x"),
    "change rights": lambda: os.chmod(folder, 0o777),
    "link": lambda: os.symlink("/", os.path.join(folder, "link")),
    "open a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "open a local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "open a pair of sockets": lambda: socket.socketpair(),
    "make a pipe": lambda: os.pipe(),
    "fork": lambda: os.fork(),
    "start a thread": lambda: threading.Thread(target=print).start(),
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "run a shell": lambda: subprocess.run(["/bin/true"], close_fds=False),
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "become somebody": lambda: os.setuid(0),
    "leave its limits": lambda: __import__("resource").setrlimit(9, (1 << 40, 1 << 40)),
    "trace": lambda: direct(101 if os.uname().machine == "x86_64" else 117, 0, 0, 0, 0),
    "make code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "make memory executable": lambda: direct(
        10 if os.uname().machine == "x86_64" else 226, ctypes.c_void_p(0), ctypes.c_size_t(0), 7),
    "take the filter off": lambda: direct(
        317 if os.uname().machine == "x86_64" else 277, 0, 0, None),
    "take memory": lambda: bytearray(2 << 30),
    "write much": lambda: [inherited.write(bytes(1 << 19)) for _ in range(4)],
    "write to what is open": lambda: (inherited.seek(0), inherited.write(b"fine")),
    "compute": lambda: sum(range(1000)),
}
answers = {}
for name, attempt in tries.items():
    try:
        attempt()
        answers[name] = "done"
    except BaseException as error:
        number = getattr(error, "errno", None)
        answers[name] = type(error).__name__ + (f" {number}" if number else "")
os.write(1, json.dumps(answers).encode())
os._exit(0)
"""


def test_nothing_but_computing_is_left(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path)], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    answers = json.loads(done.stdout)
    expected = dict.fromkeys(answers, "PermissionError 1")
    expected |= {
        "leave its limits": "ValueError",  # Python's word for EPERM here
        "start a thread": "RuntimeError",  # Python's word for it
        "take memory": "MemoryError",
        "write much": "OSError 27",  # EFBIG
        "write to what is open": "done",
        "compute": "done",
    }
    assert answers == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inherited"]
    assert (tmp_path / "inherited").read_bytes().startswith(b"fine")
    assert (tmp_path / "inherited").stat().st_size <= 1 << 20


def test_time_is_limited(tmp_path: Path) -> None:
    code = (
        "from tagloom.networks.checkpoints.confinement import confine\n"
        "confine(memory=1 << 30, cpu_seconds=1, written=0)\n"
        "while True: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=300, check=False
    )
    assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)


def files(folder: Path, data: bytes) -> tuple[Any, Any]:
    (folder / "source").write_bytes(data)
    return (folder / "source").open("rb"), (folder / "target").open("w+b")


def test_the_readers_process_is_confined(tmp_path: Path) -> None:
    """The very process, seen from outside: the kernel tells."""
    source, target = files(tmp_path, b"")
    with source, target, ConfinedReader(source, target) as reader:
        with pytest.raises(DataLoss, match="is empty"):
            reader.read("x.pkl")
        status = Path(f"/proc/{reader.pid}/status").read_text()
        facts = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
        assert facts["Seccomp"] == "2"  # a filter
        assert facts["NoNewPrivs"] == "1"
        assert facts["Threads"] == "1"
        environment = Path(f"/proc/{reader.pid}/environ").read_bytes()
        assert {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry} <= {
            b"OPENBLAS_NUM_THREADS",
            b"OMP_NUM_THREADS",
        }
        opened = {
            os.readlink(f"/proc/{reader.pid}/fd/{number}")
            for number in os.listdir(f"/proc/{reader.pid}/fd")
        }
        paths = {path for path in opened if path.startswith("/")}
        assert paths == {str(tmp_path / "source"), str(tmp_path / "target")}
    assert not Path(f"/proc/{reader.pid}").exists()


def test_too_little_time_is_an_answer(tmp_path: Path) -> None:
    source, target = files(tmp_path, b"\x80\x02" + b"N0" * 900_000 + b"N.")
    with source, target, ConfinedReader(source, target, seconds=0.0) as reader:
        with pytest.raises(ResourceExhausted, match=r"took more than 0 seconds") as caught:
            reader.read("x.pkl")
        assert caught.value.reason == "CHECKPOINT_TIMEOUT"


def test_too_little_memory_is_an_answer(tmp_path: Path) -> None:
    """Sets take most: 400,000 of them that are all remembered, about 300 bytes each."""
    source, target = files(tmp_path, b"\x80\x04" + b"\x8f\x940" * 400_000 + b"N.")
    with source, target, ConfinedReader(source, target, memory=200 << 20) as reader:
        with pytest.raises(ResourceExhausted, match="needs more memory than a checkpoint"):
            reader.read("x.pkl")
        with pytest.raises(ResourceExhausted, match="needs more memory"):
            reader.read("x.pkl")  # it lives on


def test_a_killed_reader_is_an_answer(tmp_path: Path) -> None:
    source, target = files(tmp_path, b"\x80\x02" + b"N0" * 900_000 + b"N.")
    with source, target, ConfinedReader(source, target) as reader:
        os.kill(reader.pid, signal.SIGSTOP)
        killer = threading.Timer(0.3, os.kill, (reader.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(ResourceExhausted, match=r"CPU time or memory"):
            reader.read("x.pkl")
        killer.join()


def test_a_system_that_cannot_confine_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confinement.sys, "platform", "darwin")
    with pytest.raises(confinement.ConfinementError, match="darwin"):
        confinement.confine(memory=1, cpu_seconds=1, written=1)


WITHOUT_SECCOMP = """
import os, struct
from tagloom.networks.checkpoints import confinement
from tagloom.networks.checkpoints.reader import check_confinement

check_confinement()  # nothing is wrong so far

def refuse_seccomp(column, architecture):
    one = lambda code, value, yes=0, no=0: struct.pack("=HBBI", code, yes, no, value)
    call = confinement._SECCOMP[column]
    return one(0x20, 0) + one(0x15, call, 0, 1) + one(0x06, 0x50026) + one(0x06, 0x7FFF0000)

confinement._program = refuse_seccomp  # from here on, the kernel answers ENOSYS, as one without it
confinement._filter_system_calls(*confinement._ARCHITECTURES[os.uname().machine])
check_confinement()
"""


def test_a_kernel_without_seccomp_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SECCOMP], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("tagloom.errors.FailedPrecondition: an official checkpoint is not read")
    assert "the kernel accepts no seccomp filter (Function not implemented)" in last


def test_no_module_comes_from_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_network: Any
) -> None:
    """A numpy.py in the folder of the download, and in PYTHONPATH, is not imported."""
    for name in ("numpy", "mmap", "codecs", "tagloom"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'PWNED')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _, stored = make_network("stylegan2")
    (tmp_path / "x.pkl").write_bytes(checkpoint(G_ema=stored))
    contents = read_checkpoint(tmp_path / "x.pkl", tmp_path / "tensors")
    assert contents.networks.keys() == {"G_ema"}
    assert not (tmp_path / "PWNED").exists()
