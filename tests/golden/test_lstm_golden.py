"""Our LSTM against torch.nn.LSTM with the same weights, forward and backward, whole and step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from yanmo.models.lstm import LstmConfig, LstmModel
from yanmo.nn.recurrent import LstmLayer

SIZES = LstmConfig(vocab_size=50, d_model=12, d_hidden=20, num_layers=3)


def reference(layer: LstmLayer) -> nn.LSTM:
    """torch's LSTM with a layer's weights; of its two biases the first is zero."""
    lstm = nn.LSTM(layer.input_weight.shape[1], layer.d_out, batch_first=True)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(layer.input_weight)
        lstm.weight_hh_l0.copy_(layer.recurrent_weight)
        lstm.bias_ih_l0.zero_()
        lstm.bias_hh_l0.copy_(layer.bias)
    return lstm


def random_model() -> LstmModel:
    torch.manual_seed(3)
    model = LstmModel(SIZES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def reference_hidden(model: LstmModel, tokens_BT: Tensor) -> Tensor:
    x_BTD = nn.functional.embedding(tokens_BT, model.embedding.weight)
    for layer in model.layers:
        assert isinstance(layer, LstmLayer)
        x_BTD = reference(layer)(x_BTD)[0]
    return x_BTD


def test_same_hidden_states_and_losses_as_torch() -> None:
    model, tokens_BT = random_model(), torch.randint(0, 50, (4, 33))
    with torch.no_grad():
        expected_BTD = reference_hidden(model, tokens_BT)
        torch.testing.assert_close(model.hidden(tokens_BT), expected_BTD, rtol=1e-5, atol=1e-6)
        logits_BTV = expected_BTD[:, :-1] @ model.embedding.weight.T
    expected_BT = nn.functional.cross_entropy(logits_BTV.transpose(1, 2), tokens_BT[:, 1:], reduction="none")
    torch.testing.assert_close(model.token_losses(tokens_BT), expected_BT, rtol=1e-5, atol=1e-5)


def test_same_scores_step_by_step() -> None:
    model, tokens_BT = random_model(), torch.randint(0, 50, (3, 9))
    with torch.no_grad():
        logits_BTV = reference_hidden(model, tokens_BT) @ model.embedding.weight.T
    session = model.start(3)
    torch.testing.assert_close(session.extend(tokens_BT[:, :4]), logits_BTV[:, 3], rtol=1e-5, atol=1e-5)
    for t in range(4, 9):
        scores_BV = session.extend(tokens_BT[:, t : t + 1])
        torch.testing.assert_close(scores_BV, logits_BTV[:, t], rtol=1e-5, atol=1e-5)


def test_same_gradients_as_torch() -> None:
    torch.manual_seed(4)
    layer = LstmLayer(7, 11)
    theirs = reference(layer)
    x_BTD, weight_BTH = torch.randn(5, 17, 7), torch.randn(5, 17, 11)
    ours_x, theirs_x = x_BTD.clone().requires_grad_(), x_BTD.clone().requires_grad_()
    (layer(ours_x, layer.empty_state(5))[0] * weight_BTH).sum().backward()
    (theirs(theirs_x)[0] * weight_BTH).sum().backward()
    pairs = [
        (ours_x.grad, theirs_x.grad),
        (layer.input_weight.grad, theirs.weight_ih_l0.grad),
        (layer.recurrent_weight.grad, theirs.weight_hh_l0.grad),
        (layer.bias.grad, theirs.bias_hh_l0.grad),
    ]
    for ours, expected in pairs:
        assert ours is not None and expected is not None
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_bf16_is_near_float32() -> None:
    model, tokens_BT = random_model(), torch.randint(0, 50, (4, 33))
    expected_BT = model.token_losses(tokens_BT)
    losses_BT = model.to(torch.bfloat16).token_losses(tokens_BT)
    assert losses_BT.dtype == torch.float32
    assert float((losses_BT - expected_BT).abs().mean()) == pytest.approx(0.0, abs=0.05)
