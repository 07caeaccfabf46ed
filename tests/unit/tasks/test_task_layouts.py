"""CoNLL, entities, relations, SQuAD, parallel files, conversations, preferences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yanmo.tasks.base import ReadSettings
from yanmo.tasks.examples import (
    Answer,
    ChatExample,
    Message,
    PreferenceExample,
    QuestionExample,
    RelationExample,
    Seq2SeqExample,
    Span,
    SpanExample,
    TokenExample,
)
from yanmo.tasks.read import Loaded, load_examples


def load(folder: Path, task: str, name: str, content: Any, **settings: Any) -> Loaded:
    """The examples of one file, whose content is a text, or rows to be written as JSON lines."""
    if not isinstance(content, str):
        content = "\n".join(json.dumps(row, ensure_ascii=False) for row in content)
    (folder / name).write_text(content, encoding="utf-8")
    return load_examples(folder / name, task, ReadSettings(**settings))


CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER

-DOCSTART- -X- -X- O

北京 NNP B-NP B-LOC
"""
CONLL_U = """# sent_id = 1
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_

1\tmar\tmar\tNOUN\t_\t_\t0\troot\t_\t_
"""


def test_conll_2003(tmp_path: Path) -> None:
    loaded = load(tmp_path, "token-classification", "train.txt", CONLL_2003)
    found = [e for e in loaded.examples if isinstance(e, TokenExample)]
    assert [(e.tokens, e.tags, e.document) for e in found] == [
        (("EU", "rejects"), ("B-ORG", "O"), 1),
        (("Peter", "Blackburn"), ("B-PER", "I-PER"), 1),
        (("北京",), ("B-LOC",), 2),
    ]
    assert [(e.origin.row, e.origin.line) for e in found] == [(1, 3), (2, 6), (3, 11)]
    assert "tags = column 4 of 4 (the last one with tags of entities)" in loaded.notes[0]


def test_another_column_of_conll(tmp_path: Path) -> None:
    loaded = load(tmp_path, "token-classification", "a.conll", CONLL_2003, columns={"tags": "2"})
    assert loaded.examples[0].labels() == ("NNP", "VBZ")


def test_conll_u(tmp_path: Path) -> None:
    loaded = load(tmp_path, "token-classification", "es.conllu", CONLL_U)
    found = [(e.tokens, e.tags) for e in loaded.examples if isinstance(e, TokenExample)]
    assert found == [(("vamos", "nos"), ("VERB", "PRON")), (("mar",), ("NOUN",))]


def test_conll_under_a_header_and_in_another_scheme(tmp_path: Path) -> None:
    text = "token\tner\nLi\tB-PER\nNa\tE-PER\n#\tO\n\n李\tS-PER\n \tO\n"
    loaded = load(tmp_path, "token-classification", "a.tsv", text)
    found = [(e.tokens, e.tags) for e in loaded.examples if isinstance(e, TokenExample)]
    assert found == [(("Li", "Na", "#"), ("B-PER", "I-PER", "O")), (("李", " "), ("B-PER", "O"))]


def test_tokens_to_predict_on(tmp_path: Path) -> None:
    loaded = load(tmp_path, "token-classification", "a.conll", "Li\nNa\n\nBo\n", labelled=False)
    assert [(e.tokens, e.tags) for e in loaded.examples if isinstance(e, TokenExample)] == [
        (("Li", "Na"), None),
        (("Bo",), None),
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"tokens": ["Li", "Na", "ran"], "ner_tags": ["B-PER", "I-PER", "O"]},
        {"words": "Li Na ran", "labels": "B-PER I-PER O"},
        {"tokens": "['Li', 'Na', 'ran']", "tags": '["B-PER", "I-PER", "O"]'},
    ],
)
def test_rows_of_tokens(row: dict[str, Any], tmp_path: Path) -> None:
    (example,) = load(tmp_path, "token-classification", "a.jsonl", [row]).examples
    assert isinstance(example, TokenExample)
    assert (example.tokens, example.tags) == (("Li", "Na", "ran"), ("B-PER", "I-PER", "O"))


PERSON = {"start": 0, "end": 2, "type": "PER"}


@pytest.mark.parametrize(
    "row",
    [
        {"text": "张伟住北京", "entities": [{"start": 3, "end": 5, "type": "LOC"}, PERSON]},
        {"text": "张伟住北京", "label": [[0, 2, "PER"], [3, 5, "LOC"]]},
        {"text": "张伟住北京", "label": {"PER": {"张伟": [[0, 1]]}, "LOC": {"北京": [[3, 4]]}}},
        {
            "text": "张伟住北京",
            "spans": [{"start_offset": 0, "end_offset": 2, "labels": ["PER"]}, [3, 5, "LOC"]],
        },
    ],
    ids=["objects", "doccano", "cluener", "mixed"],
)
def test_rows_of_entities(row: dict[str, Any], tmp_path: Path) -> None:
    (example,) = load(tmp_path, "token-classification", "a.jsonl", [row]).examples
    assert isinstance(example, SpanExample)
    assert example.spans == (Span(0, 2, "PER"), Span(3, 5, "LOC"))


