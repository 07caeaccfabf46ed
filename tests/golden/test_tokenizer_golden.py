"""The written folder against transformers, and our encoding against plain merging by rank."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest

from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.byte_level import byte_level_to_bytes
from yanmo.tokenizers.load import Tokenizer

transformers = pytest.importorskip("transformers")

TEXTS = [
    "It's a test: naïve café, e\u0301 ﬁ, Ⅷ, 12345!\n\n  Indented\ttab\r\n",
    "你好，世界！宋江道：“兄弟们。”　全角空格",
    "<|im_end|> is only text, as is <|endoftext|>",
    "🙂👩‍👩‍👧‍👦 \x00\x07 \u200b\ufeff",
    "def f(x):\n    return x**2  # 注释",
    "",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(0)
    words = ["ab" + chr(97 + n) * (n % 3 + 1) for n in range(26)] + list("天地玄黄宇宙洪荒日月盈昃辰宿列张")
    texts = [" ".join(rng.choices(words, k=9)) + "".join(rng.choices(words, k=9)) for _ in range(300)]
    path = tmp_path_factory.mktemp("tokenizer")
    fit_bpe(texts + TEXTS, 500).save(path, max_seq_len=128)
    return path


@pytest.fixture(params=["alone", "in a model folder"])
def reference(folder: Path, tmp_path: Path, request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    """transformers' own tokenizer for the folder, whose class must not depend on the model beside it."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if request.param == "in a model folder":
        config = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}
        (tmp_path / "config.json").write_text(json.dumps(config))
    return transformers.AutoTokenizer.from_pretrained(tmp_path)


def test_transformers_gives_the_same_ids_and_text(folder: Path, reference) -> None:  # type: ignore[no-untyped-def]
    ours = Tokenizer.load(folder)
    for text in TEXTS:
        ids = ours.encode(text)
        assert reference.encode(text, add_special_tokens=False, split_special_tokens=True) == ids
        assert reference.decode(ids, clean_up_tokenization_spaces=False) == ours.decode(ids) == text
    assert len(reference) == ours.vocab_size
    assert (reference.eos_token_id, reference.pad_token_id) == (ours.eos_id, ours.pad_id)
    assert reference.bos_token_id is None
    assert reference.model_max_length == 128


def test_transformers_adds_nothing_by_itself(folder: Path, reference) -> None:  # type: ignore[no-untyped-def]
    assert reference("你好 abc")["input_ids"] == Tokenizer.load(folder).encode("你好 abc")


@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_chats_give_the_same_ids(folder: Path, reference, add_generation_prompt: bool) -> None:  # type: ignore[no-untyped-def]
    ours = Tokenizer.load(folder)
    messages = [
        {"role": "system", "content": "You are brief. 请简短。"},
        {"role": "user", "content": TEXTS[0]},
        {"role": "assistant", "content": TEXTS[1]},
        {"role": "user", "content": "  \n"},
    ]
    options = {"add_generation_prompt": add_generation_prompt}
    encoded = reference.apply_chat_template(messages, tokenize=True, return_dict=True, **options)
    assert ours.encode_chat(messages, **options) == encoded["input_ids"]
    assert ours.render_chat(messages, **options) == reference.apply_chat_template(
        messages, tokenize=False, **options
    )


def test_encoding_is_merging_by_rank(folder: Path) -> None:
    """A dozen lines of byte-pair encoding give the same ids for words of both languages."""
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    rank = {tuple(merge): number for number, merge in enumerate(model["merges"])}
    by_bytes = {byte_level_to_bytes(token): (token, token_id) for token, token_id in model["vocab"].items()}
    ours = Tokenizer.load(folder)
    for word in ["abcabdd", "天地玄黄宇宙", "龘天地", "宇", "aba天", "🙂"]:
        symbols = [by_bytes[bytes([byte])][0] for byte in word.encode()]
        while True:
            pairs = [(rank.get(pair, 10**9), place) for place, pair in enumerate(itertools.pairwise(symbols))]
            if not pairs or min(pairs)[0] == 10**9:
                break
            place = min(pairs)[1]
            symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]
        assert ours.encode(word) == [model["vocab"][symbol] for symbol in symbols]
