"""The experiment file: what `tagloom run` reads, checked before anything starts.

A file says what to collect, how to judge it, how to train and how to score (DESIGN, section 6):

    experiment: cats
    collect:  {folder: photos}
    filter:   {resolution: 256, crop: tiles, tile_size: 64, output_size: 32, held_out: 0.25}
    train:    {config: stylegan3-t, start: [photos-32, scratch], augment: [ada, none], kimg: 8}
    evaluate: {metrics: [frechet, kernel]}

Lists in `train.start` and `train.augment` span a grid; each of its cells becomes a run. Unknown
keys are errors: a misspelt one must not silently mean the default.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipelines.spec_errors import parse_document
from tagloom.artifacts.evaluation import EquivarianceMetric, Metric
from tagloom.artifacts.layout import RESOURCE_ID
from tagloom.artifacts.run import Augment, AugmentPipeName, Config

__all__ = [
    "Cell",
    "CollectSpec",
    "Credit",
    "EvaluateSpec",
    "Experiment",
    "FilterSpec",
    "MetricName",
    "TrainSpec",
    "load_experiment",
    "network_name",
    "parse_experiment",
]

MAX_EXPERIMENT_ID = 48
"""characters: resource ids append a hyphen and a hash, and end at 63"""


LOCAL_SOURCES = ("folder", "zip", "urls")
"""sources that are paths on the scraper's machine"""


class _Section(BaseModel):
    # Neither infinity nor NaN can be sent as JSON, and neither means anything here.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _as_tuple(value: object) -> object:
    """One value may be written without brackets."""
    return value if isinstance(value, (list, tuple)) else (value,)


_Names = Annotated[tuple[str, ...], Field(min_length=1)]


class CollectSpec(_Section):
    """Where photos come from: exactly one of the sources."""

    folder: str | None = None
    """a folder; a relative path is taken from the experiment file's folder"""
    zip: str | None = None
    """a zip file; as folder"""
    urls: str | None = None
    """a file with one address a line; as folder"""
    s3: str | None = None
    """`s3://bucket/prefix`"""
    hashtag: str | _Names | None = None
    """an Instagram hashtag, or several, without `#`"""
    profile: str | _Names | None = None
    """an Instagram account, or several"""
    posts: int = Field(default=1000, ge=1)
    """posts to take at most, of each hashtag or profile"""
    first_picture: bool = False
    """of a post with several pictures, only the first"""
    likes: bool = False
    """keep the number of likes"""
    comments: bool = False
    """keep comments; costs a query or more for each post"""
    frames: int = Field(default=0, ge=0, le=100)
    """frames to take of each video; 0: videos are skipped"""

    @model_validator(mode="after")
    def _one_source(self) -> CollectSpec:
        names = (*LOCAL_SOURCES, "s3", "hashtag", "profile")
        given = [name for name in names if getattr(self, name)]
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            raise ValueError(
                f"give exactly one of {', '.join(names[:-1])} and {names[-1]} (found {got})"
            )
        if "posts" in self.model_fields_set and given[0] not in ("hashtag", "profile"):
            raise ValueError(
                f"posts counts posts of a hashtag or profile; a {given[0]} is taken whole"
                if given[0] == "folder"
                else "posts counts posts of a hashtag or profile; other sources are taken whole"
            )
        of_posts = {"first_picture", "likes", "comments"} & self.model_fields_set
        if of_posts and given[0] not in ("hashtag", "profile"):
            raise ValueError(f"{min(of_posts)} is about posts of a hashtag or profile")
        return self

    @property
    def local(self) -> tuple[str, str] | None:
        """The kind and the path of a source on the scraper's machine; None for the others."""
        for name in LOCAL_SOURCES:
            if path := getattr(self, name):
                return name, path
        return None


