"""A language model asked a task by a prompt, without being trained: the rows' labels ranked by likelihood.

A prompt holds some labelled rows and then the row that is asked (Brown et al. 2020, arXiv 2005.14165,
section 2); what is answered is the label that the model finds likeliest there, or for question answering the
line that it writes. A model may favour a label whatever is asked; ``calibrated`` divides each label's
probability by what it gets for inputs that say nothing (Zhao et al. 2021, arXiv 2102.09690, section 5: the
mean of "N/A", "[MASK]" and the empty text). A departure: the probability of a label is that of all its
tokens, not of the first alone.

Examples and questions in Chinese are put in Chinese.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yanmo.errors import InputError
from yanmo.evaluation.continuations import continuation_costs, encode_prompts
from yanmo.finetuning.skill import OnProgress, Prediction, Skill
from yanmo.finetuning.spans import AnswerSpans
from yanmo.finetuning.text_labels import OneClass
from yanmo.generation.engine import Engine, SamplingParams
from yanmo.metrics.segments import mostly_chinese
from yanmo.models.registry import LoadedModel
from yanmo.reporting.progress import Progress
from yanmo.tasks.examples import Example, QuestionExample

Floats = NDArray[np.float64]

_BETWEEN = "\n\n"
_MOST_ANSWER_TOKENS = 48
# Tokens of the wording around a text, at most.
_WORDING_TOKENS = 24


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How a task is put in one language.

    Attributes:
        asked: of each task, the text before a label; {0} and {1} are the row's texts.
        gap: between it and the label.
        nothing: inputs that say nothing.
        no_answer: what stands for an answer that is not there.
    """

    asked: Mapping[str, str]
    gap: str
    nothing: tuple[str, ...]
    no_answer: str


ENGLISH = Wording(
    asked={
        "text-classification": "Text: {0}\nLabel:",
        "pair-classification": "First: {0}\nSecond: {1}\nLabel:",
        "relation-extraction": "Text: {0}\nRelation:",
        "question-answering": "Context: {1}\nQuestion: {0}\nAnswer:",
    },
    gap=" ",
    nothing=("N/A", "[MASK]", ""),
    no_answer="no answer",
)
CHINESE = Wording(
    asked={
        "text-classification": "文本：{0}\n标签：",
        "pair-classification": "句子一：{0}\n句子二：{1}\n标签：",
        "relation-extraction": "文本：{0}\n关系：",
        "question-answering": "材料：{1}\n问题：{0}\n答案：",
    },
    gap="",
    nothing=("无", "[MASK]", ""),
    no_answer="无答案",
)


