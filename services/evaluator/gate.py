"""The gate: did training bring the generator nearer to the target, beyond doubt?"""

from __future__ import annotations

from collections.abc import Sequence

from tagloom.artifacts.evaluation import Gate, Score, SnapshotScore

__all__ = ["best_by", "judge", "score_named"]


def score_named(snapshot: SnapshotScore, metric: str) -> Score:
    """The score of that name; KeyError when the snapshot was not scored by it."""
    for score in snapshot.scores:
        if score.metric == metric:
            return score
    raise KeyError(metric)


def best_by(snapshots: Sequence[SnapshotScore], metric: str) -> SnapshotScore:
    """The snapshot with the lowest value, the earliest of equals."""
    return min(snapshots, key=lambda snapshot: score_named(snapshot, metric).value)


def judge(snapshots: Sequence[SnapshotScore], metric: str, *, held_out: bool) -> Gate:
    """Passed if the last snapshot's 95 % interval of `metric` lies wholly below the start's.

    `snapshots` in order of kimg, the start (kimg 0) first; `metric` is a distance (lower is
    better). `held_out` says whether the real images were kept from training, for the sentence.
    """
    start, last = snapshots[0], snapshots[-1]
    if start.kimg != 0:
        return Gate(
            passed=False,
            sentence=f"Failed: the start (kimg 0) was not scored, only from {start.kimg:g} kimg "
            "on, so nothing can be said about what training changed.",
        )
    if len(snapshots) == 1:
        return Gate(
            passed=False,
            sentence="Failed: there is no snapshot after the start (kimg 0); train the run first.",
        )
    before, after = score_named(start, metric), score_named(last, metric)
    passed = after.high < before.low
    relation = (
        "below the start's by more than both 95 % intervals"
        if passed
        else "below the start's, but the 95 % intervals overlap"
        if after.value < before.value
        else "not below the start's"
    )
    against = "held-out images" if held_out else "training images (none were held out)"
    remedy = "" if passed else "; train longer, or look at the samples and at the augmentation"
    return Gate(
        passed=passed,
        sentence=f"{'Passed' if passed else 'Failed'}: {metric} of the last snapshot "
        f"({last.kimg:g} kimg) is {_show(after)}, {relation} ({_show(before)}), measured with "
        f"{last.generated} generated against {last.real} {against}{remedy}.",
    )


def _show(score: Score) -> str:
    return f"{score.value:.4g} [{score.low:.4g}, {score.high:.4g}]"
