"""Folders read and written, special tokens, and streams of text."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from yanmo.errors import InputError
from yanmo.tokenizers import encoding, pieces
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe(["hello world, 你好世界。" * 20, "再见 goodbye" * 20], 340)


def test_a_saved_folder_loads_as_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "t", max_seq_len=64)
    loaded = Tokenizer.load(tmp_path / "t")
    text = "hello 你好 <|im_end|> 🙂"
    assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.sha256 == tokenizer.sha256
    assert (loaded.eos_id, loaded.pad_id, loaded.bos_id) == (tokenizer.eos_id, tokenizer.pad_id, None)
    assert loaded.chat_template == tokenizer.chat_template
    assert loaded.chat_tuned is False
    assert json.loads((tmp_path / "t" / "tokenizer_config.json").read_text())["model_max_length"] == 64


def test_the_chat_flag_is_kept_and_foreign_templates_count_as_tuned(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    tuned = fit_bpe(["a b c"], 260)
    tuned.chat_tuned = True
    tuned.save(tmp_path)
    assert Tokenizer.load(tmp_path).chat_tuned is True
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["yanmo_chat"]
    path.write_text(json.dumps(config))
    assert Tokenizer.load(tmp_path).chat_tuned is True
    (tmp_path / "chat_template.jinja").unlink()
    del config["chat_template"]
    path.write_text(json.dumps(config))
    assert Tokenizer.load(tmp_path).chat_tuned is False


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"has no tokenizer\.json"):
            Tokenizer.load(folder)


@pytest.mark.parametrize("damage", ["cut", "empty", "other json", "not utf-8"])
def test_a_damaged_tokenizer_is_refused_in_one_line(
    tokenizer: Tokenizer, tmp_path: Path, damage: str
) -> None:
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    raw = path.read_bytes()
    new = {"cut": raw[: len(raw) // 2], "empty": b"", "other json": b'{"a": 1}', "not utf-8": b"\xff\xfe{"}
    path.write_bytes(new[damage])
    with pytest.raises(InputError, match="not a tokenizer") as caught:
        Tokenizer.load(tmp_path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_special_strings_in_text_are_ordinary_text(tokenizer: Tokenizer) -> None:
    for name, token_id in tokenizer.special_ids.items():
        ids = tokenizer.encode(f"a{name}b")
        assert token_id not in ids
        assert tokenizer.decode(ids) == f"a{name}b"
        assert tokenizer.token_bytes(token_id) == b""
        assert tokenizer.decode([token_id]) == ""
        assert tokenizer.decode([token_id], skip_special_tokens=False) == name


def test_unknown_ids_are_refused(tokenizer: Tokenizer) -> None:
    for token_id in (-1, tokenizer.vocab_size):
        with pytest.raises(InputError, match=f"no token {token_id}"):
            tokenizer.token_bytes(token_id)


def test_a_stream_shows_whole_characters_only(tokenizer: Tokenizer) -> None:
    text = "é你🙂👩‍👧 龘 end"
    ids = list(text.encode())  # byte tokens: the worst case
    assert [tokenizer.token_bytes(i) for i in ids] == [bytes([i]) for i in ids]
    stream = tokenizer.stream_decoder()
    shown = [stream.push(token_id) for token_id in ids]
    assert "".join(shown) + stream.finish() == text
    assert "\ufffd" not in "".join(shown)
    assert shown[:3] == ["", "é", ""]


def test_a_stream_of_broken_bytes_equals_decode(tokenizer: Tokenizer) -> None:
    for ids in ([0xE4, 0xBD], [0xE4, 0x41], [0x80, 0x80], [0xF0, 0x9F, 0x41, 0xFF], [0xED, 0xA0, 0x80]):
        stream = tokenizer.stream_decoder()
        text = "".join(stream.push(token_id) for token_id in ids) + stream.finish()
        assert text == tokenizer.decode(ids) == bytes(ids).decode(errors="replace")
        assert "\ufffd" in text


def test_folders_that_name_special_tokens_apart(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": {"content": "<|im_end|>"}}')
    loaded = Tokenizer.load(tmp_path)
    assert loaded.eos_id == loaded.im_end_id == loaded.pad_id
    (tmp_path / "special_tokens_map.json").unlink()
    with pytest.raises(InputError, match="no end-of-text token"):
        _ = Tokenizer.load(tmp_path).eos_id


def test_long_texts_are_encoded_in_pieces_without_a_trace(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(2)
    parts = [
        "hello",
        " world",
        "  ",
        "\n",
        "你好",
        "。",
        "!\n\n",
        "\r\n",
        "\t",
        "12",
        " \n ",
        "goodbye",
        " --",
    ]
    texts = ["".join(rng.choices(parts, k=n)) for n in (0, 1, 30, 300, 3000)]
    whole = [tokenizer.encode(text) for text in texts]
    monkeypatch.setattr(encoding, "_PIECE_CHARS", 100)
    sizes: list[int] = []
    monkeypatch.setattr(
        encoding, "pieces", lambda *given: (sizes.append(len(p)) or p for p in pieces.pieces(*given))
    )
    assert [tokenizer.encode(text) for text in texts] == whole
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == whole
    assert len(sizes) > 100 and max(sizes) <= 200
