"""ARPA files: the text form of back-off models that KenLM, SRILM and speech recognisers read.

Sections ``\\data\\``, ``\\1-grams:`` ... ``\\end\\``; a line is log10 p(w | context), the n-gram, and
log10 of the back-off weight where the order is not the highest. ``<s>`` and ``</s>`` are one id in the
model (the end of text), two words in the file. ``.gz`` files are compressed.
"""

from __future__ import annotations

import gzip
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from yanmo.artifact import disk_error
from yanmo.errors import InputError
from yanmo.models.ngram.kneser_ney import Floats, Ints
from yanmo.models.ngram.model import NgramConfig, NgramModel

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"

_LOG10_NEVER = -99.0
# A certain token's log probability may be written just above 0.
_ROUNDING = 1e-5
_ROWS_AT_ONCE = 100_000
# What readers split at. Other Unicode spaces are part of a word.
_SPACES = " \t\n\r\0\v\f"
_SPACE = re.compile(f"[{_SPACES}]")
_GAP = re.compile(f"[{_SPACES}]+")


def write_arpa(model: NgramModel, path: Path, symbols: Sequence[str]) -> None:
    """Write a model as an ARPA file.

    Args:
        model: what to write.
        path: ``.arpa``, or ``.arpa.gz`` to compress.
        symbols: V words, one an id; those of the end of text and of the unknown token (if the model
            has one) are not used: they are written as ``<s>``, ``</s>`` and ``<unk>``.

    Raises:
        InputError: a word is missing, empty, twice there, reserved, or holds a space.
        YanmoError: the disk is full or the place cannot be written.
    """
    config = model.config
    words = _checked_words(symbols, config)
    temporary = path.with_name(f".tmp.{path.name}")
    try:
        with _open(temporary, "w") as file:
            # <s> is one 1-gram more than the model has, and <unk> where it has none.
            extra = 1 if config.unk_id is not None else 2
            numbers = [len(keys) + (extra if n == 1 else 0) for n, keys in enumerate(model.keys, start=1)]
            file.write("\\data\\\n")
            file.writelines(f"ngram {n}={number}\n" for n, number in enumerate(numbers, start=1))
            for n in range(1, config.order + 1):
                file.write(f"\n\\{n}-grams:\n")
                file.writelines(_unigram_lines(model, words) if n == 1 else _lines(model, n, words))
            file.write("\n\\end\\\n")
        temporary.replace(path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_arpa(path: Path) -> tuple[NgramModel, list[str]]:
    """Read an ARPA file.

    Args:
        path: ``.arpa`` or ``.arpa.gz``.

    Returns:
        The model, and the words of its ids in the order of the 1-grams: ``</s>`` stands for the end of
        text. A file without ``<unk>`` gives it probability 10^-99.

    Raises:
        InputError: the file is missing, damaged, or not an ARPA file; the line is named.
    """
    try:
        with _open(path, "r") as file:
            return _Reader(path, file).read()
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=path, remedy="the file is damaged") from None


def _open(path: Path, mode: Literal["r", "w"]) -> IO[str]:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.GzipFile(path, mode), encoding="utf-8", newline="\n")
    return path.open(mode, encoding="utf-8", newline="\n")


def _checked_words(symbols: Sequence[str], config: NgramConfig) -> list[str]:
    if len(symbols) != config.vocab_size:
        raise InputError(f"{len(symbols)} words were given for a vocabulary of {config.vocab_size}")
    words = list(symbols)
    words[config.eos_id] = END
    if config.unk_id is not None:
        words[config.unk_id] = UNKNOWN
    seen: dict[str, int] = {BEGIN: -1, END: config.eos_id}
    seen[UNKNOWN] = -1 if config.unk_id is None else config.unk_id
    for index, word in enumerate(words):
        if not word or _SPACE.search(word):
            raise InputError(f"the word {word!r} cannot stand in an ARPA file", remedy="replace its spaces")
        if seen.setdefault(word, index) != index:
            raise InputError(f"the word {word!r} is reserved or there twice", remedy="give every id its own")
    return words