SEMEVAL = (
    '1\t"The <e1>cup</e1> holds <e2>tea</e2>."\nContent-Container(e2,e1)\nComment: why not\n\n'
    '2\t"<e1>张伟</e1>生于<e2>北京</e2>。"\n出生地\n\n'
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("TRAIN_FILE.TXT", SEMEVAL),
        (
            "a.jsonl",
            [
                {"text": "The <e1>cup</e1> holds <e2>tea</e2>.", "relation": "Content-Container(e2,e1)"},
                {"text": "[E1]张伟[/E1]生于[E2]北京[/E2]。", "relation": "出生地"},
            ],
        ),
        (
            "b.jsonl",
            [
                {
                    "text": "The cup holds tea.",
                    "h": {"name": "cup", "pos": [4, 7]},
                    "t": {"name": "tea"},
                    "relation": "Content-Container(e2,e1)",
                },
                {
                    "text": "张伟生于北京。",
                    "h": {"name": "张伟"},
                    "t": {"name": "北京", "pos": [4, 6]},
                    "relation": "出生地",
                },
            ],
        ),
        (
            "c.csv",
            '句子,头实体,尾实体,关系\nThe cup holds tea.,cup,tea,"Content-Container(e2,e1)"\n'
            "张伟生于北京。,张伟,北京,出生地\n",
        ),
    ],
    ids=["semeval", "marks", "opennre", "columns"],
)
def test_relations(name: str, content: Any, tmp_path: Path) -> None:
    loaded = load(tmp_path, "relation-extraction", name, content)
    found = [
        (e.text, e.head[:2], e.tail[:2], e.relation)
        for e in loaded.examples
        if isinstance(e, RelationExample)
    ]
    assert found == [
        ("The cup holds tea.", (4, 7), (14, 17), "Content-Container(e2,e1)"),
        ("张伟生于北京。", (0, 2), (4, 6), "出生地"),
    ]
    assert loaded.examples[0].inputs() == ("The <e1>cup</e1> holds <e2>tea</e2>.",)


SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "长江",
            "paragraphs": [
                {
                    "context": "长江在中国，长六千公里。",
                    "qas": [
                        {"id": "1", "question": "在哪？", "answers": [{"text": "中国", "answer_start": 3}]},
                        {"id": "2", "question": "多宽？", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ],
}
FLAT = {"context": "长江在中国，长六千公里。", "question": "在哪？"}


def test_squad(tmp_path: Path) -> None:
    loaded = load(tmp_path, "question-answering", "dev-v2.0.json", json.dumps(SQUAD))
    found = [e for e in loaded.examples if isinstance(e, QuestionExample)]
    assert [(e.question, e.answers) for e in found] == [("在哪？", (Answer("中国", 3),)), ("多宽？", ())]
    assert str(found[1].origin) == "dev-v2.0.json row 1 paragraph 1 question 2"


@pytest.mark.parametrize(
    "answers",
    [
        {"answers": {"text": ["中国", "中国"], "answer_start": [3, 3]}},
        {"answers": [{"text": "中国", "start": 3}]},
        {"answers": ["中国"]},
        {"answer": "中国"},
        {"answer": "中国", "answer_start": "3"},
        {"答案": "{'text': ['中国'], 'answer_start': [3]}"},
    ],
)
def test_rows_of_questions(answers: dict[str, Any], tmp_path: Path) -> None:
    (example,) = load(tmp_path, "question-answering", "a.jsonl", [{**FLAT, **answers}]).examples
    assert isinstance(example, QuestionExample)
    assert example.answers == (Answer("中国", 3),)


@pytest.mark.parametrize(
    "answers", [{"answers": {"text": [], "answer_start": []}}, {"answers": []}, {"answer": ""}]
)
def test_rows_without_an_answer(answers: dict[str, Any], tmp_path: Path) -> None:
    (example,) = load(tmp_path, "question-answering", "a.jsonl", [{**FLAT, **answers}]).examples
    assert isinstance(example, QuestionExample)
    assert example.answers == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "Good day.\t你好。\nGood night, all.\t各位晚安。\n"),
        (
            "a.jsonl",
            [
                {"translation": {"en": "Good day.", "zh": "你好。"}},
                {"translation": {"en": "Good night, all.", "zh": "各位晚安。"}},
            ],
        ),
        (
            "b.jsonl",
            [
                {"target": ["你好。"], "source": "Good day."},
                {"source": "Good night, all.", "target": "各位晚安。"},
            ],
        ),
    ],
)
def test_translations(name: str, content: Any, tmp_path: Path) -> None:
    loaded = load(tmp_path, "translation", name, content)
    found = [(e.source, e.targets) for e in loaded.examples if isinstance(e, Seq2SeqExample)]
    assert found == [("Good day.", ("你好。",)), ("Good night, all.", ("各位晚安。",))]


