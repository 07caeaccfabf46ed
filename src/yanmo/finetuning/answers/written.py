"""Skills whose answers are texts: translation, summarization, conversation, text of a kind.

An encoder-decoder reads the source and writes the answer; a decoder continues a conversation in which the
source is what the user says. Every answer of a conversation is learned, by a decoder. A prediction is
``{"text": ...}``; of examples of ``chat`` that have their answer, and of ``text-generation``, it says instead
how likely the model holds them: ``nats``, ``tokens`` and ``bytes``.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from yanmo import metrics
from yanmo.data.splitting import Splitter, can_split
from yanmo.errors import InputError
from yanmo.finetuning.answers.batches import AnswerBatch, AnswerBatches, AnswerText
from yanmo.finetuning.answers.form import AnswerForm, encode_sources
from yanmo.finetuning.answers.objective import Completion, nats_of
from yanmo.finetuning.answers.script import Scribe, Script
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.skill import OnProgress, Prediction, Validate
from yanmo.generation.conversation import plain_prompt
from yanmo.generation.search import Asked, answer_many
from yanmo.metrics import Scores
from yanmo.metrics.scores import FloatArray, from_rows
from yanmo.models.base import Trainable
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.folder import load_transformer
from yanmo.models.transformer import Transformer
from yanmo.reporting.progress import say
from yanmo.tasks.examples import ChatExample, Message, Seq2SeqExample, TextExample
from yanmo.training.objective import Objective

E = TypeVar("E")
# Held-out examples that are answered in a validation, one token after the other.
_SAMPLED = 200
# Tokens that an answer may have beyond those that were learned from, and the share of a context it may have.
_MORE_TOKENS, _ANSWER_SHARE = 1.25, 0.5


@dataclass(kw_only=True, eq=False)
class WrittenAnswers(ABC, Generic[E]):
    """What such skills share; each is a ``Skill``.

    Attributes:
        task: name of the task.
        form: how the model answers; known once there is a model.
        smoothing: of the labels, while learning.
        split_share: probability at first that a merge of a source's or answer's token is undone while
            learning (``data.splitting``).
        split_epochs: passes after which none is.
        num_beams: that answers are looked for with; 1 takes the likeliest token each time.
    """

    task: str
    form: AnswerForm | None = None
    smoothing: float = 0.0
    split_share: float = 0.0
    split_epochs: float = 1.0
    num_beams: int = 1
    is_chat: ClassVar[bool] = False

    @property
    def metrics_name(self) -> str:
        """Of the task among ``yanmo.metrics.TASKS``."""
        return self.task

    @property
    def settings(self) -> dict[str, Any]:
        """How the model answers."""
        return self.known_form.settings()

    @property
    def known_form(self) -> AnswerForm:
        """The form, once there is a model."""
        assert self.form is not None, "a network comes first"
        return self.form

    @abstractmethod
    def messages(self, example: E) -> list[Message]:
        """The example as a conversation, its answer last where it has one."""

    def source(self, example: E) -> str:
        """What an encoder-decoder reads: all before the answer."""
        said = [{"role": message.role, "content": message.content} for message in self.asking(example)]
        return plain_prompt(said)

    def asking(self, example: E) -> list[Message]:
        """The conversation up to the answer."""
        messages = self.messages(example)
        return messages[:-1] if messages[-1].role == "assistant" else messages

    def network(self, checkpoint: Checkpoint) -> Transformer:
        """The checkpoint's network.

        Raises:
            InputError: it continues no text.
        """
        network = load_transformer(checkpoint.config, checkpoint.source(), where=checkpoint.config_path)
        self.begin(network, checkpoint)
        return network

    def begin(self, network: Transformer, checkpoint: Checkpoint) -> None:
        """Take a network that is there already, of the checkpoint.

        Raises:
            InputError: it continues no text.
        """
        form = AnswerForm.of(network, checkpoint, is_chat=self.is_chat)
        self.form = dataclasses.replace(form, num_beams=self.num_beams)

    def texts(self, examples: Sequence[E], encoder: InputEncoder) -> list[AnswerText]:
        """Labelled examples as what is to be written; says how many had to be cut.

        Raises:
            InputError: an example has no answer, or is not valid Unicode.
        """
        form = self.known_form
        if form.has_source:
            return self._texts_of_sources(examples, encoder)
        scribe = Scribe(encoder.tokenizer, uses_template=form.uses_template)
        found = []
        scripts = [
            scribe.write(self.messages(example), max_tokens=encoder.max_seq_len) for example in examples
        ]
        for number, (example, script) in enumerate(zip(examples, scripts, strict=True)):
            if script.learned.any():
                found.append(self._text(script, example, number))
        _say_cut(
            sources=sum(script.num_dropped > 0 for script in scripts),
            answers=sum(script.num_cut > 0 for script in scripts),
            of=len(examples),
            max_seq_len=encoder.max_seq_len,
        )
        return found

    def _text(self, script: Script, example: E, number: int) -> AnswerText:
        said = [message.content for message in self.messages(example) if message.role == "assistant"]
        return AnswerText(
            ids=script.ids,
            learned=script.learned,
            example=number,
            num_bytes=sum(len(text.strip().encode()) for text in said),
        )

    def _texts_of_sources(self, examples: Sequence[E], encoder: InputEncoder) -> list[AnswerText]:
        form, found = self.known_form, []
        sources, num_cut = encode_sources([self.source(example) for example in examples], encoder)
        answers = [self._answer_of(example) for example in examples]
        encoded = encoder.tokenizer.encode_batch(answers)
        num_first = len(form.first_ids)
        room = encoder.max_seq_len - num_first
        for number, (source, answer, ids) in enumerate(zip(sources, answers, encoded, strict=True)):
            whole = np.concatenate([form.first_ids, ids, [encoder.tokenizer.eos_id]]).astype(np.int64)
            # The last token is predicted and not taken in.
            whole = whole[: encoder.max_seq_len + 1]
            found.append(
                AnswerText(
                    ids=whole,
                    learned=np.arange(len(whole)) >= num_first,
                    source=np.array(source, np.int64),
                    example=number,
                    num_bytes=len(answer.encode()),
                )
            )
        num_long = sum(len(ids) > room for ids in encoded)
        _say_cut(sources=num_cut, answers=num_long, of=len(examples), max_seq_len=encoder.max_seq_len)
        return found

    def _answer_of(self, example: E) -> str:
        last = self.messages(example)[-1]
        if last.role != "assistant":
            where = str(getattr(example, "origin", ""))
            raise InputError("an example has no answer to learn from", where=where)
        return last.content.strip()

    def asked(self, examples: Sequence[E], encoder: InputEncoder) -> list[Asked]:
        """Examples as what is to be answered, whether they have answers or not.

        Raises:
            InputError: a text is not valid Unicode.
        """
        form = self.known_form
        longest = max(1, min(round(form.longest * _MORE_TOKENS) + 4, encoder.max_seq_len))
        if form.has_source:
            sources, _ = encode_sources([self.source(example) for example in examples], encoder)
            return [Asked(first_ids=form.first_ids, source_ids=ids, max_tokens=longest) for ids in sources]
        scribe = Scribe(encoder.tokenizer, uses_template=form.uses_template)
        room = encoder.max_seq_len - min(longest, int(encoder.max_seq_len * _ANSWER_SHARE))
        prompts = [scribe.prompt(self.asking(example), max_tokens=room) for example in examples]
        return [
            Asked(first_ids=ids, max_tokens=min(longest, encoder.max_seq_len - len(ids))) for ids in prompts
        ]

    def batches(
        self, examples: Sequence[E], encoder: InputEncoder, *, batch_size: int, seed: int
    ) -> AnswerBatches:
        """Packed texts.

        Raises:
            InputError: there is no example, or one is not valid Unicode.
        """
        texts = self.texts(examples, encoder)
        if not texts:
            raise InputError("there is no example to learn from")
        longest = max(_longest_run(text.learned) for text in texts)
        self.form = dataclasses.replace(self.known_form, longest=longest)
        rows = [(text,) for text in texts]
        batches = AnswerBatches(rows, batch_size=batch_size, seed=seed)
        if self.known_form.has_source and self.split_share and can_split(encoder.tokenizer):
            num_steps = max(1, round(self.split_epochs / batches.epochs(1)))
            batches.splitter = Splitter(encoder.tokenizer, share=self.split_share, num_steps=num_steps)
        return batches

    def objective(self) -> Objective[AnswerBatch]:
        """Cross-entropy of what is learned."""
        return Completion(smoothing=self.smoothing)

    def validation(self, examples: Sequence[E], encoder: InputEncoder) -> Validate:
        """Loss and perplexity of a token, bits per byte, and the scores of a sample."""
        texts = self.texts(examples, encoder)
        sample = examples[:: -(-len(examples) // _SAMPLED)]

        def validate(model: Trainable) -> dict[str, float]:
            assert isinstance(model, Transformer)
            judged = _judged(texts, nats_of(model, texts), len(examples))
            found = likelihood_scores(judged).values
            scores = self.sampled(model, sample, encoder)
            return {"loss_nats": float(np.log(found["perplexity"])), **found, **scores}

        return validate

    def sampled(self, model: Transformer, sample: Sequence[E], encoder: InputEncoder) -> dict[str, float]:
        """Scores of answers to a sample; none where answers are not compared."""
        answers = self._write(model, sample, encoder, num_beams=1)
        return {name: value for name, value in self.score(sample, answers).values.items() if value == value}

    def answer(
        self,
        model: Transformer,
        examples: Sequence[E],
        encoder: InputEncoder,
        *,
        on_progress: OnProgress | None = None,
    ) -> list[Prediction]:
        """Answers, looked for as the form says."""
        return self._write(model, examples, encoder, on_progress=on_progress)

    def _write(
        self,
        model: Transformer,
        examples: Sequence[E],
        encoder: InputEncoder,
        *,
        num_beams: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Prediction]:
        search = self.known_form.search(encoder.tokenizer, model, num_beams=num_beams)
        found = answer_many(model, self.asked(examples, encoder), search, on_progress=on_progress)
        decode = encoder.tokenizer.decode
        return [{"text": decode(best[0].token_ids).strip()} for best in found]

    @abstractmethod
    def score(self, examples: Sequence[E], predictions: Sequence[Prediction]) -> Scores:
        """How right predictions are."""

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As they are."""
        return dict(weights)

    def learned(self) -> Self:
        """The same."""
        return self


