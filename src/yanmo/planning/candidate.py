"""What planning knows, what the user fixed, and one way to spend a budget."""

from __future__ import annotations

from dataclasses import dataclass

from yanmo.planning.cost import StepShape
from yanmo.planning.shapes import PAIR_ENCODER, SHAPES, ModelConfig, Shape, ShapeName, Sizes
from yanmo.training.optimizer import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """What planning must know of a corpus."""

    num_train_bytes: int
    num_valid_bytes: int
    num_test_bytes: int
    bytes_per_token: float
    vocab_size: int
    ngram_bits_per_byte: float
    can_split: bool = False
    """Whether tokens can be taken apart (``data/splitting.py``)."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user set by hand; None leaves it to the plan."""

    num_layers: int | None = None
    d_model: int | None = None
    max_seq_len: int | None = None
    batch_size: int | None = None
    dropout: float | None = None
    split_share: float | None = None
    num_steps: int | None = None
    muon_learning_rate: float | None = None
    adam_learning_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is to be trained.

    Attributes:
        shape: of the network.
        outputs_per_token: as of ``StepShape``.
        given: the network where training goes on from one; None where one is made.
        rows_at_once: rows computed together; None computes as many as the memory holds.
        pairs: whether an encoder tells whether a text follows on another.
        replay_share: share of the rows that come from an old corpus.
    """

    shape: ShapeName = "decoder"
    outputs_per_token: float = 1.0
    given: ModelConfig | None = None
    rows_at_once: int | None = None
    pairs: bool = False
    replay_share: float = 0.0

    def model(self, candidate: Candidate) -> ModelConfig:
        """The network of a candidate."""
        return self.kind.build(candidate.sizes) if self.given is None else self.given

    @property
    def kind(self) -> Shape:
        """What is known of such networks where one is made."""
        return PAIR_ENCODER if self.pairs else SHAPES[self.shape]

    @property
    def continues_text(self) -> bool:
        """Whether the next token is what it learns."""
        return self.shape in ("decoder", "lstm")

    @property
    def predicts_loss(self) -> bool:
        """Whether the scaling law says what to expect."""
        return self.given is None and self.kind.predicts_loss


@dataclass(frozen=True, kw_only=True)
class Candidate(Sizes):
    """One way to spend the budget, and what it is expected to give.

    ``predicted_bits_per_byte`` and ``interval`` are None where the scaling law does not say;
    ``micro_batch_size``, rows computed at once, is None in plans from before it was planned.
    """

    shape: ShapeName = "decoder"
    outputs_per_token: float = 1.0
    num_parameters: int
    batch_size: int
    batch_tokens: int
    micro_batch_size: int | None = None
    num_steps: int
    epochs: float
    dropout: float
    split_share: float = 0.0
    muon_learning_rate: float
    adam_learning_rate: float
    weight_decay: float
    adam_weight_decay: float = 0.0
    predicted_step_s: float
    predicted_s: float
    predicted_memory_bytes: int
    predicted_energy_wh: float | None = None
    predicted_bits_per_byte: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def sizes(self) -> Sizes:
        """Sizes of the network alone."""
        return Sizes(**{name: getattr(self, name) for name in Sizes.__dataclass_fields__})

    @property
    def optimizer(self) -> OptimizerConfig:
        """Learning rates."""
        return OptimizerConfig(
            muon_learning_rate=self.muon_learning_rate,
            adam_learning_rate=self.adam_learning_rate,
            muon_weight_decay=self.weight_decay,
            adam_weight_decay=self.adam_weight_decay,
        )

    def step(self, model: ModelConfig) -> StepShape:
        """What one step computes."""
        return StepShape(
            model=model,
            batch_size=self.batch_size,
            seq_len=self.max_seq_len,
            rows_at_once=self.micro_batch_size,
            outputs_per_token=self.outputs_per_token,
        )
