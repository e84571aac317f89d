"""Where everything lies in the store: the one place that spells keys (DESIGN, section 3)."""

from __future__ import annotations

import re

from tagloom.errors import InvalidArgument

__all__ = [
    "RESOURCE_ID",
    "account_lease",
    "account_state",
    "check_id",
    "collection_cursor",
    "collection_items",
    "collection_items_part",
    "collection_manifest",
    "collection_parts_prefix",
    "dataset_held_out",
    "dataset_images",
    "dataset_manifest",
    "dataset_verdicts",
    "evaluation",
    "experiment_document",
    "experiment_partial_report",
    "experiment_report",
    "experiment_spec",
    "FORGOTTEN",
    "FORGOTTEN_POSTS",
    "forgotten_image",
    "forgotten_post",
    "image",
    "network_manifest",
    "network_weights",
    "parse_name",
    "run_document",
    "run_history",
    "run_progress",
    "run_state_prefix",
    "trial_state_prefix",
    "scores",
    "snapshot_id",
    "snapshot_manifest",
    "snapshot_samples",
    "snapshot_scores",
    "snapshot_weights",
    "statistics",
]

RESOURCE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SNAPSHOT_ID = re.compile(r"[0-9]{6}\.[0-9]{3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORTCODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
FORGOTTEN = "forgotten/"
"""where tombstones lie"""
FORGOTTEN_POSTS = "forgotten/posts/"


def check_id(value: str, what: str) -> str:
    """Returns `value` when it can name a resource; `what` names the field in the error."""
    if not RESOURCE_ID.fullmatch(value):
        raise InvalidArgument(
            f"{what} {value[:80]!r} is not valid: use 1 to 63 of a-z, 0-9 and '-', "
            "starting with a letter or digit.",
            reason="INVALID_ID",
            field=what,
            value=value[:80],
        )
    return value


def parse_name(name: str, *patterns: str) -> tuple[str, ...]:
    """Ids of a resource name, by the first pattern that fits.

    `parse_name("runs/a/snapshots/000001.000", "runs/{}/snapshots/{}")` gives
    `("a", "000001.000")`. Raises InvalidArgument (INVALID_NAME) naming the expected patterns.
    """
    parts = name.split("/")
    for pattern in patterns:
        expected = pattern.split("/")
        if len(expected) != len(parts):
            continue
        ids = []
        for index, (want, got) in enumerate(zip(expected, parts, strict=True)):
            if want == "{}":
                snapshot = index > 0 and expected[index - 1] == "snapshots"
                if not (_SNAPSHOT_ID if snapshot else RESOURCE_ID).fullmatch(got):
                    break
                ids.append(got)
            elif want != got:
                break
        else:
            return tuple(ids)
    wanted = " or ".join(pattern.replace("{}", "ID") for pattern in patterns)
    raise InvalidArgument(
        f"{name[:120]!r} is not a resource name here: write {wanted}.",
        reason="INVALID_NAME",
        value=name[:120],
    )


def image(sha256: str) -> str:
    """An image's bytes, under their hash."""
    if not _SHA256.fullmatch(sha256):
        raise InvalidArgument(
            f"{sha256[:80]!r} is not a SHA-256: write its 64 digits, 0-9 and a-f.",
            reason="INVALID_SHA256",
        )
    return f"images/{sha256[:2]}/{sha256}"


def collection_manifest(collection_id: str) -> str:
    """`Collection`; written last."""
    return f"collections/{collection_id}/manifest.json"


def collection_items(collection_id: str, file: str = "items.jsonl") -> str:
    """One `Item` a line; `file` is what the manifest names."""
    return f"collections/{collection_id}/{file}"


def account_lease(account: str) -> str:
    """Who uses an account (`tagloom.store.lease`); `account` is a hash."""
    return f"accounts/{account}/lease.json"


def account_state(account: str) -> str:
    """What was asked in an account's name, and until when it rests."""
    return f"accounts/{account}/state.json"


def forgotten_image(sha256: str) -> str:
    """A tombstone: these bytes are never taken again."""
    image(sha256)  # refuses what is no hash
    return f"{FORGOTTEN}{sha256}"


def forgotten_post(shortcode: str) -> str:
    """A tombstone: this post is never taken again."""
    if not _SHORTCODE.fullmatch(shortcode):
        raise InvalidArgument(
            f"{shortcode[:80]!r} is not a post's shortcode: write the part of its address after "
            "/p/.",
            reason="INVALID_POST",
        )
    return f"{FORGOTTEN_POSTS}{shortcode}"


def collection_cursor(collection_id: str) -> str:
    """Where an unfinished collection from Instagram goes on; removed when it is complete."""
    return f"collections/{collection_id}/cursor.json"


def collection_items_part(collection_id: str, part: int) -> str:
    """A finished piece of an unfinished collection's items; removed with the cursor."""
    return f"{collection_parts_prefix(collection_id)}{part:06}.jsonl"


def collection_parts_prefix(collection_id: str) -> str:
    """Where those pieces lie."""
    return f"collections/{collection_id}/parts/"


def dataset_manifest(dataset_id: str) -> str:
    """`Dataset`; written last."""
    return f"datasets/{dataset_id}/manifest.json"


def dataset_verdicts(dataset_id: str, files: str = "") -> str:
    """Verdicts, a Parquet table, one row an image; `files` is what the manifest says."""
    return f"datasets/{dataset_id}/verdicts{files}.parquet"


def dataset_images(dataset_id: str, files: str = "") -> str:
    """The squares to train on: a StyleGAN zip (stored PNGs and `dataset.json`)."""
    return f"datasets/{dataset_id}/images{files}.zip"


def dataset_held_out(dataset_id: str, files: str = "") -> str:
    """The squares held out from training, in the same layout."""
    return f"datasets/{dataset_id}/held_out{files}.zip"


def scores(check: str, version: str, shard: str) -> str:
    """Scores of one check, kept by check and version, not by dataset."""
    return f"scores/{check}-{version}/{shard}.parquet"


def network_manifest(network_id: str) -> str:
    """`Network`; written last."""
    return f"networks/{network_id}/manifest.json"


def network_weights(network_id: str) -> str:
    """Tensors `G_ema.*` and, where known, `D.*`."""
    return f"networks/{network_id}/weights.safetensors"


def run_document(run_id: str) -> str:
    """`Run`: what was asked for, and what became of it."""
    return f"runs/{run_id}/run.json"


def run_progress(run_id: str) -> str:
    """`Progress`, swapped every second or so while training."""
    return f"runs/{run_id}/progress.json"


def run_history(run_id: str) -> str:
    """One `Tick` a line."""
    return f"runs/{run_id}/history.jsonl"


def run_state_prefix(run_id: str) -> str:
    """Everything that a resume needs lies below."""
    return f"runs/{run_id}/state/"


def trial_state_prefix(run_id: str, number: int) -> str:
    """Everything that a trial of R1's weight needs to go on lies below."""
    return f"runs/{run_id}/trials/{number}/state/"


def snapshot_id(kimg: float) -> str:
    """`000012.500` for 12.5 kimg: sorts by age, six digits before and three after the point."""
    if not 0 <= kimg < 1e6:
        raise InvalidArgument(f"{kimg} kimg is out of range.", reason="INVALID_KIMG")
    return f"{kimg:010.3f}"


def snapshot_manifest(run_id: str, snapshot: str) -> str:
    """`Snapshot`; written last."""
    return f"runs/{run_id}/snapshots/{snapshot}/manifest.json"


def snapshot_weights(run_id: str, snapshot: str) -> str:
    """Tensors `G_ema.*`, `G.*` and `D.*`."""
    return f"runs/{run_id}/snapshots/{snapshot}/weights.safetensors"


def snapshot_samples(run_id: str, snapshot: str) -> str:
    """A grid of samples from fixed seeds, a PNG."""
    return f"runs/{run_id}/snapshots/{snapshot}/samples.png"


def evaluation(evaluation_id: str) -> str:
    """`Evaluation`."""
    return f"evaluations/{evaluation_id}.json"


def experiment_document(experiment_id: str) -> str:
    """`Experiment`: what it made, and whether it is complete."""
    return f"experiments/{experiment_id}/experiment.json"


def experiment_spec(experiment_id: str) -> str:
    """The experiment file as it was run."""
    return f"experiments/{experiment_id}/spec.yaml"


def experiment_report(experiment_id: str) -> str:
    """The self-contained report."""
    return f"experiments/{experiment_id}/report.html"


def experiment_partial_report(experiment_id: str) -> str:
    """The page about what a failed experiment made before it failed; gone when one succeeds."""
    return f"experiments/{experiment_id}/partial-report.html"


def statistics(content_sha256: str, extractor: str) -> str:
    """Cached features of real images, by content and extractor (with version)."""
    return f"statistics/{content_sha256}-{extractor}.safetensors"


def snapshot_scores(content_sha256: str, extractor: str, digest: str) -> str:
    """Cached scores of one generator against those images; derived, like `statistics`.

    `digest` is over everything else that the numbers depend on (weights, samples, metrics).
    """
    return f"statistics/{content_sha256}-{extractor}-scores/{digest}.json"
