"""The optimisers of the loop: AdamW, and Adam as BERT and the original pre-training have it."""

from collections.abc import Iterable
from typing import Any

import torch

from lxmert.training.settings import TrainingSettings


def make_optimizer(parameters: Iterable[torch.nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings ask for, with one decay for all parameters."""
    values: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.bias_correction:
        return torch.optim.AdamW(parameters, eps=settings.adam_epsilon, fused=True, **values)
    return UncorrectedAdamW(parameters, eps=settings.adam_epsilon, **values)


FIRST_STEP = 1e6  # 0.999 to this power is 0


class UncorrectedAdamW(torch.optim.AdamW):
    """AdamW whose averages start at 0 and are used as they are (the original's `BertAdam`).

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p = p - lr (m / (sqrt(v) + eps) + weight_decay p)

    Without the correction early steps are larger: 3 times at the first one, 6.5 times at the tenth. The correction
    fades with the steps, so here they are counted from where it is 1 in float32; the fused kernel then does the rest.

    Args:
        parameters: to be learned.
        lr: learning rate.
        betas: b1 and b2.
        eps: added to the root.
        weight_decay: decoupled from the gradient.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ):
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)
        self.register_step_pre_hook(self._start)

    @staticmethod
    def _start(optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Give parameters that step for the first time their averages and the number of steps."""
        with_closure = len(args) > 1 or kwargs.get("closure") is not None  # gradients come later; args[0] is itself
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if (with_closure or parameter.grad is not None) and not optimizer.state[parameter]:
                    optimizer.state[parameter] = {
                        "step": torch.tensor(FIRST_STEP, dtype=torch.float32, device=parameter.device),
                        "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                        "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    }
