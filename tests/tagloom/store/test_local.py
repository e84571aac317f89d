"""What only a folder can do wrong: links, foreign files, leftovers, a full disk, hand edits."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import tagloom.store.folder
from tagloom.errors import FailedPrecondition, PermissionDenied, Unavailable
from tagloom.store import ObjectNotFound
from tagloom.store.local import LocalStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


def keys(store: LocalStore) -> list[str]:
    return [info.key for info in store.iterate()]


def test_objects_are_plain_files(store: LocalStore, root: Path) -> None:
    store.put("datasets/cats/images.zip", b"zip")
    assert (root / "datasets" / "cats" / "images.zip").read_bytes() == b"zip"
    umask = os.umask(0)
    os.umask(umask)
    mode = (root / "datasets" / "cats" / "images.zip").stat().st_mode
    assert mode & 0o777 == 0o666 & ~umask


class TestLinks:
    def test_file_link_is_not_read(self, store: LocalStore, root: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"outside")
        (root / "key").symlink_to(tmp_path / "secret")
        for read in (store.get, store.head, store.open, store.get_with_etag):
            with pytest.raises(PermissionDenied) as caught:
                read("key")
            assert caught.value.reason == "STORE_LINK_REFUSED"
        assert keys(store) == []

    def test_folder_link_is_not_entered(
        self, store: LocalStore, root: Path, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "file").write_bytes(b"mine")
        (root / "folder").symlink_to(outside)
        with pytest.raises(PermissionDenied):
            store.get("folder/file")
        with pytest.raises(PermissionDenied):
            store.put("folder/new", b"x")
        with pytest.raises(PermissionDenied):
            store.delete("folder/file")
        assert keys(store) == []
        assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"file": b"mine"}

    def test_write_replaces_a_link_and_not_its_target(
        self, store: LocalStore, root: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "target").write_bytes(b"mine")
        (root / "key").symlink_to(tmp_path / "target")
        store.put("key", b"new")
        assert store.get("key") == b"new"
        assert (tmp_path / "target").read_bytes() == b"mine"

    def test_the_root_itself_may_be_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "disk")
        LocalStore(tmp_path / "link").put("key", b"x")
        assert (tmp_path / "disk" / "key").read_bytes() == b"x"


class TestForeignFiles:
    def test_only_objects_are_listed(self, store: LocalStore, root: Path) -> None:
        store.put("a/object", b"x")
        (root / "a" / ".DS_Store").write_bytes(b"x")
        (root / "a" / "back\\slash").write_bytes(b"x")
        (root / "a" / "empty").mkdir()
        os.mkfifo(root / "a" / "pipe")
        with open(os.fsencode(root) + b"/a/\xff\xfe", "wb"):
            pass
        assert keys(store) == ["a/object"]

    def test_pipe_is_no_object_and_does_not_block(self, store: LocalStore, root: Path) -> None:
        os.mkfifo(root / "pipe")
        with pytest.raises(ObjectNotFound):
            store.get("pipe")

    def test_file_put_there_by_hand_is_an_object(self, store: LocalStore, root: Path) -> None:
        (root / "notes.txt").write_bytes(b"by hand")
        data, etag = store.get_with_etag("notes.txt")
        assert data == b"by hand"
        assert store.head("notes.txt").etag == etag
        store.put("notes.txt", b"swapped", if_match=etag)
        assert store.get("notes.txt") == b"swapped"


class TestEtags:
    def test_edit_by_hand_changes_the_etag(self, store: LocalStore, root: Path) -> None:
        first = store.put("key", b"one")
        time.sleep(0.01)  # the clock of file times ticks every few milliseconds
        (root / "key").write_bytes(b"two")
        data, etag = store.get_with_etag("key")
        assert (data, store.head("key").etag) == (b"two", etag)
        assert etag != first

    def test_copy_of_the_folder_keeps_etags(
        self, store: LocalStore, root: Path, tmp_path: Path
    ) -> None:
        etag = store.put("key", b"x")
        subprocess.run(["cp", "-r", root, tmp_path / "copy"], check=True)
        assert LocalStore(tmp_path / "copy").head("key").etag == etag

    def test_without_extended_attributes(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> bytes:
            raise OSError(95, "Operation not supported")  # what NFS answers

        monkeypatch.setattr(os, "setxattr", refuse)
        monkeypatch.setattr(os, "getxattr", refuse)
        etag = store.put("key", b"x" * 3_000_000)
        assert store.head("key").etag == etag
        assert store.list().objects[0].etag == etag
        store.put("key", b"y", if_match=etag)
        assert store.head("key").etag != etag


class TestFolders:
    def test_object_below_an_object(self, store: LocalStore) -> None:
        store.put("a", b"x")
        with pytest.raises(FailedPrecondition) as caught:
            store.put("a/b", b"y")
        assert caught.value.reason == "KEY_CONFLICT"
        assert store.get("a") == b"x"

    @pytest.mark.parametrize("exclusive", [True, False])
    def test_object_above_an_object(self, store: LocalStore, exclusive: bool) -> None:
        store.put("a/b", b"x")
        with pytest.raises(FailedPrecondition) as caught:
            store.put("a", b"y", if_none_match=exclusive)
        assert caught.value.reason == "KEY_CONFLICT"
        assert store.get("a/b") == b"x"

    def test_emptied_folders_go(self, store: LocalStore, root: Path) -> None:
        store.put("a/b/c", b"x")
        store.put("a/d", b"x")
        store.delete("a/b/c")
        assert not (root / "a" / "b").exists()
        assert store.get("a/d") == b"x"

    def test_store_removed_under_our_feet(self, store: LocalStore, root: Path) -> None:
        subprocess.run(["rm", "-r", root], check=True)
        with pytest.raises(Unavailable) as caught:
            store.put("key", b"x")
        assert caught.value.reason == "STORE_UNAVAILABLE"


class TestLeftovers:
    def test_dead_writers_files_are_swept_and_live_ones_stay(
        self, store: LocalStore, root: Path
    ) -> None:
        temporary = root / ".tagloom" / "tmp"
        for name in ("dead", "alive", "new"):
            (temporary / name).write_bytes(b"half")
        for name in ("dead", "alive"):
            os.utime(temporary / name, (0, 0))
        with (temporary / "alive").open("rb") as writer:
            fcntl.flock(writer, fcntl.LOCK_EX)
            LocalStore(root)
            assert sorted(path.name for path in temporary.iterdir()) == ["alive", "new"]

    def test_nothing_is_left_after_writing(self, store: LocalStore, root: Path) -> None:
        for index in range(300):
            store.put(f"{index}", b"x")
            store.put(f"{index}", b"y", if_match=store.head(f"{index}").etag)
        assert list((root / ".tagloom" / "tmp").iterdir()) == []
        assert len(list((root / ".tagloom" / "locks").iterdir())) <= 256


def test_lock_held_by_a_suspended_process_is_an_error_and_not_a_hang(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("key", b"x")
    monkeypatch.setattr(tagloom.store.folder, "_LOCK_TIMEOUT_S", 0.2)
    (lock,) = (root / ".tagloom" / "locks").iterdir()
    with lock.open() as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(Unavailable) as caught:
            store.put("key", b"y")
    assert str(lock) in caught.value.message
    assert store.get("key") == b"x"
    store.put("key", b"z")


class TestFullDisk:
    """Real limits of the kernel, met by a process of its own."""

    FILL = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from tagloom.errors import ResourceExhausted
        from tagloom.store.local import LocalStore

        store = LocalStore(Path(sys.argv[1]))
        old = store.put("old", b"old" * 1000)
        large = Path(sys.argv[2])
        for write in (
            lambda: store.put("new", b"n" * 4_000_000),
            lambda: store.put("new", b"n" * 4_000_000, if_none_match=True),
            lambda: store.put("old", b"n" * 4_000_000),
            lambda: store.put("old", b"n" * 4_000_000, if_match=old),
            lambda: store.put_file("new", large),
        ):
            try:
                write()
            except ResourceExhausted as error:
                assert error.reason == "STORE_FULL", error
                assert "free some space" in error.message
            else:
                raise SystemExit("the disk was not full")
        assert [info.key for info in store.iterate()] == ["old"]
        assert store.get_with_etag("old") == (b"old" * 1000, old)
        assert list((Path(sys.argv[1]) / ".tagloom" / "tmp").iterdir()) == []
        store.put("small", b"still works", if_none_match=True)
        """
    )

    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        (tmp_path / "large").write_bytes(b"n" * 4_000_000)
        return tmp_path / "large"

    def test_file_size_limit(self, tmp_path: Path, large: Path) -> None:
        limited = 'ulimit -f 1000; exec "$@"'  # 1000 blocks of at most 1 KiB: EFBIG
        command = [sys.executable, "-c", self.FILL, str(tmp_path / "store"), str(large)]
        done = subprocess.run(
            ["sh", "-c", limited, "sh", *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    DOWNLOAD = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from tagloom.errors import ResourceExhausted
        from tagloom.store.local import LocalStore

        target = Path(sys.argv[2]) / "copy"
        target.write_bytes(b"older")
        try:
            LocalStore(Path(sys.argv[1])).get_file("key", target)
        except ResourceExhausted as error:
            assert error.reason == "DISK_FULL", error
        else:
            raise SystemExit("the disk was not full")
        assert [path.name for path in target.parent.iterdir()] == ["copy"]
        assert target.read_bytes() == b"older"
        """
    )

    def test_no_room_for_a_download(self, store: LocalStore, root: Path, tmp_path: Path) -> None:
        store.put("key", b"n" * 4_000_000)
        (tmp_path / "target").mkdir()
        command = [sys.executable, "-c", self.DOWNLOAD, str(root), str(tmp_path / "target")]
        done = subprocess.run(
            ["sh", "-c", 'ulimit -f 1000; exec "$@"', "sh", *command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def test_full_file_system(self, tmp_path: Path, large: Path) -> None:
        run_on_tmpfs(tmp_path / "disk", "size=2m", self.FILL, str(large))


class TestReadOnlyFileSystem:
    LOOK = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from tagloom.errors import PermissionDenied
        from tagloom.store.local import LocalStore

        try:
            LocalStore(Path(sys.argv[1]))
        except PermissionDenied as error:
            assert error.reason == "STORE_NOT_WRITABLE", error
            assert "Read-only file system" in error.message
        else:
            raise SystemExit("the disk was not read-only")
        """
    )

    def test_is_said_at_once(self, tmp_path: Path) -> None:
        run_on_tmpfs(tmp_path / "disk", "ro", self.LOOK)


def run_on_tmpfs(mountpoint: Path, options: str, script: str, *arguments: str) -> None:
    """Run a Python script on a small file system, in a mount namespace that goes with it."""
    mountpoint.mkdir()
    # Needs no root where the kernel lets users make namespaces.
    unshare = ["unshare", "--mount", "--map-root-user"]
    mount = f"mount -t tmpfs -o {options} none '{mountpoint}'"
    if subprocess.run([*unshare, "sh", "-c", mount], capture_output=True).returncode != 0:
        pytest.skip("this kernel lets us mount nothing")
    command = [sys.executable, "-c", script, str(mountpoint), *arguments]
    done = subprocess.run(
        [*unshare, "sh", "-c", f'{mount} && exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(mountpoint.iterdir()) == [], "it was written to the real disk"


@pytest.mark.parametrize("key", ["a/b", "c"])
def test_failure_before_the_name_leaves_nothing(
    store: LocalStore, root: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Unavailable) as caught:
        store.put(key, b"x")
    monkeypatch.undo()
    assert "Input/output error" in caught.value.message
    assert keys(store) == []
    assert list((root / ".tagloom" / "tmp").iterdir()) == []
