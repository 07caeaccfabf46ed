"""A model with new tokens: transformers opens it, old text is answered as before, new rows are means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from family_checks import shake
from tokenizers_made import FAMILIES

from yanmo.cli.main import run as run_cli
from yanmo.corpus.build import build_corpus
from yanmo.corpus.quality.judge import QualitySettings
from yanmo.corpus.settings import CorpusSettings, DuplicateSettings
from yanmo.errors import InputError
from yanmo.models.extension import extend, survey_extension
from yanmo.models.registry import load
from yanmo.tokenizers.load import Tokenizer

transformers = pytest.importorskip("transformers", reason="the reference is transformers")

OLD_TEXT = "The quick brown fox jumps over the lazy dog. 天地玄黄"
NEW_TEXT = "gyroscopic gyroscopes measure zymurgy; 量子纠缠"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(30):
        text = f"{number} gyroscopic gyroscopes measure zymurgy {number}; 量子纠缠与量子计算{number}。\n"
        (folder / f"{number}.txt").write_text(text * 9, encoding="utf-8")
    out = tmp_path_factory.mktemp("corpora") / "corpus"
    as_it_is = CorpusSettings(
        quality=QualitySettings(sets=()), duplicates=DuplicateSettings(near=0, together=0)
    )
    build_corpus([folder], out, settings=as_it_is)
    return out


def gpt2(rows: int) -> Any:
    config = transformers.GPT2Config(vocab_size=rows, n_positions=64, n_embd=32, n_layer=2, n_head=2)
    return transformers.GPT2LMHeadModel(config)


def llama(rows: int) -> Any:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(
        vocab_size=rows, max_position_embeddings=64, tie_word_embeddings=False, **sizes
    )
    return transformers.LlamaForCausalLM(config)


def bert(rows: int) -> Any:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    return transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=rows, **sizes))


def t5(rows: int) -> Any:
    config = transformers.T5Config(
        vocab_size=rows, d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


CASES: dict[str, tuple[Callable[[int], Any], str, int]] = {
    # Model, tokenizer, rows that the model has beyond the tokenizer's ids.
    "gpt2": (gpt2, "gpt2", 0),
    "llama-with-rows-to-spare": (llama, "llama3", 70),
    "qwen-tokenizer": (llama, "qwen2", 3),
    "bert": (bert, "bert", 0),
    "t5": (t5, "t5", 0),
}


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    tokens = torch.tensor([ids])
    more = {"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {}
    with torch.inference_mode():
        return model.eval()(input_ids=tokens, **more).logits[0]


@pytest.mark.parametrize("case", list(CASES))
def test_transformers_answers_old_text_as_before(case: str, corpus: Path, tmp_path: Path) -> None:
    build, family, spare = CASES[case]
    source, out = tmp_path / "source", tmp_path / "extended"
    FAMILIES[family](source)
    tokenizer = Tokenizer.load(source)
    before = shake(build(tokenizer.vocab_size + spare))
    before.save_pretrained(source)
    made = extend(corpus, out, str(source), num_new=20)
    # There may be fewer pieces worth a place than were asked for.
    assert made.model and 15 <= made.num_added <= 20
    assert made.vocab_size == tokenizer.vocab_size + made.num_added
    assert made.bytes_per_token > made.bytes_per_token_before

    theirs = transformers.AutoTokenizer.from_pretrained(out)
    ours = Tokenizer.load(out)
    for text in (OLD_TEXT, NEW_TEXT):
        assert theirs(text)["input_ids"] == ours.encode_with_specials(text).ids
    assert max(ours.encode(NEW_TEXT)) >= tokenizer.vocab_size

    after = type(before).from_pretrained(out)
    ids, first = tokenizer.encode(OLD_TEXT), tokenizer.vocab_size
    assert ours.encode(OLD_TEXT) == ids
    old, new = logits(before, ids), logits(after, ids)
    assert new.shape[-1] >= first + made.num_added
    torch.testing.assert_close(new[:, :first], old[:, :first], rtol=1e-5, atol=1e-5)
    assert torch.equal(new.argmax(-1), old[:, :first].argmax(-1)) or spare
    # Each new row is the mean of the rows of what stood there before, and so is each new score.
    embedding = before.get_input_embeddings().weight
    for offset in (0, 7, made.num_added - 1):
        text = ours.tokens_by_id[first + offset]
        raw = ours.token_bytes(first + offset)
        assert text is not None and raw
        row = after.get_input_embeddings().weight[first + offset]
        pieces = pieces_of(tokenizer, text)
        torch.testing.assert_close(row, embedding[pieces].mean(0))
        score = old[:, pieces].mean(-1)
        torch.testing.assert_close(new[:, first + offset], score, rtol=1e-4, atol=1e-4)


def pieces_of(tokenizer: Tokenizer, text: str) -> list[int]:
    """The old tokens that a new one was made of, as each kind of model cuts its string."""
    ids = {token: token_id for token_id, token in enumerate(tokenizer.tokens_by_id) if token is not None}
    cut = json.loads(tokenizer.content)["model"]
    if cut["type"] == "BPE":
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in cut["merges"]]
        parts = list(text)
        for left, right in merges:
            index = 0
            while index + 1 < len(parts):
                if (parts[index], parts[index + 1]) == (left, right):
                    parts[index : index + 2] = [left + right]
                else:
                    index += 1
        return [ids[part] for part in parts]
    if cut["type"] == "WordPiece":
        sign, found = text.startswith("##"), []
        rest = text.removeprefix("##")
        while rest:
            end = next(n for n in range(len(rest), 0, -1) if ("##" * sign + rest[:n]) in ids)
            found.append(ids["##" * sign + rest[:end]])
            rest, sign = rest[end:], True
        return found
    best: list[tuple[float, list[int]]] = [(0.0, [])]
    scores = dict(map(tuple, cut["vocab"]))
    for end in range(1, len(text) + 1):
        options = [
            (best[start][0] + scores[text[start:end]], [*best[start][1], ids[text[start:end]]])
            for start in range(end)
            if text[start:end] in ids
        ]
        best.append(max(options, default=(-1e9, [])))
    return best[-1][1]


def test_a_tokenizer_alone_is_extended_and_found_done(corpus: Path, tmp_path: Path, capsys: Any) -> None:
    FAMILIES["qwen2"](tmp_path / "source")
    out = tmp_path / "out"
    arguments = ["tokenizer", str(corpus), "--out", str(out), "--extend", str(tmp_path / "source"), "--add"]
    assert run_cli([*arguments, "15", "--dry-run"]) == 0 and not out.exists()
    assert run_cli([*arguments, "15", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["num_added"] == 15 and told["model"] is False
    assert told["bytes_per_token"] > told["bytes_per_token_before"]
    written = (out / "tokenizer.json").stat().st_mtime_ns
    assert survey_extension(corpus, out, str(tmp_path / "source"), num_new=15)["is_done"] is True
    assert run_cli([*arguments, "15"]) == 0
    assert (out / "tokenizer.json").stat().st_mtime_ns == written
    assert run_cli([*arguments, "16"]) == 2


def test_the_source_stays_and_counted_models_are_refused(corpus: Path, tmp_path: Path) -> None:
    FAMILIES["gpt2"](tmp_path / "m")
    tokenizer = Tokenizer.load(tmp_path / "m")
    shake(gpt2(tokenizer.vocab_size)).save_pretrained(tmp_path / "m")
    with pytest.raises(InputError, match="already exists"):
        extend(corpus, tmp_path / "m", str(tmp_path / "m"), num_new=5)
    with pytest.raises(InputError, match="is the source itself"):
        extend(corpus, tmp_path / "m", str(tmp_path / "m"), num_new=5, force=True)
    assert load(tmp_path / "m").model.vocab_size == tokenizer.vocab_size
    (tmp_path / "m" / "config.json").write_text('{"model_type": "yanmo-ngram"}')
    with pytest.raises(InputError, match=r"cannot be extended|no_such"):
        extend(corpus, tmp_path / "out", str(tmp_path / "m"), num_new=5)
