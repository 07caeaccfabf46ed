"""Reports as single HTML files: no script, no outside resource, English and Chinese in one.

The language is switched by a radio button and CSS alone, so a report works from a disk, in a mail, and
on paper.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2

from yanmo.reporting import sections
from yanmo.reporting.axes import Words
from yanmo.reporting.charts import bar_chart
from yanmo.reporting.runs import RunRecord, number, read_object, read_run, summarise

Language = Literal["en", "zh"]

_STATES = {
    "running": Words("still running", "仍在运行"),
    "done": Words("done", "已完成"),
    "interrupted": Words("interrupted; the same command goes on from here", "已中断；重复同一命令即可继续"),
    "unknown": Words("just begun", "刚刚开始"),
}


def write_run_report(
    run_dir: Path,
    *,
    corpus: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
    language: Language = "en",
) -> Path:
    """Write ``report.html`` into a run's folder from the files that are there.

    Args:
        run_dir: the run; reads run.toml, metrics.jsonl, result.json, plan.json, evaluation.json, and
            machine.json, each only where it exists.
        corpus: counts of the corpus (``corpus.json``); read from the folder that run.toml names under
            ``corpus`` where not given.
        machine: what ran it; from machine.json or the plan where not given.
        language: what is shown first; the reader can switch.

    Returns:
        The path of the report.

    Raises:
        OSError: the folder cannot be written.
    """
    path = run_dir / "report.html"
    _write(path, run_report(run_dir, corpus=corpus, machine=machine, language=language))
    return path


def run_report(
    run_dir: Path,
    *,
    corpus: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
    language: Language = "en",
) -> str:
    """The report of a run as HTML; arguments as of ``write_run_report``."""
    record = read_run(run_dir)
    summary = summarise(record)
    return _render(
        "run.html.j2",
        language,
        name=summary.name,
        state=_STATES[summary.state],
        started=summary.started[:16].replace("T", " "),
        headline=sections.headline(record),
        shape=sections.shape(record),
        figures=sections.figures(record),
        outcome=sections.outcome(record),
        samples=sections.samples(record),
        tables=[
            (Words("Settings", "设置"), list(sections.flat(record.settings))),
            (Words("Corpus", "语料"), list(sections.flat(corpus or _corpus_of(record)))),
            (Words("Machine", "机器"), list(sections.flat(machine or _machine_of(record)))),
        ],
    )


def write_corpus_report(summary: Mapping[str, Any], path: Path, *, language: Language = "en") -> None:
    """Write the report of a corpus.

    Args:
        summary: what ``corpus.json`` holds: num_documents, num_bytes, splits, rejected (reason to count),
            and optionally cleaning (step to count of documents changed); anything else is listed.
        path: the file to write.
        language: what is shown first.

    Raises:
        OSError: the file cannot be written.
    """
    _write(path, corpus_report(summary, name=path.resolve().parent.name, language=language))


def corpus_report(summary: Mapping[str, Any], *, name: str, language: Language = "en") -> str:
    """The report of a corpus as HTML; arguments as of ``write_corpus_report``."""
    charts = {
        key: bar_chart(_bars(summary.get(key)), name=key, title=title)
        for key, title in (
            ("rejected", Words("Rejected documents by reason", "被拒文档（按原因）")),
            ("cleaning", Words("Documents changed by each cleaning step", "各清洗步骤改动的文档")),
        )
    }
    shown = ("num_documents", "num_bytes", "splits", "rejected", "cleaning")
    rest = {key: value for key, value in summary.items() if key not in shown}
    return _render(
        "corpus.html.j2",
        language,
        name=name,
        counts={key: value for key in ("num_documents", "num_bytes") if (value := summary.get(key))},
        splits=_splits(summary.get("splits")),
        charts=charts,
        settings=list(sections.flat(rest)),
    )


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("yanmo.reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _render(template: str, language: Language, **values: Any) -> str:
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return _environment().get_template(template).render(language=language, made=made, w=Words, **values)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", errors="replace")
    temporary.replace(path)


def _corpus_of(record: RunRecord) -> Mapping[str, Any]:
    named = record.settings.get("corpus")
    folders = [record.path / "corpus", record.path, *([Path(named)] if isinstance(named, str) else [])]
    return next((found for folder in folders if (found := read_object(folder / "corpus.json"))), {})


def _machine_of(record: RunRecord) -> Mapping[str, Any]:
    planned = record.plan.get("machine")
    return read_object(record.path / "machine.json") or (planned if isinstance(planned, dict) else {})


def _bars(counts: object) -> list[tuple[Words, float]]:
    if not isinstance(counts, Mapping):
        return []
    numbers = {str(k): v for k, value in counts.items() if (v := number(value)) is not None}
    return [(Words(k, k), v) for k, v in sorted(numbers.items(), key=lambda item: -item[1])]


def _splits(splits: object) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(splits, Mapping):
        return []
    return [
        (str(name), dict(counts) if isinstance(counts, Mapping) else {"num_documents": counts})
        for name, counts in splits.items()
    ]
