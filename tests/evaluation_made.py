"""A small made corpus and an n-gram model trained on it, for the tests of evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from yanmo.corpus.build import build_corpus
from yanmo.corpus.store import Corpus
from yanmo.models.ngram.model import fit_ngram
from yanmo.tokenizers.bpe import fit_bpe

_SUBJECTS = ["the cat", "an old dog", "the green bird", "一只小猫", "那条老狗", "绿色的鸟"]
_VERBS = [" sees ", " hears ", " follows ", "看见了", "听见了", "跟着"]
_OBJECTS = ["the river", "a young mouse", "the stone house", "小河", "一只老鼠", "石头房子"]


def made_documents(num_documents: int, seed: int = 0) -> list[str]:
    """Documents of sentences drawn at random, English and Chinese apart within a sentence."""
    rng = np.random.default_rng(seed)
    documents = []
    for number in range(num_documents):
        sentences = []
        for _ in range(int(rng.integers(3, 9))):
            first = 3 * int(rng.integers(2))
            parts = [words[first + int(rng.integers(3))] for words in (_SUBJECTS, _VERBS, _OBJECTS)]
            sentences.append("".join(parts) + (". " if first == 0 else "。"))
        documents.append(f"{number}: " + "".join(sentences).strip())
    return documents


def make_corpus(folder: Path, *, num_documents: int = 120) -> Path:
    """Build ``folder/corpus`` from made documents."""
    source = folder / "source"
    source.mkdir(parents=True)
    for number, text in enumerate(made_documents(num_documents)):
        (source / f"{number:04d}.txt").write_text(text, encoding="utf-8")
    build_corpus(source, folder / "corpus")
    return folder / "corpus"


def make_model(corpus: Path, folder: Path, *, order: int = 3) -> Path:
    """Train a tokenizer and an n-gram on the corpus's train split; write both into ``folder``."""
    train = list(Corpus.open(corpus).texts("train"))
    tokenizer = fit_bpe(train, 300)
    model = fit_ngram(
        tokenizer.encode_batch(train), order=order, vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id
    )
    model.save(folder, tokenizer=tokenizer)
    return folder
