from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sentence_made import make_encoder

from yanmo.cli import main
from yanmo.corpus.document import Document
from yanmo.errors import InputError
from yanmo.finetuning.knowledge import Knowledge, Mention, Name, Triple, extract, normal_form, sentences_of
from yanmo.finetuning.triple_files import facts_of, literal, write_knowledge
from yanmo.recipes.finetune import FinetuneSettings, finetune

KINDS = {"Ada Lovelace": "PER", "ADA LOVELACE": "PER", "Babbage": "PER", "London": "LOC"}
KINDS |= {"李白": "PER", "《静夜思》": "WORK", "Ａda Lovelace": "PER"}
DIRECTED = ("Other", "wrote(e1,e2)", "wrote(e2,e1)", "knows(e1,e2)")


class Names:
    """Finds the names it knows."""

    def answer(self, examples: Sequence[Any]) -> list[dict[str, Any]]:
        return [{"entities": list(self._entities(example.text))} for example in examples]

    def _entities(self, text: str) -> Any:
        for name, kind in KINDS.items():
            for found in re.finditer(re.escape(name), text):
                yield {"text": name, "label": kind, "start": found.start(), "end": found.end(), "score": 1.0}


class Relations:
    """Says what a table says of the marked text."""

    def __init__(self, said: dict[str, tuple[str, float]]) -> None:
        self.said, self.asked = said, list[str]()

    def answer(self, examples: Sequence[Any]) -> list[dict[str, Any]]:
        return [self._answer(example.inputs()[0]) for example in examples]

    def _answer(self, text: str) -> dict[str, Any]:
        self.asked.append(text)
        label, share = self.said.get(text, ("Other", 0.9))
        return {"label": label, "probabilities": {label: share}}


def document(text: str, source: str = "a.txt") -> Document:
    return Document(id=source, text=text, source=source)


def shown(knowledge: Knowledge) -> list[tuple[str, str, str, int]]:
    return [(each.subject.text, each.relation, each.object.text, each.count) for each in knowledge.triples]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Ann met J. Smith, 3.5 km. Why? ok", ["Dr. Ann met J. Smith, 3.5 km.", "Why?", "ok"]),
        ("他说：“走吧。”然后走了！去哪?北京。", ["他说：“走吧。”", "然后走了！", "去哪?", "北京。"]),
        ("one e.g. two\nthree  \n\n four", ["one e.g. two", "three", "four"]),
        ("Yahoo!com said \"yes.\" Then no.", ["Yahoo!com said \"yes.\"", "Then no."]),
        (" \n ", []),
    ],
)  # fmt: skip
def test_sentences_end_where_they_do(text: str, expected: list[str]) -> None:
    assert [sentence.text for sentence in sentences_of(text, "a.txt")] == expected


def test_places_are_lines() -> None:
    text = "One.\n\nTwo. Three.\n四。五"
    assert [(each.text, each.place) for each in sentences_of(text, "a.txt")] == [
        ("One.", "a.txt line 1"),
        ("Two.", "a.txt line 3"),
        ("Three.", "a.txt line 3"),
        ("四。", "a.txt line 4"),
        ("五", "a.txt line 4"),
    ]


def test_spellings_of_one_name_are_one() -> None:
    assert normal_form("  ＩＢＭ\n Corp. ") == normal_form("ibm corp")
    assert normal_form("《静夜思》") == "静夜思"
    assert normal_form("C++") == "c++" and normal_form("...") == "..."
    assert normal_form("U.S.") != normal_form("us")