def test_parallel_files(tmp_path: Path) -> None:
    for name, text in (
        ("train.en", "one\ntwo\n"),
        ("train.zh", "一\n二\n"),
        ("test.en", "six\n"),
        ("test.zh", "六\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    settings = ReadSettings(columns={"source": "zh", "target": "en"})
    found = load_examples(tmp_path, "translation", settings).examples
    assert [(e.source, e.targets) for e in found if isinstance(e, Seq2SeqExample)] == [
        ("六", ("six",)),
        ("一", ("one",)),
        ("二", ("two",)),
    ]
    in_order = load_examples([tmp_path / "train.zh", tmp_path / "train.en"], "translation").examples
    assert in_order[0].inputs() == ("一",)


def test_summaries_have_several_references(tmp_path: Path) -> None:
    (example,) = load(
        tmp_path, "summarization", "a.jsonl", [{"document": "很长的正文", "summary": ["短", "更短"]}]
    ).examples
    assert isinstance(example, Seq2SeqExample)
    assert example.targets == ("短", "更短")


ASKED = (Message("user", "你好"), Message("assistant", "您好"))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "您好"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "你好"}]},
                {"role": "assistant", "content": "您好"},
            ]
        },
        {"id": "x", "conversations": [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "您好"}]},
        {"instruction": "你好", "input": "", "output": "您好"},
        {"question": "你好", "answer": "您好"},
        {"prompt": "你好", "completion": "您好"},
        {"turns": ["你好", "您好"]},
        {"kind": "greeting", "input": "你好", "target": "您好"},
        {"问题": "你好", "回答": "您好"},
        {"instruction": "你好", "instances": [{"input": "", "output": "您好"}]},
    ],
)
def test_conversations(row: dict[str, Any], tmp_path: Path) -> None:
    (example,) = load(tmp_path, "chat", "a.jsonl", [row]).examples
    assert isinstance(example, ChatExample)
    assert example.messages == ASKED


def test_a_conversation_with_a_system_and_tools(tmp_path: Path) -> None:
    call = {"id": "1", "function": {"name": "add"}}
    row = {
        "system": "Be brief.",
        "tools": [{"type": "function"}],
        "messages": [
            {"role": "user", "content": "1 + 2?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "function", "content": "3"},
            {"role": "assistant", "content": "3"},
        ],
    }
    (example,) = load(tmp_path, "chat", "a.jsonl", [row]).examples
    assert isinstance(example, ChatExample)
    assert [message.role for message in example.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert example.messages[2].tool_calls == (call,)
    assert example.tools == ({"type": "function"},)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "为何？", "chosen": "因为。", "rejected": "不知。"},
        {"instruction": "为何？", "input": "", "output": "因为。", "chosen": "因为。", "rejected": "不知。"},
        {
            "chosen": [{"role": "user", "content": "为何？"}, {"role": "assistant", "content": "因为。"}],
            "rejected": [{"role": "user", "content": "为何？"}, {"role": "assistant", "content": "不知。"}],
        },
        {
            "conversations": [{"from": "human", "value": "为何？"}],
            "chosen": {"from": "gpt", "value": "因为。"},
            "rejected": {"from": "gpt", "value": "不知。"},
        },
    ],
    ids=["prompt", "instruction", "conversations", "sharegpt"],
)
def test_preferences(row: dict[str, Any], tmp_path: Path) -> None:
    (example,) = load(tmp_path, "preference", "a.jsonl", [row]).examples
    assert isinstance(example, PreferenceExample)
    assert example.prompt == (Message("user", "为何？"),)
    assert (example.chosen, example.rejected) == ("因为。", "不知。")


@pytest.mark.parametrize("deep", ["[" * 900 + "]" * 900, '{"text":' * 900 + '"x"' + "}" * 900])
@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("text-classification", '{"text": "so", "label": %s}'),
        ("text-classification", '{"text": %s, "label": "x"}'),
        ("token-classification", '{"tokens": %s, "tags": ["O"]}'),
        ("question-answering", '{"context": "x", "question": "x", "answers": %s}'),
        ("text-generation", '{"text": %s}'),
    ],
)
def test_what_lies_deep_is_no_text(task: str, row: str, deep: str, tmp_path: Path) -> None:
    good = row.replace("%s", "[]" if task == "question-answering" else '"so"')
    rows = f"{good}\n" * 3 + row.replace("%s", deep)
    loaded = load(tmp_path, task, "a.jsonl", rows)
    assert len(loaded.examples) == 3
    assert [row.origin.row for row in loaded.broken] == [4]
