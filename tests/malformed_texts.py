"""Malformed questions, conversations, parallel files; and what is wrong with rows that are whole."""

from __future__ import annotations

import json

from malformed_made import (
    ANSWERS,
    CHAT,
    CHINESE,
    CLASSES,
    ENGLISH,
    MANY,
    NAMES,
    PAIRS,
    PREFER,
    SIDES,
    TRANSLATE,
    Case,
    chat,
    csv,
    lines,
    prefer,
    questions,
    said,
    squad,
    table,
)

from yanmo.tasks.base import ReadSettings
from yanmo.tasks.labels import LabelKind

ANSWERED = [
    Case(
        "an answer that is elsewhere",
        ANSWERS,
        {
            "a.jsonl": questions(
                {
                    "context": "It is in Italy.",
                    "question": "Where?",
                    "answers": {"text": ["Italy"], "answer_start": [3]},
                }
            )
        },
        "a.jsonl line 3",
        "'Italy' is not at 3, there is 'is in'",
        "it stands at 9",
        2,
    ),
    Case(
        "an answer that is nowhere",
        ANSWERS,
        {
            "a.jsonl": questions(
                {
                    "context": "它在意大利。",
                    "question": "在哪？",
                    "answers": {"text": ["法国"], "answer_start": [2]},
                }
            )
        },
        "a.jsonl line 3",
        "'法国' is not at 2",
        "as the context has it",
        2,
    ),
    Case(
        "an answer beyond the context",
        ANSWERS,
        {
            "a.jsonl": questions(
                {"context": "So.", "question": "How?", "answers": {"text": ["So"], "answer_start": [900]}}
            )
        },
        "a.jsonl line 3",
        "not at 900",
        "it stands at 0",
        2,
    ),
    Case(
        "an answer before the context",
        ANSWERS,
        {
            "a.jsonl": questions(
                {"context": "So.", "question": "How?", "answers": {"text": ["So"], "answer_start": [-1]}}
            )
        },
        "a.jsonl line 3",
        "not at -1",
        "it stands at 0",
        2,
    ),
    Case(
        "an answer in bytes",
        ANSWERS,
        {
            "a.jsonl": questions(
                {
                    "context": "它在意大利。",
                    "question": "在哪？",
                    "answers": {"text": ["意大利"], "answer_start": [6]},
                }
            )
        },
        "a.jsonl line 3",
        "'意大利' is not at 6",
        "count bytes",
        2,
    ),
    Case(
        "an answer by a word",
        ANSWERS,
        {
            "a.jsonl": questions(
                {"context": "So.", "question": "How?", "answers": {"text": ["So"], "answer_start": ["first"]}}
            )
        },
        "a.jsonl line 3",
        "position 'first'",
        "a whole number",
        2,
    ),
    Case(
        "an empty answer",
        ANSWERS,
        {
            "a.jsonl": questions(
                {"context": "So.", "question": "How?", "answers": {"text": [""], "answer_start": [0]}}
            )
        },
        "a.jsonl line 3",
        "empty text: answer",
        "write the text",
        2,
    ),
    Case(
        "no answers",
        ANSWERS,
        {"a.jsonl": questions({"context": "So.", "question": "How?", "answers": None})},
        "a.jsonl line 3",
        "no answers",
        "an empty list",
        2,
    ),
    Case(
        "no question",
        ANSWERS,
        {"a.jsonl": questions({"context": "So.", "question": "", "answers": []})},
        "a.jsonl line 3",
        "empty text: question",
        "leave the row out",
        2,
    ),
    Case(
        "an article without questions",
        ANSWERS,
        {"a.json": squad({"context": "So."})},
        "a.json row 1 paragraph 2",
        'no questions in "qas"',
        '"qas": [...]',
        1,
    ),
    Case(
        "an article with an answer elsewhere",
        ANSWERS,
        {
            "a.json": squad(
                {
                    "context": "So it is.",
                    "qas": [{"question": "How?", "answers": [{"text": "it", "answer_start": 0}]}],
                }
            )
        },
        "a.json row 1 paragraph 2 question 1",
        "'it' is not at 0",
        "it stands at 3",
        1,
    ),
    Case(
        "an article with half a question",
        ANSWERS,
        {"a.json": squad({"context": "So it is.", "qas": ["How?"]})},
        "a.json row 1 paragraph 2 question 1",
        "is no question",
        '"question"',
        1,
    ),
]

