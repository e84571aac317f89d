"""What a run takes over from its start network, as a person and the run's document read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from tagloom.artifacts.run import Run, TransferPart
from tagloom.networks.transfer import Transferred

__all__ = ["start_sentence", "transfer_parts"]

_NAMED = 3


def transfer_parts(transferred: Mapping[str, Transferred]) -> tuple[TransferPart, ...]:
    """For the run's document: every tensor that was not simply copied, by name."""
    return tuple(
        TransferPart(
            network=cast(Literal["G", "D"], name),
            tensors=len(part.copied) + len(part.adapted) + len(part.fresh),
            copied=len(part.copied),
            adapted=part.adapted,
            fresh=part.fresh,
            parameters=part.parameters,
            parameters_taken=part.parameters_taken,
        )
        for name, part in transferred.items()
    )


def start_sentence(run: Run, images: int, transferred: Mapping[str, Transferred]) -> str:
    """Where a run starts, and which part of its start network is not in it."""
    if not run.start:
        return f"Starts from scratch on {images} images."
    sentence = f"Starts from {run.start} on {images} images"
    parts = transfer_parts(transferred)
    if all(part.copied == part.tensors for part in parts):
        return f"{sentence}."
    told = []
    labelled = int(run.generator.get("c_dim", 0))
    for part in parts:
        taken = part.copied + len(part.adapted)
        share = part.parameters_taken / max(part.parameters, 1)
        words = (
            f"{part.network} takes {taken} of {part.tensors} tensors ({share:.0%} of its weights)"
        )
        if part.adapted:
            how = (
                "so as to begin alike for every label"
                if labelled
                else "as the mean over its labels"
            )
            words += f", {len(part.adapted)} of them {how}"
        if part.fresh:
            layers = list(dict.fromkeys(name.rsplit(".", 1)[0] for name in part.fresh))
            of_labels = [layer for layer in layers if layer.startswith("mapping.")]
            others = [layer for layer in layers if layer not in of_labels]
            if of_labels:
                words += f"; new for labels of {labelled}: {_named(of_labels)}"
            if others:
                words += f"; new at {run.resolution} px: {_named(others)}"
        told.append(words)
    return f"{sentence}: {'. '.join(told)}. The run's record lists all of them."


def _named(layers: list[str]) -> str:
    more = f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else ""
    return f"{', '.join(layers[:_NAMED])}{more}"
