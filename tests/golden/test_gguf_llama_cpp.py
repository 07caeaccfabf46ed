"""GGUF files in llama.cpp itself: the same greedy tokens as transformers, and the same ids of texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is the reference for GGUF files")
transformers = pytest.importorskip("transformers", reason="the reference for what models compute")

import gguf_made  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from yanmo.models.gguf.pretokenizers import PRE_TOKENIZERS, to_json  # noqa: E402
from yanmo.models.gguf.reader import GgufFile  # noqa: E402
from yanmo.tokenizers.bpe import fit_bpe  # noqa: E402

_PROMPT = [5, 200, 17, 300, 42, 8, 99, 250, 3, 77, 180, 260]
_NUM_TOKENS = 24


def _open(path: Path, **options: Any) -> Any:
    return llama_cpp.Llama(str(path), n_ctx=256, n_threads=1, verbose=False, logits_all=True, **options)


@pytest.mark.parametrize("name", list(gguf_made.MODELS))
def test_logits_and_greedy_tokens(tmp_path: Path, name: str) -> None:
    gguf_made.make_model(tmp_path, name)
    path = gguf_made.write(tmp_path / "model.gguf", tmp_path, gguf_made.byte_level())
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    llama = _open(path)
    llama.eval(_PROMPT)
    ours_TV = np.array(llama.scores[: len(_PROMPT)])
    with torch.no_grad():
        theirs_TV = reference(torch.tensor([_PROMPT])).logits[0].float().numpy()
    # llama.cpp looks GELU up in a table of half precision.
    tolerance = 3e-2 if name.startswith(("gpt", "gemma")) else 2e-3
    assert np.abs(ours_TV - theirs_TV).max() < tolerance * max(1.0, np.abs(theirs_TV).max() / 10)
    tokens = list(_PROMPT)
    for _ in range(_NUM_TOKENS):
        tokens.append(int(np.argmax(llama.scores[llama.n_tokens - 1])))
        llama.eval(tokens[-1:])
    with torch.no_grad():
        wanted_T = reference(torch.tensor([tokens])).logits[0].argmax(-1)
    assert tokens[len(_PROMPT) :] == wanted_T[len(_PROMPT) - 1 : -1].tolist()


def test_long_factors_beyond_the_first_context(tmp_path: Path) -> None:
    gguf_made.make_model(tmp_path, "phi3-longrope")
    path = gguf_made.write(tmp_path / "model.gguf", tmp_path, gguf_made.byte_level())
    ids_T = torch.randint(3, gguf_made.VOCAB_SIZE, (300,), generator=torch.Generator().manual_seed(0))
    llama = llama_cpp.Llama(str(path), n_ctx=512, n_threads=1, verbose=False, logits_all=True)
    llama.eval(ids_T.tolist())
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        theirs_TV = reference(ids_T[None]).logits[0].numpy()
    assert np.abs(np.array(llama.scores[:300]) - theirs_TV).max() < 2e-3


@pytest.mark.parametrize("dtype", ["f16", "bf16", "q8_0", "q4_0"])
def test_smaller_types_are_what_we_read(tmp_path: Path, dtype: str) -> None:
    """llama.cpp's logits from a file are those of the numbers that we read out of it."""
    gguf_made.make_model(tmp_path, "qwen3")
    path = gguf_made.write(tmp_path / "model.gguf", tmp_path, gguf_made.byte_level(), dtype=dtype)
    file = GgufFile(path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    model.load_state_dict({name: file.read(name).float() for name in file.tensors}, strict=False)
    llama = _open(path)
    llama.eval(_PROMPT)
    with torch.no_grad():
        theirs_TV = model(torch.tensor([_PROMPT])).logits[0].numpy()
    # llama.cpp rounds what it multiplies quantised weights with to 8 bits as well.
    error = np.abs(np.array(llama.scores[: len(_PROMPT)]) - theirs_TV).max() / np.abs(theirs_TV).max()
    assert error < (0.05 if dtype.startswith("q") else 0.02)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Tokenizer], Any]:
    folder = tmp_path_factory.mktemp("llama")
    gguf_made.make_model(folder, "llama", vocab_size=1000)

    def open_with(tokenizer: Tokenizer) -> Any:
        path = gguf_made.write(folder / "model.gguf", folder, tokenizer)
        return _open(path, vocab_only=True)

    return open_with