def test_the_direction_is_what_the_label_says() -> None:
    relations = Relations(
        {
            "<e1>Ada Lovelace</e1> and <e2>Babbage</e2> met.": ("knows(e1,e2)", 0.8),
            "<e1>《静夜思》</e1>是<e2>李白</e2>的诗。": ("wrote(e2,e1)", 0.7),
            "<e1>李白</e1>写了<e2>《静夜思》</e2>。": ("wrote(e1,e2)", 0.95),
        }
    )
    texts = [
        document("Ada Lovelace and Babbage met. London is big."),
        document("《静夜思》是李白的诗。\n李白写了《静夜思》。", "b.txt"),
    ]
    found = extract(Names(), relations, texts, labels=DIRECTED)
    assert shown(found) == [("李白", "wrote", "《静夜思》", 2), ("Ada Lovelace", "knows", "Babbage", 1)]
    assert len(relations.asked) == found.num_pairs == 3
    assert (found.num_documents, found.num_sentences) == (2, 4)
    likeliest, other = found.triples[0].mentions
    assert likeliest == Mention(
        sentence="李白写了《静夜思》。",
        place="b.txt line 2",
        subject="李白",
        object="《静夜思》",
        probability=0.95,
    )
    assert other.probability == 0.7 and other.place == "b.txt line 1"
    assert found.names[Name("London", "LOC")] == 1 and found.names[Name("李白", "PER")] == 2
    sure = extract(Names(), relations, texts, labels=DIRECTED, least_probability=0.8)
    assert shown(sure) == [("李白", "wrote", "《静夜思》", 1), ("Ada Lovelace", "knows", "Babbage", 1)]


def test_without_directions_both_ways_are_asked() -> None:
    one, other = "<e1>李白</e1>写了<e2>《静夜思》</e2>。", "<e2>李白</e2>写了<e1>《静夜思》</e1>。"
    relations = Relations({one: ("author", 0.6), other: ("title", 0.9)})
    found = extract(Names(), relations, [document("李白写了《静夜思》。")], labels=("无", "author", "title"))
    assert shown(found) == [("《静夜思》", "title", "李白", 1)]
    assert relations.asked == [one, other]
    none = Relations({one: ("无", 0.9), other: ("无关系", 0.9)})
    assert shown(extract(Names(), none, [document("李白写了《静夜思》。")], labels=("无", "author"))) == []


def test_names_are_merged_and_counted_under_their_commonest_spelling() -> None:
    relations = Relations({})
    said = "<e1>{}</e1> saw <e2>London</e2>."
    for name in ("Ada Lovelace", "ADA LOVELACE", "Ａda Lovelace"):
        relations.said[said.format(name)] = ("knows(e1,e2)", 0.9)
    text = (
        "Ada Lovelace saw London. ADA LOVELACE saw London. ADA LOVELACE saw London. Ａda Lovelace saw London."
    )
    found = extract(Names(), relations, [document(text)], labels=DIRECTED)
    assert shown(found) == [("ADA LOVELACE", "knows", "London", 4)]
    assert found.names == {Name("ADA LOVELACE", "PER"): 4, Name("London", "LOC"): 4}
    itself = Relations({"<e1>Babbage</e1> is <e2>Babbage</e2>.": ("knows(e1,e2)", 1.0)})
    assert shown(extract(Names(), itself, [document("Babbage is Babbage.")], labels=DIRECTED)) == []


def test_of_a_long_sentence_the_part_around_the_pair_is_shown() -> None:
    relations = Relations({})
    text = "x " * 500 + "Babbage left London " + "y " * 500
    extract(Names(), relations, [document(text)], labels=DIRECTED)
    (asked,) = relations.asked
    assert "<e1>Babbage</e1> left <e2>London</e2>" in asked and len(asked) < 600


def test_what_does_not_fit_is_refused() -> None:
    class Tags:
        def answer(self, examples: Sequence[Any]) -> list[dict[str, Any]]:
            return [{"tags": ["NN"]}] * len(examples)

    with pytest.raises(InputError, match="tells no names"):
        extract(Tags(), Relations({}), [document("a")], labels=DIRECTED)
    with pytest.raises(InputError, match="from 0 to 1"):
        extract(Names(), Relations({}), [], labels=DIRECTED, least_probability=1.5)


