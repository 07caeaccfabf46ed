"""Low-rank adapters: what fine-tuning adds to each matrix is a product of two narrow ones, all else stays.

LoRA: Hu et al. 2022 (arXiv 2106.09685, section 4.1): W x + (alpha / rank) B A x, where B begins at zero.
DoRA: Liu et al. 2024 (arXiv 2402.09353, section 4): the sum's rows are brought to lengths that are learned,
and the norm that they are divided by takes no gradient (section 4.3). What is kept of a length is by how much
it differs from that of W's row: bf16 does not round it away, and weight decay takes it to W's.
Rank-stabilised: Kalajdzievski 2023 (arXiv 2312.03732): alpha / sqrt(rank).
A begins uniform, as PEFT has it, where the paper draws from a normal distribution. Dropout is on what enters
A alone; PEFT's DoRA also drops what enters W.

Where several of a checkpoint's matrices are one here, each has adapters of its own, as everywhere else, and
files of them can be exchanged (``peft_files``).

Shapes: I inputs, O outputs of one matrix, R rank.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.errors import InputError
from yanmo.finetuning.freezing import freeze_all_but_task_heads
from yanmo.models.families import FAMILIES
from yanmo.models.families.mapping import Weight
from yanmo.models.transformer import Transformer
from yanmo.nn.linear import FusedLinear

# Adapters want rates about ten times those of whole matrices (Schulman et al. 2025, "LoRA Without Regret").
ADAPTER_RATE = 10.0
_ADAPTERS = ".adapters."
_QUERY_KEY_VALUE = 3


class Targets(StrEnum):
    """Which matrices have adapters."""

    ALL = "all"  # all of the blocks
    ATTENTION = "attention"
    QUERY_VALUE = "query-value"  # section 4.2 of LoRA's paper


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """What is added, and to what.

    Attributes:
        rank: numbers between A and B.
        alpha: factor on what is added, divided by the rank.
        dropout: of what enters A, while training.
        targets: which matrices.
        dora: whether the lengths of rows are learned apart from their directions.
        rank_stabilised: divide alpha by the root of the rank.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: Targets = Targets.ALL
    dora: bool = False
    rank_stabilised: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.rank < 1:
            raise InputError(f"the rank of adapters must be at least 1, not {self.rank}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"the dropout of adapters must be from 0 to below 1, not {self.dropout:g}")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise InputError(f"the alpha of adapters must be above 0, not {self.alpha:g}")

    @property
    def scaling(self) -> float:
        """Factor on B A."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


@dataclass(frozen=True)
class Place:
    """A matrix that can have an adapter: part of the weight ``weight.ours``, as checkpoints name it."""

    weight: Weight
    part: int

    @property
    def module(self) -> str:
        """Our layer."""
        return self.weight.ours.removesuffix(".weight")

    @property
    def theirs(self) -> str:
        """The checkpoint's layer."""
        return self.weight.theirs[self.part].removesuffix(".weight")


class LowRank(nn.Module):
    """The adapter of one matrix: B A, and for DoRA what rows are longer by than the matrix has them."""

    def __init__(self, weight_OI: Tensor, config: LoraConfig, generator: torch.Generator | None) -> None:
        """Such that nothing changes at first: B is zero, and so are the differences of lengths."""
        super().__init__()
        num_outputs, num_inputs = weight_OI.shape
        bound = 1 / math.sqrt(num_inputs)
        a_RI = torch.empty(config.rank, num_inputs).uniform_(-bound, bound, generator=generator)
        self.a_RI = nn.Parameter(a_RI.to(weight_OI))
        self.b_OR = nn.Parameter(weight_OI.new_zeros(num_outputs, config.rank))
        self.longer_O = nn.Parameter(weight_OI.new_zeros(num_outputs)) if config.dora else None


class LoraLinear(nn.Linear):
    """A linear layer, one or several matrices of a checkpoint, some of which have adapters."""

    def __init__(
        self,
        linear: nn.Linear,
        rows: tuple[int, ...],
        adapted: Collection[int],
        config: LoraConfig,
        generator: torch.Generator | None,
    ) -> None:
        """Take over a layer's weights, under their names.

        Args:
            linear: the layer.
            rows: outputs of each matrix.
            adapted: numbers of those that have adapters.
            config: of the adapters.
            generator: draws their first values.
        """
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.parts: tuple[int, ...] | None = getattr(linear, "parts", None)
        self.config, self.rows = config, rows
        weights = linear.weight.detach().split(rows)
        self.adapters = nn.ModuleDict(
            {str(part): LowRank(weights[part], config, generator) for part in sorted(adapted)}
        )

    def forward(self, x_BTI: Tensor) -> Tensor:
        """(B, T, I) to (B, T, O), of all matrices side by side."""
        x_NI, dora = x_BTI.flatten(0, -2), self.config.dora
        a_RI = torch.cat([adapter.get_parameter("a_RI") for adapter in self.adapters.values()])
        b_OR = self._b_OR()
        base_NO = functional.linear(x_NI, self.weight, None if dora else self.bias)
        if self.training and self.config.dropout:
            x_NI = functional.dropout(x_NI, self.config.dropout)
        out_NO = torch.addmm(base_NO, functional.linear(x_NI, a_RI), b_OR.T, alpha=self.config.scaling)
        if dora:
            out_NO = out_NO * self._stretch_O(a_RI, b_OR).to(out_NO.dtype)
            out_NO = out_NO if self.bias is None else out_NO + self.bias
        return out_NO.view(*x_BTI.shape[:-1], -1)

    def _b_OR(self) -> Tensor:
        """All B along the diagonal: one product for all matrices."""
        blocks = [self.weight.new_zeros(rows, 0) for rows in self.rows]
        for key, adapter in self.adapters.items():
            blocks[int(key)] = adapter.get_parameter("b_OR")
        return blocks[0] if len(blocks) == 1 else torch.block_diag(*blocks)

    def _stretch_O(self, a_RI: Tensor, b_OR: Tensor) -> Tensor:
        """What DoRA brings rows to their learned lengths by; 1 where there is no adapter."""
        with torch.no_grad():
            weight_OI = self.weight.float()
            lengths_O = row_lengths(weight_OI)
            moved_OI = moved(weight_OI, a_RI.float(), b_OR.float(), self.config.scaling)
            moved_lengths_O = row_lengths(moved_OI)
        longer = [torch.zeros_like(of_part) for of_part in lengths_O.split(self.rows)]
        for key, adapter in self.adapters.items():
            longer[int(key)] = adapter.get_parameter("longer_O").float()
        return (lengths_O + torch.cat(longer)) / moved_lengths_O

    def merged(self, weight: Tensor, of_adapters: Mapping[str, Tensor]) -> Tensor:
        """The whole matrix with what adapters add.

        Args:
            weight: without.
            of_adapters: their weights by the names that they have in this layer, such as ``0.a_RI``.
        """
        parts = list(weight.split(self.rows))
        for key in self.adapters:
            a_RI, b_OR = of_adapters[f"{key}.a_RI"], of_adapters[f"{key}.b_OR"]
            plain_OI = parts[int(key)]
            parts[int(key)] = moved(plain_OI, a_RI, b_OR, self.config.scaling)
            if self.config.dora:
                lengths_O = row_lengths(plain_OI) + of_adapters[f"{key}.longer_O"]
                parts[int(key)] *= (lengths_O / row_lengths(parts[int(key)]))[:, None]
        return torch.cat(parts)

    def plain(self) -> nn.Linear:
        """The layer without adapters, with the same weights."""
        has_bias = self.bias is not None
        linear: nn.Linear
        with torch.device("meta"):
            if self.parts is None:
                linear = nn.Linear(self.in_features, self.out_features, bias=has_bias)
            else:
                linear = FusedLinear(self.in_features, self.parts, bias=has_bias)
        linear.weight, linear.bias = self.weight, self.bias
        return linear


def moved(weight_OI: Tensor, a_RI: Tensor, b_OR: Tensor, scaling: float) -> Tensor:
    """W + scaling B A."""
    return torch.addmm(weight_OI, b_OR, a_RI, alpha=scaling)


def row_lengths(weight_OI: Tensor) -> Tensor:
    """Euclidean lengths of rows, (O,)."""
    # A row of zeros stays one: it is divided by what does not matter.
    return torch.linalg.vector_norm(weight_OI, dim=1).clamp_min(torch.finfo(weight_OI.dtype).tiny)


def places(network: Transformer, model_type: str) -> list[Place]:
    """All matrices that can have adapters: those of linear layers in blocks; routers and experts cannot."""
    found = []
    for weight in FAMILIES[model_type].weights(network.config):
        module, _, kind = weight.ours.rpartition(".")
        if kind != "weight" or ".blocks." not in module or module.endswith(".router"):
            continue
        if isinstance(network.get_submodule(module), nn.Linear):
            found += [Place(weight, part) for part in range(len(weight.theirs))]
    return found


def add_lora(network: Transformer, model_type: str, config: LoraConfig, *, seed: int = 0) -> None:
    """Give a network adapters, in place; only they, and heads that are drawn for a task, are trained.

    Its answers stay as they are until they are trained. Names of its weights stay, too.

    Args:
        network: without adapters.
        model_type: its family, of config.json: matrices that its files keep apart have adapters of their own.
        config: which, and how large.
        seed: of their first values.
    """
    chosen = [place for place in places(network, model_type) if _is_target(place, config.targets)]
    put_adapters(network, chosen, config, torch.Generator().manual_seed(seed))


def put_adapters(
    network: Transformer,
    chosen: Collection[Place],
    config: LoraConfig,
    generator: torch.Generator | None = None,
) -> None:
    """As ``add_lora``, to given matrices."""
    assert not has_lora(network), "there are adapters already"
    freeze_all_but_task_heads(network)
    of_modules: dict[str, list[Place]] = {}
    for place in chosen:
        of_modules.setdefault(place.module, []).append(place)
    for name, of_module in of_modules.items():
        linear = network.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        is_one = len(of_module[0].weight.theirs) == 1
        rows = (linear.out_features,) if is_one else getattr(linear, "parts", ())
        adapted = [place.part for place in of_module]
        network.set_submodule(name, LoraLinear(linear, rows, adapted, config, generator))


def lora_layers(network: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """Layers with adapters, and their names."""
    return ((name, layer) for name, layer in network.named_modules() if isinstance(layer, LoraLinear))


def has_lora(network: nn.Module) -> bool:
    """Whether a network has adapters."""
    return any(True for _ in lora_layers(network))


def adapter_rates(network: Transformer, factor: float = ADAPTER_RATE) -> dict[str, float]:
    """Factors on the learning rate by weight: adapters learn faster than whole matrices."""
    return {name: factor for name, _ in network.named_parameters() if _ADAPTERS in name}


def merged_weights(network: Transformer, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the network without adapters, that gives the same answers.

    Args:
        network: with adapters, or without: then nothing changes.
        weights: by the network's names; those of adapters among them. Of bf16 ones, too, the sum is float32.

    Returns:
        By the names of the plain network.
    """
    plain = {name: weight for name, weight in weights.items() if _ADAPTERS not in name}
    for name, layer in lora_layers(network):
        prefix = f"{name}{_ADAPTERS}"
        of_adapters = {
            key.removeprefix(prefix): weight.detach().float()
            for key, weight in weights.items()
            if key.startswith(prefix)
        }
        plain[f"{name}.weight"] = layer.merged(plain[f"{name}.weight"].detach().float(), of_adapters)
    return plain


@torch.no_grad()
def merge(network: Transformer) -> Transformer:
    """Add adapters to the matrices, in place, and take them out: the network is a plain one again."""
    weights = merged_weights(network, dict(network.named_parameters()))
    for name, layer in list(lora_layers(network)):
        network.set_submodule(name, layer.plain())
        network.get_parameter(f"{name}.weight").copy_(weights[f"{name}.weight"])
    return network.requires_grad_(True)


def _is_target(place: Place, targets: Targets) -> bool:
    layer = place.module.rpartition(".blocks.")[2].partition(".")[2]
    if targets is Targets.ALL:
        return True
    if not layer.startswith(("attention.", "cross_attention.")):
        return False
    if targets is Targets.ATTENTION:
        return True
    is_fused = len(place.weight.theirs) == 1
    keys = {"attention.qkv": (0, _QUERY_KEY_VALUE - 1), "cross_attention.key_value": (1,)}
    return layer == "cross_attention.query" or (layer in keys and (is_fused or place.part in keys[layer]))
