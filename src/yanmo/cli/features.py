"""``yanmo features``: a corpus as words, parts of speech, bags of words or TF-IDF, for analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from yanmo.cli.output import DryRun, Force, Json, Seed, emit


def features(
    corpus: Path,
    *,
    out: Annotated[Path, Parameter(help="Folder to write.")],
    kind: Annotated[
        Literal["words", "pos", "counts", "tfidf"],
        Parameter(help="Words; words with parts of speech; bags of words; TF-IDF."),
    ] = "words",
    tagger: Annotated[
        Path | None,
        Parameter(help="Model of token-classification that tags what is not Chinese (pos)."),
    ] = None,
    chinese: Annotated[
        Literal["jieba", "bigrams"],
        Parameter(help="Chinese by a dictionary of words, or by pairs of neighbouring characters."),
    ] = "jieba",
    drop_stop_words: Annotated[
        bool, Parameter(negative="", help="Leave out function words of English and Chinese.")
    ] = False,
    max_ngram: Annotated[int, Parameter(help="Also runs of words, up to this many.")] = 1,
    min_documents: Annotated[int, Parameter(help="Documents that a term must be in.")] = 1,
    max_terms: Annotated[int, Parameter(help="Terms at most: the most frequent.")] = 100_000,
    force: Force = False,
    dry_run: DryRun = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Export a corpus for analysis.

    Args:
        corpus: The corpus folder.
    """
    from yanmo.artifact import claim
    from yanmo.config import to_mapping
    from yanmo.corpus.store import Corpus
    from yanmo.models.features.analyser import Analyser
    from yanmo.models.features.export import ExportKind, export_details, export_features
    from yanmo.models.features.terms import TermConfig

    config = TermConfig(
        analyser=Analyser(chinese),
        max_ngram=max_ngram,
        min_documents=min_documents,
        max_terms=max_terms,
        drop_stop_words=drop_stop_words,
    )
    opened, wanted = Corpus.open(corpus), ExportKind(kind)
    if dry_run:
        details = export_details(opened, wanted, config, tagger)
        is_done = claim(out, kind="features", details=details, force=force)
        num_documents = sum(counts["num_documents"] for counts in opened.splits.values())
        found = {"is_done": is_done, "num_documents": num_documents, "path": str(out)}
        state = "is there already" if is_done else f"would write the {kind} of {num_documents:,} documents"
        emit(found, f"{out}: {state}", as_json=json)
        return
    made = export_features(opened, out, wanted, config, tagger=tagger, force=force)
    text = f"{made.path}: {made.num_documents:,} documents, {made.num_terms:,} terms"
    if made.num_passed_over:
        text += f"; {made.num_passed_over:,} documents passed over, which are not Chinese (--tagger)"
    emit(to_mapping(made), text, as_json=json)
