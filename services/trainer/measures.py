"""What steps measure and count, kept on the device until somebody asks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["LeftOut", "Statistics", "sum_and_count"]


class Statistics:
    """Means of what was measured since the last `take`, kept on the device until then."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(2, device=device))

    def add(self, name: str, values: Tensor) -> None:
        """Adds every element of `values`."""
        self.add_sums(name, sum_and_count(values))

    def add_sums(self, name: str, sums: Tensor) -> None:
        """Adds values of which `sum_and_count` was taken."""
        self._sums[name] += sums

    def take(self) -> dict[str, float]:
        """The means by name, and starts over."""
        means = {}
        for name, sums in self._sums.items():
            total, count = sums.tolist()
            if count:  # every update since was left out
                means[name] = total / count
        self._sums.clear()
        return means

    def state(self) -> tuple[list[str], Tensor]:
        """Names, and [names, 2] sums and numbers of values, in one tensor."""
        names = sorted(self._sums)
        rows = [self._sums[name] for name in names]
        return names, torch.stack(rows) if rows else torch.zeros([0, 2])

    def load(self, names: list[str], sums: Tensor) -> None:
        """The inverse of `state`."""
        self._sums.clear()
        for name, row in zip(names, sums, strict=True):
            self._sums[name].copy_(row)


def sum_and_count(values: Tensor) -> Tensor:
    """[2]: the sum of the values, and how many there are."""
    total = values.sum()
    return torch.stack([total, torch.full_like(total, values.numel())])


class LeftOut:
    """Counts updates that were left out, phase by phase, on the device.

    (Asking for a number waits for it.)
    """

    def __init__(self, phases: Sequence[str], device: torch.device) -> None:
        self._rows = {phase: row for row, phase in enumerate(phases)}
        self._in_a_row = torch.zeros(len(phases), dtype=torch.int64, device=device)
        self._longest = torch.zeros_like(self._in_a_row)
        self._total = torch.zeros([], dtype=torch.int64, device=device)

    def count(self, phase: str, bad: Tensor) -> None:
        """bad: a scalar, 1 if this update of the phase was left out, else 0."""
        row, bad = self._rows[phase], bad.to(torch.int64)
        in_a_row, longest = self._in_a_row[row], self._longest[row]
        in_a_row.add_(1).mul_(bad)
        longest.copy_(torch.maximum(longest, in_a_row))
        self._total.add_(bad)

    @property
    def in_a_row(self) -> dict[str, int]:
        """since the last good one of each phase"""
        return dict(zip(self._rows, self._in_a_row.tolist(), strict=True))

    @property
    def longest(self) -> int:
        """the most in a row of one phase, so far"""
        return int(self._longest.max())

    @property
    def total(self) -> int:
        """of all steps"""
        return int(self._total)

    def load(self, in_a_row: Mapping[str, int], total: int) -> None:
        """Goes on counting from here."""
        for phase, row in self._rows.items():
            self._in_a_row[row].fill_(in_a_row.get(phase, 0))
        self._longest.copy_(self._in_a_row)
        self._total.fill_(total)