def _require_same_ids(llama: Any, tokenizer: Tokenizer) -> None:
    again = Tokenizer.from_str(GgufFile(Path(llama.model_path)).tokenizer_files()["tokenizer.json"].decode())
    for text in gguf_made.MIXED_TEXTS:
        wanted = tokenizer.encode(text, add_special_tokens=False).ids
        assert llama.tokenize(text.encode(), add_bos=False, special=False) == wanted, text
        assert again.encode(text, add_special_tokens=False).ids == wanted, text
        assert again.decode(wanted) == tokenizer.decode(wanted)


# One name of each way.
_WAYS = {way: name for name, way in reversed(PRE_TOKENIZERS.items()) if name != "default"}


@pytest.mark.parametrize("name", _WAYS.values())
def test_byte_level_ids(opened: Callable[[Tokenizer], Any], name: str) -> None:
    way = PRE_TOKENIZERS[name]
    content = json.loads(gguf_made.byte_level().to_str())
    pre_tokenizer = Tokenizer.from_str(json.dumps(content | {"pre_tokenizer": to_json(way)})).pre_tokenizer
    content = json.loads(gguf_made.byte_level(pre_tokenizer, vocab_size=600).to_str())
    content["model"]["ignore_merges"] = way.ignore_merges
    tokenizer = Tokenizer.from_str(json.dumps(content))
    _require_same_ids(opened(tokenizer), tokenizer)


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_llama_cpp_knows_every_name(
    opened: Callable[[Tokenizer], Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the merges are, our reading of a file under any name gives llama.cpp's ids."""
    monkeypatch.setattr("yanmo.models.gguf.byte_level.find_name", lambda *_, **__: name)
    llama = opened(gguf_made.byte_level(vocab_size=600))
    assert llama.metadata["tokenizer.ggml.pre"] == name
    again = Tokenizer.from_str(GgufFile(Path(llama.model_path)).tokenizer_files()["tokenizer.json"].decode())
    for text in gguf_made.MIXED_TEXTS:
        ids = llama.tokenize(text.encode(), add_bos=False, special=False)
        assert again.encode(text, add_special_tokens=False).ids == ids, text


@pytest.mark.parametrize("prefixed", [True, False])
def test_sentencepiece_ids(opened: Callable[[Tokenizer], Any], prefixed: bool) -> None:
    tokenizer = gguf_made.sentencepiece(prefixed=prefixed)
    _require_same_ids(opened(tokenizer), tokenizer)


def test_ids_of_our_own_tokenizer(opened: Callable[[Tokenizer], Any]) -> None:
    texts = [*gguf_made.MIXED_TEXTS, "The owl saw 3 moons. " * 20, "春眠不觉晓，处处闻啼鸟。😀" * 20]
    tokenizer = Tokenizer.from_str(fit_bpe(texts, 700)._json)
    llama = opened(tokenizer)
    assert llama.metadata["tokenizer.ggml.pre"] == "qwen2"
    _require_same_ids(llama, tokenizer)


def test_a_name_of_phi_without_its_tokens(tmp_path: Path) -> None:
    """llama.cpp looks for Phi-3's tokens by the model's name alone."""
    gguf_made.make_model(tmp_path, "phi3")
    path = gguf_made.write(tmp_path / "model.gguf", tmp_path, gguf_made.byte_level(), name="my-Phi3")
    llama = _open(path)
    assert llama.tokenize(b"<|endoftext|> a", add_bos=False, special=True)[0] == llama.token_eos()


def test_special_tokens_in_chats(opened: Callable[[Tokenizer], Any]) -> None:
    tokenizer = gguf_made.byte_level(vocab_size=600)
    text = "<|bos|>Hello<|endoftext|>你好 <think>hm"
    wanted = tokenizer.encode(text, add_special_tokens=False).ids
    llama = opened(tokenizer)
    assert llama.tokenize(text.encode(), add_bos=False, special=True) == wanted
    assert (llama.token_bos(), llama.token_eos()) == (1, 2)
