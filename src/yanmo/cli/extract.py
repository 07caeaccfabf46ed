"""``yanmo extract``: names and their relations in texts, as a graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from yanmo.cli.models import Model
from yanmo.cli.output import Force, Json, emit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yanmo.corpus.document import Document

_SHOWN = 10


def extract(
    names: Model,
    relations: Model,
    file: Path,
    *,
    out: Annotated[Path, Parameter(help="File to write: .csv, .jsonl, .nt (N-Triples) or .ttl (Turtle).")],
    column: Annotated[
        str | None, Parameter(help="Column of the text in a table; guessed if not given.")
    ] = None,
    least: Annotated[
        float, Parameter(help="Probability that a relation must have to count, from 0 to 1.")
    ] = 0.5,
    no_relation: Annotated[
        str | None,
        Parameter(help="Label that says that two names are not related; the usual ones if not given."),
    ] = None,
    base: Annotated[str, Parameter(help="What the IRIs of RDF begin with.")] = "http://example.org/",
    force: Force = False,
    json: Json = False,
) -> None:
    """A knowledge graph from texts: who and what is named, how they are related, and where it says so.

    Args:
        names: A model of token-classification that finds names.
        relations: A model of relation-extraction.
        file: A file or a folder of texts: plain text, tables, web pages, documents.
    """
    from yanmo.errors import InputError
    from yanmo.finetuning.knowledge import NO_RELATION
    from yanmo.finetuning.knowledge import extract as extract_knowledge
    from yanmo.finetuning.task_model import TaskModel
    from yanmo.finetuning.text_labels import OneClass
    from yanmo.finetuning.triple_files import as_json, check_place, write_knowledge
    from yanmo.reporting.progress import Progress

    check_place(out, base=base)
    if out.exists() and not force:
        raise InputError("already exists", where=out, remedy="choose another --out, or --force")
    finder, judge = TaskModel.load(names), TaskModel.load(relations)
    if finder.task != "token-classification":
        raise InputError(f"is a model of {finder.task}", where=names, remedy="give one that finds names")
    if not isinstance(judge.skill, OneClass):
        remedy = "give one of relation-extraction"
        raise InputError(f"is a model of {judge.task}", where=relations, remedy=remedy)
    with Progress("extract", unit="sentences") as progress:
        found = extract_knowledge(
            finder,
            judge,
            _documents(file, column),
            labels=judge.skill.labels,
            no_relation=NO_RELATION if no_relation is None else (no_relation,),
            least_probability=least,
            on_progress=progress.update,
        )
    if not found.num_sentences:
        raise InputError("holds no text", where=file)
    write_knowledge(found, out, base=base)
    counts = {
        "num_triples": len(found.triples),
        "num_names": len(found.names),
        "num_sentences": found.num_sentences,
        "num_pairs": found.num_pairs,
    }
    shown = [
        f"{triple.count:,} x {triple.subject.text} -- {triple.relation} -> {triple.object.text}"
        f" ({triple.probability:.3f})"
        for triple in found.triples[:_SHOWN]
    ]
    said = (
        f"{out}: {len(found.triples):,} triples of {len(found.names):,} names"
        f" in {found.num_sentences:,} sentences"
    )
    result = {"out": str(out), **counts, "triples": [as_json(triple) for triple in found.triples[:_SHOWN]]}
    emit(result, "\n".join([*shown, said]), as_json=json)


def _documents(file: Path, column: str | None) -> Iterator[Document]:
    """The documents of a file; what cannot be read is said and left out."""
    from yanmo.corpus.document import Rejected
    from yanmo.corpus.reader import read_documents
    from yanmo.reporting.progress import say

    for document in read_documents(file, text_column=column, note=say):
        if isinstance(document, Rejected):
            detail = f": {document.detail}" if document.detail else ""
            say(f"set aside: {document.source}: {document.reason}{detail}")
        else:
            yield document
