"""Small networks of each shape, packed batches and a toy task: what fine-tuning moves is tested on these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from yanmo.finetuning.batches import Encoded, ExampleBatches, PackedBatch
from yanmo.models.base import Trainable
from yanmo.models.families import FAMILIES
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import Transformer
from yanmo.nn.cross_entropy import linear_cross_entropy
from yanmo.runtime import StopSignal
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.listeners import Listener
from yanmo.training.objective import LossSum, Objective
from yanmo.training.optimizer import Optimizer, OptimizerConfig
from yanmo.training.schedule import Schedule, ScheduleConfig
from yanmo.training.trainer import Trainer, TrainerConfig

LABELS = {"0": "without", "1": "with"}
SIZES = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
}
CONFIGS = {
    "bert": SIZES | {"architectures": ["BertForSequenceClassification"], "id2label": LABELS},
    "qwen3": SIZES
    | {"architectures": ["Qwen3ForSequenceClassification"], "id2label": LABELS, "num_key_value_heads": 1},
    "t5": {"vocab_size": 30, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2},
    "gpt2": {"vocab_size": 30, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16},
    "albert": SIZES | {"architectures": ["AlbertForMaskedLM"], "embedding_size": 8},
}


def network(model_type: str) -> Transformer:
    """Random, and no weight is zero: what is tested reaches every one of them."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Transformer(FAMILIES[model_type].read_config(CONFIGS[model_type] | {"model_type": model_type}))
    return shaken(model, seed=0)


def shaken(model: Transformer, *, seed: int, only_trained: bool = False) -> Transformer:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad or not only_trained:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    return model.eval()


def examples(count: int) -> list[Encoded[int]]:
    """Whether token 4 is somewhere in a text."""
    rng, made = np.random.default_rng(0), []
    for number in range(count):
        ids = rng.integers(5, 30, int(rng.integers(3, 10)))
        if number % 2:
            ids[rng.integers(len(ids))] = 4
        made.append(Encoded(ids=ids, types=None, target=number % 2))
    return made


def batches(count: int, *, batch_size: int) -> ExampleBatches[int]:
    return ExampleBatches(examples(count), torch.tensor, batch_size=batch_size, seed=0)


def classify(model: Trainable, batch: PackedBatch) -> LossSum:
    assert isinstance(model, Transformer)
    scores = model(batch.tokens_1N, segments=batch.segments, head=HeadKind.SEQUENCE_CLASSIFICATION)
    loss = functional.cross_entropy(scores.float(), batch.targets, reduction="sum")
    return LossSum(loss, len(batch.targets))


def repeat(model: Trainable, batch: PackedBatch) -> LossSum:
    """Each token again: by an encoder-decoder from its source, by others from itself."""
    assert isinstance(model, Transformer)
    tokens, segments = batch.tokens_1N, batch.segments
    memory = model.encode(tokens, segments=segments) if model.encoder and model.decoder else None
    hidden_ND = model.hidden(tokens, segments=segments, memory=memory)[0]
    weight_VD = model.embedding.weight if hidden_ND.shape[1] == model.config.embedding_width else None
    if weight_VD is None:
        return LossSum(hidden_ND.float().square().sum(), tokens.numel())
    return LossSum(linear_cross_entropy(hidden_ND, weight_VD, tokens[0]), tokens.numel())


def objective_of(model_type: str) -> Objective[PackedBatch]:
    return classify if model_type in ("bert", "qwen3") else repeat


def gradients(
    model: Transformer, objective: Objective[PackedBatch], parts: Sequence[range], *, count: int = 6
) -> dict[str, Tensor]:
    """Of one batch of ``count`` texts that is computed in parts."""
    model.zero_grad()
    made = batches(count, batch_size=count)
    for rows in parts:
        objective(model, made.rows(0, rows)).loss_nats.backward()
    found = model.named_parameters()
    return {name: weight.grad.clone() for name, weight in found if weight.grad is not None}


def trainer(
    model: Transformer,
    folder: Path,
    *,
    objective: Objective[PackedBatch] = classify,
    num_steps: int = 20,
    dtype: torch.dtype = torch.float32,
    begins: dict[str, float] | None = None,
    stop: StopSignal | None = None,
    listeners: tuple[Listener, ...] = (),
) -> tuple[Trainer[PackedBatch], Optimizer]:
    """A run of the one loop; made again, it goes on where it was stopped."""
    rates = OptimizerConfig(muon=False, adam_learning_rate=0.02, adam_beta1=0.9, adam_weight_decay=0.01)
    optimizer = Optimizer(model, rates, begins=begins)
    model.to(dtype)
    made = batches(64, batch_size=8)

    def validate(model: Trainable) -> dict[str, float]:
        with torch.inference_mode():
            loss = objective(model, made.rows(0, range(8)))
        return {"loss_nats": float(loss.loss_nats) / loss.num_tokens}

    return Trainer(
        model,
        objective,
        made,
        optimizer,
        Schedule(ScheduleConfig(warmup_steps=2), num_steps),
        CheckpointStore(folder),
        validate,
        config=TrainerConfig(
            dropout=0.1, micro_batch_size=4, num_validations=2, checkpoint_every_s=1e9, num_workers=0
        ),
        deadline_s=None,
        stop=stop or StopSignal(),
        listeners=listeners,
    ), optimizer


class StopAfter:
    """Stops a run as a signal would, after some steps."""

    def __init__(self, stop: StopSignal, step: int) -> None:
        self._stop, self._step = stop, step

    def stepped(self, row: dict[str, object], time_left_s: float) -> None:
        if row["step"] == self._step:
            self._stop._receive(15, None)

    def validated(self, row: dict[str, object], model: Trainable) -> None:
        pass

    def noted(self, row: dict[str, object]) -> None:
        pass
