from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from answers_made import ORIGIN, PAIRS, PREFERENCES, chat, decoder, encoder_decoder

from yanmo.errors import InputError
from yanmo.finetuning.answers.form import AnswerForm
from yanmo.finetuning.answers.preferences import DirectPreferences, Rewards
from yanmo.finetuning.answers.written import Chatting, Rewriting, TextWriting, likelihood_scores
from yanmo.finetuning.encoding import InputEncoder
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.transformer import Transformer
from yanmo.tasks.examples import Seq2SeqExample, TextExample
from yanmo.training.optimizer import Optimizer, OptimizerConfig

CHATS = [
    chat("hello!", "i rest.", "what do you do?", "a cat", system="a man"),
    chat("你好！", "我在休息。", "你在做什么？", "人"),
]


def opened(skill: Any, checkpoint: Checkpoint) -> tuple[Transformer, InputEncoder]:
    network = skill.network(checkpoint)
    return network, InputEncoder.of(network, checkpoint.tokenizer)


def learn(skill: Any, network: Transformer, encoder: InputEncoder, examples: Any, *, steps: int) -> None:
    """Until it is known by heart."""
    batches = skill.batches(examples, encoder, batch_size=len(examples), seed=0)
    objective, optimizer = skill.objective(), Optimizer(network, OptimizerConfig(adam_learning_rate=0.02))
    for step in range(steps):
        loss = objective(network, batches.rows(step, range(batches.batch_size)))
        loss.loss_nats.backward()
        optimizer.accumulate()
        optimizer.step(factor=1 - step / steps, num_tokens=loss.num_tokens)


@pytest.mark.parametrize("make", [decoder, encoder_decoder])
def test_translations_are_learned_answered_and_scored(make: Any, tmp_path: Path) -> None:
    skill = Rewriting(task="translation", smoothing=0.1, split_share=0.1, split_epochs=20, num_beams=3)
    network, encoder = opened(skill, make(tmp_path))
    learn(skill, network, encoder, PAIRS, steps=45)
    validate = skill.validation(PAIRS, encoder)
    valid = validate(network)
    assert valid["bleu"] == pytest.approx(100) and valid["chrf"] == pytest.approx(100)
    assert valid["perplexity"] < 2 and valid["loss_nats"] < 0.7
    told: list[int] = []
    unlabelled = [Seq2SeqExample(source=one.source, targets=None, origin=ORIGIN) for one in PAIRS]
    answers = skill.answer(network, unlabelled, encoder, on_progress=told.append)
    assert [row["text"] for row in answers] == [(one.targets or ("",))[0] for one in PAIRS]
    assert sum(told) == len(PAIRS)
    scores = skill.score(PAIRS, answers)
    assert scores["bleu"] == pytest.approx(100) and set(scores.names) == {"bleu", "length_ratio", "chrf"}
    form = AnswerForm.read(json.loads(json.dumps(skill.settings)))
    assert form == skill.form and form.num_beams == 3
    longest = max(len(encoder.tokenizer.encode((one.targets or ("",))[0])) for one in PAIRS)
    assert longest <= form.longest <= longest + 2


@pytest.mark.parametrize("said", [{}, {"answers": 3}, {"answers": {"unheard": 1, "has_source": True}}])
def test_a_model_that_does_not_say_how_it_answers_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="does not say how it answers"):
        AnswerForm.read(said)


def test_summaries_are_scored_by_rouge_in_both_languages() -> None:
    skill = Rewriting(task="summarization")
    scores = skill.score(PAIRS, [{"text": (one.targets or ("",))[0]} for one in PAIRS])
    assert scores["rougeL"] == pytest.approx(1)


def test_conversations_are_judged_by_what_they_hold_and_else_answered(tmp_path: Path) -> None:
    skill = Chatting(task="chat")
    network, encoder = opened(skill, decoder(tmp_path))
    before = skill.validation(CHATS, encoder)(network)
    learn(skill, network, encoder, CHATS, steps=30)
    after = skill.validation(CHATS, encoder)(network)
    assert after["bits_per_byte"] < before["bits_per_byte"] / 5
    asked = chat("你好！")
    judged, answered = skill.answer(network, [CHATS[1], asked], encoder)
    assert judged["bytes"] == len("我在休息。人".encode()) and judged["nats"] > 0
    assert answered["text"] == "我在休息。"
    scores = likelihood_scores([judged])
    assert scores["perplexity"] == pytest.approx(2.718281828 ** (judged["nats"] / judged["tokens"]))
    with pytest.raises(InputError, match="no answer to judge by"):
        skill.score([CHATS[1], asked], [judged, answered])


def test_texts_are_learned_whole_in_stretches_and_continued(tmp_path: Path) -> None:
    skill = TextWriting(task="text-generation")
    network, encoder = opened(skill, decoder(tmp_path))
    long = TextExample(text="a man is eating food. " * 30 + "一个人在吃饭。", origin=ORIGIN)
    short = TextExample(text="hello! i rest.", origin=ORIGIN)
    texts = skill.texts([long, short], encoder)
    ids = encoder.tokenizer.encode(long.text)
    assert sum(text.num_learned for text in texts if text.example == 0) == len(ids) + 1
    assert max(len(text.ids) - 1 for text in texts) == encoder.max_seq_len
    learn(skill, network, encoder, [short], steps=25)
    beginning = Seq2SeqExample(source="hello!", targets=None, origin=ORIGIN)
    continued, judged = skill.answer(network, [beginning, short], encoder)
    assert continued["text"] == "i rest."
    assert judged["bytes"] == len(short.text) and judged["nats"] < 5


def test_an_encoder_decoder_writes_no_text_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="writes no text of its own"):
        TextWriting(task="text-generation").network(encoder_decoder(tmp_path))


def test_what_is_cut_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skill = Rewriting(task="translation")
    network, _ = opened(skill, checkpoint := encoder_decoder(tmp_path))
    encoder = InputEncoder.of(network, checkpoint.tokenizer, 6)
    texts = skill.texts(PAIRS, encoder)
    assert max(len(text.source) for text in texts if text.source is not None) == 6
    assert max(len(text.ids) for text in texts) == 7
    assert all(text.source[-1] == checkpoint.tokenizer.eos_id for text in texts if text.source is not None)
    assert "longer than 6 tokens, and cut" in capsys.readouterr().err


@pytest.mark.parametrize("skill", [DirectPreferences(), Rewards()])
def test_preferences_are_learned(skill: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network, encoder = opened(skill, decoder(tmp_path))
    validate = skill.validation(PREFERENCES, encoder)
    learn(skill, network, encoder, PREFERENCES, steps=15)
    valid = validate(network)
    assert valid["accuracy"] == 1 and valid["loss_nats"] < 0.4
    told: list[int] = []
    answers = skill.answer(network, PREFERENCES, encoder, on_progress=told.append)
    assert sum(told) == len(PREFERENCES)
    if isinstance(skill, Rewards):
        assert [row["label"] for row in answers] == ["chosen"] * 4
        assert skill.score(PREFERENCES, answers)["accuracy"] == 1


def test_preferences_need_a_decoder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="learned by a decoder"):
        DirectPreferences().network(encoder_decoder(tmp_path))
