"""From a file to a network of the store: official checkpoints, and what `exporting` wrote.

What a file says of itself is checked against the network that it describes before anything is
stored: first the settings, then every tensor's name, shape and type, then every value.
"""

from __future__ import annotations

import dataclasses
import hashlib
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open

from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.network import Network
from tagloom.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted, TagloomError
from tagloom.networks.build import build_from_spec
from tagloom.networks.catalog import builtin_networks
from tagloom.networks.checkpoints.reader import (
    CheckpointContents,
    CheckpointNetwork,
    read_checkpoint,
)
from tagloom.networks.official import (
    discriminator_spec_from_arguments,
    generator_spec_from_arguments,
)
from tagloom.networks.spec import DiscriminatorSpec, GeneratorSpec, generator_spec_from_json
from tagloom.networks.weights import description_of, load_weights, networks_in, save_weights
from tagloom.store.interface import PreconditionFailed, Store

__all__ = ["import_network"]

_MOST_BYTES = 2 * 2**30
"""of a checkpoint; official ones of 1024 px, with G, D and G_ema, have 0.3 GiB"""


@dataclass(frozen=True, slots=True)
class _Found:
    """A file's networks, described; their tensors lie in a safetensors file."""

    generator: GeneratorSpec
    discriminator: DiscriminatorSpec | None
    roles: list[str]
    kimg: float = 0.0
    license: str = ""


def import_network(store: Store, path: Path, network_id: str, *, license_note: str = "") -> Network:
    """Stores the networks of `path` as `networks/<network_id>`; returns its manifest.

    path: an official `.pkl` of StyleGAN2-ADA or StyleGAN3, or a `.safetensors` of `exporting`.
    license_note: of the weights; kept as it is.
    Nothing is ever overwritten, and nothing is stored unless all is well. Raises AlreadyExists
    (RESOURCE_EXISTS, before the file is read), what `checkpoints.reader.read_checkpoint` raises,
    and InvalidArgument (NETWORK_SPEC_INVALID, NETWORK_PART_MISSING, WEIGHTS_DO_NOT_FIT).
    """
    layout.check_id(network_id, "network id")
    name = f"networks/{network_id}"
    if network_id in builtin_networks() or store.exists(layout.network_manifest(network_id)):
        raise AlreadyExists(
            f"{name} exists already; choose another id or remove it first.",
            reason="RESOURCE_EXISTS",
            resource=name,
        )
    with tempfile.TemporaryDirectory(prefix="tagloom-import-") as folder:
        _check_file(path)
        source_sha256 = _sha256(path)
        if path.suffix == ".safetensors":
            tensors, found = path, _described_here(path)
        else:
            tensors = Path(folder, "tensors.safetensors")
            found = _described_by_checkpoint(path.name, read_checkpoint(path, tensors), tensors)
        _check_tensors(path.name, found, tensors)
        states = load_weights(tensors, found.roles)
        if _sha256(path) != source_sha256:
            raise InvalidArgument(
                f"{path} was changed while it was read; import it again.", reason="FILE_CHANGED"
            )
        weights = Path(folder, "weights.safetensors")
        save_weights(weights, states)
        del states
        discriminator = found.discriminator
        network = Network(
            id=network_id,
            create_time=now(),
            architecture=found.generator.architecture,
            resolution=found.generator.resolution,
            generator=found.generator.to_json(),
            discriminator=None if discriminator is None else discriminator.to_json(),
            kimg=found.kimg,
            origin=path.name,
            license=license_note or found.license,
            source_sha256=source_sha256,
            weights_sha256=_sha256(weights),
        )
        _put_weights(store, network, weights)
    network.create(store, layout.network_manifest(network_id), name)
    return network


def _put_weights(store: Store, network: Network, weights: Path) -> None:
    """Exclusively: of two imports under one id, the later must not change what the first stored.
    The same bytes may lie there, of an import that was interrupted before its manifest."""
    key = layout.network_weights(network.id)
    try:
        store.put(key, weights.read_bytes(), if_none_match=True)
    except PreconditionFailed:
        if hashlib.sha256(store.get(key)).hexdigest() != network.weights_sha256:
            raise AlreadyExists(
                f"Other weights lie in the place of networks/{network.id}, of an import that is "
                "going on or was interrupted; choose another id.",
                reason="RESOURCE_EXISTS",
                resource=f"networks/{network.id}",
            ) from None


