"""What is committed stays small: a clone is everybody's, and the package is downloaded by many."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def size(folder: Path) -> int:
    """Bytes of all files below it; there must be some."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert sizes, folder
    return sum(sizes)


def test_golden_files_stay_below_15_mb() -> None:
    """DESIGN, section 8."""
    assert size(ROOT / "tests" / "golden") <= 15_000_000


def test_every_kind_of_golden_file_is_there() -> None:
    """Room must not be made by dropping the only file of a kind."""
    names = {path.stem for path in (ROOT / "tests" / "golden").glob("*.npz")}
    kinds = {
        *("ops", "ada", "ada_random", "metrics", "equivariance"),
        *("nets_sg3t", "nets_sg3t_32_c3", "nets_sg3r", "nets_sg2_32"),
        *("nets_sg2_16_orig", "nets_sg2_16_resnet"),
        *("loss_sg3t", "loss_sg3r", "loss_sg2", "train_sg3", "train_sg2"),
    }
    missing = {kind for kind in kinds if not any(name.startswith(kind) for name in names)}
    assert not missing


def test_a_start_network_is_at_most_4_mb() -> None:
    """Of weights; its manifest beside them is small."""
    folders = sorted((ROOT / "tagloom" / "networks" / "builtin").iterdir())
    networks = [folder for folder in folders if (folder / "weights.safetensors").is_file()]
    assert networks
    for network in networks:
        assert (network / "weights.safetensors").stat().st_size <= 4_000_000
        assert size(network) <= 4_100_000
