"""``yanmo corpus``: files to clean documents, split without leaks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from yanmo.cli.corpus_flags import Comparing, Dividing, Masking, Reading, Refusing
from yanmo.cli.output import DryRun, Force, Json, Seed, emit

if TYPE_CHECKING:
    from yanmo.corpus.workers import Spread


app = App(name="corpus")
app.command("yanmo.cli.corpus_show:show", help="A document of a corpus, before and after.")


@app.default
def corpus(
    *source: Annotated[Path, Parameter(help="Files and folders of any kind: texts, tables, archives.")],
    out: Annotated[Path, Parameter(help="Corpus folder to write.")],
    reading: Reading = Reading(),
    refusing: Refusing = Refusing(),
    masking: Masking = Masking(),
    comparing: Comparing = Comparing(),
    dividing: Dividing = Dividing(),
    settings: Annotated[Path | None, Parameter(help="TOML file of all settings; flags win over it.")] = None,
    workers: Annotated[int | None, Parameter(help="Processes that read; as many as processors.")] = None,
    engine: Annotated[str, Parameter(help="What reads: local processes, or dask for a cluster.")] = "local",
    scheduler: Annotated[
        str | None, Parameter(help="Address of Dask's scheduler; none tries Dask on this machine.")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Files to clean documents, split without leaks."""
    from yanmo.cli.corpus_tables import corpus_table, dry_run_table
    from yanmo.config import from_mapping, read_toml
    from yanmo.corpus.settings import CorpusSettings
    from yanmo.recipes.corpus import build_corpus, preview_corpus

    groups = (reading, refusing, masking, comparing, dividing)
    given = {name: value for group in groups for name, value in group.given().items()}
    chosen = _merged({} if settings is None else read_toml(settings), {**given, "seed": seed or None})
    made = from_mapping(CorpusSettings, chosen, where=settings)
    if dry_run:
        found = preview_corpus(source, out, settings=made, num_workers=workers)
        emit(found, dry_run_table(found, out), as_json=json)
        return
    how = _engine(engine, scheduler)
    result = build_corpus(source, out, settings=made, num_workers=workers, engine=how, force=force).to_json()
    emit(result, corpus_table(result), as_json=json)


def _engine(name: str, scheduler: str | None) -> Spread:
    from yanmo.corpus.cluster import Cluster
    from yanmo.corpus.workers import spread
    from yanmo.errors import InputError

    if name == "dask":
        return Cluster(scheduler=scheduler)
    if name != "local":
        raise InputError(f"--engine is local or dask, not {name!r}")
    if scheduler is not None:
        raise InputError("--scheduler is an address of Dask's", remedy="add --engine dask")
    return spread


def _merged(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the file with what was given by flags, whose names say their table."""
    for name, value in given.items():
        if value is not None:
            table, _, key = name.rpartition(".")
            (settings.setdefault(table, {}) if table else settings)[key] = value
    return settings
