"""Extractors by name, and which one a machine gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagloom.errors import DataLoss, InvalidArgument
from tagloom.features import default_extractor, extractor_names, load_extractor, open_extractor
from tagloom.features.efficientnet_lite0 import WEIGHTS_SHA256
from tagloom.features.weights import INCEPTION_ENVIRONMENT


def test_without_inceptions_weights_it_is_efficientnet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INCEPTION_ENVIRONMENT, raising=False)
    extractor = default_extractor()
    assert extractor.identifier == f"efficientnet_lite0-1-{WEIGHTS_SHA256[:8]}"
    assert open_extractor().identifier == extractor.identifier


def test_wrong_inception_weights_are_an_error_not_a_fallback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "inception.pth").write_bytes(b"not these")
    monkeypatch.setenv(INCEPTION_ENVIRONMENT, str(tmp_path / "inception.pth"))
    with pytest.raises(DataLoss, match="Inception-v3"):
        default_extractor()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match="efficientnet_lite0, efficientnet") as caught:
        load_extractor("dinov3")
    assert caught.value.reason == "FEATURES_UNKNOWN"
    assert extractor_names() == (
        "efficientnet_lite0",
        "efficientnet_lite0_early",
        "inception_v3",
    )
