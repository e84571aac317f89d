"""Prepares a MinIO server for Tagloom: bucket, user, clean-up. A program for the cluster's Job.

    python -m tagloom.store.provision           all of it; may be repeated at any time
    python -m tagloom.store.provision --wait    nothing but wait until the store can be used

It reads TAGLOOM_STORE (s3://bucket[/prefix]), MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY
as every service does, and makes the user whose keys these are, with MINIO_ROOT_USER and
MINIO_ROOT_PASSWORD (keys and password may lie in files: …_FILE). Only this module speaks more than
S3: MinIO's own administration.

That user can read, write, delete and list in the bucket (below the prefix), and nothing else.

What cleans up after killed processes: the hidden parts of uploads that nobody completed go after a
day. MinIO knows no lifecycle rule for that (it refuses one) but a setting of the server. Request
ids (AIP-155) go after 90 days, by a lifecycle rule. Nothing else in the store is a draft: objects
appear whole or not at all, and what no manifest names is for the services to judge.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.credentials.providers import StaticProvider
from minio.error import InvalidResponseError, MinioAdminException, S3Error, ServerError
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.minioadmin import MinioAdmin
from urllib3.exceptions import HTTPError

from tagloom.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    TagloomError,
    Unauthenticated,
    Unavailable,
)
from tagloom.store import open_store
from tagloom.store.s3_client import (
    Settings,
    connection_pool,
    make_client,
    read_credentials,
    refusal,
)

__all__ = ["Provision", "policy", "provision", "wait_until_usable"]

REQUEST_DAYS = 90
"""days until a request id is forgotten; a request repeated later meets the resource it made"""
_LOOK_S = 2.0


@dataclass(frozen=True)
class Provision:
    """What there shall be, and who may make it."""

    bucket: str
    prefix: str
    root: Settings
    """the server, as its administrator"""
    user: str
    secret: str = field(repr=False)
    stale_uploads: str = "24h"
    """how long an upload may stand incomplete, in MinIO's notation"""
    look_for_stale: str = "6h"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Provision:
        """Raises FailedPrecondition (STORE_NOT_CONFIGURED), InvalidArgument (STORE_URL_INVALID,
        STORE_USER_IS_ROOT)."""
        split = urlsplit(environment.get("TAGLOOM_STORE", ""))
        if split.scheme != "s3" or not split.netloc:
            raise InvalidArgument(
                "TAGLOOM_STORE names no bucket to prepare; write s3://bucket or s3://bucket/prefix.",
                reason="STORE_URL_INVALID",
            )
        user = Settings.from_environment(environment)
        name, password = read_credentials(environment, "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")
        if name == user.access_key:
            raise InvalidArgument(
                "MINIO_ACCESS_KEY is MinIO's root user, who may do everything; choose another name "
                "for the user that Tagloom works as.",
                reason="STORE_USER_IS_ROOT",
            )
        return cls(
            bucket=split.netloc,
            prefix=split.path.strip("/"),
            root=replace(user, access_key=name, secret_key=password),
            user=user.access_key,
            secret=user.secret_key,
        )


def policy(bucket: str, prefix: str = "") -> dict[str, Any]:
    """What the user may do, as an IAM policy: exactly the requests that `S3Store` makes."""
    below = f"{prefix}/*" if prefix else "*"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetBucketLocation", "s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{bucket}"],
            },
            {
                "Effect": "Allow",
                "Action": [
                    "s3:AbortMultipartUpload",
                    "s3:DeleteObject",
                    "s3:GetObject",
                    "s3:PutObject",
                ],
                "Resource": [f"arn:aws:s3:::{bucket}/{below}"],
            },
        ],
    }


def provision(plan: Provision, *, timeout_s: float, say: Callable[[str], None] = print) -> None:
    """Make everything that is missing, and set what is there; waits for the server to answer.

    Raises Unavailable (STORE_UNAVAILABLE) after `timeout_s`; Unauthenticated, PermissionDenied when
    the root's keys are refused; InvalidArgument (STORE_USER_INVALID) for keys that MinIO does not
    allow.
    """
    client = make_client(plan.root)
    admin = MinioAdmin(
        endpoint=plan.root.endpoint,
        credentials=StaticProvider(plan.root.access_key, plan.root.secret_key),
        secure=plan.root.secure,
        http_client=connection_pool(plan.root),
    )
    name = f"tagloom-{plan.bucket}"

    def steps() -> None:
        if not client.bucket_exists(plan.bucket):
            client.make_bucket(plan.bucket, plan.root.region)
            say(f"made bucket {plan.bucket}")
        admin.policy_add(name, policy=policy(plan.bucket, plan.prefix))
        admin.user_add(plan.user, plan.secret)
        # Sets, where attaching would add: whatever else the user was given before goes.
        admin.policy_set(name, user=plan.user)
        admin.config_set(
            "api",
            {
                "stale_uploads_expiry": plan.stale_uploads,
                "stale_uploads_cleanup_interval": plan.look_for_stale,
            },
        )
        _set_lifecycle(client, plan)

    _until(time.monotonic() + timeout_s, lambda: _translated(plan, steps))
    say(f"user {plan.user} may use s3://{plan.bucket}/{plan.prefix}".rstrip("/"))


