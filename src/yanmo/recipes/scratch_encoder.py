"""A small encoder for a task, from nothing but texts: those of the examples, and more where there are any.

The texts become a corpus, and ``pretrain`` makes ModernBERT's shape of it within a share of the time. Reading
more of the same kind of text before learning the task is what helps small encoders most (Gururangan et al.
2020, arXiv 2004.10964, section 4: also the task's own texts).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from yanmo import artifact
from yanmo.corpus.personal.settings import Action, PersonalSettings
from yanmo.corpus.settings import CorpusSettings, DuplicateSettings
from yanmo.corpus.store import Corpus
from yanmo.planning.candidate import Wishes
from yanmo.recipes.corpus import build_corpus
from yanmo.recipes.pretrain import pretrain
from yanmo.recipes.settings import PretrainSettings
from yanmo.reporting.progress import say

USUAL_BUDGET_S = 300.0
_NO_WISHES = Wishes()
# Texts of rows that make one document.
_ROWS_A_DOCUMENT = 64
# Texts of a task are taken as they are: what looks odd in them may be what it is about.
_AS_THEY_ARE = CorpusSettings(
    personal=PersonalSettings(action=Action.KEEP),
    duplicates=DuplicateSettings(near=0.0, together=0.0, passages=False),
)


def make_encoder(
    texts: Iterable[str],
    folder: Path,
    *,
    corpus: Path | None = None,
    budget_s: float | None,
    wishes: Wishes = _NO_WISHES,
    seed: int = 0,
) -> Path:
    """A model folder; the same call goes on where an earlier one was stopped.

    Args:
        texts: of the examples to learn from.
        folder: where corpus, tokenizer and run are kept.
        corpus: more texts: files, a folder of them, or a corpus that was made of them.
        budget_s: seconds for all of it; None where ``wishes`` count steps.
        wishes: sizes that are not left to the plan.
        seed: of the weights and the order.

    Raises:
        InputError: there are no texts to speak of, or ``corpus`` cannot be read.
    """
    if corpus is not None and _is_corpus(corpus):
        read = corpus
    else:
        read = folder / "corpus"
        sources = [_written(texts, folder / "texts"), *([] if corpus is None else [corpus])]
        build_corpus(sources, read, settings=_AS_THEY_ARE)
    say("an encoder first, that reads the texts alone")
    settings = PretrainSettings(shape="encoder", budget_s=budget_s, seed=seed, wishes=wishes)
    return Path(pretrain(read, folder / "run", settings=settings)["model"])


def _is_corpus(path: Path) -> bool:
    return (artifact.read_manifest(path) or {}).get("kind") == "corpus" and bool(Corpus.open(path))


def _written(texts: Iterable[str], folder: Path) -> Path:
    """The texts as files of some rows each, every text once."""
    rows = list(dict.fromkeys(" ".join(text.split()) for text in texts))
    documents = [rows[start : start + _ROWS_A_DOCUMENT] for start in range(0, len(rows), _ROWS_A_DOCUMENT)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, document in enumerate(documents):
        content = "\n".join(document).encode()
        path = folder / f"{number:05}.txt"
        if not path.is_file() or path.read_bytes() != content:
            artifact.write_bytes(path, content)
    return folder