def _log10(nats: NDArray[np.floating]) -> list[float]:
    values: list[float] = (nats.astype(np.float64) / math.log(10)).tolist()
    return values


def _unigram_lines(model: NgramModel, words: list[str]) -> Iterator[str]:
    config = model.config
    log_p, log_b = _log10(model.log_probabilities[0]), _log10(model.log_backoffs[0])
    if config.unk_id is None:
        yield f"{_LOG10_NEVER:g}\t{UNKNOWN}\t0\n"
    yield f"{_LOG10_NEVER:g}\t{BEGIN}\t{log_b[config.eos_id]:.7g}\n"
    for index, word in enumerate(words):
        back = 0.0 if index == config.eos_id else log_b[index]
        yield f"{log_p[index]:.7g}\t{word}\t{back:.7g}\n"


def _lines(model: NgramModel, n: int, words: list[str]) -> Iterator[str]:
    """Lines of the n-grams of order n >= 2, in the order of their keys."""
    begin_words = list(words)
    begin_words[model.config.eos_id] = BEGIN
    for first in range(0, len(model.keys[n - 1]), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        columns = [
            [(words if place == n - 1 else begin_words)[token] for token in column.tolist()]
            for place, column in enumerate(_tokens(model, n, rows))
        ]
        log_p = _log10(model.log_probabilities[n - 1][rows])
        ngrams = zip(*columns, strict=True)
        if n < model.order:
            log_b = _log10(model.log_backoffs[n - 1][rows])
            for p, ngram, b in zip(log_p, ngrams, log_b, strict=True):
                yield f"{p:.7g}\t{' '.join(ngram)}\t{b:.7g}\n"
        else:
            for p, ngram in zip(log_p, ngrams, strict=True):
                yield f"{p:.7g}\t{' '.join(ngram)}\n"


def _tokens(model: NgramModel, n: int, rows: slice) -> list[Ints]:
    """The n tokens of some n-grams, a column each, unpacked from their keys."""
    columns: list[Ints] = []
    keys = model.keys[n - 1][rows]
    for level in range(n - 1, -1, -1):
        prefixes, last = np.divmod(keys, model.vocab_size)
        columns.append(last)
        if level:
            keys = model.keys[level - 1][prefixes]
    return columns[::-1]


class _Reader:
    """One ARPA file being read, line by line."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._path, self._file, self._line = path, file, 0
        self._ids: dict[str, int] = {}

    def read(self) -> tuple[NgramModel, list[str]]:
        numbers = self._header()
        order = len(numbers)
        words, log_p, log_b = self._unigrams(numbers[0], highest=order == 1)
        vocab_size, eos_id = len(words), self._ids[END]
        keys: list[Ints] = [np.arange(vocab_size, dtype=np.int64)]
        probabilities, backoffs = [log_p], [log_b]
        for n in range(2, order + 1):
            tokens, log_p, log_b = self._section(n, numbers[n - 1], highest=n == order)
            packed = self._pack(tokens, keys, vocab_size)
            by_key = np.argsort(packed)
            keys.append(packed[by_key])
            if np.any(keys[-1][1:] == keys[-1][:-1]):
                raise self._wrong(f"a {n}-gram is there twice")
            probabilities.append(log_p[by_key])
            backoffs.append(log_b[by_key])
        if self._next() != "\\end\\":
            raise self._wrong("\\end\\ is missing")
        config = NgramConfig(order=order, vocab_size=vocab_size, eos_id=eos_id, unk_id=self._ids[UNKNOWN])
        model = NgramModel(
            config,
            keys=keys,
            log_probabilities=[values * math.log(10) for values in probabilities],
            log_backoffs=[values * math.log(10) for values in backoffs[:-1]],
        )
        return model, words

    def _header(self) -> list[int]:
        if self._next() != "\\data\\":
            raise self._wrong("not an ARPA file: \\data\\ is missing")
        numbers: list[int] = []
        while (match := re.fullmatch(r"ngram (\d+)\s*=\s*(\d+)", line := self._next())) is not None:
            if int(match[1]) != len(numbers) + 1:
                raise self._wrong(f"the count of order {len(numbers) + 1} is missing")
            numbers.append(int(match[2]))
        if line != "\\1-grams:" or not numbers:
            raise self._wrong("\\1-grams: is missing")
        return numbers

    def _unigrams(self, number: int, *, highest: bool) -> tuple[list[str], Floats, Floats]:
        words: list[str] = []
        values: list[tuple[float, float]] = []
        begin_backoff = 0.0
        for _ in range(number):
            (word,), p, b = self._entry(1, highest=highest)
            if word == BEGIN:
                begin_backoff = b
                continue
            if word in self._ids:
                raise self._wrong(f"the word {word!r} is there twice")
            self._ids[word] = len(words)
            words.append(word)
            values.append((p, b))
        for needed in (UNKNOWN, END):
            if needed not in self._ids:
                self._ids[needed] = len(words)
                words.append(needed)
                values.append((_LOG10_NEVER, 0.0))
        table = np.array(values, np.float64)
        table[self._ids[END], 1] = begin_backoff
        return words, table[:, 0], table[:, 1]

    def _section(self, n: int, number: int, *, highest: bool) -> tuple[Ints, Floats, Floats]:
        if self._next() != f"\\{n}-grams:":
            raise self._wrong(f"\\{n}-grams: is missing, or the order below has another number of lines")
        tokens = np.empty((number, n), np.int64)
        values = np.empty((number, 2), np.float64)
        for row in range(number):
            ngram, p, b = self._entry(n, highest=highest)
            try:
                tokens[row] = [self._ids[END if word == BEGIN else word] for word in ngram]
            except KeyError as error:
                raise self._wrong(f"the word {error} is not among the 1-grams") from None
            values[row] = p, b
        return tokens, values[:, 0], values[:, 1]

    def _entry(self, n: int, *, highest: bool) -> tuple[list[str], float, float]:
        fields = _GAP.split(self._next())
        if len(fields) not in ((n + 1,) if highest else (n + 1, n + 2)):
            raise self._wrong(f"not a {n}-gram: {len(fields)} fields")
        try:
            p, b = float(fields[0]), float(fields[n + 1]) if len(fields) > n + 1 else 0.0
        except ValueError:
            raise self._wrong("a probability is not a number") from None
        if not (p <= _ROUNDING and math.isfinite(p) and math.isfinite(b)):
            raise self._wrong("a log probability is above 0 or not finite")
        ngram = fields[1 : n + 1]
        if n > 1 and (BEGIN in ngram[1:] or END in ngram[:-1]):
            raise self._wrong(f"{BEGIN} or {END} in the middle of an n-gram")
        return ngram, min(p, 0.0), b

    def _pack(self, tokens: Ints, keys: list[Ints], vocab_size: int) -> Ints:
        places = tokens[:, 0]
        for n in range(2, tokens.shape[1] + 1):
            packed = places * vocab_size + tokens[:, n - 1]
            if n == tokens.shape[1]:
                return packed
            below = keys[n - 1]
            places = np.minimum(np.searchsorted(below, packed), max(len(below) - 1, 0))
            if not len(below) or np.any(below[places] != packed):
                raise self._wrong(f"the context of a {tokens.shape[1]}-gram is not among the {n}-grams")
        raise AssertionError("an n-gram of order 1 has no key to pack")

    def _next(self) -> str:
        """The next line that is not empty."""
        for line in self._file:
            self._line += 1
            if stripped := line.strip(_SPACES):
                return stripped
        raise self._wrong("the file ends too early")

    def _wrong(self, what: str) -> InputError:
        return InputError(
            what, where=f"{self._path}:{self._line}", remedy="the file is damaged or not an ARPA file"
        )
