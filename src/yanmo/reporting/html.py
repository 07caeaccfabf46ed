"""Reports as single HTML files: no script, no outside resource, English and Chinese in one.

The language is switched by a radio button and CSS alone, so a report works from a disk, in a mail, and
on paper.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2

from yanmo.reporting import sections
from yanmo.reporting.axes import Words
from yanmo.reporting.profiles import profile_of
from yanmo.reporting.runs import RunRecord, read_object, read_run, summarise

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
    write_report(path, run_report(run_dir, corpus=corpus, machine=machine, language=language))
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
    return render_report(
        "run.html.j2",
        language,
        name=summary.name,
        state=_STATES[summary.state],
        started=summary.started[:16].replace("T", " "),
        headline=sections.headline(record),
        shape=sections.shape(record),
        figures=sections.figures(record),
        outcome=sections.outcome(record),
        incidents=sections.incidents(record),
        forgetting=sections.forgetting(record),
        profile=profile_of(record),
        samples=sections.samples(record),
        tables=[
            (Words("Settings", "设置"), list(sections.flat(record.settings))),
            (Words("Corpus", "语料"), list(sections.flat(corpus or _corpus_of(record)))),
            (Words("Machine", "机器"), list(sections.flat(machine or _machine_of(record)))),
        ],
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


def render_report(template: str, language: Language, **values: Any) -> str:
    """A page from its template, in the language that is shown first."""
    return _environment().get_template(template).render(language=language, w=Words, **values)


def write_report(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", errors="replace")
    temporary.replace(path)


def _corpus_of(record: RunRecord) -> Mapping[str, Any]:
    named = record.settings.get("corpus")
    folders = [record.path / "corpus", record.path, *([Path(named)] if isinstance(named, str) else [])]
    found = next((found for folder in folders if (found := read_object(folder / "corpus.json"))), {})
    # The account and the notes are the business of the corpus' own report.
    return {key: value for key, value in found.items() if key not in ("account", "notes")}


def _machine_of(record: RunRecord) -> Mapping[str, Any]:
    planned = record.plan.get("machine")
    return read_object(record.path / "machine.json") or (planned if isinstance(planned, dict) else {})