@dataclass(kw_only=True, eq=False)
class Rewriting(WrittenAnswers[Seq2SeqExample]):
    """A text that becomes another: translation, summarization."""

    def messages(self, example: Seq2SeqExample) -> list[Message]:
        """The source asks, the first target answers."""
        asking = Message("user", example.source)
        return [asking, Message("assistant", example.targets[0])] if example.targets else [asking]

    def source(self, example: Seq2SeqExample) -> str:
        """The source as it is."""
        return example.source

    def score(self, examples: Sequence[Seq2SeqExample], predictions: Sequence[Prediction]) -> Scores:
        """BLEU and chrF of translations, ROUGE of summaries, against all targets."""
        wanted = [list(example.targets or ()) for example in examples]
        made = [row["text"] for row in predictions]
        if self.task == "summarization":
            return metrics.rouge(wanted, made)
        return metrics.joined(metrics.bleu(wanted, made), metrics.chrf(wanted, made))


@dataclass(kw_only=True, eq=False)
class LikelyTexts(WrittenAnswers[E]):
    """Skills that are judged by how likely the right text is, not by one of many right answers."""

    @abstractmethod
    def is_judged(self, example: E) -> bool:
        """Whether the example has the text that it is judged by."""

    def sampled(self, model: Transformer, sample: Sequence[E], encoder: InputEncoder) -> dict[str, float]:
        """None."""
        return {}

    def answer(
        self,
        model: Transformer,
        examples: Sequence[E],
        encoder: InputEncoder,
        *,
        on_progress: OnProgress | None = None,
    ) -> list[Prediction]:
        """Of examples with an answer how likely it is, of others an answer."""
        found: list[Prediction] = [{}] * len(examples)
        judged = [row for row, example in enumerate(examples) if self.is_judged(example)]
        if judged:
            texts = self.texts([examples[row] for row in judged], encoder)
            nats = nats_of(model, texts)
            for row, prediction in zip(judged, _judged(texts, nats, len(judged)), strict=True):
                found[row] = prediction
            if on_progress is not None:
                on_progress(len(judged))
        rest = [row for row, example in enumerate(examples) if not self.is_judged(example)]
        written = self._write(model, [examples[row] for row in rest], encoder, on_progress=on_progress)
        for row, prediction in zip(rest, written, strict=True):
            found[row] = prediction
        return found

    def score(self, examples: Sequence[E], predictions: Sequence[Prediction]) -> Scores:
        """Bits per byte and perplexity of the right texts."""
        return likelihood_scores(predictions)


