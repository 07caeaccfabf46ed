"""How to learn from so many examples: passes, batch, rates; one rule by the number of rows.

AdamW with a rate that rises for a tenth of the run and then falls to zero (Mosbach et al. 2021, arXiv
2006.04884, section 6: long warm-up and more passes make small sets stable). The head, which begins at zero,
moves faster; the table of tokens, which few examples say something about, does not move at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from yanmo.models.heads import HeadKind
from yanmo.models.transformer import Transformer
from yanmo.training.optimizer import OptimizerConfig
from yanmo.training.schedule import ScheduleConfig

_HEAD_RATE = 10.0
# Heads that a model has been pretrained with, and goes on with.
_OLD_HEADS = tuple(f"heads.{kind.value}." for kind in (HeadKind.CAUSAL_LM, HeadKind.SEQ2SEQ_LM))
_LEAST_STEPS = 60
# Peak rates of tasks whose answers are texts, at a width of 384.
_WRITING = {
    **dict.fromkeys(("translation", "summarization", "chat", "text-generation"), 1e-4),
    "preference": 1e-5,
}
# Those of tasks whose models made good vectors before, and must stay near what they were.
_VECTORS = dict.fromkeys(("sentence-similarity", "feature-extraction"), 3e-5)


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe:
    """Sizes and rates of a run.

    Attributes:
        epochs: passes over the examples.
        batch_size: examples of a step.
        learning_rate: AdamW's, at its peak.
        weight_decay: AdamW's.
        dropout: of what each block adds to the stream.
        hide_words: share of the tokens that are hidden from the model while it learns.
        moves_embedding: whether the table of tokens is trained.
    """

    epochs: float
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    dropout: float = 0.1
    hide_words: float = 0.0
    moves_embedding: bool = False

    @property
    def optimizer(self) -> OptimizerConfig:
        """AdamW for all weights."""
        return OptimizerConfig(
            muon=False,
            adam_learning_rate=self.learning_rate,
            adam_beta1=0.9,
            adam_beta2=0.99,
            adam_eps=1e-8,
            adam_weight_decay=self.weight_decay,
        )

    def schedule(self, num_steps: int) -> ScheduleConfig:
        """A tenth of warm-up, then down."""
        return ScheduleConfig(warmup_steps=max(1, num_steps // 10), decay_from=0.1)


def choose_recipe(num_examples: int, d_model: int, task: str = "") -> FinetuneRecipe:
    """The recipe for a number of training examples.

    Args:
        num_examples: to learn from.
        d_model: width of the network; wider ones want lower rates.
        task: that is learned. A model that writes could write before, and goes on; one that learns
            preferences must stay near what it was (Rafailov et al. 2023, arXiv 2305.18290, appendix B).
    """
    batch_size = 16 if num_examples < 2000 or task in _WRITING else 32 if num_examples < 4000 else 64
    steps_an_epoch = -(-num_examples // batch_size)
    rate = min(1.0, 384 / d_model) ** 0.5
    if task in _WRITING:
        return FinetuneRecipe(
            epochs=max(3.0, _LEAST_STEPS / steps_an_epoch),
            batch_size=batch_size,
            learning_rate=_WRITING[task] * rate,
            dropout=0.0,
        )
    epochs = 10.0 if num_examples < 1000 else 5.0 if num_examples < 10_000 else 3.0
    return FinetuneRecipe(
        epochs=max(epochs, _LEAST_STEPS / steps_an_epoch),
        batch_size=batch_size,
        learning_rate=_VECTORS.get(task, 1.5e-4 if batch_size == 64 else 1e-4) * rate,
    )


def learning_rate_factors(network: Transformer) -> dict[str, float]:
    """Factors on the learning rate by weight: a head's own output learns faster."""
    return {
        name: _HEAD_RATE
        for name, _ in network.named_parameters()
        if name.startswith("heads.") and ".transform." not in name and not name.startswith(_OLD_HEADS)
    }
