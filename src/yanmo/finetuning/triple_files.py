"""A graph as files: CSV, JSON Lines, and RDF as N-Triples or Turtle.

RDF (W3C 2014, "RDF 1.1 N-Triples" and "RDF 1.1 Turtle"): names and relations are IRIs below a base, in
percent code, with what they are called as ``rdfs:label``. What a triple was taken from is said of a
statement (``rdf:Statement``): its count, its probability, and the likeliest sentences with their places. Of
a text's characters quotation mark, backslash and controls are escaped; all others stand as they are.

CSV has a row and JSON Lines an object a triple, the latter with all the sentences that were kept.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from yanmo.artifact import write_bytes
from yanmo.errors import InputError
from yanmo.finetuning.knowledge import Knowledge, Name, Triple, normal_form

BASE = "http://example.org/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_RDFS = "http://www.w3.org/2000/01/rdf-schema#"
_XSD = "http://www.w3.org/2001/XMLSchema#"
_PREFIXES = {"rdf": _RDF, "rdfs": _RDFS, "xsd": _XSD}
_COLUMNS = ("subject", "subject_kind", "relation", "object", "object_kind", "count", "probability")
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]|[\ud800-\udfff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_NOT_OF_IRIS = re.compile(r'[\x00-\x20<>"{}|^`\\]')
_SENTENCES = 3


class Fact(NamedTuple):
    """One triple of RDF; each part as N-Triples write it."""

    subject: str
    predicate: str
    object: str


def write_knowledge(knowledge: Knowledge, out: Path, *, base: str = BASE) -> None:
    """Write a graph in the format that the file's name ends with.

    Args:
        knowledge: the graph.
        out: .csv, .jsonl, .nt or .ttl, whole or not at all.
        base: what IRIs begin with.

    Raises:
        InputError: the name ends otherwise, or the base is no IRI.
        YanmoError: the disk is full or cannot be written.
    """
    check_place(out, base=base)
    write_bytes(out, _FORMATS[out.suffix.lower()](knowledge, base).encode("utf-8", "replace"))


def check_place(out: Path, *, base: str = BASE) -> None:
    """Whether a graph can be written so.

    Raises:
        InputError: as ``write_knowledge``.
    """
    if out.suffix.lower() not in _FORMATS:
        raise InputError("is no format of graphs", where=out, remedy=f"end it with {', '.join(_FORMATS)}")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", base) or _NOT_OF_IRIS.search(base):
        raise InputError(f"{base!r} is no IRI", remedy="begin with a scheme: http://example.org/")


def literal(text: str) -> str:
    """A text as N-Triples and Turtle write it; lone surrogates are replaced."""
    return '"' + _ESCAPED.sub(lambda found: _escape(found[0]), text) + '"'


def facts_of(knowledge: Knowledge, base: str) -> Iterator[Fact]:
    """All that RDF says of a graph: what the names are, then the triples with what they were taken from."""
    vocabulary = base + "vocabulary#"
    kind, label = f"<{_RDF}type>", f"<{_RDFS}label>"
    known: set[str] = set()
    for name, count in knowledge.names.items():
        own, of_kind = _iri(base, "name", name.kind, normal_form(name.text)), _iri(base, "kind", name.kind)
        if of_kind not in known:
            known.add(of_kind)
            yield Fact(of_kind, label, literal(name.kind))
        yield Fact(own, kind, of_kind)
        yield Fact(own, label, literal(name.text))
        yield Fact(own, f"<{vocabulary}count>", _number(count))
    for number, triple in enumerate(knowledge.triples, 1):
        predicate = _iri(base, "relation", triple.relation)
        if predicate not in known:
            known.add(predicate)
            yield Fact(predicate, label, literal(triple.relation))
        subject, other = (
            _iri(base, "name", name.kind, normal_form(name.text)) for name in (triple.subject, triple.object)
        )
        yield Fact(subject, predicate, other)
        statement = f"_:s{number}"
        yield Fact(statement, kind, f"<{_RDF}Statement>")
        yield Fact(statement, f"<{_RDF}subject>", subject)
        yield Fact(statement, f"<{_RDF}predicate>", predicate)
        yield Fact(statement, f"<{_RDF}object>", other)
        yield Fact(statement, f"<{vocabulary}count>", _number(triple.count))
        yield Fact(statement, f"<{vocabulary}probability>", f'"{triple.probability:.6f}"^^<{_XSD}decimal>')
        for place, mention in enumerate(triple.mentions[:_SENTENCES], 1):
            said = f"_:s{number}m{place}"
            yield Fact(statement, f"<{vocabulary}said>", said)
            yield Fact(said, f"<{vocabulary}sentence>", literal(mention.sentence))
            yield Fact(said, f"<{vocabulary}place>", literal(mention.place))


def _n_triples(knowledge: Knowledge, base: str) -> str:
    return "".join(f"{' '.join(fact)} .\n" for fact in facts_of(knowledge, base))


def _turtle(knowledge: Knowledge, base: str) -> str:
    """One block a subject, in the order of the facts."""
    blocks: dict[str, list[str]] = {}
    for fact in facts_of(knowledge, base):
        predicate = "a" if fact.predicate == f"<{_RDF}type>" else _shortened(fact.predicate)
        blocks.setdefault(fact.subject, []).append(f"{predicate} {_shortened(fact.object)}")
    lines = [f"@prefix {prefix}: <{iri}> ." for prefix, iri in _PREFIXES.items()]
    lines += [f"\n{subject}\n    " + " ;\n    ".join(said) + " ." for subject, said in blocks.items()]
    return "\n".join(lines) + "\n"


def _csv(knowledge: Knowledge, base: str) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow([*_COLUMNS, "sentence", "place"])
    for triple in knowledge.triples:
        first = triple.mentions[0]
        probability = f"{triple.probability:.6f}"
        ends = (triple.count, probability, first.sentence, first.place)
        writer.writerow([*triple.subject, triple.relation, *triple.object, *ends])
    return stream.getvalue()


def _json_lines(knowledge: Knowledge, base: str) -> str:
    rows = (json.dumps(as_json(triple), ensure_ascii=False) for triple in knowledge.triples)
    return "".join(f"{row}\n" for row in rows)


def as_json(triple: Triple) -> dict[str, object]:
    """Plain values."""
    return {
        "subject": _node(triple.subject),
        "relation": triple.relation,
        "object": _node(triple.object),
        "count": triple.count,
        "probability": triple.probability,
        "mentions": [asdict(mention) for mention in triple.mentions],
    }


_FORMATS: dict[str, Callable[[Knowledge, str], str]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".nt": _n_triples,
    ".ttl": _turtle,
}


def _node(name: Name) -> dict[str, str]:
    return {"text": name.text, "kind": name.kind}


def _iri(base: str, *parts: str) -> str:
    return f"<{base}{'/'.join(quote(part, safe='', errors='replace') for part in parts)}>"


def _number(count: int) -> str:
    return f'"{count}"^^<{_XSD}integer>'


def _shortened(term: str) -> str:
    """A term with the prefix of its vocabulary, where it has one that is known."""
    for prefix, iri in _PREFIXES.items():
        # Of a literal the type alone: what stands between quotation marks is text.
        term = re.sub(rf"(^|\"\^\^)<{re.escape(iri)}(\w+)>$", rf"\1{prefix}:\2", term)
    return term


def _escape(character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    return _SHORT.get(character) or f"\\u{ord(character):04X}"
