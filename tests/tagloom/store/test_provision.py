"""Preparing a real MinIO: the user can do what Tagloom does, nothing else; faults in one sentence.

That the user's rights are enough is shown by every test that uses the fixture `s3_url`, the
conformance suite among them: they run as this user.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from minio import Minio
from minio.commonconfig import ENABLED, CopySource, Filter
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.minioadmin import MinioAdmin

from tagloom.errors import FailedPrecondition, InvalidArgument, PermissionDenied, Unauthenticated
from tagloom.store import open_store
from tagloom.store.provision import Provision, provision, wait_until_usable
from tagloom.store.s3_client import Settings, make_client
from tests.plugins.minio_server import MinioServer

pytestmark = pytest.mark.minio


def environment(server: MinioServer, bucket: str = "photos") -> dict[str, str]:
    return {
        "TAGLOOM_STORE": f"s3://{bucket}",
        "MINIO_ENDPOINT": server.endpoint,
        "MINIO_ACCESS_KEY": f"user-of-{bucket}",
        "MINIO_SECRET_KEY": "a-secret-of-the-test",
        "MINIO_ROOT_USER": server.ACCESS_KEY,
        "MINIO_ROOT_PASSWORD": server.SECRET_KEY,
    }


def prepare(given: dict[str, str], **changes: str) -> list[str]:
    said: list[str] = []
    provision(Provision.from_environment({**given, **changes}), timeout_s=10, say=said.append)
    return said


def run(given: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program itself, as the cluster's Job runs it."""
    rest = {k: v for k, v in os.environ.items() if not k.startswith(("MINIO_", "TAGLOOM_"))}
    return subprocess.run(
        [sys.executable, "-m", "tagloom.store.provision", *arguments],
        env=rest | given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_again_and_again(minio: MinioServer) -> None:
    given = environment(minio, "repeated")
    first = run(given)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines()[0] == "made bucket repeated"
    client = make_client(Settings.from_environment(given))
    client._put_object("repeated", "there", b"before", {})
    second = run(given)
    assert (second.returncode, second.stderr) == (0, "")
    assert "made" not in second.stdout
    assert client.get_object("repeated", "there").data == b"before"


def test_keys_and_password_in_files(minio: MinioServer, tmp_path: Path) -> None:
    given = environment(minio, "from-files")
    for name in (
        "MINIO_ACCESS_KEY",
        "MINIO_SECRET_KEY",
        "MINIO_ROOT_USER",
        "MINIO_ROOT_PASSWORD",
    ):
        (tmp_path / name).write_text(given.pop(name) + "\n")
        given[f"{name}_FILE"] = str(tmp_path / name)
    done = run(given)
    assert (done.returncode, done.stderr) == (0, "")
    waited = run(given, "--wait")
    assert (waited.returncode, waited.stderr) == (0, "")


def test_a_new_secret_replaces_the_old_one(minio: MinioServer) -> None:
    given = environment(minio, "rotated")
    prepare(given)
    old = make_client(Settings.from_environment(given))
    prepare(given, MINIO_SECRET_KEY="another-secret")
    new = Settings.from_environment({**given, "MINIO_SECRET_KEY": "another-secret"})
    assert make_client(new).bucket_exists("rotated")
    with pytest.raises(S3Error):
        old.list_objects("rotated").__next__()


@pytest.fixture(scope="module")
def given(minio: MinioServer) -> dict[str, str]:
    prepare(environment(minio, "somebody-elses"))
    given = environment(minio, "ours")
    prepare(given)
    return given


@pytest.fixture(scope="module")
def client(given: dict[str, str]) -> Minio:
    return make_client(Settings.from_environment(given))


class TestRights:
    def test_other_buckets_and_the_bucket_itself_are_out_of_reach(
        self, given: dict[str, str], client: Minio
    ) -> None:
        client._put_object("ours", "mine", b"x", {})
        everything = Filter(prefix="")
        forbidden: dict[str, Callable[[], object]] = {
            "make a bucket": lambda: client.make_bucket("another"),
            "remove it": lambda: client.remove_bucket("ours"),
            "list another": lambda: next(iter(client.list_objects("somebody-elses"))),
            "read from another": lambda: client.stat_object("somebody-elses", "x"),
            "write to another": lambda: client._put_object("somebody-elses", "x", b"", {}),
            "delete in another": lambda: client.remove_object("somebody-elses", "x"),
            "open it to the world": lambda: client.set_bucket_policy("ours", "{}"),
            "read its policy": lambda: client.get_bucket_policy("ours"),
            "expire what is in it": lambda: client.set_bucket_lifecycle(
                "ours",
                LifecycleConfig([Rule(ENABLED, everything, "x", expiration=Expiration(days=1))]),
            ),
            "see its events": lambda: client.get_bucket_notification("ours"),
            "tag it": lambda: client.get_bucket_tags("ours"),
            "copy out of it": lambda: client.copy_object(
                "somebody-elses", "x", CopySource("ours", "mine")
            ),
        }
        done = []
        for what, attempt in forbidden.items():
            try:
                attempt()
                done.append(what)
            except S3Error as error:
                if error.code != "AccessDenied":
                    done.append(f"{what}: {error.code}")
        assert done == []

    def test_no_administration(self, given: dict[str, str], minio: MinioServer) -> None:
        user = Settings.from_environment(given)
        admin = MinioAdmin(
            endpoint=user.endpoint,
            credentials=StaticProvider(user.access_key, user.secret_key),
            secure=False,
        )
        for attempt in (
            admin.info,
            admin.policy_list,
            lambda: admin.user_add("friend", "secret-secret"),
            lambda: admin.policy_set("consoleAdmin", user=user.access_key),
            lambda: admin.config_set("api", {"requests_max": "1"}),
            admin.service_stop,
        ):
            with pytest.raises(MinioAdminException, match="403"):
                attempt()

    def test_a_prefix_is_a_border(self, minio: MinioServer) -> None:
        given = environment(minio, "shared") | {
            "TAGLOOM_STORE": "s3://shared/team",
            "MINIO_ACCESS_KEY": "user-of-team",
        }
        prepare(given)
        client = make_client(Settings.from_environment(given))
        client._put_object("shared", "team/x", b"x", {})
        assert client.get_object("shared", "team/x").data == b"x"
        for name in ("teammate/x", "x", "team"):
            with pytest.raises(S3Error, match="AccessDenied"):
                client._put_object("shared", name, b"x", {})

    def test_rights_that_were_given_besides_are_taken_back(self, minio: MinioServer) -> None:
        given = environment(minio, "narrowed")
        prepare(given)
        plan = Provision.from_environment(given)
        admin = MinioAdmin(
            endpoint=plan.root.endpoint,
            credentials=StaticProvider(plan.root.access_key, plan.root.secret_key),
            secure=False,
        )
        admin.policy_set("consoleAdmin", user=plan.user)
        client = make_client(Settings.from_environment(given))
        client.make_bucket("too-much")
        prepare(given)
        with pytest.raises(S3Error, match="AccessDenied"):
            client.remove_bucket("too-much")


class TestCleaningUp:
    def test_request_ids_expire_and_other_rules_stay(self, minio: MinioServer) -> None:
        given = environment(minio, "expiring")
        prepare(given)
        root = make_client(Provision.from_environment(given).root)
        theirs = Rule(ENABLED, Filter(prefix="logs/"), "theirs", expiration=Expiration(days=7))
        there = root.get_bucket_lifecycle("expiring")
        assert there is not None
        root.set_bucket_lifecycle("expiring", LifecycleConfig([*there.rules, theirs]))
        prepare(given)
        after = root.get_bucket_lifecycle("expiring")
        assert after is not None
        rules = {rule.rule_id: rule for rule in after.rules}
        assert set(rules) == {"theirs", "tagloom-requests"}
        ours = rules["tagloom-requests"]
        assert ours.rule_filter is not None
        assert ours.rule_filter.prefix == "requests/"
        assert ours.expiration is not None
        assert ours.expiration.days == 90

    def test_uploads_that_nobody_completed_go(self, own_minio: MinioServer) -> None:
        given = environment(own_minio)
        plan = Provision.from_environment(given)
        client = make_client(Settings.from_environment(given))
        root = make_client(plan.root)

        def hidden() -> int:
            return len(root._list_multipart_uploads("photos", prefix="half").uploads)

        prepare(given)
        upload = client._create_multipart_upload("photos", "half", {})
        client._upload_part("photos", "half", b"x" * 100, {}, upload, 1)
        assert hidden() == 1
        object.__setattr__(plan, "stale_uploads", "1s")
        object.__setattr__(plan, "look_for_stale", "1s")
        provision(plan, timeout_s=10, say=lambda _: None)
        end = time.monotonic() + 30
        while hidden() and time.monotonic() < end:
            time.sleep(0.2)
        assert hidden() == 0


class TestFaults:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"MINIO_ROOT_PASSWORD": "wrong-password"}, "does not accept the root user"),
            ({"MINIO_ROOT_USER": "nobody-here"}, "does not accept the root user"),
            ({"MINIO_ROOT_USER": ""}, "An S3 store needs MINIO_ROOT_USER; set"),
            ({"MINIO_SECRET_KEY": ""}, "An S3 store needs MINIO_SECRET_KEY; set"),
            ({"MINIO_SECRET_KEY": "short"}, "MINIO_SECRET_KEY 8"),
            ({"MINIO_ACCESS_KEY": "ab"}, "MINIO_ACCESS_KEY needs at least 3"),
            ({"MINIO_ACCESS_KEY": MinioServer.ACCESS_KEY}, "is MinIO's root user"),
            ({"TAGLOOM_STORE": "s3://a_b"}, "a bucket that S3 does not allow"),
            ({"TAGLOOM_STORE": "s3://x"}, "a bucket that S3 does not allow"),
            ({"TAGLOOM_STORE": "./folder"}, "names no bucket to prepare"),
            ({"TAGLOOM_STORE": ""}, "names no bucket to prepare"),
            ({"MINIO_ENDPOINT": "http://127.0.0.1:9"}, "does not answer (NewConnectionError)"),
            ({"MINIO_ROOT_USER": "", "MINIO_ROOT_USER_FILE": "/nowhere"}, "MINIO_ROOT_USER_FILE"),
        ],
    )
    def test_one_clear_sentence(
        self, minio: MinioServer, changes: dict[str, str], said: str
    ) -> None:
        done = run(environment(minio) | changes, "--timeout-s", "1")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert said in line
        assert "a-secret-of-the-test" not in line

    def test_the_server_may_come_later(self, own_minio: MinioServer) -> None:
        given = environment(own_minio)
        own_minio.kill()
        arguments = [sys.executable, "-m", "tagloom.store.provision", "--timeout-s", "30"]
        job = subprocess.Popen(arguments, env=os.environ | given)
        time.sleep(1.5)
        assert job.poll() is None
        own_minio.start()
        assert job.wait(30) == 0

    def test_waiting_for_it(self, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
        given = environment(minio, "awaited")
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Unauthenticated, match="check MINIO_ACCESS_KEY"):
            wait_until_usable("s3://awaited", timeout_s=0)
        waiter = subprocess.Popen(
            [sys.executable, "-u", "-m", "tagloom.store.provision", "--wait", "--timeout-s", "30"],
            env=os.environ | given,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert waiter.stdout is not None
        said = waiter.stdout.readline()  # at once, so that whoever looks at the log knows
        assert said.startswith("Waits for the store. The object store at ")
        assert "check MINIO_ACCESS_KEY" in said
        assert waiter.poll() is None
        prepare(given)
        more, _ = waiter.communicate(timeout=30)
        assert waiter.returncode == 0
        assert said not in more, "it said the same again"
        assert list(open_store("s3://awaited", create=False).list().objects) == []
        with pytest.raises(PermissionDenied, match="no-such-bucket"):
            wait_until_usable("s3://no-such-bucket", timeout_s=0)

    def test_a_pod_that_waits_ends_when_it_is_told_to(self) -> None:
        """By its own hand: a signal alone does not end the first process of a container."""
        nobody = {"MINIO_ENDPOINT": "http://127.0.0.1:9", "TAGLOOM_STORE": "s3://bucket"}
        nobody |= {"MINIO_ACCESS_KEY": "somebody", "MINIO_SECRET_KEY": "something"}
        waiter = subprocess.Popen(
            [sys.executable, "-u", "-m", "tagloom.store.provision", "--wait"],
            env=os.environ | nobody,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert waiter.stdout is not None
        assert waiter.stdout.readline().startswith("Waits for the store. ")
        waiter.terminate()
        waiter.communicate(timeout=10)
        assert waiter.returncode == 128 + signal.SIGTERM

    def test_settings_that_no_waiting_mends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"):
            monkeypatch.delenv(name, raising=False)
        begin = time.monotonic()
        with pytest.raises(FailedPrecondition):
            wait_until_usable("s3://bucket", timeout_s=60)
        with pytest.raises(InvalidArgument):
            wait_until_usable("", timeout_s=60)
        assert time.monotonic() - begin < 5
