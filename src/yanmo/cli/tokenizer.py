"""``yanmo tokenizer``: train a tokenizer on a corpus, compare several, or extend one that is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

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
    compare: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            negative="",
            help="Train and compare instead: kinds (bpe), kinds with sizes (bpe:4000), tokenizer folders.",
        ),
    ] = None,
    extend: Annotated[
        str | None, Parameter(help="Extend this instead: a tokenizer folder, or a model with its tokenizer.")
    ] = None,
    add: Annotated[int, Parameter(help="With --extend: new tokens at most.")] = 1000,
    force: Force = False,
    dry_run: DryRun = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train a tokenizer on a corpus.

    Args:
        corpus: The corpus folder.
    """
    from yanmo.errors import InputError
    from yanmo.tokenizers.purpose import Purpose

    if compare is not None and extend is not None:
        raise InputError("--compare and --extend are two commands", remedy="give one of them")
    purpose = Purpose(objective)
    if compare is not None:
        _compare(corpus, out, compare, vocab_size, purpose, force=force, dry_run=dry_run, json=json)
    elif extend is not None:
        _extend(corpus, out, extend, add, force=force, dry_run=dry_run, json=json)
    else:
        _train(corpus, out, vocab_size, kind, purpose, force=force, dry_run=dry_run, json=json)


def _train(
    corpus: Path,
    out: Path,
    vocab_size: int | None,
    kind: str,
    purpose: Any,
    *,
    force: bool,
    dry_run: bool,
    json: bool,
) -> None:
    from yanmo.config import format_size, to_mapping
    from yanmo.tokenizers.train import survey_tokenizer, train_tokenizer

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


def _compare(
    corpus: Path,
    out: Path,
    names: Sequence[str],
    vocab_size: int | None,
    purpose: Any,
    *,
    force: bool,
    dry_run: bool,
    json: bool,
) -> None:
    from yanmo.tokenizers.comparison import Candidate, compare_tokenizers

    candidates = [Candidate.parse(name, vocab_size) for name in names]
    if dry_run:
        found = {"path": str(out), "candidates": [candidate.name for candidate in candidates]}
        emit(found, f"{out}: would compare {', '.join(found['candidates'])}", as_json=json)
        return
    result = compare_tokenizers(corpus, out, candidates, purpose=purpose, force=force)
    best = result["candidates"][0]
    rest = {"vocab_size": best["vocab_size"], "bytes_per_token": best["bytes_per_token"]}
    emit({**result, **rest}, _table(result), as_json=json)


def _table(result: dict[str, Any]) -> str:
    columns = (
        ("tokens", "vocab_size", "{:,}"),
        ("bytes/token", "bytes_per_token", "{:.3f}"),
        ("characters/token", "characters_per_token", "{:.3f}"),
        ("unknown", "unknown_share", "{:.2%}"),
        ("parts", "byte_share", "{:.2%}"),
        ("exact", "exact_share", "{:.2%}"),
        ("training s", "train_s", "{:.1f}"),
    )
    scripts = list(dict.fromkeys(name for row in result["candidates"] for name in row["scripts"]))[:3]
    headings = [heading for heading, _, _ in columns] + [f"tokens/word {name}" for name in scripts]
    width = max(len(row["name"]) for row in result["candidates"])
    lines = [" " * width + "".join(f"  {heading:>{max(len(heading), 7)}}" for heading in headings)]
    for row in result["candidates"]:
        values = ["-" if row[key] is None else form.format(row[key]) for _, key, form in columns]
        found = [row["scripts"].get(name, {}).get("tokens_per_word") for name in scripts]
        values += ["-" if value is None else f"{value:.2f}" for value in found]
        cells = (
            f"  {value:>{max(len(heading), 7)}}" for value, heading in zip(values, headings, strict=True)
        )
        lines.append(f"{row['name']:<{width}}" + "".join(cells))
    return "\n".join([*lines, result["report"]])


def _extend(
    corpus: Path, out: Path, source: str, add: int, *, force: bool, dry_run: bool, json: bool
) -> None:
    from yanmo.config import to_mapping
    from yanmo.models.extension import extend, survey_extension

    if dry_run:
        found = survey_extension(corpus, out, source, num_new=add, force=force)
        state = "is there already" if found["is_done"] else f"would add {add:,} tokens to {source}"
        emit(found, f"{out}: {state}", as_json=json)
        return
    made = extend(corpus, out, source, num_new=add, force=force)
    text = (
        f"{made.path}: {made.num_added:,} new tokens, {made.vocab_size:,} in all; "
        f"{made.bytes_per_token_before:.2f} -> {made.bytes_per_token:.2f} bytes per token"
    )
    emit(to_mapping(made), text, as_json=json)