def _described_here(path: Path) -> _Found:
    """What a file of `exporting` says of itself."""
    try:
        description = description_of(path)
        roles = networks_in(path)
    except NotFound as error:
        raise NotFound(
            f"There is no file {path}; check the path.", reason="FILE_NOT_FOUND", path=path
        ) from error
    if description is None:
        raise InvalidArgument(
            f"{path.name} is not imported: it does not say what network its tensors belong to; "
            "only a .safetensors that `tagloom network export` wrote does.",
            reason="NETWORK_SPEC_INVALID",
        )
    network = Network.from_bytes(description.encode(), path.name)
    described = {"architecture": network.architecture, "resolution": network.resolution}
    with _naming(path.name):
        generator = generator_spec_from_json(described | network.generator)
        discriminator = None
        if network.discriminator is not None and "D" in roles:
            discriminator = DiscriminatorSpec.from_json(network.discriminator)
    if "G_ema" not in roles:
        raise _without_generator(path.name)
    if discriminator is None:
        roles = [role for role in roles if role != "D"]
    return _Found(generator, discriminator, roles, network.kimg, network.license)


def _described_by_checkpoint(name: str, contents: CheckpointContents, tensors: Path) -> _Found:
    networks = contents.networks
    if "G_ema" not in networks:
        raise _without_generator(name)
    with _naming(name):
        generator = _generator_spec(networks["G_ema"], _family(name, tensors))
        discriminator = None
        if "D" in networks:
            discriminator = _discriminator_spec(networks["D"])
    roles: list[str] = [role for role in ("G_ema", "G", "D") if role in networks]
    return _Found(generator, discriminator, roles)


def _without_generator(name: str) -> InvalidArgument:
    return InvalidArgument(
        f"{name} is not imported: it has no G_ema, the averaged generator that makes the images; "
        "choose a file that does.",
        reason="NETWORK_PART_MISSING",
    )


def _family(name: str, tensors: Path) -> Literal["stylegan3", "stylegan2"]:
    """By the first thing in the synthesis network: Fourier features, or a learned constant."""
    with safe_open(str(tensors), framework="pt") as file:
        names = set(file.keys())
    if "G_ema.synthesis.input.freqs" in names:
        return "stylegan3"
    if "G_ema.synthesis.b4.const" in names:
        return "stylegan2"
    raise InvalidArgument(
        f"{name} is not imported: its generator is neither a StyleGAN2 nor a StyleGAN3; choose "
        "another file.",
        reason="ARCHITECTURE_UNKNOWN",
    )


def _generator_spec(
    network: CheckpointNetwork, family: Literal["stylegan3", "stylegan2"]
) -> GeneratorSpec:
    spec = generator_spec_from_arguments(family, network.arguments)
    _check_size(spec)
    known: dict[str, Any] = _conv_clamp(network)
    mapping = network.attributes.get("mapping", {})
    if "w_avg_beta" in mapping:
        known["w_avg_beta"] = mapping["w_avg_beta"]
    betas = {
        facts["magnitude_ema_beta"]
        for facts in network.attributes.values()
        if "magnitude_ema_beta" in facts
    }
    if len(betas) == 1:
        known["magnitude_ema_beta"] = betas.pop()
    return dataclasses.replace(spec, **known)


def _discriminator_spec(network: CheckpointNetwork) -> DiscriminatorSpec:
    spec = discriminator_spec_from_arguments(network.arguments)
    _check_size(spec)
    return dataclasses.replace(spec, **_conv_clamp(network))


def _conv_clamp(network: CheckpointNetwork) -> dict[str, Any]:
    """Its default was none in StyleGAN2-ADA and is 256 in StyleGAN3: the layers know."""
    clamps = {
        facts["conv_clamp"]
        for name, facts in network.attributes.items()
        if "conv_clamp" in facts and not name.endswith((".skip", "b4.fromrgb"))
    }
    if len(clamps) > 1:
        raise InvalidArgument(
            "the network's layers are clamped at different values, which this version of Tagloom "
            "cannot reproduce; use another network.",
            reason="NETWORK_SPEC_INVALID",
            setting="conv_clamp",
        )
    return {"conv_clamp": clamps.pop()} if clamps else {}