class FilterSpec(_Section):
    """What is judged, and what is written: two sizes."""

    resolution: int = Field(ge=8, le=4096)
    """px that images are judged for: both sides must reach 80 % of it"""
    profile: Literal["default", "strict", "lenient"] = "default"
    """the profile of thresholds to begin with"""
    thresholds: dict[str, Annotated[float, Field(strict=True)] | Literal[False]] = {}
    """check: its own bound, or `off` to skip the check"""
    crop: Literal["center", "subject", "tiles"] = "center"
    tile_size: int = Field(default=0, ge=0, le=4096)
    """side of a tile in source px; 0: the judged resolution"""
    overlap: float = Field(default=0, ge=0, le=0.75)
    """share of its side that a tile may have in common with the next one, at most"""
    output_size: int = Field(default=0, ge=0, le=4096)
    """side of the training images in px, a power of two; 0: the judged resolution"""
    held_out: float = Field(default=0.2, ge=0, le=0.5)
    """share of the squares kept away from training, to score against"""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """chooses the held-out squares"""
    labels: Literal["hashtag", "folder"] | None = None
    """write a class for each image, for `train: {conditional: true}`"""
    classes: tuple[str, ...] = ()
    """the classes in the order of their numbers; empty: every folder, or every hashtag collected"""

    @model_validator(mode="after")
    def _sizes(self) -> FilterSpec:
        output = self.output_size or self.resolution
        if output & (output - 1):
            field = "output_size" if self.output_size else "resolution (without an output_size)"
            raise ValueError(f"{field} must be a power of two, which {output} is not")
        if self.tile_size and self.crop != "tiles":
            raise ValueError("tile_size needs crop: tiles")
        if self.overlap and self.crop != "tiles":
            raise ValueError("overlap needs crop: tiles")
        if self.classes and self.labels is None:
            raise ValueError("classes needs labels: hashtag or folder")
        return self


Start = Annotated[str, Field(min_length=1, max_length=200)]


class Cell(_Section):
    """One point of the grid: one run."""

    start: str
    """`networks/{id}`, `runs/{id}/snapshots/{kimg}`, or empty for from scratch"""
    augment: Augment

    @property
    def label(self) -> str:
        """For tables and bars: `photos-32, ada`."""
        return f"{self.start.removeprefix('networks/') or 'scratch'}, {self.augment}"


