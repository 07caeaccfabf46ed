"""Which of two answers is better: learned by the model that answers, or by one that gives each a number.

- ``DirectPreferences``: Rafailov et al. 2023 (arXiv 2305.18290). Log-probabilities under the model as it was
  are computed once, before the first step, and kept with the pairs; no second model stays in memory. A model
  that is loaded later has no reference, so it compares answers by their mean log-probability a token.
- ``Rewards``: a head of one number, of the answer's last token or of what the family's classifier reads; the
  difference of two is the logit that the first is better (Bradley and Terry 1952; Ouyang et al. 2022, arXiv
  2203.02155, equation 1).

A prediction is ``{"label": "chosen" or "rejected", "score": ...}``: whether the better answer is the one that
the model prefers, and by how much; of ``Rewards`` with ``rewards``, the number of either answer. Of an answer
alone ``Rewards`` say ``{"score": ...}``, its number.

Shapes: B texts, pairs as neighbours, the better first.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.finetuning.answers.batches import AnswerBatch, AnswerBatches, AnswerText
from yanmo.finetuning.answers.form import AnswerForm
from yanmo.finetuning.answers.objective import DirectPreference, nats_of
from yanmo.finetuning.answers.script import Scribe
from yanmo.finetuning.batches import Encoded, PackedBatch, pack_examples
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.order import LengthOrder
from yanmo.finetuning.skill import OnProgress, Prediction, Validate, outputs_of
from yanmo.generation.conversation import plain_prompt
from yanmo.metrics import Scores
from yanmo.models.base import Trainable
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.folder import load_transformer
from yanmo.models.heads import HeadKind
from yanmo.models.new_head import open_with_head
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import batches_by_tokens
from yanmo.reporting.progress import say
from yanmo.tasks.examples import Message, PreferenceExample, TextExample
from yanmo.training.objective import LossSum, Objective

_HEAD = HeadKind.SEQUENCE_CLASSIFICATION
_LABELS = ("reward",)
_BATCH_TOKENS = 4096


def preference_scores(examples: Sequence[PreferenceExample], predictions: Sequence[Prediction]) -> Scores:
    """How often the better answer is preferred."""
    return metrics.classification(["chosen"] * len(examples), [str(row["label"]) for row in predictions])


def _predictions(margins: NDArray[np.float64]) -> list[Prediction]:
    return [{"label": "chosen" if value > 0 else "rejected", "score": value} for value in margins.tolist()]


def _validated(margins: NDArray[np.float64]) -> dict[str, float]:
    """Mean loss of pairs in nats, and how often the better answer is preferred, from logits."""
    return {
        "loss_nats": float(np.logaddexp(0.0, -margins).mean()),
        "accuracy": float((margins > 0).mean()),
    }


@dataclass(kw_only=True, eq=False)
class DirectPreferences:
    """A language model that comes to prefer the better answers; a ``Skill``.

    Attributes:
        form: how the model answers; known once there is a model.
        beta: how dear it is to differ from the reference, per nat.
    """

    form: AnswerForm | None = None
    beta: float = 0.1
    metrics_name: str = "preference"
    _reference: Transformer | None = field(default=None, init=False, repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """How the model answers."""
        return self._form.settings()

    @property
    def _form(self) -> AnswerForm:
        assert self.form is not None, "a network comes first"
        return self.form

    def network(self, checkpoint: Checkpoint) -> Transformer:
        """The checkpoint's network, which is its own reference until it moves.

        Raises:
            InputError: it is no decoder that continues texts.
        """
        network = load_transformer(checkpoint.config, checkpoint.source(), where=checkpoint.config_path)
        if network.config.shape != "decoder":
            raise InputError(
                f"preferences are learned by a decoder, not an {network.config.shape}", where=checkpoint.path
            )
        self.form = AnswerForm.of(network, checkpoint, is_chat=True)
        self._reference = network
        return network

    def pairs(
        self, examples: Sequence[PreferenceExample], encoder: InputEncoder
    ) -> list[tuple[AnswerText, AnswerText]]:
        """Examples as conversations that end with either answer; only that one counts.

        Raises:
            InputError: a text is not valid Unicode, or the template refuses it.
        """
        scribe = Scribe(encoder.tokenizer, uses_template=self._form.uses_template)
        found, num_cut = [], 0
        for number, example in enumerate(examples):
            texts = []
            for answer in (example.chosen, example.rejected):
                messages = [*example.prompt, Message("assistant", answer)]
                script = scribe.write(messages, max_tokens=encoder.max_seq_len)
                num_cut += script.num_cut > 0
                learned = _last_run(script.learned)
                texts.append(AnswerText(ids=script.ids, learned=learned, example=number))
            found.append((texts[0], texts[1]))
        if num_cut:
            say(f"{num_cut:,} of {2 * len(found):,} answers are longer than the model reads, and cut")
        return found

    def batches(
        self, examples: Sequence[PreferenceExample], encoder: InputEncoder, *, batch_size: int, seed: int
    ) -> AnswerBatches:
        """Packed pairs with their losses under the reference.

        Raises:
            InputError: there is no example, or one is not valid Unicode.
        """
        return AnswerBatches(self.with_reference(examples, encoder), batch_size=batch_size, seed=seed)

    def objective(self) -> Objective[AnswerBatch]:
        """Equation 7."""
        return DirectPreference(beta=self.beta)

    def validation(self, examples: Sequence[PreferenceExample], encoder: InputEncoder) -> Validate:
        """Loss of a pair, and how often the better answer is preferred."""
        pairs = self.with_reference(examples, encoder)
        reference = _margins(np.array([text.reference_nats for pair in pairs for text in pair]))

        def validate(model: Trainable) -> dict[str, float]:
            assert isinstance(model, Transformer)
            nats = nats_of(model, [text for pair in pairs for text in pair])
            return _validated(self.beta * (reference - _margins(nats)))

        return validate

    def answer(
        self,
        model: Transformer,
        examples: Sequence[PreferenceExample],
        encoder: InputEncoder,
        *,
        on_progress: OnProgress | None = None,
    ) -> list[Prediction]:
        """Which answer has the larger mean log-probability a token.

        Raises:
            InputError: an answer stands alone, a text is not valid Unicode, or the template refuses it.
        """
        if not all(isinstance(example, PreferenceExample) for example in examples):
            raise InputError(
                "two answers are compared", remedy="--pair, or a model that was trained with --reward"
            )
        texts = [text for pair in self.pairs(examples, encoder) for text in pair]
        nats = nats_of(model, texts, on_progress=_every_second(on_progress))
        return _predictions(-_margins(nats / [max(1, text.num_learned) for text in texts]))

    def score(self, examples: Sequence[PreferenceExample], predictions: Sequence[Prediction]) -> Scores:
        """Accuracy."""
        return preference_scores(examples, predictions)

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As they are."""
        return dict(weights)

    def learned(self) -> Self:
        """The same, without a reference."""
        self._reference = None
        return self

    def with_reference(
        self, examples: Sequence[PreferenceExample], encoder: InputEncoder
    ) -> list[tuple[AnswerText, ...]]:
        """Pairs with losses under the model as it is now, which must be before the first step."""
        assert self._reference is not None, "a network comes first"
        pairs = self.pairs(examples, encoder)
        was_training = self._reference.training
        self._reference.eval()
        nats = nats_of(self._reference, [text for pair in pairs for text in pair])
        self._reference.train(was_training)
        losses = iter(nats.tolist())
        return [
            tuple(dataclasses.replace(text, reference_nats=next(losses)) for text in pair) for pair in pairs
        ]