# Largest values of settings, far above any published network: what is built to compare with must
# stay small, whatever a file claims.
_LARGEST = {
    "resolution": 4096,
    "img_channels": 64,
    "mapping_layers": 64,
    "num_layers": 64,
    "num_critical": 64,
    "margin_size": 256,
    "filter_size": 32,
    "lrelu_upsampling": 8,
    "conv_kernel": 9,
    "kernel_size": 9,
    "channel_base": 1 << 20,
    "freeze_layers": 1000,
    "mbstd_group_size": 1 << 16,
}
_OTHERS = 1 << 16


def _check_size(spec: GeneratorSpec | DiscriminatorSpec) -> None:
    for setting, value in spec.to_json().items():
        if isinstance(value, list):
            too_large = len(value) > 64
        else:
            too_large = isinstance(value, int) and value > _LARGEST.get(setting, _OTHERS)
        if too_large:
            raise ResourceExhausted(
                f"the network was made with {setting} = {str(value)[:40]}, larger than this "
                "program builds; use another network.",
                reason="CHECKPOINT_TOO_LARGE",
                setting=setting,
            )


def _check_tensors(name: str, found: _Found, tensors: Path) -> None:
    """Every tensor's name, shape and type against the network's, none of them loaded."""
    expected: dict[str, tuple[list[int], str]] = {}
    for role in found.roles:
        spec = found.discriminator if role == "D" else found.generator
        assert spec is not None
        try:
            with torch.device("meta"):  # shapes without memory
                state = build_from_spec(spec).state_dict()
        except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
            raise InvalidArgument(
                f"{name} is not imported: the network that it describes cannot be built "
                f"({str(error)[:200]}); choose another file.",
                reason="NETWORK_SPEC_INVALID",
            ) from error
        for key, tensor in state.items():
            expected[f"{role}.{key}"] = (list(tensor.shape), _TYPES.get(tensor.dtype, "?"))
    with safe_open(str(tensors), framework="pt") as file:
        held = {
            key: (list(part.get_shape()), str(part.get_dtype()))
            for key in file.keys()  # noqa: SIM118  # not a dict
            for part in [file.get_slice(key)]
            if key.partition(".")[0] in found.roles
        }
    problems = [f"{key} is missing" for key in sorted(expected.keys() - held.keys())]
    problems += [f"{key} is not part of it" for key in sorted(held.keys() - expected.keys())]
    for key in sorted(expected.keys() & held.keys()):
        if expected[key] != held[key]:
            (want, want_type), (have, have_type) = expected[key], held[key]
            problems.append(f"{key} is {have_type}{have} for {want_type}{want}")
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise InvalidArgument(
            f"{name} is not imported: its tensors do not fit the network that it describes "
            f"({problems[0][:200]}{more}); choose another file.",
            reason="WEIGHTS_DO_NOT_FIT",
            differences=len(problems),
        )


_TYPES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Gives errors about settings the file's name."""
    try:
        yield
    except (InvalidArgument, ResourceExhausted) as error:
        sentence = f"{name} is not imported: {error.message}"
        raise type(error)(sentence, reason=error.reason, **error.metadata) from error


def _check_file(path: Path) -> None:
    """Before a byte is read: a pipe or a device would never end."""
    try:
        status = path.stat()
    except OSError:
        return  # what cannot be looked at is told when it is opened
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgument(
            f"{path} is no file; name a checkpoint (.pkl or .safetensors).",
            reason="PATH_NOT_READABLE",
            path=path,
        )
    if status.st_size > _MOST_BYTES:
        raise InvalidArgument(
            f"{path} has {status.st_size / 2**30:.1f} GiB, more than the "
            f"{_MOST_BYTES / 2**30:g} GiB that any network here takes; name a checkpoint.",
            reason="FILE_TOO_LARGE",
            path=path,
        )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise NotFound(
            f"There is no file {path}; check the path.", reason="FILE_NOT_FOUND", path=path
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> TagloomError:
    return InvalidArgument(
        f"{path} cannot be read ({error.strerror}); name a file that can.",
        reason="PATH_NOT_READABLE",
        path=path,
    )