@dataclass(kw_only=True, eq=False)
class Chatting(LikelyTexts[ChatExample]):
    """Conversations; every answer in them is learned."""

    is_chat: ClassVar[bool] = True

    def messages(self, example: ChatExample) -> list[Message]:
        """As it is."""
        return list(example.messages)

    def is_judged(self, example: ChatExample) -> bool:
        """Whether the last word is the assistant's."""
        return example.messages[-1].role == "assistant"


@dataclass(kw_only=True, eq=False)
class TextWriting(LikelyTexts[TextExample | Seq2SeqExample]):
    """Texts of a kind, which a decoder learns to write; a source without target is continued."""

    def messages(self, example: TextExample | Seq2SeqExample) -> list[Message]:
        """The beginning that is continued."""
        return [Message("user", example.inputs()[0])]

    def is_judged(self, example: TextExample | Seq2SeqExample) -> bool:
        """Whether it is a whole text."""
        return isinstance(example, TextExample)

    def begin(self, network: Transformer, checkpoint: Checkpoint) -> None:
        """Take a network that is there already, of the checkpoint.

        Raises:
            InputError: it is no decoder.
        """
        super().begin(network, checkpoint)
        if self.known_form.has_source:
            raise InputError("an encoder-decoder writes no text of its own", where=checkpoint.path)

    def texts(
        self, examples: Sequence[TextExample | Seq2SeqExample], encoder: InputEncoder
    ) -> list[AnswerText]:
        """Whole texts, in stretches where they are too long."""
        scribe, found = Scribe(encoder.tokenizer, uses_template=False), []
        for number, example in enumerate(examples):
            text = example.inputs()[0]
            ids, step = scribe.text(text), encoder.max_seq_len
            for start in range(0, len(ids) - 1, step):
                stretch = ids[start : start + step + 1]
                found.append(
                    AnswerText(
                        ids=stretch,
                        learned=np.arange(len(stretch)) > 0,
                        example=number,
                        num_bytes=len(text.encode()) if start == 0 else 0,
                    )
                )
        return found

    def asked(self, examples: Sequence[TextExample | Seq2SeqExample], encoder: InputEncoder) -> list[Asked]:
        """Beginnings to be continued."""
        scribe, found = Scribe(encoder.tokenizer, uses_template=False), []
        room = encoder.max_seq_len - max(1, int(encoder.max_seq_len * _ANSWER_SHARE))
        for example in examples:
            ids = scribe.text(example.inputs()[0])[:-1]
            ids = np.concatenate([ids[:1], ids[1:][-(room - 1) :]]) if len(ids) > room else ids
            most = min(self.known_form.longest, encoder.max_seq_len - len(ids))
            found.append(Asked(first_ids=ids.tolist(), max_tokens=max(1, most)))
        return found


