"""The LSTM language model: its protocol, its regularisation, its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from yanmo.errors import InputError
from yanmo.models import lstm
from yanmo.models.base import LanguageModel
from yanmo.models.lstm import LstmConfig, LstmDropout, LstmModel, load_lstm, save_lstm
from yanmo.nn.recurrent import LstmLayer
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.train import fit_bpe

SIZES = LstmConfig(vocab_size=40, d_model=8, d_hidden=14, num_layers=2)
NOTHING = LstmDropout(embedding=0, inputs=0, between=0, output=0, recurrent=0)


@pytest.fixture
def model() -> LstmModel:
    torch.manual_seed(0)
    return LstmModel(SIZES).eval()


def tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(0, SIZES.vocab_size, (rows, length), generator=torch.Generator().manual_seed(1))


def test_sizes(model: LstmModel) -> None:
    assert isinstance(model, LanguageModel)
    assert model.max_seq_len is None and model.vocab_size == 40
    assert model.num_parameters == sum(p.numel() for p in model.parameters())
    assert model.output_weight_VD is model.embedding.weight
    assert [layer.d_out for layer in model.layers if isinstance(layer, LstmLayer)] == [14, 8]
    one_layer = LstmConfig(vocab_size=5, d_model=3, d_hidden=9, num_layers=1)
    assert LstmModel(one_layer).num_parameters == 5 * 3 + 12 * (3 + 3 + 1)


@pytest.mark.parametrize("name", ["vocab_size", "d_model", "d_hidden", "num_layers"])
def test_sizes_that_cannot_be_built_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be at least 1"):
        LstmConfig(**{"vocab_size": 5, "d_model": 4, "d_hidden": 4, "num_layers": 1, name: 0})


def test_the_future_does_not_change_the_past(model: LstmModel) -> None:
    first_BT = tokens(2, 12)
    other_BT = first_BT.clone()
    other_BT[:, 8:] = (other_BT[:, 8:] + 1) % SIZES.vocab_size
    with torch.no_grad():
        first_BTD, other_BTD = model.hidden(first_BT), model.hidden(other_BT)
    torch.testing.assert_close(first_BTD[:, :8], other_BTD[:, :8], rtol=0, atol=0)
    assert not torch.equal(first_BTD[:, 8:], other_BTD[:, 8:])


def test_long_texts_run_in_pieces_with_the_same_losses(
    model: LstmModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens_BT = tokens(3, 50)
    whole_BT, scores_BV = model.token_losses(tokens_BT), model.start(3).extend(tokens_BT)
    monkeypatch.setattr(lstm, "_PIECE_TOKENS", 21)  # 7 tokens of each of the 3 rows
    torch.testing.assert_close(model.token_losses(tokens_BT), whole_BT, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.start(3).extend(tokens_BT), scores_BV, rtol=1e-5, atol=1e-6)
    assert whole_BT.shape == (3, 49) and model.token_losses(tokens_BT[:, :1]).shape == (3, 0)


def test_rows_are_kept_repeated_and_reordered(model: LstmModel) -> None:
    tokens_BT, next_B1 = tokens(3, 6), tokens(2, 1)
    session, chosen = model.start(3), torch.tensor([2, 0])
    session.extend(tokens_BT)
    session.select(chosen)
    expected_BV = model.start(2).extend(torch.cat([tokens_BT[chosen], next_B1], dim=1))
    torch.testing.assert_close(session.extend(next_B1), expected_BV, rtol=1e-5, atol=1e-6)
    assert session.num_tokens == 7


def test_one_dial_turns_every_dropout_and_the_paper_is_at_its_output_dropout(model: LstmModel) -> None:
    assert LstmDropout().scaled(0.4) == LstmDropout()
    halved = LstmDropout().scaled(0.2)
    assert (halved.embedding, halved.inputs, halved.output, halved.recurrent) == (0.05, 0.2, 0.2, 0.25)
    model.set_dropout(0.4)
    assert model.between_dropout.probability == pytest.approx(0.3)
    assert all(layer.weight_dropout == 0.5 for layer in model.layers if isinstance(layer, LstmLayer))
    with pytest.raises(InputError, match="dropout recurrent must be at least 0 and below 1, not 1"):
        model.set_dropout(0.8)


@pytest.mark.parametrize("kind", ["embedding", "inputs", "between", "output", "recurrent"])
def test_each_dropout_acts_in_training_only(model: LstmModel, kind: str) -> None:
    tokens_BT = tokens(4, 10)
    with torch.no_grad():
        plain_BTD = model.hidden(tokens_BT)
        model.regularise(NOTHING)
        model.train()
        torch.testing.assert_close(model.hidden(tokens_BT), plain_BTD, rtol=1e-5, atol=1e-6)
        model.regularise(LstmDropout(**{**vars(NOTHING), kind: 0.5}))
        first_BTD, second_BTD = model.hidden(tokens_BT), model.hidden(tokens_BT)
        assert not torch.allclose(first_BTD, plain_BTD) and not torch.allclose(first_BTD, second_BTD)
        torch.testing.assert_close(model.eval().hidden(tokens_BT), plain_BTD, rtol=0, atol=0)


def test_output_dropout_is_one_mask_a_row(model: LstmModel) -> None:
    model.train().regularise(LstmDropout(**{**vars(NOTHING), "output": 0.5}))
    states = model.states(tokens(6, 9))
    zero_BTD = states.hidden_BTD == 0
    assert torch.equal(zero_BTD, zero_BTD[:, :1].expand_as(zero_BTD))
    assert 0 < int(zero_BTD[:, 0].sum()) < zero_BTD[:, 0].numel()
    kept = ~zero_BTD
    torch.testing.assert_close(states.hidden_BTD[kept], states.out_BTD[kept] * 2)


def test_embedding_dropout_takes_a_word_wherever_it_stands(model: LstmModel) -> None:
    model.train().regularise(LstmDropout(**{**vars(NOTHING), "embedding": 0.5}))
    tokens_BT = torch.arange(SIZES.vocab_size).repeat(2, 2)
    seen = []
    model.input_dropout.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    model.hidden(tokens_BT)
    dropped_BT = (seen[0] == 0).all(dim=-1)
    once_V = dropped_BT[0, : SIZES.vocab_size]
    assert torch.equal(dropped_BT, once_V.repeat(2, 2)) and 5 < int(once_V.sum()) < 35


def test_penalty_is_the_papers_as_a_sum_over_tokens(model: LstmModel) -> None:
    model.train().regularise(LstmDropout(**{**vars(NOTHING), "output": 0.4}))
    states = model.states(tokens(3, 7))
    ar = states.hidden_BTD.pow(2).mean() * (3 * 7)
    tar = (states.out_BTD[:, 1:] - states.out_BTD[:, :-1]).pow(2).mean() * (3 * 6)
    torch.testing.assert_close(states.penalty(activation=2.0, temporal=0.0), 2 * ar)
    torch.testing.assert_close(states.penalty(activation=0.0, temporal=3.0), 3 * tar)
    states.penalty().backward()
    gradient = model.embedding.weight.grad
    assert gradient is not None and float(gradient.abs().sum()) > 0


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe(["the quick brown fox 研墨者，磨墨也。" * 5], 290)


def saved(folder: Path, tokenizer: Tokenizer, dtype: torch.dtype = torch.float32) -> LstmModel:
    torch.manual_seed(2)
    sizes = LstmConfig(vocab_size=tokenizer.vocab_size, d_model=8, d_hidden=10, num_layers=2)
    model = LstmModel(sizes).eval()
    weights = dict(model.named_parameters())
    save_lstm(folder, model, weights, tokenizer, dtype=dtype, details={}, card="# A model\n")
    return model


def test_a_folder_gives_back_the_same_model(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = saved(tmp_path / "m", tokenizer)
    again = load_lstm(tmp_path / "m")
    assert again.config == model.config and not again.training
    tokens_BT = tokens(2, 9)
    torch.testing.assert_close(again.token_losses(tokens_BT), model.token_losses(tokens_BT), rtol=0, atol=0)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["model_type"] == "yanmo-lstm"
    assert Tokenizer.load(tmp_path / "m").encode("研墨") == tokenizer.encode("研墨")


def test_bf16_weights_come_back_as_float32_or_as_they_are(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = saved(tmp_path / "m", tokenizer, torch.bfloat16)
    rounded = model.embedding.weight.detach().bfloat16()
    torch.testing.assert_close(load_lstm(tmp_path / "m").embedding.weight.detach(), rounded.float())
    assert load_lstm(tmp_path / "m", dtype=torch.bfloat16).embedding.weight.dtype == torch.bfloat16


def damage_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_damaged_folders_are_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    folder = tmp_path / "m"
    saved(folder, tokenizer)
    config, path = (folder / "config.json").read_text(), folder / "model.safetensors"
    whole, weights = path.read_bytes(), load_file(path)
    for changes, message in (
        ({"model_type": "yanmo-ngram"}, "is not an LSTM"),
        ({"d_model": "8"}, "must be a whole number"),
        ({"num_layers": 3}, "holds 7 weights, not those of 3 layers"),
        ({"num_layers": 10**12}, "holds 7 weights"),
        ({"d_model": 9}, "weight embedding.weight is float32 of shape"),
        ({"d_hidden": 2**62}, "impossible size"),
        ({"colour": 1}, "unknown setting 'colour'"),
    ):
        damage_config(folder, **changes)
        with pytest.raises(InputError, match=message):
            load_lstm(folder)
        (folder / "config.json").write_text(config)
    for content in (b"", whole[:7], whole[:-9], whole[:20] + b"\xff" * 30 + whole[50:]):
        path.write_bytes(content)
        with pytest.raises(InputError):
            load_lstm(folder)
    renamed = {name.replace("bias", "shift"): weight for name, weight in weights.items()}
    save_file(renamed, path)
    with pytest.raises(InputError, match="bias is missing"):
        load_lstm(folder)
    save_file({**weights, "layers.0.bias": weights["layers.0.bias"].long()}, path)
    with pytest.raises(InputError, match=r"layers\.0\.bias is int64"):
        load_lstm(folder)
    path.unlink()
    with pytest.raises(InputError):
        load_lstm(folder)
