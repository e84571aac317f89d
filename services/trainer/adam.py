"""Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1), by torch's fused kernel.

Not `torch.optim.Adam`: that one imports torch's compiler when it is made, which costs every
training process 2.5 s of its start, 10 s where no bytecode is cached. The arithmetic is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Adam", "Moments"]


@dataclass(slots=True)
class Moments:
    """What Adam remembers of one parameter."""

    step: Tensor
    """scalar float32: updates so far"""
    exp_avg: Tensor
    exp_avg_sq: Tensor

    @classmethod
    def zero(cls, parameter: Tensor) -> Moments:
        return cls(
            torch.zeros([], device=parameter.device),
            torch.zeros_like(parameter, memory_format=torch.preserve_format),
            torch.zeros_like(parameter, memory_format=torch.preserve_format),
        )

    @property
    def fields(self) -> dict[str, Tensor]:
        """The tensors by name, as a state keeps them."""
        return {"step": self.step, "exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq}


class Adam:
    """Updates parameters in place; those without a gradient are left alone."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        learning_rate: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate, self.betas, self.eps = learning_rate, betas, eps
        self.moments: dict[Tensor, Moments] = {}
        """made with a parameter's first gradient"""

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, left_out: Tensor | None = None) -> None:
        """One update by the gradients that are there.

        left_out: a scalar float32 on the device; where it is 1, not 0, everything stays as it is.
        """
        used = [parameter for parameter in self.parameters if parameter.grad is not None]
        for parameter in used:
            if parameter not in self.moments:
                self.moments[parameter] = Moments.zero(parameter)
        moments = [self.moments[parameter] for parameter in used]
        steps = [entry.step for entry in moments]
        torch._foreach_add_(steps, 1)
        if left_out is not None:
            torch._foreach_sub_(steps, [left_out] * len(steps))
        torch._fused_adam_(
            used,
            [parameter.grad for parameter in used if parameter.grad is not None],
            [entry.exp_avg for entry in moments],
            [entry.exp_avg_sq for entry in moments],
            [],
            steps,
            lr=self.learning_rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
            found_inf=left_out,
        )