class RewardBatches:
    """Pairs of answers, packed; ``Batches[PackedBatch]`` whose texts are pairs, the better first."""

    def __init__(
        self, pairs: Sequence[tuple[Encoded[None], Encoded[None]]], *, batch_size: int, seed: int
    ) -> None:
        """Prepare batches of ``batch_size`` pairs.

        Raises:
            InputError: there is no pair.
        """
        lengths = [len(first.ids) + len(second.ids) for first, second in pairs]
        self._order = LengthOrder(lengths, batch_size=batch_size, seed=seed)
        self._pairs, self.batch_size = pairs, self._order.batch_size

    def epochs(self, step: int) -> float:
        """Passes over the examples before ``step``."""
        return self._order.epochs(step)

    def rows(self, step: int, rows: range) -> PackedBatch:
        """Some pairs of optimizer step ``step`` (0-based)."""
        chosen = [self._pairs[number] for number in self._order.rows(step, rows)]
        return pack_examples(list(itertools.chain.from_iterable(chosen)), _no_targets)


@dataclass(kw_only=True, eq=False)
class Rewards:
    """A model that gives answers numbers; a ``Skill``.

    Attributes:
        uses_template: whether it reads conversations by its chat template; known once there is a model.
        is_encoder: whether it reads prompt and answer as a pair of texts.
    """

    uses_template: bool = False
    is_encoder: bool = False
    metrics_name: str = "preference"

    @classmethod
    def read(cls, model: Transformer, config: Mapping[str, Any]) -> Rewards:
        """The skill of a model that has it."""
        return cls(
            uses_template=bool(config.get("reward_uses_template")),
            is_encoder=model.config.shape == "encoder",
        )

    @property
    def settings(self) -> dict[str, Any]:
        """How it reads, and that its output is a number."""
        return {"reward_uses_template": self.uses_template, "problem_type": "regression"}

    def network(self, checkpoint: Checkpoint) -> Transformer:
        """The checkpoint's network with a head of one number.

        Raises:
            InputError: its family has no such class.
        """
        network = open_with_head(checkpoint, _HEAD, labels=_LABELS)
        self.is_encoder = network.config.shape == "encoder"
        self.uses_template = checkpoint.tokenizer.chat_template is not None and not self.is_encoder
        return network

    def pairs(
        self, examples: Sequence[PreferenceExample], encoder: InputEncoder
    ) -> list[tuple[Encoded[None], Encoded[None]]]:
        """Prompts with either answer.

        Raises:
            InputError: a text is not valid Unicode, or the template refuses it.
        """
        found = [
            self._read(example, answer, number, encoder)
            for number, example in enumerate(examples)
            for answer in (example.chosen, example.rejected)
        ]
        return list(zip(found[::2], found[1::2], strict=True))

    def batches(
        self, examples: Sequence[PreferenceExample], encoder: InputEncoder, *, batch_size: int, seed: int
    ) -> RewardBatches:
        """Packed pairs.

        Raises:
            InputError: there is no example, or one is not valid Unicode.
        """
        return RewardBatches(self.pairs(examples, encoder), batch_size=batch_size, seed=seed)

    def objective(self) -> Objective[PackedBatch]:
        """That the better answer has the larger number."""

        def loss(model: Trainable, batch: PackedBatch) -> LossSum:
            assert isinstance(model, Transformer)
            numbers_B = outputs_of(model, batch, _HEAD)[:, 0]
            margins = numbers_B[::2] - numbers_B[1::2]
            return LossSum(-functional.logsigmoid(margins).sum(), len(margins))

        return loss

    def validation(self, examples: Sequence[PreferenceExample], encoder: InputEncoder) -> Validate:
        """Loss of a pair, and how often the better answer is preferred."""
        pairs = self.pairs(examples, encoder)

        def validate(model: Trainable) -> dict[str, float]:
            assert isinstance(model, Transformer)
            return _validated(_margins(_numbers(model, pairs)))

        return validate

    def answer(
        self,
        model: Transformer,
        examples: Sequence[PreferenceExample | TextExample],
        encoder: InputEncoder,
        *,
        on_progress: OnProgress | None = None,
    ) -> list[Prediction]:
        """Which answer has the larger number, and the numbers; of an answer alone its number."""
        # An answer alone is compared with itself.
        pairs = self.pairs([_compared(example) for example in examples], encoder)
        numbers = _numbers(model, pairs, on_progress=_every_second(on_progress))
        found = _predictions(_margins(numbers))
        for place, (example, prediction) in enumerate(zip(examples, found, strict=True)):
            first, second = numbers[2 * place : 2 * place + 2].tolist()
            if isinstance(example, TextExample):
                found[place] = {"score": first}
            else:
                prediction["rewards"] = {"chosen": first, "rejected": second}
        return found

    def score(self, examples: Sequence[PreferenceExample], predictions: Sequence[Prediction]) -> Scores:
        """Accuracy."""
        return preference_scores(examples, predictions)

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As they are."""
        return dict(weights)

    def learned(self) -> Self:
        """The same."""
        return self

    def _read(
        self, example: PreferenceExample, answer: str, number: int, encoder: InputEncoder
    ) -> Encoded[None]:
        if self.is_encoder:
            said = [{"role": message.role, "content": message.content} for message in example.prompt]
            encoding = encoder.encode([(plain_prompt(said), answer)])[0]
            return encoder.piece(encoding, None, example=number, is_pair=True)
        scribe = Scribe(encoder.tokenizer, uses_template=self.uses_template)
        messages = [*example.prompt, Message("assistant", answer)]
        script = scribe.write(messages, max_tokens=encoder.max_seq_len)
        # Up to the token that ends the answer: what templates write behind it says nothing.
        end = int(np.flatnonzero(script.learned)[-1]) + 1
        return Encoded(ids=script.ids[:end], types=None, target=None, example=number)


def _compared(example: PreferenceExample | TextExample) -> PreferenceExample:
    if isinstance(example, PreferenceExample):
        return example
    return PreferenceExample(prompt=(), chosen=example.text, rejected=example.text, origin=example.origin)


@torch.inference_mode()
def _numbers(
    model: Transformer,
    pairs: Sequence[tuple[Encoded[None], Encoded[None]]],
    *,
    on_progress: OnProgress | None = None,
) -> NDArray[np.float64]:
    """What the head gives to each answer, (B,)."""
    pieces = list(itertools.chain.from_iterable(pairs))
    found = np.zeros(len(pieces))
    for rows in batches_by_tokens([len(piece.ids) for piece in pieces], _BATCH_TOKENS):
        batch = pack_examples([pieces[row] for row in rows], _no_targets)
        found[rows] = outputs_of(model, batch, _HEAD)[:, 0].numpy()
        if on_progress is not None:
            on_progress(len(rows))
    return found


def _margins(nats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of pairs, the first less the second."""
    return nats[::2] - nats[1::2]


def _last_run(learned: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The last stretch of those that are learned."""
    if not learned.any():
        return learned
    last = int(np.flatnonzero(learned)[-1])
    before = np.flatnonzero(~learned[:last])
    place = np.arange(len(learned))
    return (place > (before[-1] if len(before) else -1)) & (place <= last)


def _every_second(on_progress: OnProgress | None) -> OnProgress | None:
    """Pairs instead of texts."""
    if on_progress is None:
        return None
    told, left = on_progress, 0

    def tell(num_texts: int) -> None:
        nonlocal left
        num_pairs, left = divmod(left + num_texts, 2)
        told(num_pairs)

    return tell


def _no_targets(targets: Sequence[Any]) -> Tensor:
    return torch.empty(0)