TALKS = [
    Case(
        "a role that nobody has",
        CHAT,
        {"a.jsonl": chat([said("wizard", "Hi"), said("assistant", "Yes")])},
        "a.jsonl line 3 message 1",
        "role 'wizard'",
        "system, user, assistant, tool",
        2,
    ),
    Case(
        "no answer",
        CHAT,
        {"a.jsonl": chat([said("user", "在吗？")])},
        "a.jsonl line 3",
        "nothing that the assistant says",
        "add its answer",
        2,
    ),
    Case(
        "an empty answer in a conversation",
        CHAT,
        {"a.jsonl": chat([said("user", "Hi"), said("assistant", "")])},
        "a.jsonl line 3 message 2",
        "content of the assistant",
        "write the text",
        2,
    ),
    Case("no messages", CHAT, {"a.jsonl": chat([])}, "a.jsonl line 3", "no messages", "leave the row out", 2),
    Case(
        "words for messages",
        CHAT,
        {"a.jsonl": chat(["Hi", "Hello"])},
        "a.jsonl line 3 message 1",
        "is no message",
        '"role"',
        2,
    ),
    Case(
        "a picture in a message",
        CHAT,
        {"a.jsonl": chat([said("user", [{"type": "image_url"}]), said("assistant", "So")])},
        "a.jsonl line 3 message 1",
        "part of type 'image_url'",
        "write text",
        2,
    ),
    Case(
        "calls that are no list",
        CHAT,
        {
            "a.jsonl": chat(
                [said("user", "Hi"), {"role": "assistant", "content": None, "tool_calls": "search"}]
            )
        },
        "a.jsonl line 3 message 2",
        "tool_calls",
        "a list of objects",
        2,
    ),
    Case(
        "an instruction without output",
        CHAT,
        {
            "a.jsonl": lines(
                {"instruction": "Add.", "input": "1 2", "output": "3"},
                {"instruction": "减。", "input": "3 2", "output": ""},
            )
        },
        "a.jsonl line 2",
        "empty text: answer",
        "write the text",
        1,
    ),
    Case(
        "ShareGPT with a stranger",
        CHAT,
        {
            "a.json": json.dumps(
                [
                    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}]},
                    {"conversations": [{"from": "cat", "value": "miaow"}]},
                ]
            ).encode()
        },
        "a.json row 2 message 1",
        "role 'cat'",
        "roles are",
        1,
    ),
    Case(
        "two answers alike",
        PREFER,
        {"a.jsonl": prefer({"prompt": "Why?", "chosen": "So.", "rejected": "So."})},
        "a.jsonl line 2",
        "both answers are the same",
        "leave the row out",
        1,
    ),
    Case(
        "no worse answer",
        PREFER,
        {"a.jsonl": prefer({"prompt": "为什么？", "chosen": "所以。", "rejected": None})},
        "a.jsonl line 2",
        "empty text: rejected",
        "write the text",
        1,
    ),
    Case(
        "answers to different questions",
        PREFER,
        {
            "a.jsonl": prefer(
                {
                    "chosen": [said("user", "a"), said("assistant", "b")],
                    "rejected": [said("user", "c"), said("assistant", "d")],
                }
            )
        },
        "a.jsonl line 2",
        "differ before their last message",
        "the same conversation",
        1,
    ),
    Case(
        "an answer that the user gives",
        PREFER,
        {"a.jsonl": prefer({"chosen": [said("user", "a")], "rejected": [said("assistant", "d")]})},
        "a.jsonl line 2",
        "chosen ends with the user",
        "end it with the answer",
        1,
    ),
]

PARALLEL = [
    Case(
        "files of unequal length",
        TRANSLATE,
        {"train.src": b"one\ntwo\nthree\n", "train.tgt": "一\n二\n".encode()},
        "train.src + train.tgt",
        "3 lines and 2 lines",
        "find the line that is missing",
    ),
    Case(
        "an empty line in one file",
        TRANSLATE,
        {"train.src": b"one\ntwo\n", "train.tgt": "一\n\n".encode()},
        "train.src line 2",
        "empty text: target",
        "write the text",
        1,
    ),
    Case(
        "two languages and no direction",
        TRANSLATE,
        {"train.de": b"eins\n", "train.en": b"one\n"},
        "train.de + train.en",
        "any of de, en may be the source",
        "--columns source=de,target=en",
    ),
    Case(
        "a language that is not there",
        TRANSLATE,
        {"train.de": b"eins\n", "train.en": b"one\n"},
        "train.de + train.en",
        "no file for 'zh'",
        "there are: de, en",
        settings=ReadSettings(columns={"source": "zh", "target": "en"}),
    ),
]

