"""The state of a training as of one step, copied so that the training can go on meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from services.trainer.session import Session
from services.trainer.state import StateManifest, environment

__all__ = ["Freezer", "FrozenState"]


@dataclass(frozen=True, slots=True)
class FrozenState:
    """All that `state.write_state` needs; nothing in it changes while the training goes on."""

    manifest: StateManifest
    """without the hash of the tensors"""
    tensors: dict[str, Tensor]
    """contiguous, on the host; whole once `ready` returns"""
    ready: Callable[[], None]


class Freezer:
    """Copies a session's state into memory of its own: always the same, once as much as the state.

    On a GPU that memory is page-locked and the copy is asked for, not waited for: the device makes
    it before the next step changes anything, while the host goes on.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._copies: dict[str, Tensor] = {}
        self._cuda = session.step.device.type == "cuda"
        self._environment = environment()

    @property
    def size(self) -> int:
        """Bytes that the copies take; 0 before the first one."""
        return sum(copy.nbytes for copy in self._copies.values())

    @torch.no_grad()
    def freeze(self) -> FrozenState:
        """The state as it is now. The one before it must not be in use any more."""
        session, step = self._session, self._session.step
        names, sums = step.statistics.state()
        live = {**live_tensors(session), "statistics": sums}
        for name, tensor in live.items():
            copy = self._copies.get(name)
            if copy is None or copy.shape != tensor.shape:
                copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=self._cuda)
                self._copies[name] = copy
        copies = {name: self._copies[name] for name in live}
        torch._foreach_copy_(list(copies.values()), list(live.values()), non_blocking=True)
        ready = _nothing
        if self._cuda:
            event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            event.record()
            ready = event.synchronize
        manifest = StateManifest(
            run=f"runs/{session.run.id}",
            images_seen=step.images_seen,
            steps=step.steps,
            seconds=session.seconds,
            augment_p=session.augment_p,
            bad_updates=step.left_out.in_a_row,
            updates_left_out=step.left_out.total,
            statistics=names,
            tensors_sha256="",
            environment=self._environment,
        )
        return FrozenState(manifest, copies, ready)


def live_tensors(session: Session) -> dict[str, Tensor]:
    """Every tensor of the state by name, as it goes on changing; but for the tick's sums."""
    step = session.step
    tensors = {
        "path_length_mean": step.losses.path_length_mean,
        "signs": step.signs,
    }
    for name, network in session.networks.items():
        for key, value in network.state_dict().items():
            tensors[f"{name}.{key}"] = value
    for name in ("G", "D"):
        optimizer = step.optimizers[name]
        for key, parameter in session.networks[name].named_parameters():
            if parameter in optimizer.moments:
                for moment, value in optimizer.moments[parameter].fields.items():
                    tensors[f"adam.{name}.{moment}.{key}"] = value
    return tensors


def _nothing() -> None:
    """A copy on the host is whole at once."""