def wait_until_usable(url: str, *, timeout_s: float, say: Callable[[str], None] = print) -> None:
    """Return once the store can be listed with the environment's keys.

    `say` is told at once why it waits, and again when that changes.

    Raises what opening it raised last, after `timeout_s`; FailedPrecondition, InvalidArgument
    (settings that waiting does not mend) at once.
    """

    def look() -> None:
        open_store(url, create=False).list("operations/", limit=1)

    # Users and buckets that are not there yet may be on their way.
    patient = (NotFound, PermissionDenied, Unauthenticated, Unavailable)
    _until(time.monotonic() + timeout_s, look, patient, say)


def _until(
    deadline: float,
    attempt: Callable[[], None],
    patient: tuple[type[TagloomError], ...] = (Unavailable,),
    say: Callable[[str], None] = lambda _: None,
) -> None:
    said = ""
    while True:
        try:
            attempt()
            return
        except patient as error:
            if time.monotonic() + _LOOK_S > deadline:
                raise
            if error.message != said:
                said = error.message
                say(f"Waits for the store. {said} [{error.reason}]")
        time.sleep(_LOOK_S)


def _set_lifecycle(client: Minio, plan: Provision) -> None:
    """Our rule, beside those that an administrator may have made."""
    ours = Rule(
        ENABLED,
        rule_id="tagloom-requests",
        rule_filter=Filter(prefix=f"{plan.prefix}/requests/".lstrip("/")),
        expiration=Expiration(days=REQUEST_DAYS),
    )
    there = client.get_bucket_lifecycle(plan.bucket)
    others = [rule for rule in there.rules if rule.rule_id != ours.rule_id] if there else []
    client.set_bucket_lifecycle(plan.bucket, LifecycleConfig([*others, ours]))


def _translated(plan: Provision, steps: Callable[[], None]) -> None:
    """Runs them; errors of the client become ours, which name the root's variables."""
    where = f"The object store at {plan.root.shown}"
    try:
        steps()
    except MinioAdminException as error:
        _refuse_admin(error, plan, where)
    except (S3Error, ServerError, InvalidResponseError, HTTPError) as error:
        fault = refusal(error, plan.root, plan.bucket, "")
        if isinstance(fault, Unauthenticated):
            raise _wrong_root(where) from error
        if fault.metadata.get("code") == "InvalidBucketName":
            raise _bad_bucket(plan.bucket) from error
        raise fault from error
    except ValueError as error:  # what the client itself refuses
        raise _bad_bucket(plan.bucket) from error


def _refuse_admin(error: MinioAdminException, plan: Provision, where: str) -> NoReturn:
    text = str(error._body)
    if "InvalidAccessKey" in text or "InvalidSecretKey" in text:
        raise InvalidArgument(
            f"{where} does not allow these keys for a user; MINIO_ACCESS_KEY needs at least 3 "
            "characters and MINIO_SECRET_KEY 8.",
            reason="STORE_USER_INVALID",
        ) from error
    if str(error._code) in ("401", "403"):
        raise _wrong_root(where) from error
    if str(error._code) in ("408", "429", "500", "502", "503", "504"):
        raise Unavailable(
            f"{where} cannot answer now (HTTP status {error._code}); try again later.",
            reason="STORE_UNAVAILABLE",
        ) from error
    raise FailedPrecondition(
        f"{where} refused its administration (HTTP status {error._code}); is it a MinIO server? "
        "Where another S3 is used, make bucket and user there by its own means.",
        reason="STORE_REFUSED",
        status=error._code,
    ) from error


def _bad_bucket(bucket: str) -> InvalidArgument:
    return InvalidArgument(
        f"TAGLOOM_STORE names {bucket!r}, a bucket that S3 does not allow; use 3 to 63 of a-z, 0-9 "
        "and '-'.",
        reason="STORE_URL_INVALID",
    )


def _wrong_root(where: str) -> Unauthenticated:
    return Unauthenticated(
        f"{where} does not accept the root user; check MINIO_ROOT_USER and MINIO_ROOT_PASSWORD "
        "(the Secret minio-root).",
        reason="STORE_CREDENTIALS_REFUSED",
    )


@click.command(help="Prepare a MinIO server for Tagloom, or wait until that has happened.")
@click.option("--wait", is_flag=True, help="Only wait until the store can be used.")
@click.option("--timeout-s", type=float, default=120.0, show_default=True, help="Seconds at most.")
def main(wait: bool, timeout_s: float) -> None:
    """The program: exits 0, 1 with one sentence, or 143 when it is told to end."""
    # The kernel spares the first process of a container from a SIGTERM that it does not handle: the
    # pod would stay for its whole grace period.
    signal.signal(signal.SIGTERM, _end)
    try:
        if wait:
            wait_until_usable(os.environ.get("TAGLOOM_STORE", ""), timeout_s=timeout_s)
        else:
            provision(Provision.from_environment(), timeout_s=timeout_s)
    except TagloomError as error:
        print(f"{error.message} [{error.reason}]", file=sys.stderr)
        sys.exit(1)


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signum)


if __name__ == "__main__":
    main()
