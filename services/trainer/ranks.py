"""The processes that train a run together: one `torchrun` rank each, one or several machines.

Every rank keeps whole networks and does the same steps on its share of each batch; what they
measure and the gradients are summed, so that all go on with the same numbers. Rank 0 alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor

__all__ = ["ALONE", "PeerLost", "Ranks", "join"]

_PATIENCE = timedelta(minutes=30)
"""for the slowest thing that one rank does while the others wait: snapshots, a slow store"""


class PeerLost(Exception):
    """Another rank is gone: this one cannot go on, and the run starts again from its last state."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train the run. With one process, nothing is ever sent."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes into the store."""
        return self.rank == 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its sum over all ranks. The shapes must be the same everywhere.

        Raises PeerLost.
        """
        if self.size == 1 or not tensors:
            return
        import torch.distributed as distributed

        # One message: the time is in the number of them. The sum of a place is made by one rank
        # and sent to the others, so that all have the same bits.
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _peers():
            distributed.all_reduce(flat)
        begin = 0
        for tensor in tensors:
            tensor.copy_(flat[begin : begin + tensor.numel()].view_as(tensor))
            begin += tensor.numel()

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers; all wait for it. Raises PeerLost."""
        if self.size == 1:
            return number
        import torch.distributed as distributed

        box = torch.tensor([number], dtype=torch.int64)
        with _peers():
            distributed.all_reduce(box, op=distributed.ReduceOp.MAX)
        return int(box)

    def same(self, numbers: Iterable[float]) -> bool:
        """Whether all ranks hold the same numbers, to the bit. Raises PeerLost."""
        if self.size == 1:
            return True
        import torch.distributed as distributed

        here = torch.tensor(list(numbers), dtype=torch.float64)
        everywhere = [torch.empty_like(here) for _ in range(self.size)]
        with _peers():
            distributed.all_gather(everywhere, here)
        return all(torch.equal(there, here) for there in everywhere)

    def wait(self) -> None:
        """Until all ranks are here. Raises PeerLost."""
        self.largest(0)

    def leave(self) -> None:
        """The end of the group, after which nothing can be sent."""
        if self.size > 1:
            import torch.distributed as distributed

            distributed.destroy_process_group()


ALONE = Ranks()


@contextmanager
def _peers() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # how torch says that a connection broke, or took too long
        raise PeerLost(f"Another training process is gone: {error}") from error


def join(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Meets the other ranks, as `torchrun`'s variables (WORLD_SIZE, RANK, MASTER_ADDR, ...) say.

    Without them there is one process. Raises PeerLost when not all come.
    """
    size = int(environment.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    import torch.distributed as distributed

    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(environment.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    with _peers():
        distributed.init_process_group(backend, timeout=_PATIENCE)
    return Ranks(rank=distributed.get_rank(), size=size)
