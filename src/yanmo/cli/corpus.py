"""``yanmo corpus``: files to clean documents, split without leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from yanmo.cli.output import DryRun, Force, Json, Seed, emit


app = App(name="corpus")
app.command("yanmo.cli.corpus_show:show", help="A document of a corpus, before and after.")


@app.default
def corpus(
    *source: Annotated[Path, Parameter(help="Files and folders of any kind: texts, tables, archives.")],
    out: Annotated[Path, Parameter(help="Corpus folder to write.")],
    valid_fraction: Annotated[
        float | None, Parameter(help="Share of the bytes held out for validation (0.02).")
    ] = None,
    test_fraction: Annotated[
        float | None, Parameter(help="Share of the bytes held out for the test (0.03).")
    ] = None,
    split: Annotated[str | None, Parameter(help="How to split: auto, names, documents or pieces.")] = None,
    min_chars: Annotated[int | None, Parameter(help="Refuse shorter documents.")] = None,
    text_column: Annotated[
        str | None, Parameter(help="Column or key of the text in tables and records; guessed if not given.")
    ] = None,
    language: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, negative="", help="Keep these languages alone, such as zh en."),
    ] = None,
    quality: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            negative="",
            help="Rules to refuse texts by: lenient (usual), gopher, c4, fineweb; or off.",
        ),
    ] = None,
    personal: Annotated[
        str | None,
        Parameter(help="Personal data: mask (usual), pseudonym, drop (the document) or keep."),
    ] = None,
    near_duplicates: Annotated[
        float | None, Parameter(help="Drop documents that share this part of their words (0.9); 0 for none.")
    ] = None,
    decontaminate: Annotated[
        list[Path] | None,
        Parameter(
            consume_multiple=True, negative="", help="Refuse documents that hold items of these test sets."
        ),
    ] = None,
    script: Annotated[
        str | None, Parameter(help="Chinese characters: simplified, traditional, taiwan, hong kong.")
    ] = None,
    width: Annotated[str | None, Parameter(help="Full width to half: letters or all.")] = None,
    weight: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            negative="",
            help="How often to train on a source or language: NAME=2, language=zh=0.5.",
        ),
    ] = None,
    settings: Annotated[Path | None, Parameter(help="TOML file of all settings; flags win over it.")] = None,
    workers: Annotated[int | None, Parameter(help="Processes that read; as many as processors.")] = None,
    seed: Seed = 0,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Files to clean documents, split without leaks."""
    from yanmo.config import from_mapping, read_toml
    from yanmo.corpus.build import build_corpus, survey
    from yanmo.corpus.settings import CorpusSettings

    given = {
        "valid_fraction": valid_fraction,
        "test_fraction": test_fraction,
        "split": split,
        "min_chars": min_chars,
        "text_column": text_column,
        "seed": seed or None,
        "decontaminate": None if decontaminate is None else [str(path) for path in decontaminate],
        "weights": None if weight is None else dict(map(_weight, weight)),
        "language.keep": language,
        "quality.sets": None if quality is None else [name for name in quality if name != "off"],
        "personal.action": personal,
        "duplicates.near": near_duplicates,
        "cleaning.script": script,
        "cleaning.width": width,
    }
    chosen = _merged({} if settings is None else read_toml(settings), given)
    made = from_mapping(CorpusSettings, chosen, where=settings)
    if dry_run:
        found = survey(source, out=out)
        emit(found, _survey_table(found, out), as_json=json)
        return
    result = build_corpus(source, out, settings=made, num_workers=workers, force=force).to_json()
    emit(result, _table(result), as_json=json)


def _weight(text: str) -> tuple[str, float]:
    from yanmo.errors import InputError

    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise InputError(f"{text!r} is no weight", remedy="write it as NAME=2 or language=zh=0.5") from None


def _merged(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the file with what was given by flags, whose names say their table."""
    for name, value in given.items():
        if value is not None:
            table, _, key = name.rpartition(".")
            (settings.setdefault(table, {}) if table else settings)[key] = value
    return settings


def _table(result: dict[str, Any]) -> str:
    from yanmo.config import format_size

    lines = [f"{result['path']}: {result['num_documents']:,} documents, {format_size(result['num_bytes'])}"]
    for name, counts in result["splits"].items():
        size = format_size(counts["num_bytes"])
        lines.append(f"  {name:<6} {counts['num_documents']:>10,} documents {size:>10}")
    for title, counts in (("cleaned", result["cleaned"]), ("rejected", result["rejected"])):
        lines += [f"  {title}: {name} {count:,}" for name, count in counts.items() if count]
    return "\n".join(lines)


def _survey_table(found: dict[str, Any], out: Path) -> str:
    from yanmo.config import format_size

    size = format_size(found["num_bytes_on_disk"])
    lines = [f"would read {found['num_files']:,} files ({size} on disk) into {out}"]
    lines += [f"  {suffix:<12} {count:>8,}" for suffix, count in found["suffixes"].items()]
    lines += [f"  passed over: {reason} {count:,}" for reason, count in found["passed_over"].items()]
    return "\n".join(lines)