HOSTILE = 'a "quote" \\ back\nline\r\ttab \x07 \x7f 汉字 \U0001f58b ^^<x> . ; \ud800'
# The grammar of the recommendation, section 7, with what this writer uses of it.
_IRI = r'<[^\x00-\x20<>"{}|^`\\]+>'
_TEXT = r'"((?:[^"\\\n\r]|\\[tbnrf"\'\\]|\\u[0-9A-F]{4})*)"'
LINE = re.compile(rf"(?:{_IRI}|_:\w+) {_IRI} (?:{_IRI}|_:\w+|{_TEXT}(?:\^\^{_IRI})?) \.")


def hostile_knowledge() -> Knowledge:
    person, work = Name(HOSTILE, "PER son/é"), Name("静<夜>思 %", "作品")
    mention = Mention(sentence=HOSTILE, place="a b.txt line 1", subject=HOSTILE, object="静", probability=0.5)
    triple = Triple(subject=person, relation='says "no"\n', object=work, count=2, mentions=(mention,))
    return Knowledge(
        triples=(triple,), names={person: 2, work: 1}, num_documents=1, num_sentences=1, num_pairs=1
    )


def test_n_triples_are_of_the_grammar_and_read_back(tmp_path: Path) -> None:
    write_knowledge(hostile_knowledge(), tmp_path / "graph.nt")
    lines = (tmp_path / "graph.nt").read_bytes().decode().split("\n")[:-1]
    assert len(lines) > 10 and all(LINE.fullmatch(line) for line in lines)
    (said,) = {found[1] for line in lines if "#sentence>" in line and (found := LINE.fullmatch(line))}
    read = json.loads('"' + said.replace("\\'", "'") + '"')
    assert read == HOSTILE.replace("\ud800", "\ufffd")
    assert literal("\x07") == '"\\u0007"'
    objects = {fact.object for fact in facts_of(hostile_knowledge(), "http://example.org/")}
    assert '"2"^^<http://www.w3.org/2001/XMLSchema#integer>' in objects
    assert "<http://example.org/name/%E4%BD%9C%E5%93%81/%E9%9D%99%3C%E5%A4%9C%3E%E6%80%9D%20%25>" in objects


def test_turtle_says_the_same_as_n_triples(tmp_path: Path) -> None:
    knowledge = hostile_knowledge()
    write_knowledge(knowledge, tmp_path / "graph.ttl", base="https://here.example/")
    text = (tmp_path / "graph.ttl").read_bytes().decode()
    head, *blocks = text.split("\n\n")
    prefixes = dict(re.findall(r"@prefix (\w+): <(.*?)> \.", head))
    full = set()
    for block in blocks:
        subject, *said = block.removesuffix("\n").removesuffix(" .").split("\n    ")
        for each in said:
            predicate, value = each.removesuffix(" ;").split(" ", 1)
            predicate = "rdf:type" if predicate == "a" else predicate
            full.add((subject, *(_spelt_out(term, prefixes) for term in (predicate, value))))
    assert full == set(facts_of(knowledge, "https://here.example/"))


def test_rdflib_reads_the_same_graph_from_both(tmp_path: Path) -> None:
    rdflib = pytest.importorskip("rdflib")
    compare = pytest.importorskip("rdflib.compare")
    graphs = []
    for name, form in (("graph.nt", "nt"), ("graph.ttl", "turtle")):
        write_knowledge(hostile_knowledge(), tmp_path / name)
        graphs.append(rdflib.Graph().parse(tmp_path / name, format=form))
    assert len(graphs[0]) == len(set(facts_of(hostile_knowledge(), "http://example.org/")))
    assert compare.isomorphic(*graphs)
    said = {str(value) for value in graphs[0].objects(None, rdflib.RDFS.label)}
    assert said == {HOSTILE.replace("\ud800", "\ufffd"), "静<夜>思 %", "PER son/é", "作品", 'says "no"\n'}


