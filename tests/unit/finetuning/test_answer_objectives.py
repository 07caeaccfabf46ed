from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from answers_made import PAIRS, PREFERENCES, chat, decoder, encoder_decoder
from torch import Tensor
from torch.nn import functional

from yanmo.data.splitting import Splitter
from yanmo.errors import InputError
from yanmo.finetuning.answers.batches import AnswerBatches, AnswerText, pack_answers
from yanmo.finetuning.answers.objective import Completion, DirectPreference, nats_of
from yanmo.finetuning.answers.preferences import DirectPreferences, Rewards
from yanmo.finetuning.answers.written import Chatting, Rewriting, TextWriting
from yanmo.finetuning.encoding import InputEncoder
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.transformer import Transformer
from yanmo.tasks.examples import Origin, TextExample

CHATS = [
    chat("hello!", "i rest.", "what do you do?", "a cat", system="a man"),
    chat("你好！", "我在休息。"),
    chat("the door", "a man is eating food"),
]
TEXTS = [
    TextExample(text=text, origin=Origin("texts.txt"))
    for text in ("a man is eating food", "你好！我在休息。", "the door", "a cat")
]
CASES: dict[str, tuple[Callable[[Path], Checkpoint], Callable[[], Any], Sequence[Any]]] = {
    "translation, encoder-decoder": (
        encoder_decoder,
        lambda: Rewriting(task="translation", smoothing=0.1),
        PAIRS,
    ),
    "translation, decoder": (decoder, lambda: Rewriting(task="translation"), PAIRS),
    "summarization": (encoder_decoder, lambda: Rewriting(task="summarization"), PAIRS),
    "text generation": (decoder, lambda: TextWriting(task="text-generation"), TEXTS),
    "chat": (decoder, lambda: Chatting(task="chat", smoothing=0.2), CHATS),
    "preferences": (decoder, lambda: DirectPreferences(beta=0.3), PREFERENCES),
    "rewards": (decoder, Rewards, PREFERENCES),
}


def opened(case: str, folder: Path) -> tuple[Any, Transformer, InputEncoder, Sequence[Any]]:
    make, skill_of, examples = CASES[case]
    checkpoint, skill = make(folder), skill_of()
    torch.manual_seed(0)
    network = skill.network(checkpoint)
    for name, weight in network.named_parameters():
        if name.startswith("heads.sequence"):
            torch.nn.init.normal_(weight)
    return skill, network, InputEncoder.of(network, checkpoint.tokenizer), examples


def gradients(network: Transformer, losses: Sequence[Any]) -> tuple[float, dict[str, Tensor]]:
    total, count = 0.0, sum(loss.num_tokens for loss in losses)
    for loss in losses:
        loss.loss_nats.backward()
        total += float(loss.loss_nats.detach())
    found = {
        name: weight.grad.clone() / count
        for name, weight in network.named_parameters()
        if weight.grad is not None
    }
    network.zero_grad()
    return total / count, found


