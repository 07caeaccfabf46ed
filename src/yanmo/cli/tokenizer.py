"""``yanmo tokenizer``: train a tokenizer on a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from yanmo.cli.output import DryRun, Force, Json, Seed, emit


def tokenizer(
    corpus: Path,
    *,
    out: Annotated[Path, Parameter(help="Tokenizer folder to write.")],
    vocab_size: Annotated[
        int | None, Parameter(help="Tokens in all; without it, fitted to the corpus.")
    ] = None,
    kind: Annotated[str, Parameter(help="bpe, wordpiece, unigram or char.")] = "bpe",
    objective: Annotated[
        Literal["causal", "masked", "denoising"],
        Parameter(help="What a model will be trained for with it; decides the special tokens."),
    ] = "causal",
    force: Force = False,
    dry_run: DryRun = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train a tokenizer on a corpus.

    Args:
        corpus: The corpus folder.
    """
    from yanmo.config import format_size, to_mapping
    from yanmo.tokenizers.purpose import Purpose
    from yanmo.tokenizers.train import survey_tokenizer, train_tokenizer

    purpose = Purpose(objective)
    if dry_run:
        found = survey_tokenizer(corpus, out, vocab_size=vocab_size, kind=kind, purpose=purpose, force=force)
        state = (
            "is there already" if found["is_done"] else f"would learn from {format_size(found['num_bytes'])}"
        )
        emit(found, f"{found['path']}: {state}", as_json=json)
        return
    summary = train_tokenizer(corpus, out, vocab_size=vocab_size, kind=kind, purpose=purpose, force=force)
    text = f"{summary.path}: {summary.vocab_size:,} tokens, {summary.bytes_per_token:.2f} bytes per token"
    emit(to_mapping(summary), text, as_json=json)