def _spelt_out(term: str, prefixes: dict[str, str]) -> str:
    found = re.fullmatch(r'(|".*"\^\^)([a-z]+):(\w+)', term, re.DOTALL)
    return f"{found[1]}<{prefixes[found[2]]}{found[3]}>" if found else term


def test_tables_and_records_have_the_evidence(tmp_path: Path) -> None:
    write_knowledge(hostile_knowledge(), tmp_path / "graph.jsonl")
    row = json.loads((tmp_path / "graph.jsonl").read_text(encoding="utf-8"))
    assert row["object"] == {"text": "静<夜>思 %", "kind": "作品"} and row["count"] == 2
    assert row["mentions"][0]["place"] == "a b.txt line 1"
    write_knowledge(hostile_knowledge(), tmp_path / "graph.csv")
    with (tmp_path / "graph.csv").open(encoding="utf-8", newline="") as stream:
        (cells,) = csv.DictReader(stream)
    assert cells["subject"] == HOSTILE.replace("\ud800", "?") and cells["object_kind"] == "作品"


@pytest.mark.parametrize(
    ("name", "base", "message"),
    [("graph.xml", "http://example.org/", r"end it with \.csv"), ("graph.nt", "no scheme", "is no IRI")],
)
def test_other_places_are_refused(tmp_path: Path, name: str, base: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_knowledge(hostile_knowledge(), tmp_path / name, base=base)
    assert not list(tmp_path.iterdir())


def learn(encoder: Path, out: Path, task: str, data: Path) -> Path:
    made = FinetuneSettings(
        task=task, model=encoder, epochs=8.0, learning_rate=5e-3, batch_size=8, dropout=0.0
    )
    finetune(data, out, settings=made)
    return out / "model"


def test_two_learned_models_make_a_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    tagged, related = tmp_path / "names.conll", tmp_path / "relations.csv"
    fillers = ["a", "is", "the man", "b c", "k d", "the"]
    sentences, rows, tags = [], [["text", "relation"]], {"girl": "B-PER", "food": "B-THING"}
    for filler in fillers:
        for ends in (("girl", "food"), ("food", "girl")):
            for between in (filler, f"{filler} eating"):
                words = [ends[0], *between.split(), ends[1]]
                sentences.append("\n".join(f"{word} {tags.get(word, 'O')}" for word in words))
        rows.append([f"<e1>girl</e1> {filler} eating <e2>food</e2>", "eats(e1,e2)"])
        rows.append([f"<e1>food</e1> {filler} eating <e2>girl</e2>", "eats(e2,e1)"])
        rows.append([f"<e1>girl</e1> {filler} <e2>food</e2>", "Other"])
        rows.append([f"<e1>food</e1> {filler} <e2>girl</e2>", "Other"])
    tagged.write_text("\n\n".join(sentences), encoding="utf-8")
    with related.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    names = learn(encoder, tmp_path / "ner", "token-classification", tagged)
    relations = learn(encoder, tmp_path / "re", "relation-extraction", related)
    text = tmp_path / "text.txt"
    text.write_text(
        "girl is eating food! food the man eating girl。\ngirl b food.\nthe k d.", encoding="utf-8"
    )
    capsys.readouterr()
    out = tmp_path / "graph.csv"
    command = ["extract", str(names), str(relations), str(text), "--out", str(out), "--least", "0", "--json"]
    assert main.run(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["num_sentences"] == 4 and said["num_pairs"] >= 3
    with out.open(encoding="utf-8", newline="") as stream:
        found = [(row["subject"], row["relation"], row["object"]) for row in csv.DictReader(stream)]
    assert ("girl", "eats", "food") in found
    assert main.run(command) == 2 and "already exists" in capsys.readouterr().err
    assert main.run(["extract", str(relations), str(names), str(text), "--out", str(tmp_path / "x.nt")]) == 2
    assert "give one that finds names" in capsys.readouterr().err
