"""``yanmo generate`` with encoder-decoders, and what models say that cannot answer."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

import yanmo
from yanmo.cli.main import run
from yanmo.serving.app import create_app
from yanmo.serving.opening import load

transformers = pytest.importorskip("transformers")

TEXTS = ["translate: hello world, how do you do?", "你好世界，你好吗？ hello 🎨", "x"]
SIZES: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 64,
}


def write_tokenizer(folder: Path, *, specials: list[str], last: str | None = None) -> int:
    """A Unigram tokenizer as T5 has it, which ends every text with </s>; the number of its tokens."""
    words = ["▁hello", "▁world", "▁how", "▁do", "▁you", "▁red", "▁fox", "你好", "世界", "你好吗", "狐狸"]
    # Written down: training draws ties anew in every process.
    pieces = [*specials, *words, *sorted(set("".join(words)) | set(",.?。"))]
    scores = [0.0] * len(specials) + [-2.0] * len(words) + [-5.0] * (len(pieces) - len(specials) - len(words))
    backend = Tokenizer(
        models.Unigram(
            list(zip(pieces, scores, strict=True)), unk_id=pieces.index("<unk>"), byte_fallback=False
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(specials)
    if last is not None:
        backend.add_special_tokens([last])
    end = ("</s>", backend.token_to_id("</s>"))
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )
    wrapped.save_pretrained(folder)
    return len(wrapped)


def fill(model: Any, table: torch.Tensor, *, seed: int) -> None:
    """Random weights that make the answer depend on the source."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2 and weight.requires_grad:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
            elif weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)
        table.copy_(torch.randn(table.shape, generator=generator) * 0.3)


def write_t5(folder: Path) -> None:
    size = write_tokenizer(folder, specials=["<pad>", "</s>", "<unk>"])
    config = transformers.T5Config(
        vocab_size=size + 6, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=3, num_heads=4
    )
    config.decoder_start_token_id = 0
    model = transformers.T5ForConditionalGeneration(config)
    fill(model, model.shared.weight, seed=3)
    # Rows that belong to no token, as real checkpoints have: nobody draws them.
    with torch.no_grad():
        model.shared.weight[size:] = 0
    model.save_pretrained(folder)


def write_marian(folder: Path) -> None:
    size = write_tokenizer(folder, specials=["</s>", "<unk>"], last="<pad>")
    config = transformers.MarianConfig(
        vocab_size=size,
        activation_function="swish",
        scale_embedding=True,
        pad_token_id=size - 1,
        decoder_start_token_id=size - 1,
        eos_token_id=0,
        forced_eos_token_id=None,
        **SIZES,
    )
    model = transformers.MarianMTModel(config)
    fill(model, model.model.shared.weight, seed=5)
    with torch.no_grad():
        model.final_logits_bias[0, 0] = 1.0
        # Nothing but padding would be said if it were not suppressed.
        model.final_logits_bias[0, -1] = 1000.0
    model.generation_config.bad_words_ids = [[size - 1]]
    model.save_pretrained(folder)


def write_bart(folder: Path) -> None:
    size = write_tokenizer(folder, specials=["<s>", "<pad>", "</s>", "<unk>"])
    config = transformers.BartConfig(vocab_size=size, forced_eos_token_id=None, **SIZES)
    model = transformers.BartForConditionalGeneration(config)
    fill(model, model.model.shared.weight, seed=5)
    model.generation_config.forced_bos_token_id = 7
    model.save_pretrained(folder)


WRITERS: dict[str, Callable[[Path], None]] = {"t5": write_t5, "marian": write_marian, "bart": write_bart}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For models this small, more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=WRITERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / request.param
    WRITERS[request.param](path)
    return path


def test_greedy_answers_are_those_of_transformers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    # The penalty counts what is in the answer; without it random weights say one token again and again.
    # A forced first token counts as generated there, and stands before the answer here.
    num_forced = 1 if theirs.generation_config.forced_bos_token_id is not None else 0
    seen = set()
    for text in TEXTS:
        inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        # Its cache does not allow for a decoder that is deeper than the encoder.
        settings = {"do_sample": False, "num_beams": 1, "use_cache": False, "repetition_penalty": 3.0}
        output = theirs.generate(**inputs, max_new_tokens=20 + num_forced, **settings)[0]
        capsys.readouterr()
        options = ["--prompt", text, "--max-tokens", "20", "--temperature", "0"]
        assert run(["generate", str(folder), *options, "--repetition-penalty", "3", "--json"]) == 0
        value = json.loads(capsys.readouterr().out.splitlines()[-1])
        expected = output[1 + num_forced :].tolist()
        is_ended = expected[-1] == tokenizer.eos_token_id
        assert value["finish_reason"] == ("stop" if is_ended else "length")
        assert value["token_ids"] == (expected[:-1] if is_ended else expected)
        assert value["text"] == tokenizer.decode(expected, skip_special_tokens=True)
        assert value["num_prompt_tokens"] == inputs["input_ids"].shape[1]
        seen.add(tuple(value["token_ids"]))
    assert len(seen) > 1, "the answers do not depend on the source"


def test_the_answer_streams_as_it_comes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--prompt", TEXTS[0], "--max-tokens", "9", "--seed", "3"]
    assert run(["generate", str(folder), *options, "--json"]) == 0
    value = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert run(["generate", str(folder), *options]) == 0
    assert capsys.readouterr().out == f"{value['text']}\n"


def test_a_served_completion_is_the_same_answer(folder: Path) -> None:
    asked = TestClient(create_app(load([folder])), base_url="http://localhost")
    body = {"model": folder.name, "prompt": TEXTS[0], "max_tokens": 9, "temperature": 0, "logprobs": 0}
    answer = asked.post("/v1/completions", json=body).json()
    expected = yanmo.generate(folder, TEXTS[0], max_tokens=9, temperature=0)[0]
    assert expected.token_ids and answer["choices"][0]["text"] == expected.text
    assert answer["usage"]["prompt_tokens"] == expected.num_prompt_tokens
    assert answer["usage"]["completion_tokens"] == len(expected.token_ids)


def refuse(capsys: pytest.CaptureFixture[str], arguments: list[str], *messages: str) -> None:
    capsys.readouterr()
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.strip().splitlines()) == 1, captured.err
    assert all(message in captured.err for message in messages), captured.err


def test_a_source_too_long_and_a_score_without_a_source_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = ["generate", str(folder), "--prompt", "hello " * 600]
    refuse(capsys, long, "the model's context holds", "shorten the prompt")
    refuse(capsys, ["score", str(folder), "--text", "hello world"], "needs a source text")


def test_an_encoder_says_that_it_continues_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bert"
    size = write_tokenizer(folder, specials=["<pad>", "</s>", "<unk>"])
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=size, **sizes)).save_pretrained(folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n"))
    for verb in (["generate", "--prompt", "x"], ["score", "--text", "hello world"], ["chat"]):
        arguments = [verb[0], str(folder), *verb[1:]]
        refuse(capsys, arguments, "this encoder does not continue texts", "give a language model")


def test_an_encoder_decoder_whose_files_say_no_beginning_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "t5"
    write_t5(folder)
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    del config["decoder_start_token_id"]
    (folder / "config.json").write_text(json.dumps(config))
    refuse(capsys, ["generate", str(folder), "--prompt", "x"], "which token an answer begins with")
