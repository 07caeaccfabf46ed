"""The cheap models that stand beside answers that are texts.

Translations: the source itself. Summaries: its first three sentences (Nallapati et al. 2017, arXiv
1611.04230, section 4.1). Either: the answer that was most frequent. Conversations and texts, which are judged
by how likely they are: a modified Kneser-Ney model of characters. Preferences: the longer answer (Singhal et
al. 2023, arXiv 2310.03716: much of what reward models learn is length).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from yanmo.finetuning.skill import Prediction
from yanmo.models.ngram.characters import fit_character_ngram
from yanmo.tasks.examples import ChatExample, PreferenceExample, Seq2SeqExample, TextExample

# A Chinese sentence ends without a space behind it; a full stop in a number or behind an initial ends none.
_SENTENCE = re.compile(r".+?(?:[。！？!?]+[”’」』）)\"']*|(?<!\b[A-Z])\.+[\"')]*(?=\s)|\n+|$)", re.DOTALL)
_NUM_LEAD = 3
_CHARACTER_ORDER = 6


class Copy:
    """The source as it is."""

    name = "the source itself"

    def predict(self, examples: Sequence[Seq2SeqExample]) -> list[Prediction]:
        """One a source."""
        return [{"text": example.source} for example in examples]


class Lead:
    """The first sentences."""

    name = f"the first {_NUM_LEAD} sentences"

    def predict(self, examples: Sequence[Seq2SeqExample]) -> list[Prediction]:
        """One a source."""
        return [{"text": lead(example.source)} for example in examples]


class UsualAnswer:
    """Always the answer that was most frequent."""

    name = "always the most frequent answer"

    def __init__(self, train: Sequence[Seq2SeqExample]) -> None:
        """Count first targets; of equally frequent ones the first counts."""
        counts = Counter(example.targets[0] for example in train if example.targets)
        self.answer = counts.most_common(1)[0][0] if counts else ""

    def predict(self, examples: Sequence[Seq2SeqExample]) -> list[Prediction]:
        """The same for all."""
        return [{"text": self.answer}] * len(examples)


class CharacterModel:
    """How likely answers are under a model of characters that has read those of the training rows."""

    name = f"an n-gram of {_CHARACTER_ORDER} characters"

    def __init__(self, train: Sequence[ChatExample | TextExample]) -> None:
        """Learn from the training rows.

        Raises:
            InputError: they hold no text.
        """
        self._model = fit_character_ngram(map(said, train), order=_CHARACTER_ORDER)

    def predict(self, examples: Sequence[ChatExample | TextExample]) -> list[Prediction]:
        """Nats, bytes, and characters for tokens, of each."""
        return [
            {"nats": float(nats.sum()), "tokens": len(nats), "bytes": int(num_bytes.sum())}
            for nats, num_bytes in self._model.losses(map(said, examples))
        ]


class Longer:
    """The longer answer is the better."""

    name = "the longer answer"

    def predict(self, examples: Sequence[PreferenceExample]) -> list[Prediction]:
        """By characters."""
        margins = [len(example.chosen) - len(example.rejected) for example in examples]
        return [
            {"label": "chosen" if margin > 0 else "rejected", "score": float(margin)} for margin in margins
        ]


def lead(text: str, num_sentences: int = _NUM_LEAD) -> str:
    """The first sentences of a text, Chinese or English."""
    sentences = [match[0] for match in _SENTENCE.finditer(text) if match[0].strip()]
    return "".join(sentences[:num_sentences]).strip()


def said(example: ChatExample | TextExample) -> str:
    """What is learned of an example: all that the assistant says, or the text."""
    if isinstance(example, TextExample):
        return example.text
    return "\n".join(message.content for message in example.messages if message.role == "assistant")
