"""Commands that READMEs and docs show: each verb and each flag is one that the program has."""

from __future__ import annotations

import functools
import itertools
import re
from pathlib import Path

import pytest

from yanmo.cli.main import VERBS, build_app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")])
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
# Flags of other programs that are named: torchrun's and llama.cpp's.
OTHERS = {"--nproc-per-node", "--nnodes", "--cache-type-k", "--cache-type-v"}


@functools.cache
def flags_of(verb: str) -> frozenset[str]:
    app = build_app()[verb]
    names = {"--help", "--config"}
    for one in (app, *(app[name] for name in app if not name.startswith("-"))):
        if one.default_command is not None:
            arguments = one.assemble_argument_collection()
            names |= set(itertools.chain.from_iterable(argument.names for argument in arguments))
    return frozenset(names)


def code_of(document: Path) -> list[str]:
    """Lines of fenced blocks, those that go on joined, without comments; and code in sentences."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*(line.split("  #")[0].split(" # ")[0] for line in lines), *re.findall(r"`([^`\n]+)`", rest)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_has_its_verb_and_flags(document: Path) -> None:
    known = OTHERS.union(*map(flags_of, VERBS))
    for code in code_of(document):
        found = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*yanmo ([a-z-]+)\b(.*)", code)
        if found is None:
            is_other_program = re.match(r"\s*(pip|python|git|apt|curl|lm_eval|torchrun|make|docker)\b", code)
            if not is_other_program:
                assert set(FLAG.findall(code)) <= known, code
            continue
        verb, arguments = found.groups()
        assert verb in VERBS, code
        assert set(FLAG.findall(arguments)) <= flags_of(verb), code


def test_the_check_sees_something() -> None:
    commands = [code for document in DOCUMENTS for code in code_of(document) if code.startswith("yanmo ")]
    assert len(commands) > 60
    assert "--budget" in flags_of("pretrain") and "--budget" not in flags_of("inspect")