class TrainSpec(_Section):
    """How to train; what is left out takes the trainer's default (see trainer.proto)."""

    config: Config = "stylegan3-t"
    start: Annotated[tuple[Start, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = (
        "scratch",
    )
    """networks to start from, or `scratch`; a list spans the grid"""
    augment: Annotated[tuple[Augment, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = (
        "ada",
    )
    """a list spans the grid"""
    kimg: float = Field(gt=0, le=1e6)
    """thousands of images shown to the discriminator"""
    batch: int | None = Field(default=None, ge=1)
    r1_gamma: float | None = Field(default=None, ge=0)
    g_learning_rate: float | None = Field(default=None, ge=0)
    d_learning_rate: float | None = Field(default=None, ge=0)
    ada_target: float | None = Field(default=None, gt=0, le=1)
    ada_kimg: float | None = Field(default=None, gt=0)
    augment_p: float | None = Field(default=None, ge=0, le=1)
    ema_kimg: float | None = Field(default=None, gt=0)
    mirror: bool = False
    seed: int = Field(default=0, ge=0, lt=2**31)
    channel_base: int | None = Field(default=None, ge=1)
    channel_max: int | None = Field(default=None, ge=1)
    latent_size: int | None = Field(default=None, ge=1)
    mapping_layers: int | None = Field(default=None, ge=1)
    snapshot_kimg: float | None = Field(default=None, gt=0)
    tick_kimg: float | None = Field(default=None, gt=0)
    samples: int | None = Field(default=None, ge=1)
    freeze_d: int | None = Field(default=None, ge=0)
    ema_rampup: float | None = Field(default=None, ge=0, le=1)
    path_length_weight: float | None = Field(default=None, ge=0)
    path_length_interval: int | None = Field(default=None, ge=1)
    style_mixing: float | None = Field(default=None, ge=0, le=1)
    blur_sigma: float | None = Field(default=None, ge=0)
    blur_fade_kimg: float | None = Field(default=None, gt=0)
    r1_interval: int | None = Field(default=None, ge=1)
    ada_interval: int | None = Field(default=None, ge=1)
    augment_pipe: AugmentPipeName | None = None
    num_layers: int | None = Field(default=None, ge=1)
    margin_size: int | None = Field(default=None, ge=0)
    mbstd_group: int | None = Field(default=None, ge=1)
    conv_clamp: float | None = Field(default=None, ge=0)
    adam_beta1: float | None = Field(default=None, ge=0, lt=1)
    adam_beta2: float | None = Field(default=None, ge=0, lt=1)
    adam_epsilon: float | None = Field(default=None, gt=0)
    bad_updates_limit: int | None = Field(default=None, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=0)
    score_samples: int | None = Field(default=None, ge=1)
    keep_states: int | None = Field(default=None, ge=1)
    keep_snapshots: int | None = Field(default=None, ge=0)
    gamma_auto: bool | None = None
    gamma_trial_kimg: float | None = Field(default=None, gt=0)
    mixed_precision: bool | None = None
    conditional: bool | None = None

    @model_validator(mode="after")
    def _distinct(self) -> TrainSpec:
        for name, values in (("start", self.start), ("augment", self.augment)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names the same value twice; each cell is one run")
        return self

    def cells(self) -> list[Cell]:
        """The grid, `start` varying slowest."""
        return [
            Cell(start=network_name(start), augment=augment)
            for start, augment in itertools.product(self.start, self.augment)
        ]


MetricName = Literal[Metric, "fid", "kid"]


class EvaluateSpec(_Section):
    """How to score.

    `fid` means `frechet` and `kid` means `kernel` here: which name the report may use depends on
    the features that the machine has. `eqt_int`, `eqt_frac` and `eqr` are the equivariance of
    StyleGAN3, in dB.
    """

    metrics: Annotated[tuple[MetricName, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = (
        "frechet",
        "kernel",
    )
    samples: int = Field(default=0, ge=0)
    """images per snapshot; 0: 50,000, or ten per real image when that is less"""
    features: str = ""
    """extractor; empty: the best one that the machine has"""

    @model_validator(mode="after")
    def _gate_needs_kernel(self) -> EvaluateSpec:
        if not {"kernel", "kid"} & set(self.metrics):
            raise ValueError("metrics must hold kernel (or kid): the verdict on a run rests on it")
        return self


class Credit(_Section):
    """Whom some of the photos come from, for the report."""

    files: str
    """a file's name, or a pattern such as `*.png`"""
    by: str = ""
    license: str = ""
    source: str = ""


class Experiment(_Section):
    """A whole experiment file."""

    experiment: str = Field(max_length=MAX_EXPERIMENT_ID, pattern=f"^{RESOURCE_ID.pattern}$")
    """its id: a-z, 0-9 and hyphens"""
    title: str = ""
    """the report's headline; empty: the id"""
    collect: CollectSpec
    filter: FilterSpec
    train: TrainSpec
    evaluate: EvaluateSpec = EvaluateSpec()
    credits: tuple[Credit, ...] = ()

    @field_validator("evaluate")
    @classmethod
    def _equivariance_needs_stylegan3(
        cls, evaluate: EvaluateSpec, info: ValidationInfo
    ) -> EvaluateSpec:
        train = info.data.get("train")  # absent when it is wrong itself
        moving = [name for name in evaluate.metrics if name in get_args(EquivarianceMetric)]
        if moving and train and not train.config.startswith("stylegan3"):
            raise ValueError(
                f"{moving[0]} needs a generator that can be told to move its images, which "
                f"{train.config} is not; leave it out, or train stylegan3-t or stylegan3-r"
            )
        return evaluate


def network_name(start: str) -> str:
    """The resource name of a start: `photos-32` is `networks/photos-32`, `scratch` is empty."""
    if start == "scratch":
        return ""
    return start if "/" in start else f"networks/{start}"


def parse_experiment(text: str, file: str) -> Experiment:
    """Parses an experiment file's text; `file` names it in errors.

    Raises InvalidArgument (SPEC_INVALID) with the line, the key and what to write instead.
    """
    return parse_document(text, file, Experiment)


def load_experiment(path: Path, *, here: bool = True) -> Experiment:
    """Reads an experiment file; relative paths in `collect` are taken from the file's folder.

    here: the scraper runs on this machine. Where it runs elsewhere, the paths are of its own
    machine, and have to be absolute.

    Raises InvalidArgument (SPEC_NOT_READABLE, SPEC_INVALID, FOLDER_ELSEWHERE).
    """
    from tagloom.errors import InvalidArgument

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InvalidArgument(
            f"There is no experiment file {path}; give the path of a YAML file such as "
            "examples/quickstart.yaml.",
            reason="SPEC_NOT_READABLE",
            file=path,
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        detail = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidArgument(
            f"The experiment file {path} cannot be read: {detail}.",
            reason="SPEC_NOT_READABLE",
            file=path,
        ) from error
    spec = parse_experiment(text, str(path))
    if spec.collect.local is None:
        return spec
    kind, place = spec.collect.local
    if not here:
        if not place.startswith("/"):
            raise InvalidArgument(
                f"{path}: collect.{kind} is {place!r}, but the photos are read by "
                "the scraper on the cluster; mount them there and give the absolute path, or "
                "collect a hashtag or a profile.",
                reason="FOLDER_ELSEWHERE",
                folder=place,
            )
        return spec
    place = str((path.parent / Path(place).expanduser()).resolve())
    return spec.model_copy(update={"collect": spec.collect.model_copy(update={kind: place})})
