"""All checks on all photos of the scikit-image and scikit-learn wheels, at their defaults."""

from __future__ import annotations

import pytest

from services.filter.checks import CHECKS, SCORING_LONG_SIDE, SCORING_SIDE, Measured
from services.filter.decode import decode
from services.filter.judge import judge
from services.filter.profile import PROFILES, named_profile

JUDGED_FOR = 256
STAY = [
    *("chelsea", "coffee", "flower", "china", "hubble_deep_field", "ihc", "retina", "rocket"),
    *("motorcycle_left", "motorcycle_right"),
]
GREY = ["brick", "camera", "clock_motion", "coins", "grass", "gravel", "horse", "moon", "phantom"]
GO = {name: {"grayscale"} for name in GREY} | {
    "astronaut": {"faces"},
    "page": {"text", "text_lines", "grayscale", "resolution"},
    "text": {"text", "grayscale", "resolution"},
    "microaneurysms": {"resolution", "grayscale"},
    "color": {"sharpness"},
    "cell": {"grayscale", "sharpness"},
    "brick": {"grayscale", "collage"},  # a known failure: courses of bricks are straight lines
}


@pytest.mark.parametrize("name", [*STAY, *GO])
def test_verdict(name, photo_bytes):
    photo = decode(photo_bytes(name), at_least=SCORING_SIDE, at_least_long=SCORING_LONG_SIDE)
    measured = {
        check.name: Measured(photo.width, photo.height, check.score(photo))
        for check in CHECKS.values()
        if not (check.measured_by or check.weights or check.name == "faces_cnn")  # takes seconds
    }
    verdicts = {
        profile: judge("0" * 64, name, measured, named_profile(profile), JUDGED_FOR)
        for profile in PROFILES
    }
    failed = {profile: set(verdict.failed_checks) for profile, verdict in verdicts.items()}
    assert failed["default"] == GO.get(name, set())
    assert failed["lenient"] <= failed["default"] <= failed["strict"]


def test_the_demo_photos_keep_a_margin(photo):
    """No photo that stays does so by a hair: half the way to the threshold and more is free."""
    for name in ("chelsea", "coffee", "flower", "china"):
        assert CHECKS["sharpness"].score(photo(name)).value > 0.65
        assert CHECKS["grayscale"].score(photo(name)).value > 50
        assert CHECKS["text"].score(photo(name)).value < 0.005
        assert CHECKS["faces"].score(photo(name)).value < 0.1


def test_every_check_explains_itself_in_a_sentence():
    for check in CHECKS.values():
        assert check.explain(check.low, check.high).endswith(".")
        assert check.low <= check.threshold <= check.high
