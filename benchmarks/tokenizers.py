"""Kinds and sizes of vocabularies on English, Chinese, and both, beside sentencepiece and ``tokenizers``.

    python -m benchmarks tokenizers [MEGABYTES] [SIZE...]

Learned from the first MEGABYTES (default 8) of each text, scored on the following tenth. Peers see the same
text with their own defaults, but for what makes them keep all of it: sentencepiece's BPE and Unigram with
byte fallback and without normalisation, the library's byte-level BPE with GPT-2's rules. Encoding is timed
on all cores where a library uses them.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import data_folder, describe
from yanmo.tokenizers.score import score_tokenizer
from yanmo.tokenizers.train import KINDS

SIZES = (2_000, 8_000, 32_000)
_LINES = 200


class Row(NamedTuple):
    """One vocabulary on one text."""

    name: str
    vocab_size: int
    bytes_per_token: float
    parts: float
    unknown: float
    exact: float
    train_s: float
    encode_mb_per_s: float
    tokens_per_word: str


class Peer(NamedTuple):
    """A tokenizer of another library: texts to numbers of tokens, and whether a text comes back."""

    vocab_size: int
    count: Callable[[Sequence[str]], list[int]]
    decode: Callable[[str], str]


def main() -> None:
    """Print a table a text."""
    megabytes = float(sys.argv[2]) if sys.argv[2:] else 8.0
    sizes = [int(size) for size in sys.argv[3:]] or SIZES
    english, chinese = _english(megabytes), _chinese(megabytes)
    for name, text in (
        ("English", english),
        ("Chinese", chinese),
        ("half English, half Chinese", _half(english) + _half(chinese)),
    ):
        documents = list(_documents(text))
        cut = max(1, len(documents) * 10 // 11)
        train, held_out = documents[:cut], documents[cut:]
        num_bytes = [sum(len(part.encode()) for part in parts) / 1e6 for parts in (train, held_out)]
        print(f"\n{name}: {num_bytes[0]:.2f} MB to learn from, {num_bytes[1]:.2f} MB scored. {describe()}\n")
        print("| | vocabulary | bytes/token | parts | unknown | exact | training | encoding | tokens/word |")
        print("|---|---|---|---|---|---|---|---|---|")
        for size in sizes:
            for row in _rows(train, held_out, size):
                print(
                    f"| {row.name} | {row.vocab_size:,} | {row.bytes_per_token:.3f} | {row.parts:.2%} "
                    f"| {row.unknown:.2%} | {row.exact:.0%} | {row.train_s:.1f} s "
                    f"| {row.encode_mb_per_s:.1f} MB/s | {row.tokens_per_word} |",
                    flush=True,
                )


def _rows(train: Sequence[str], held_out: Sequence[str], size: int) -> Iterator[Row]:
    for kind, fit in KINDS.items():
        began = time.perf_counter()
        tokenizer = fit(train, size)
        train_s = time.perf_counter() - began
        score = score_tokenizer(tokenizer, held_out)
        words = [
            f"{name} {found.tokens_per_word:.2f}"
            for name, found in score.scripts.items()
            if found.tokens_per_word is not None and name in ("latin", "han")
        ]
        tokens = max(score.num_tokens, 1)
        yield Row(
            name=f"yanmo {kind}",
            vocab_size=score.vocab_size,
            bytes_per_token=score.num_bytes / tokens,
            parts=score.num_parts / tokens,
            unknown=score.num_unknown / tokens,
            exact=score.num_exact / score.num_texts,
            train_s=train_s,
            encode_mb_per_s=score.num_bytes / score.encode_s / 1e6,
            tokens_per_word=", ".join(words),
        )
    for name, make in PEERS.items():
        if name.startswith("sentencepiece") and importlib.util.find_spec("sentencepiece") is None:
            continue
        began = time.perf_counter()
        try:
            peer = make(train, size)
        except RuntimeError as error:
            # Its characters alone are more than so small a vocabulary holds.
            if "smaller than required_chars" not in str(error):
                raise
            continue
        train_s = time.perf_counter() - began
        began = time.perf_counter()
        counts = peer.count(held_out)
        encode_s = time.perf_counter() - began
        num_bytes = sum(len(text.encode()) for text in held_out)
        exact = sum(peer.decode(text) == text for text in held_out) / len(held_out)
        size_made = peer.vocab_size
        speed = num_bytes / encode_s / 1e6
        yield Row(name, size_made, num_bytes / sum(counts), float("nan"), 0.0, exact, train_s, speed, "")


def _sentencepiece(kind: str) -> Callable[[Sequence[str], int], Peer]:
    def make(train: Sequence[str], size: int) -> Peer:
        import sentencepiece

        made = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(line for text in train for line in text.splitlines() if line.strip()),
            model_writer=made,
            model_type=kind,
            vocab_size=size,
            hard_vocab_limit=False,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            character_coverage=0.9995,
            minloglevel=2,
        )
        model = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
        return Peer(
            model.get_piece_size(),
            lambda texts: [len(ids) for ids in model.encode(list(texts), num_threads=-1)],
            lambda text: str(model.decode(model.encode(text))),
        )

    return make


def _byte_level_bpe(train: Sequence[str], size: int) -> Peer:
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(train, vocab_size=size, min_frequency=2, show_progress=False)
    return Peer(
        made.get_vocab_size(),
        lambda texts: [len(found.ids) for found in made.encode_batch(list(texts))],
        lambda text: str(made.decode(made.encode(text).ids)),
    )


PEERS: dict[str, Callable[[Sequence[str], int], Peer]] = {
    "sentencepiece bpe": _sentencepiece("bpe"),
    "sentencepiece unigram": _sentencepiece("unigram"),
    "tokenizers byte-level bpe": _byte_level_bpe,
}


def _english(megabytes: float) -> str:
    return _read(sorted(data_folder("wikitext2").glob("*raw.txt.gz")), megabytes)


def _chinese(megabytes: float) -> str:
    return _read(sorted(data_folder("zh_novels").glob("*.txt.gz")), megabytes)


def _read(paths: Sequence[Path], megabytes: float) -> str:
    """The files one after the other, up to so many bytes and a tenth."""
    text = "".join(gzip.decompress(path.read_bytes()).decode() for path in paths)
    return text.encode()[: int(megabytes * 1.1e6)].decode(errors="ignore")


def _half(text: str) -> str:
    return text[: len(text) // 2]


def _documents(text: str) -> Iterator[str]:
    lines = text.splitlines(keepends=True)
    for start in range(0, len(lines), _LINES):
        yield "".join(lines[start : start + _LINES])


if __name__ == "__main__":
    main()