@pytest.mark.parametrize("case", list(CASES))
def test_packed_alone_and_accumulated_give_the_same_gradient(case: str, tmp_path: Path) -> None:
    skill, network, encoder, examples = opened(case, tmp_path)
    count = len(examples)
    batches = skill.batches(examples, encoder, batch_size=count, seed=0)
    if case == "preferences":
        with torch.no_grad():  # away from the reference, where the gradient is not that of a coin
            network.embedding.weight.mul_(1.3)
    objective = skill.objective()
    whole = gradients(network, [objective(network, batches.rows(0, range(count)))])
    parts = [range(count // 2), range(count // 2, count)]
    accumulated = gradients(network, [objective(network, batches.rows(0, part)) for part in parts])
    alone = gradients(
        network, [objective(network, batches.rows(0, range(row, row + 1))) for row in range(count)]
    )
    for loss, grads in (accumulated, alone):
        assert loss == pytest.approx(whole[0], abs=1e-6)
        assert grads.keys() == whole[1].keys() and len(grads) > 5
        for name, grad in grads.items():
            torch.testing.assert_close(grad, whole[1][name], atol=1e-5, rtol=1e-5, msg=name)
    assert max(float(grad.abs().max()) for grad in whole[1].values()) > 1e-3


def logits_of(network: Transformer, text: AnswerText) -> tuple[Tensor, Tensor]:
    """Logits of what is learned, and the right tokens, the plain way."""
    ids = torch.from_numpy(text.ids)
    memory = None if text.source is None else network.encode(torch.from_numpy(text.source)[None])
    logits = network(ids[None, :-1], memory=memory)[0]
    return logits[torch.from_numpy(text.learned[1:])], ids[1:][torch.from_numpy(text.learned[1:])]


@pytest.mark.parametrize("case", ["translation, encoder-decoder", "chat"])
def test_the_loss_is_that_of_torch_with_smoothed_labels(case: str, tmp_path: Path) -> None:
    skill, network, encoder, examples = opened(case, tmp_path)
    texts = skill.texts(examples, encoder)
    loss = Completion(smoothing=0.1)(network, pack_answers(texts))
    wanted, count = 0.0, 0
    for text in texts:
        logits, targets = logits_of(network, text)
        wanted += float(functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=0.1))
        count += len(targets)
    assert loss.num_tokens == count
    assert float(loss.loss_nats) == pytest.approx(wanted, rel=1e-5)


def test_preferences_are_those_of_the_paper(tmp_path: Path) -> None:
    skill, network, encoder, examples = opened("preferences", tmp_path)
    flat = [text for pair in skill.with_reference(examples, encoder) for text in pair]
    reference = [-text.reference_nats for text in flat]
    with torch.no_grad():
        network.embedding.weight.mul_(1.2)
    logps = []
    for text in flat:
        logits, targets = logits_of(network, text)
        logps.append(float(logits.log_softmax(-1).gather(1, targets[:, None]).sum()))
    ratio = np.array(logps) - np.array(reference)
    wanted = np.logaddexp(0, -0.3 * (ratio[::2] - ratio[1::2])).sum()
    loss = DirectPreference(beta=0.3)(network, pack_answers(flat))
    assert loss.num_tokens == 4
    assert float(loss.loss_nats) == pytest.approx(wanted, rel=1e-5)
    assert abs(float(loss.loss_nats) - 4 * np.log(2)) > 1e-2
    np.testing.assert_allclose(nats_of(network, flat), -np.array(logps), rtol=1e-5)


def test_at_first_no_answer_is_preferred_to_another(tmp_path: Path) -> None:
    skill, network, encoder, examples = opened("preferences", tmp_path)
    valid = skill.validation(examples, encoder)(network.eval())
    assert valid["loss_nats"] == pytest.approx(np.log(2), abs=1e-6)


def test_batches_depend_on_seed_step_and_rows_alone(tmp_path: Path) -> None:
    skill, _, encoder, examples = opened("translation, encoder-decoder", tmp_path)
    texts = [(text,) for text in skill.texts(examples, encoder)]

    def made(batch_size: int, *, splits: bool = True) -> AnswerBatches:
        batches = AnswerBatches(texts, batch_size=batch_size, seed=1)
        batches.splitter = Splitter(encoder.tokenizer, share=0.5, num_steps=100) if splits else None
        return batches

    one, other = made(4), made(4)
    other.rows(7, range(4))
    first, again = one.rows(3, range(4)), other.rows(3, range(4))
    assert torch.equal(first.inputs_1T, again.inputs_1T) and torch.equal(first.targets_M, again.targets_M)
    assert first.targets_M.numel() == first.inputs_1T.numel()
    parts = [other.rows(3, part) for part in (range(2), range(2, 4))]
    assert sum(part.inputs_1T.numel() for part in parts) == first.inputs_1T.numel()
    assert first.inputs_1T.numel() > made(4, splits=False).rows(3, range(4)).inputs_1T.numel()
    # Apart or not, it is the same text.
    texts_said = [
        sorted(encoder.tokenizer.decode(batches.rows(0, range(6)).targets_M.tolist()))
        for batches in (made(6), made(6, splits=False))
    ]
    assert texts_said[0] == texts_said[1]


def test_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    skill, _, encoder, _ = opened("translation, encoder-decoder", tmp_path)
    with pytest.raises(InputError, match="there is no example to learn from"):
        skill.batches([], encoder, batch_size=4, seed=0)
