"""The files of a folder: names of special tokens, templates, slow folders, and what goes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yanmo.errors import InputError
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.special import names_by_role

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fit_bpe(["hello world, 你好世界。" * 20], 300).save(tmp_path / "t")
    (tmp_path / "t" / "chat_template.jinja").unlink()
    write(tmp_path / "t", {"eos_token": "<|endoftext|>"})
    return tmp_path / "t"


def write(folder: Path, config: dict[str, Any]) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("config", "files", "wanted"),
    [
        ({}, {}, None),
        ({"chat_template": "plain"}, {}, "plain"),
        (
            {"chat_template": [{"name": "tool", "template": "x"}, {"name": "default", "template": "d"}]},
            {},
            "d",
        ),
        ({"chat_template": [{"name": "tool", "template": "x"}]}, {}, None),
        ({"chat_template": {"default": "d", "rag": "x"}}, {}, "d"),
        (
            {"chat_template": "old"},
            {"chat_template.jinja": "new", "additional_chat_templates/tool.jinja": "x"},
            "new",
        ),
        (
            {},
            {"additional_chat_templates/tool.jinja": "x", "additional_chat_templates/default.jinja": "d"},
            "d",
        ),
        ({"chat_template": 5}, {}, None),
    ],
)
def test_the_default_template_is_taken(
    folder: Path, tmp_path: Path, config: dict[str, Any], files: dict[str, str], wanted: str | None
) -> None:
    write(folder, config)
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.chat_template == wanted
    assert tokenizer.chat_tuned is (wanted is not None)
    tokenizer.save(tmp_path / "again")
    assert {
        path.relative_to(tmp_path / "again"): path.read_bytes() for path in files_in(tmp_path / "again")
    } == {path.relative_to(folder): path.read_bytes() for path in files_in(folder)}


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_changed_since_is_saved(folder: Path, tmp_path: Path) -> None:
    write(folder, {"eos_token": "<|endoftext|>", "mine": [1], "chat_template": "a"})
    tokenizer = Tokenizer.load(folder)
    tokenizer.chat_tuned = False
    tokenizer.save(tmp_path / "untuned")
    assert Tokenizer.load(tmp_path / "untuned").chat_tuned is False
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.chat_tuned = True
    tokenizer.save(tmp_path / "other")
    again = Tokenizer.load(tmp_path / "other")
    assert again.chat_template == tokenizer.chat_template and again.chat_tuned is True
    assert json.loads((tmp_path / "other" / "tokenizer_config.json").read_text())["mine"] == [1]
    assert again.render_chat(MESSAGES) == "hi"
    tokenizer.chat_template = None
    tokenizer.save(tmp_path / "none")
    assert Tokenizer.load(tmp_path / "none").chat_template is None


def test_line_ends_of_the_file_are_kept(folder: Path, tmp_path: Path) -> None:
    path = folder / "tokenizer.json"
    raw = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(raw)
    Tokenizer.load(folder).save(tmp_path / "again")
    assert (tmp_path / "again" / "tokenizer.json").read_bytes() == raw


def test_limits_and_sides(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    assert (tokenizer.max_seq_len, tokenizer.padding_side, tokenizer.truncation_side) == (
        None,
        "right",
        "right",
    )
    write(folder, {"model_max_length": 77, "padding_side": "left", "truncation_side": "left"})
    tokenizer = Tokenizer.load(folder)
    assert (tokenizer.max_seq_len, tokenizer.padding_side, tokenizer.truncation_side) == (77, "left", "left")
    for none in (int(1e30), 1e30, None, True, "512", -1):
        write(folder, {"model_max_length": none})
        assert Tokenizer.load(folder).max_seq_len is None


def test_ids_that_end_an_answer(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.end_ids == (tokenizer.eos_id, tokenizer.im_end_id)
    write(folder, {"eos_token": "<|im_end|>"})
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.end_ids == (tokenizer.im_end_id,)
    assert (tokenizer.mask_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.unk_id) == (None,) * 4


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (["spiece.model"], "save_pretrained"),
        (["vocab.json", "merges.txt"], "save_pretrained"),
        (["vocab.txt"], "save_pretrained"),
        (["source.spm", "target.spm", "vocab.json"], "save_pretrained"),
        (["model.safetensors"], "give a tokenizer or model folder"),
    ],
)
def test_slow_folders_are_told_what_to_do(tmp_path: Path, names: list[str], remedy: str) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=r"has no tokenizer\.json") as caught:
        Tokenizer.load(tmp_path)
    assert remedy in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_vocabulary_of_bert_needs_its_special_tokens(tmp_path: Path) -> None:
    lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "##s"]
    (tmp_path / "vocab.txt").write_text("\r\n".join(lines), encoding="utf-8")
    write(tmp_path, {"tokenizer_class": "BertTokenizerFast"})
    assert Tokenizer.load(tmp_path).encode_with_specials("你好!").ids == [2, 5, 6, 1, 3]
    write(tmp_path, {"tokenizer_class": "BertJapaneseTokenizer"})
    with pytest.raises(InputError, match=r"only vocab\.txt"):
        Tokenizer.load(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(lines[1:]), encoding="utf-8")
    write(tmp_path, {"tokenizer_class": "BertTokenizer"})
    with pytest.raises(InputError, match=r"only vocab\.txt"):
        Tokenizer.load(tmp_path)


def test_roles_of_tokens() -> None:
    assert (
        names_by_role({"eos_token": {"content": "</s>"}, "pad_token": None}, ["<s>"])["eos_token"] == "</s>"
    )
    assert names_by_role({}, ["<|endoftext|>", "<|im_end|>"]) == dict.fromkeys(names_by_role({}, []))
    bert = names_by_role({}, ["[CLS]", "[SEP]", "[UNK]", "[PAD]"])
    assert (bert["pad_token"], bert["mask_token"], bert["eos_token"]) == ("[PAD]", None, None)


def test_a_cut_leaves_room_for_the_text(tmp_path: Path, folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    assert len(tokenizer.encode_with_specials("hello 你好" * 9, max_seq_len=1).ids) == 1
    with pytest.raises(InputError, match="cannot be cut to 0 tokens"):
        tokenizer.encode_with_specials("a", max_seq_len=0)
    with pytest.raises(InputError, match="2 texts cannot be paired with 1"):
        tokenizer.encode_batch_with_specials(["a", "b"], ["c"])
    assert tokenizer.encode_batch_with_specials([]) == []
