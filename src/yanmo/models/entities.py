"""Names, places and other things in a text, as a token-classification model marks them.

A text is cut into windows at ends of sentences, for that is what such models learn from. A word is what its
first token is, and neighbouring words of one label are one entity, by the marks that the labels carry: B and
I (Ramshaw and Marcus 1995), E, L, S and U (Ratinov and Roth 2009), or none.

Shapes: N tokens of a packed row, C labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import family_of
from yanmo.models.folder import load_transformer
from yanmo.models.heads import HeadKind
from yanmo.models.registry import check_vocabularies
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import pack_lists
from yanmo.tokenizers.encoding import Encoding
from yanmo.tokenizers.load import Tokenizer

_WINDOW_CHARS, _BATCH_WINDOWS = 600, 8
_MARKED = re.compile(r"([BIELSU])[-_](.+)", re.DOTALL)
_OUTSIDE, _BEGINS, _ENDS = "O", frozenset("BSU"), frozenset("ELSU")
_SENTENCE_END = re.compile(r"\n|[。！？!?；](?:[”’」』）)]*)|[.](?=\s)")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


class Entity(NamedTuple):
    """``text[start:end]`` is one, with the mean probability of its words."""

    label: str
    start: int
    end: int
    probability: float


def labels_of(path: Path | str) -> tuple[str, ...]:
    """What a model marks, without the marks of beginning and end; reads no weights.

    Raises:
        InputError: the model is missing, damaged, or does not classify tokens.
    """
    checkpoint = Checkpoint.open(path)
    where = checkpoint.config_path
    config = family_of(checkpoint.config, where=where).read_config(checkpoint.config, where=where)
    head = next((head for head in config.heads if head.kind is HeadKind.TOKEN_CLASSIFICATION), None)
    if head is None:
        what = "the model does not classify tokens"
        raise InputError(what, where=checkpoint.path, remedy="give one that marks names")
    return tuple(dict.fromkeys(_parted(label)[1] for label in head.labels if label != _OUTSIDE))


class _Window(NamedTuple):
    start: int
    encoding: Encoding


class _Word(NamedTuple):
    start: int
    end: int
    label: str
    probability: float


class EntityFinder:
    """Texts in, entities out."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer) -> None:
        """Join an encoder that classifies tokens, and its tokenizer.

        Raises:
            InputError: the model has no such head, or its labels have no names.
        """
        head = model.head(HeadKind.TOKEN_CLASSIFICATION).config
        if not head.labels:
            raise InputError("the labels of the model have no names", remedy="its config.json needs id2label")
        self._model, self._tokenizer, self._marked = model, tokenizer, head.labels
        limits = (tokenizer.max_seq_len, model.max_seq_len)
        self._max_seq_len = min(limit for limit in limits if limit is not None)

    @classmethod
    def load(cls, path: Path | str) -> EntityFinder:
        """Load a model.

        Args:
            path: a model folder, a run, or a name in the local Hugging Face cache.

        Raises:
            InputError: the model is missing, damaged, too big for the memory, or does not classify tokens.
        """
        checkpoint = Checkpoint.open(path)
        where = checkpoint.config_path
        model = load_transformer(checkpoint.config, checkpoint.source(), where=where)
        check_vocabularies(checkpoint.tokenizer, model, where=checkpoint.path)
        return cls(model, checkpoint.tokenizer)

    def find(self, text: str) -> list[Entity]:
        """The entities in a text, in order; lone surrogates are none."""
        text = _written(text)
        return list(_joined(text, list(self._all_words(text))))

    def tag(self, text: str) -> list[tuple[str, str]]:
        """Every word of a text with its label, in order: parts of speech, where the model knows these."""
        text = _written(text)
        return [(text[word.start : word.end], word.label) for word in self._all_words(text)]

    def _all_words(self, text: str) -> Iterator[_Word]:
        windows = self._windows(text)
        while some := list(islice(windows, _BATCH_WINDOWS)):
            yield from self._words(text, some)

    def _windows(self, text: str) -> Iterator[_Window]:
        """The text in stretches, cut behind the last sentence that ends in each."""
        start = 0
        while start < len(text):
            end = len(text)
            if end - start > _WINDOW_CHARS:
                end = _best_cut(text, start, start + _WINDOW_CHARS)
            yield from self._fitting(text, start, end)
            start = end

    def _fitting(self, text: str, start: int, end: int) -> Iterator[_Window]:
        """A stretch as it is, or in halves if the model cannot take it whole."""
        encoding = self._tokenizer.encode_with_specials(text[start:end])
        if len(encoding.ids) <= self._max_seq_len:
            if encoding.ids:
                yield _Window(start, encoding)
        elif end - start > 1:
            cut = _best_cut(text, start, start + (end - start) // 2)
            yield from self._fitting(text, start, cut)
            yield from self._fitting(text, cut, end)

    def _words(self, text: str, windows: Sequence[_Window]) -> list[_Word]:
        """The words of some windows with their labels, in order."""
        words: list[_Word] = []
        places = 0
        probabilities_N, labels_N = self._labelled([encoding.ids for _, encoding in windows])
        for begin, encoding in windows:
            last_end = -1
            for token, (start, end) in enumerate(encoding.offsets, start=places):
                start, end = _trimmed(text, begin + start, begin + end)
                if encoding.special_mask[token - places] or start == end:
                    continue
                if _continues(text, last_end, start):
                    words[-1] = words[-1]._replace(end=end)
                else:
                    label, probability = self._marked[int(labels_N[token])], float(probabilities_N[token])
                    words.append(_Word(start, end, label, probability))
                last_end = end
            places += len(encoding.ids)
        return words

    @torch.inference_mode()
    def _labelled(self, ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Probability and number of the likeliest label of each token of packed windows."""
        tokens_1N, segments = pack_lists(ids)
        logits_1NC = self._model(tokens_1N, segments=segments, head=HeadKind.TOKEN_CLASSIFICATION)
        probabilities_N, labels_N = logits_1NC[0].float().softmax(-1).max(-1)
        return probabilities_N, labels_N


def _written(text: str) -> str:
    """A text that can be written as UTF-8, of the same length."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def _best_cut(text: str, start: int, limit: int) -> int:
    """Behind the last sentence that ends before ``limit``, else the last space, else there."""
    sentence = max((end.end() for end in _SENTENCE_END.finditer(text, start, limit)), default=start)
    return next(cut for cut in (sentence, text.rfind(" ", start, limit) + 1, limit) if cut > start)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the white space that some tokenizers count to a token."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _continues(text: str, last_end: int, start: int) -> bool:
    """Whether a token goes on the word of the token that ended there."""
    if start != last_end:
        return False
    before, first = text[start - 1], text[start]
    return before.isalnum() and first.isalnum() and not _CJK.match(before) and not _CJK.match(first)


def _parted(label: str) -> tuple[str, str]:
    """Its mark, "" where it has none, and the label itself."""
    marked = _MARKED.fullmatch(label)
    return (marked[1], marked[2]) if marked else ("", label)


def _joined(text: str, words: Sequence[_Word]) -> Iterator[Entity]:
    """Entities of neighbouring words."""
    held: list[_Word] = []
    last_mark, last_label = "", _OUTSIDE
    for word in words:
        mark, label = _parted(word.label)
        goes_on = (
            bool(held)
            and label == last_label
            and mark not in _BEGINS
            and last_mark not in _ENDS
            and "\n" not in text[held[-1].end : word.start]
        )
        if held and not goes_on:
            yield _entity(last_label, held)
            held = []
        if label != _OUTSIDE:
            held.append(word)
        last_mark, last_label = mark, label
    if held:
        yield _entity(last_label, held)


def _entity(label: str, words: Sequence[_Word]) -> Entity:
    probability = sum(word.probability for word in words) / len(words)
    return Entity(label, words[0].start, words[-1].end, probability)
