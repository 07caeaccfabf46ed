"""Muon for the matrices inside the blocks, AdamW for everything else, over float32 masters.

Muon: Jordan et al. 2024 (kellerjordan.github.io/posts/muon): the momentum of a matrix is replaced by
the nearest semi-orthogonal matrix, found by a quintic Newton-Schulz iteration. AdamW: Loshchilov and
Hutter 2019 (arXiv 1711.05101, algorithm 2). The model computes with bf16 copies where the machine is
quick at that; gradients are summed and weights moved in float32, then rounded back once a step.

With several processes (``sharding.Layout``) everything here is about the numbers that this process holds;
whole tensors are met in ``masters``, ``state`` and ``load``, and in Muon's iteration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yanmo.training.sharding import ALONE, Layout

# Coefficients of the quintic, chosen for a steep slope at zero (Jordan et al. 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315
_WITHOUT_FLOAT64 = ("mps",)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Learning rates and decays; every rate is multiplied by the schedule's factor.

    Without ``muon`` AdamW moves the matrices inside the blocks too.
    """

    muon: bool = True
    muon_learning_rate: float = 0.02
    muon_momentum: float = 0.95
    muon_weight_decay: float = 0.0
    muon_iterations: int = 5
    adam_learning_rate: float = 0.015
    adam_beta1: float = 0.8
    adam_beta2: float = 0.95
    adam_weight_decay: float = 0.0
    adam_eps: float = 1e-10
    max_grad_norm: float = 1.0