class PromptedModel:
    """A language model with labelled rows before each question; it answers as a fine-tuned model does."""

    def __init__(
        self,
        loaded: LoadedModel,
        skill: Skill[Any],
        examples: Sequence[Example],
        *,
        task: str,
        label_words: Mapping[str, str] | None = None,
        calibrated: bool = False,
        chinese: bool | None = None,
    ) -> None:
        """Make the prompt.

        Args:
            loaded: the model.
            skill: what the task's answers are.
            examples: labelled rows, in the order in which they are shown.
            task: its name.
            label_words: how the model reads labels that say little (``{"0": "negative"}``).
            calibrated: divide by what inputs that say nothing get.
            chinese: language of the wording; that of the examples if None.

        Raises:
            InputError: the task is not asked by prompts, or a label that is named is not there.
        """
        if not isinstance(skill, OneClass | AnswerSpans) or task not in ENGLISH.asked:
            raise InputError(
                f"{task} with labels of this kind is not asked by prompts",
                remedy=f"tasks with one label a row: {', '.join(ENGLISH.asked)}; or yanmo finetune",
            )
        if calibrated and not isinstance(skill, OneClass):
            raise InputError("answers in words are not calibrated", remedy="leave --calibrate out")
        unknown = [label for label in label_words or {} if label not in skill.labels]
        if unknown:
            raise InputError(
                f"there is no label {unknown[0]!r}", remedy=f"there are {', '.join(skill.labels[:8])}"
            )
        self.name, self.task, self.skill = loaded.name, task, skill
        self._loaded, self._words, self._calibrated = loaded, dict(label_words or {}), calibrated
        if chinese is None:
            chinese = mostly_chinese(text for example in examples for text in example.inputs())
        self.wording = CHINESE if chinese else ENGLISH
        self._num_rows = len(examples) + 1
        self.shown = tuple(self.asked(example.inputs()) + self._answer_of(example) for example in examples)

    @property
    def _before(self) -> str:
        return "".join(text + _BETWEEN for text in self.shown)

    def asked(self, texts: Sequence[str]) -> str:
        """A row as it is put, without its label; what would not fit the model is cut off its texts."""
        return self.wording.asked[self.task].format(*(self._cut(text, len(texts)) for text in texts))

    def prompt(self, texts: Sequence[str]) -> str:
        """All that the model reads before it answers."""
        return self._before + self.asked(texts)

    def answer(
        self, examples: Sequence[Example], *, on_progress: OnProgress | None = None
    ) -> list[Prediction]:
        """One prediction an example, as those of a fine-tuned model; with a bar where no one is told.

        Raises:
            InputError: a text is not valid Unicode.
        """
        if not examples:
            return []
        if on_progress is None:
            with Progress(self.task, total=len(examples), unit="rows") as progress:
                return self.answer(examples, on_progress=progress.advance)
        prompts = [self.prompt(example.inputs()) for example in examples]
        if isinstance(self.skill, AnswerSpans):
            return self._written(prompts, on_progress)
        shares = _softmax(self._log_shares(prompts, on_progress) - self._favour)
        return [
            {
                "label": self.skill.labels[int(row.argmax())],
                "probabilities": dict(zip(self.skill.labels, row.tolist(), strict=True)),
            }
            for row in shares
        ]

    @cached_property
    def _favour(self) -> Floats:
        """Log of the share that each label gets whatever is asked; zeros where this is not corrected."""
        if not self._calibrated:
            return np.zeros(len(self.skill.labels))
        num_texts = 2 if "{1}" in self.wording.asked[self.task] else 1
        empty = [self.prompt((nothing,) * num_texts) for nothing in self.wording.nothing]
        found: Floats = np.log(np.exp(self._log_shares(empty, None)).mean(0))
        return found

    def _log_shares(self, prompts: Sequence[str], on_progress: OnProgress | None) -> Floats:
        """Log of each label's share of the probability of all labels, (prompts, labels)."""
        words = [self.wording.gap + self._words.get(label, label) for label in self.skill.labels]
        requests = list(encode_prompts(self._loaded.tokenizer, ((prompt, words) for prompt in prompts)))
        costs = continuation_costs(self._loaded.model, requests, on_progress=on_progress)
        scores = np.array([[-cost.loss_nats for cost in several] for several in costs.of_requests])
        return np.log(np.maximum(_softmax(scores), np.finfo(np.float64).tiny))

    def _written(self, prompts: Sequence[str], on_progress: OnProgress | None) -> list[Prediction]:
        engine = Engine(self._loaded.model, self._loaded.tokenizer, self._loaded.generation)
        params = SamplingParams(max_tokens=_MOST_ANSWER_TOKENS, temperature=0.0, stop=("\n",), num_logprobs=0)
        found: list[Prediction] = []
        for prompt in prompts:
            written = engine.generate(engine.encode(prompt), params)
            text = written.text.strip()
            # How sure the model is of what it wrote.
            score = sum(token.logprob for token in written.logprobs)
            found.append({"answer": "" if text == self.wording.no_answer else text, "score": score})
            if on_progress is not None:
                on_progress(1)
        return found

    def _answer_of(self, example: Example) -> str:
        if isinstance(example, QuestionExample):
            text = example.answers[0].text if example.answers else self.wording.no_answer
        else:
            (label,) = example.labels()
            text = self._words.get(label, label)
        return self.wording.gap + text

    def _cut(self, text: str, num_texts: int) -> str:
        longest = self._loaded.model.max_seq_len
        if longest is None:
            return text
        left = longest - (_MOST_ANSWER_TOKENS if isinstance(self.skill, AnswerSpans) else 0)
        most = max(1, (left // self._num_rows - _WORDING_TOKENS) // num_texts)
        ((ids, starts),) = self._loaded.tokenizer.encode_batch_with_starts([text])
        return text if len(ids) <= most else text[: int(starts[most])]


def draw_examples(examples: Sequence[Example], number: int, *, seed: int) -> list[Example]:
    """Rows to show, of each label as many as possible, in an order that the seed decides.

    Args:
        examples: labelled rows.
        number: how many.
        seed: of the draw.

    Raises:
        InputError: there are too few rows.
    """
    if number < 0:
        raise InputError(f"--few-shot cannot be {number}", remedy="choose 0 or more")
    if len(examples) < number:
        raise InputError(
            f"there are {len(examples)} rows to draw {number} examples from",
            remedy="ask for fewer with --few-shot, or name others with --train",
        )
    rng = random.Random(seed)
    by_label: dict[tuple[str, ...], list[Example]] = defaultdict(list)
    for example in examples:
        by_label[example.labels()].append(example)
    for same in by_label.values():
        rng.shuffle(same)
    groups = [by_label[label] for label in sorted(by_label)]
    rng.shuffle(groups)
    drawn: list[Example] = []
    while len(drawn) < number:
        drawn += [same.pop() for same in groups if same][: number - len(drawn)]
    rng.shuffle(drawn)
    return drawn


def _softmax(scores: Floats) -> Floats:
    shifted = np.exp(scores - scores.max(-1, keepdims=True))
    shares: Floats = shifted / shifted.sum(-1, keepdims=True)
    return shares
