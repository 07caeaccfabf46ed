"""Streams against the library's decoding of the whole, for decoders of every kind."""

from __future__ import annotations

import random
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders

from yanmo.errors import InputError
from yanmo.tokenizers.backend import flat, part_of
from yanmo.tokenizers.decoding import Decoder, clean_up

LLAMA = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
DECODERS: dict[str, Any] = {
    "byte level": decoders.ByteLevel(),
    "llama": decoders.Sequence(LLAMA),
    "gemma": decoders.Sequence(LLAMA[:3]),
    "metaspace": decoders.Metaspace(),
    "metaspace never": decoders.Metaspace(prepend_scheme="never"),
    "word piece": decoders.WordPiece(),
    "word piece as it is": decoders.WordPiece(cleanup=False),
    "suffix": decoders.BPEDecoder("</w>"),
    "byte level in a sequence": decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 2, 0)]),
    "replaced after all": decoders.Sequence([decoders.Fuse(), decoders.Replace("ab", "x")]),
    "stripped one by one": decoders.Sequence([decoders.Strip("a", 1, 1), decoders.Fuse()]),
}
TOKENS = [
    "▁", "▁the", "a", "b", "ab", " ", "▁▁", "##ing", "word", "n't", ".", ",", "'", "s", "'s", "do",
    "not", "do not", "é", "Ġ", "Ġabc", "ä½", "ł", "你", "龘</w>", "x</w>", "<0xE4>", "<0xBD>", "<0xA0>",
    "<0xFF>", "<0x41>", "🙂", "👩‍👧", "<0xZZ>", "Ã", "©", "",
]  # fmt: skip


@pytest.mark.parametrize("cleans_up", [False, True])
@pytest.mark.parametrize("name", list(DECODERS))
def test_a_stream_is_the_whole_text(name: str, cleans_up: bool) -> None:
    rng = random.Random(name)
    decoder = Decoder(flat(part_of(DECODERS[name])), cleans_up=cleans_up)
    stream = decoder.stream(TOKENS, [decoder.token_bytes(token) for token in TOKENS])
    for _ in range(400):
        ids = rng.choices(range(len(TOKENS)), k=rng.randrange(12))
        try:
            whole = DECODERS[name].decode([TOKENS[token_id] for token_id in ids])
        except BaseException as error:
            assert type(error).__name__ == "PanicException" and name == "stripped one by one"
            continue
        shown = [stream.push(token_id) for token_id in ids]
        # The same stream again and again: finishing is also a fresh start.
        assert "".join(shown) + stream.finish() == (clean_up(whole) if cleans_up else whole), ids


def test_characters_are_shown_whole_and_soon() -> None:
    tokens = ["▁a", "<0xE4>", "<0xBD>", "<0xA0>", "b", "▁"]
    stream = Decoder(flat(part_of(DECODERS["llama"]))).stream(tokens, [])
    assert [stream.push(token_id) for token_id in (0, 1, 2, 3, 4, 5)] == ["a", "", "", "", "你b", " "]
    assert stream.finish() == ""
    assert [stream.push(token_id) for token_id in (1, 2, 4)] == ["", "", "\ufffd\ufffdb"]


@pytest.mark.parametrize(
    ("name", "token", "raw"),
    [
        ("byte level", "Ġabc", b" abc"),
        ("llama", "▁the", b" the"),
        ("llama", "<0xE4>", b"\xe4"),
        ("gemma", "▁▁", b"  "),
        ("metaspace", "▁你", " 你".encode()),
        ("word piece", "##ing", b"ing"),
        ("word piece", "word", b" word"),
        ("word piece", ".", b"."),
        ("suffix", "x</w>", b"x "),
    ],
)
def test_bytes_of_a_token_inside_a_text(name: str, token: str, raw: bytes) -> None:
    assert Decoder(flat(part_of(DECODERS[name]))).token_bytes(token) == raw
    whole = DECODERS[name].decode(["a", token, "b"])
    if b" " not in raw.strip() and raw.decode(errors="replace").isprintable() and raw != b"\xe4":
        assert raw.decode() in whole


def test_without_a_decoder_tokens_are_words() -> None:
    decoder = Decoder([])
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    stream = decoder.stream(["a", "b"], [])
    assert stream.push(0) + stream.push(1) + stream.finish() == backend.decode([0, 1]) == "a b"
    assert decoder.token_bytes("b") == b" b"


def test_what_needs_the_whole_text_says_so() -> None:
    ctc = Decoder(flat(part_of(decoders.CTC())))
    late = Decoder(flat(part_of(decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 0, 1)]))))
    for decoder in (ctc, late):
        with pytest.raises(InputError, match="cannot be shown token by token"):
            decoder.stream([], [])