class Optimizer:
    """Moves a model's weights; owns the float32 masters, the gradient sums and the moments."""

    def __init__(
        self,
        model: nn.Module,
        config: OptimizerConfig,
        layout: Layout = ALONE,
        *,
        rates: Mapping[str, float] | None = None,
        begins: Mapping[str, float] | None = None,
    ) -> None:
        """Take the model's present weights as masters; those that want no gradient are left alone.

        Args:
            model: what is trained; its weights may be brought to another type later.
            config: rates and decays.
            layout: how its weights lie across the processes.
            rates: factors on AdamW's learning rate by name; 1 for those that are not named.
            begins: shares of the run before which weights stay where they are, by name; 0 for those that are
                not named. Until then they take no gradient (``reach``).
        """
        self.config = config
        self._layout = layout
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._masters = {
            name: layout.local(p.detach()).float().clone() for name, p in self._parameters.items()
        }
        self._sums: dict[str, Tensor] = {}
        self._matrices = {
            name: _parts(model, name)
            for name, p in self._parameters.items()
            if config.muon and p.ndim == 2 and ".blocks." in name
        }
        self._momentum = {name: torch.zeros_like(self._masters[name]) for name in self._matrices}
        others = [name for name in self._parameters if name not in self._matrices]
        self._first = {name: torch.zeros_like(self._masters[name]) for name in others}
        self._second = {name: torch.zeros_like(self._masters[name]) for name in others}
        self._adam_rates = {name: (rates or {}).get(name, 1.0) for name in others}
        self._begins = {name: share for name, share in (begins or {}).items() if share > 0}
        assert self._begins.keys() <= self._first.keys(), "only AdamW's weights can begin later"
        self._num_updates = 0
        # Updates that were made before a weight began.
        self._num_waited = dict.fromkeys(self._begins, 0)

    def reach(self, progress: float) -> None:
        """Let weights move whose share of the run has come, before gradients are taken.

        Args:
            progress: share of the run that is done.
        """
        for name, share in self._begins.items():
            self._parameters[name].requires_grad_(progress >= share)

    @torch.no_grad()
    def accumulate(self) -> None:
        """Add the model's gradients to the sums and clear them."""
        sums = self._gradient_sums()
        for name, parameter in self._parameters.items():
            if parameter.grad is not None:
                sums[name] += self._layout.local(parameter.grad)
                parameter.grad = None

    def gradient_sums(self) -> list[Tensor]:
        """The sums since the last step that must still be added over the processes."""
        return [] if self._layout.adds_gradients else list(self._gradient_sums().values())

    @property
    def is_sharded(self) -> bool:
        """Whether all processes must go through the model equally often, and so none may give up alone."""
        return self._layout.adds_gradients

    def clear(self) -> None:
        """Forget all gradients since the last step."""
        for parameter in self._parameters.values():
            parameter.grad = None
        torch._foreach_zero_(list(self._gradient_sums().values()))

    @torch.no_grad()
    def step(self, *, factor: float, num_tokens: int) -> float:
        """Move the weights by the mean gradient since the last step.

        Args:
            factor: the schedule's factor on every learning rate.
            num_tokens: what the summed gradients are divided by.

        Returns:
            Norm of the mean gradient before clipping. If it is not finite, no weight has moved.
        """
        gradients = {name: total.float() for name, total in self._gradient_sums().items()}
        norm = self._layout.norm(list(gradients.values())) / num_tokens
        if math.isfinite(norm):
            scale = min(1.0, self.config.max_grad_norm / (norm + 1e-12)) / num_tokens
            torch._foreach_mul_(list(gradients.values()), scale)
            self._num_updates += 1
            for name in self._num_waited:
                self._num_waited[name] += self._waits(name)
            if self._matrices:
                self._step_muon(gradients, factor)
            self._step_adam(gradients, factor)
            self.write_weights()
        self.clear()
        return norm

    @torch.no_grad()
    def write_weights(self) -> None:
        """Round the masters into the model's own weights."""
        for name, parameter in self._parameters.items():
            self._layout.local(parameter).copy_(self._masters[name])
        self._layout.refresh()

    def masters(self) -> dict[str, Tensor]:
        """The whole float32 weights by name.

        All processes must ask. Of a sharded model the first gets them, the others only shapes (meta tensors).
        """
        return self._layout.gather(self._masters)

    def state(self) -> dict[str, Tensor]:
        """Whole moments by name, for a checkpoint; asked for as ``masters``."""
        state = {"num_updates": torch.tensor(self._num_updates)}
        if self._begins:
            state["num_waited"] = torch.tensor(list(self._num_waited.values()))
        for kind, tensors in self._moments().items():
            wholes = self._layout.gather(tensors)
            state |= {f"{kind}.{name}": whole for name, whole in wholes.items()}
        return state

    @torch.no_grad()
    def load(self, masters: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        """Go on from what ``masters`` and ``state`` gave, whatever the number of processes then."""
        for name, value in self._masters.items():
            value.copy_(self._layout.cut(name, masters[name]))
        for kind, tensors in self._moments().items():
            for name, value in tensors.items():
                value.copy_(self._layout.cut(name, state[f"{kind}.{name}"]))
        self._num_updates = int(state["num_updates"])
        if self._begins:
            self._num_waited = dict(zip(self._begins, state["num_waited"].tolist(), strict=True))
        self.write_weights()

    def _gradient_sums(self) -> dict[str, Tensor]:
        """Of a type in which the order of adding, and so the number of processes, makes no difference.

        A few bf16 numbers add up in float32, and float32 numbers in float64, without rounding unless they
        differ by many orders of magnitude; one rounding at the end is then the same for all.
        """
        weight = next(iter(self._parameters.values()))
        is_wide = weight.dtype == torch.float32 and weight.device.type not in _WITHOUT_FLOAT64
        dtype = torch.float64 if is_wide else torch.float32
        if not self._sums or next(iter(self._sums.values())).dtype != dtype:
            self._sums = {name: torch.zeros_like(p, dtype=dtype) for name, p in self._masters.items()}
        return self._sums

    def _waits(self, name: str) -> bool:
        return name in self._begins and not self._parameters[name].requires_grad

    def _moments(self) -> dict[str, dict[str, Tensor]]:
        return {"momentum": self._momentum, "first": self._first, "second": self._second}

    def _step_muon(self, all_gradients: Mapping[str, Tensor], factor: float) -> None:
        config = self.config
        names = list(self._matrices)
        momenta = [self._momentum[name] for name in names]
        gradients = [all_gradients[name] for name in names]
        masters = [self._masters[name] for name in names]
        torch._foreach_lerp_(momenta, gradients, 1 - config.muon_momentum)
        # Nesterov: look ahead along the momentum.
        directions = torch._foreach_lerp(gradients, momenta, config.muon_momentum)
        updates = self._layout.spread(dict(zip(names, directions, strict=True)), self._orthogonalise)
        rate = config.muon_learning_rate * factor
        if config.muon_weight_decay:
            torch._foreach_mul_(masters, 1 - rate * config.muon_weight_decay)
        torch._foreach_add_(masters, [updates[name] for name in names], alpha=-rate)

    def _orthogonalise(self, directions: dict[str, Tensor]) -> dict[str, Tensor]:
        """Updates of whole weights, each of the matrices that a weight is made of on its own."""
        parts = [
            part for name, direction in directions.items() for part in direction.split(self._matrices[name])
        ]
        solved = iter(orthogonalise(parts, self.config.muon_iterations, self._compute_dtype()))
        updates = {name: torch.empty_like(direction) for name, direction in directions.items()}
        for name, update in updates.items():
            for part in update.split(self._matrices[name]):
                torch.mul(next(solved), math.sqrt(max(1.0, len(part) / part.shape[1])), out=part)
        return updates

    def _compute_dtype(self) -> torch.dtype:
        """The type that the model computes with now."""
        return next(iter(self._parameters.values())).dtype

    def _step_adam(self, all_gradients: Mapping[str, Tensor], factor: float) -> None:
        """One pass over the memory for all that moves alike."""
        config = self.config
        alike: dict[tuple[float, int], list[str]] = {}
        for name, rate in self._adam_rates.items():
            if not self._waits(name):
                count = self._num_updates - self._num_waited.get(name, 0)
                alike.setdefault((rate, count), []).append(name)
        for (rate, count), names in alike.items():
            masters = [self._masters[name] for name in names]
            torch._fused_adamw_(
                masters,
                [all_gradients[name] for name in names],
                [self._first[name] for name in names],
                [self._second[name] for name in names],
                [],
                [torch.tensor(float(count), device=masters[0].device)] * len(names),
                lr=config.adam_learning_rate * factor * rate,
                beta1=config.adam_beta1,
                beta2=config.adam_beta2,
                weight_decay=config.adam_weight_decay,
                eps=config.adam_eps,
                amsgrad=False,
                maximize=False,
            )


def orthogonalise(
    matrices: list[Tensor], iterations: int, dtype: torch.dtype = torch.bfloat16
) -> list[Tensor]:
    """Nearly the nearest semi-orthogonal matrix of each, by the quintic Newton-Schulz iteration.

    Matrices of one shape are stacked into one batch of products.

    Args:
        matrices: each (rows, columns), any float type.
        iterations: 5 brings singular values to about 0.7 to 1.2.
        dtype: of the products; bf16 is exact enough where it is quick.

    Returns:
        One float32 matrix for each, in order.
    """
    results: list[Tensor] = [torch.empty(0)] * len(matrices)
    shapes: dict[tuple[int, int], list[int]] = {}
    for index, matrix in enumerate(matrices):
        rows, columns = matrix.shape
        shapes.setdefault((min(rows, columns), max(rows, columns)), []).append(index)
    for members in shapes.values():
        stacked = torch.stack([_wide(matrices[index]) for index in members])
        for index, result in zip(members, _newton_schulz(stacked, iterations, dtype), strict=True):
            rows, columns = matrices[index].shape
            results[index] = result.T if rows > columns else result
    return results


def _wide(matrix: Tensor) -> Tensor:
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix


def _newton_schulz(x_BMN: Tensor, iterations: int, dtype: torch.dtype) -> Tensor:
    x_BMN = x_BMN / (torch.linalg.matrix_norm(x_BMN, keepdim=True) + 1e-7)
    x_BMN = x_BMN.to(dtype)
    for _ in range(iterations):
        gram_BMM = x_BMN @ x_BMN.mT
        poly_BMM = torch.baddbmm(gram_BMM, gram_BMM, gram_BMM, beta=_B, alpha=_C)
        x_BMN = torch.baddbmm(x_BMN, poly_BMM, x_BMN, beta=_A, alpha=1.0)
    return x_BMN.float()


def _parts(model: nn.Module, name: str) -> Sequence[int]:
    """Row counts of the matrices that a fused weight is made of."""
    module = model.get_submodule(name.rpartition(".")[0])
    parts = getattr(module, "parts", None)
    return list(parts) if parts else [model.get_parameter(name).shape[0]]