def likelihood_scores(predictions: Sequence[Prediction]) -> Scores:
    """``bits_per_byte`` and ``perplexity`` of texts, from their ``nats``, ``tokens`` and ``bytes``.

    Raises:
        InputError: one was answered, not judged.
    """
    if any("nats" not in row for row in predictions):
        raise InputError("a row has no answer to judge by")
    rows = np.array([[row["nats"], row["tokens"], row["bytes"]] for row in predictions], np.float64)

    def formula(sums: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            bits = sums[:, 0] / (np.log(2) * sums[:, 2])
            perplexity = np.exp(np.minimum(sums[:, 0] / sums[:, 1], 700.0))
        return np.column_stack([bits, perplexity])

    return from_rows(["bits_per_byte", "perplexity"], rows, formula)


def _judged(texts: Sequence[AnswerText], nats: NDArray[np.float64], num_examples: int) -> list[Prediction]:
    """What the losses of texts say of each example; one whose answer was cut away has nothing in it."""
    found: list[Prediction] = [{"nats": 0.0, "tokens": 0, "bytes": 0} for _ in range(num_examples)]
    for text, loss in zip(texts, nats.tolist(), strict=True):
        row = found[text.example]
        row["nats"] += loss
        row["tokens"] += text.num_learned
        row["bytes"] += text.num_bytes
    return found


def _longest_run(learned: NDArray[np.bool_]) -> int:
    """Tokens of the longest answer of a text."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], learned, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=1))


def _say_cut(*, sources: int, answers: int, of: int, max_seq_len: int) -> None:
    if sources or answers:
        say(
            f"longer than {max_seq_len} tokens, and cut: what comes before the answer in {sources:,} "
            f"of {of:,} examples, the answer in {answers:,}"
        )
