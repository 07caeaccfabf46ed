"""Tables whose columns are missing, or could be several things."""

from __future__ import annotations

from malformed_made import (
    ANSWERS,
    CHINESE,
    CLASSES,
    ENGLISH,
    LONG,
    NAMES,
    PAIRS,
    PREFER,
    RELATIONS,
    SIDES,
    TRANSLATE,
    Case,
    csv,
    lines,
    table,
    tokens,
)

from yanmo.tasks.base import ReadSettings

COLUMNS_CASES = [
    Case(
        "no column of labels",
        CLASSES,
        {"a.csv": table("id,text", *(f"{i},{text} and {i}" for i, text in enumerate(ENGLISH * 3)))},
        "a.csv",
        "no column for label",
        "--columns label=NAME",
    ),
    Case(
        "no column of texts",
        CLASSES,
        {"a.csv": table("id,label", *(f"{i},{side}" for i, side in enumerate(SIDES)))},
        "a.csv",
        "no column for text",
        "--columns text=NAME",
    ),
    Case(
        "two columns of labels",
        CLASSES,
        {
            "a.csv": table(
                "text,category,class",
                *(f"{t},{s},{i % 3}" for i, (t, s) in enumerate(zip(CHINESE, SIDES, strict=True))),
            )
        },
        "a.csv",
        "label may be category or class",
        "--columns label=category",
    ),
    Case(
        "two columns of texts",
        CLASSES,
        {
            "a.csv": table(
                "text,sentence,label", *(f"{t},{t}！,{s}" for t, s in zip(CHINESE, SIDES, strict=True))
            )
        },
        "a.csv",
        "text may be text or sentence",
        "--columns text=text",
    ),
    Case(
        "unknown names and columns alike",
        CLASSES,
        {
            "a.csv": table(
                "aa,bb,cc", *(f"{t} {i},{t} or {i},{i % 2}" for i, t in enumerate((ENGLISH[3],) * 12))
            )
        },
        "a.csv",
        "text may be",
        "--columns text=",
    ),
    Case(
        "unknown names and two columns of few values",
        CLASSES,
        {"a.csv": table("aa,bb,cc", *(f"{LONG} {i},{i % 2},{i % 3}" for i in range(12)))},
        "a.csv",
        "bb has 2 values, cc has 3 values",
        "--columns label=bb",
    ),
    Case(
        "a column that is not there",
        CLASSES,
        {"a.csv": csv()},
        "a.csv",
        "there is no column 'stars'",
        "columns: text, label",
        settings=ReadSettings(columns={"label": "stars"}),
    ),
    Case(
        "a column by a number too high",
        CLASSES,
        {"a.csv": csv(chinese=True)},
        "a.csv",
        "there is no column '7'",
        "columns: text, label",
        settings=ReadSettings(columns={"label": "7"}),
    ),
    Case("a header alone", CLASSES, {"a.csv": b"text,label\n"}, "a.csv", "no row below", "rows below"),
    Case(
        "no column of second texts",
        PAIRS,
        {"a.jsonl": lines(*({"sentence1": t, "label": s} for t, s in zip(CHINESE, SIDES, strict=True)))},
        "a.jsonl",
        "no column for second",
        "--columns second=NAME",
    ),
    Case(
        "texts to translate into nothing",
        TRANSLATE,
        {"a.tsv": table("source", *ENGLISH)},
        "a.tsv",
        "no column for target",
        "--columns target=NAME",
    ),
    Case(
        "three columns of texts to translate",
        TRANSLATE,
        {"a.tsv": table("de\ten\tzh", *(f"{t} so\t{t}\t{z}" for t, z in zip(ENGLISH, CHINESE, strict=True)))},
        "a.tsv",
        "source may be",
        "--columns source=",
    ),
    Case(
        "a question without context",
        ANSWERS,
        {"a.jsonl": lines(*({"question": t, "answer": s} for t, s in zip(CHINESE, SIDES, strict=True)))},
        "a.jsonl",
        "no column for context",
        "--columns context=NAME",
    ),
    Case(
        "one answer to prefer",
        PREFER,
        {"a.jsonl": lines({"prompt": "Why?", "chosen": "So."})},
        "a.jsonl",
        "no column for rejected",
        "--columns rejected=NAME",
    ),
    Case(
        "texts without marks or entities",
        RELATIONS,
        {"a.jsonl": lines(*({"text": text} for text in CHINESE))},
        "a.jsonl",
        "no column for relation",
        "--columns relation=NAME",
    ),
    Case(
        "roles of two shapes",
        NAMES,
        {"a.jsonl": tokens()},
        "a.jsonl",
        "do not go together",
        "tokens, tags; or text, entities",
        settings=ReadSettings(columns={"tokens": "tokens", "entities": "tags"}),
    ),
]
