"""What can be asked for: the settings of a dataset, checked, with every default filled in."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.filter.labels import checked_labels
from services.filter.profile import DEFAULT, profile
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Crop, LabelSource, Threshold
from tagloom.errors import InvalidArgument

__all__ = ["BuildRequest"]

_SIDES = (4, 4096)
_MAX_HELD_OUT = 0.5
_MAX_TILE = 65_535
"""px: no side of a JPEG is longer"""
_MAX_OVERLAP = 0.75
"""of a tile: at 0.75 every pixel lies in 16 tiles, and copies crowd out variety"""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What a dataset is to be. `checked` gives it with every default filled in."""

    dataset: str
    """id of the new dataset"""
    collection: str
    """id of the collection to judge"""
    resolution: int
    """px to judge for"""
    crop: Crop = field(default_factory=Crop)
    thresholds: tuple[Threshold, ...] = ()
    """where they differ from the profile"""
    held_out_ratio: float = 0.0
    """0 to 0.5"""
    seed: int = 0
    profile: str = DEFAULT
    """one that comes with the package"""
    labels: LabelSource | None = None

    def checked(self) -> BuildRequest:
        """With defaults in place. Raises InvalidArgument naming the field."""
        layout.check_id(self.dataset, "dataset_id")
        layout.check_id(self.collection, "collection")
        low, high = _SIDES
        if not low <= self.resolution <= high:
            raise InvalidArgument(
                f"A resolution of {self.resolution} px cannot be judged for; choose {low} to "
                f"{high} px.",
                reason="RESOLUTION_OUT_OF_RANGE",
                field="resolution",
            )
        output_size = self.crop.output_size or self.resolution
        if not low <= output_size <= high or output_size & (output_size - 1):
            raise InvalidArgument(
                f"Images of {output_size} px cannot be written; choose a power of two from {low} "
                f"to {high} as the output size.",
                reason="OUTPUT_SIZE_INVALID",
                field="crop.output_size",
            )
        tile_size = 0
        if self.crop.mode == "tiles":
            tile_size = self.crop.tile_size or self.resolution
            if not output_size <= tile_size <= _MAX_TILE:
                raise InvalidArgument(
                    f"Tiles of {tile_size} px cannot be cut for images of {output_size} px; choose "
                    f"a tile size from that, since tiles are never enlarged, to {_MAX_TILE} px.",
                    reason="TILE_SIZE_INVALID",
                    field="crop.tile_size",
                )
        elif self.crop.tile_size:
            raise InvalidArgument(
                "A tile size only makes sense with the crop mode tiles; leave it out, or choose "
                "tiles.",
                reason="TILE_SIZE_INVALID",
                field="crop.tile_size",
            )
        overlap = self.crop.overlap
        if not 0 <= overlap <= _MAX_OVERLAP or (overlap and self.crop.mode != "tiles"):
            raise InvalidArgument(
                f"Tiles cannot overlap by {overlap:g}; choose 0 to {_MAX_OVERLAP} with the crop "
                "mode tiles, and none with the others.",
                reason="OVERLAP_INVALID",
                field="crop.overlap",
            )
        if not 0 <= self.held_out_ratio <= _MAX_HELD_OUT:  # refuses NaN as well
            raise InvalidArgument(
                f"A held-out ratio of {self.held_out_ratio} is out of range; choose 0 to "
                f"{_MAX_HELD_OUT}.",
                reason="HELD_OUT_RATIO_OUT_OF_RANGE",
                field="held_out_ratio",
            )
        return BuildRequest(
            dataset=self.dataset,
            collection=self.collection,
            resolution=self.resolution,
            crop=Crop(
                mode=self.crop.mode,
                tile_size=tile_size,
                overlap=overlap,
                output_size=output_size,
            ),
            thresholds=profile(self.thresholds, self.profile),
            held_out_ratio=self.held_out_ratio,
            seed=self.seed,
            profile=self.profile or DEFAULT,
            labels=checked_labels(self.labels),
        )