FOUND = [
    Case(
        "one row",
        CLASSES,
        {"a.csv": csv().split(b"\n")[0] + b"\nso it is,good\n"},
        "a.csv line 2",
        "1 row to learn from",
        "label more rows",
    ),
    Case(
        "one class",
        CLASSES,
        {"a.csv": csv().replace(b",bad", b",good")},
        "a.csv line 2",
        "all rows are 'good'",
        "other classes",
    ),
    Case(
        "one text",
        CLASSES,
        {"a.csv": table("text,label", *(f"很好,{side}" for side in SIDES))},
        "a.csv line 2",
        "all rows have the same text",
        "--columns text=NAME",
    ),
    Case(
        "one number",
        PAIRS,
        {"a.csv": table("sentence1,sentence2,score", *(f"{t},{t}！,2.5" for t in CHINESE))},
        "a.csv line 2",
        "all rows have the number 2.5",
        "--columns label=NAME",
        settings=ReadSettings(label_kind=LabelKind.NUMBER),
    ),
    Case(
        "a label a row",
        CLASSES,
        {"a.csv": b"text,label\n" + MANY.encode()},
        "a.csv line 2",
        "3,000 different labels in 3,000 rows",
        "--columns label=NAME",
    ),
    Case(
        "one text with two labels",
        CLASSES,
        {"a.csv": csv(f'"{ENGLISH[0]}",bad')},
        "a.csv line 2; a.csv line 8",
        "1 text with two labels",
        "decide which is right",
    ),
    Case(
        "a row twice",
        CLASSES,
        {"a.csv": csv(f"{CHINESE[0]},good", chinese=True)},
        "a.csv line 8",
        "copies",
        "delete them",
    ),
    Case(
        "labels unseen in training",
        CLASSES,
        {"train.csv": csv(), "test.csv": csv("so so,middling")},
        "test.csv line 8",
        "test has labels that train has not: middling",
        "add rows of them",
    ),
    Case(
        "a label spelled otherwise",
        CLASSES,
        {"train.csv": csv(chinese=True), "test.csv": csv("还行,Good", chinese=True)},
        "test.csv line 8",
        "train has not: Good",
        "mend their spelling",
    ),
    Case(
        "the test in training",
        CLASSES,
        {"train.csv": csv(), "test.csv": csv()},
        "test.csv line 2",
        "6 rows of test (100.0%): in train too",
        "take them out of train",
    ),
    Case(
        "the test nearly in training",
        CLASSES,
        {
            "train.csv": csv(f"{'，'.join(CHINESE).replace('，', '')},good"),
            "test.csv": csv(f"{'，'.join(CHINESE).replace('，', '')}呀,good", chinese=True),
        },
        "test.csv line 8",
        "nearly in train",
        "take them out of train",
    ),
    Case(
        "a rare class",
        CLASSES,
        {"a.csv": csv("so so,middling")},
        "a.csv line 8",
        "fewer than 5 examples each: bad (3), good (3), middling (1)",
        "add examples",
    ),
    Case(
        "no entity at all",
        NAMES,
        {"a.conll": b"so O\nit O\n\nis O\n".replace(b"O", b"O")},
        "a.conll line 1",
        "no row has an entity",
        "--columns tags=NAME",
    ),
    Case(
        "classes here and numbers there",
        CLASSES,
        {
            "a.csv": csv(chinese=True),
            "b.csv": table("text,score", *(f"{t},{i / 4 + 0.1}" for i, t in enumerate(ENGLISH * 3))),
        },
        "a.csv line 2",
        "labels of several kinds",
        "write all labels alike",
    ),
    Case(
        "more broken rows than good ones",
        CLASSES,
        {"a.csv": csv(*[",good"] * 9)},
        "a.csv line 8",
        "9 rows set aside: empty text (9)",
        "leave the row out",
        6,
    ),
]

TEXTS_CASES = [*ANSWERED, *TALKS, *PARALLEL, *FOUND]
