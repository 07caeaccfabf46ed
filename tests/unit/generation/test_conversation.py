"""Conversations: which prompt each turn sees, what is kept, and what is forgotten."""

from __future__ import annotations

import pytest
from fake_model import FakeModel

from yanmo.errors import InputError
from yanmo.generation.conversation import Conversation
from yanmo.generation.engine import Engine, SamplingParams
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer

GREEDY = SamplingParams(temperature=0, max_tokens=40)


def conversation(
    said: str, *, chat_tuned: bool, max_seq_len: int = 4000, system: str = ""
) -> tuple[Conversation, list[list[int]]]:
    """A conversation with a model that always says the same, and the prompts it was given."""
    tokenizer: Tokenizer = fit_bpe(["hello world 你好世界 " * 20], 300)
    tokenizer.chat_tuned = chat_tuned
    script = [*tokenizer.encode(said), tokenizer.eos_id]
    engine = Engine(FakeModel(tokenizer.vocab_size, script=script, max_seq_len=max_seq_len), tokenizer)
    prompts: list[list[int]] = []
    stream = engine.stream

    def recording(prompt_ids, params=None, **options):  # type: ignore[no-untyped-def]
        prompts.append(list(prompt_ids))
        return stream(prompt_ids, params, **options)

    engine.stream = recording  # type: ignore[method-assign]
    return Conversation(engine, GREEDY, system=system), prompts


def say(talk: Conversation, text: str) -> str:
    return "".join(piece.text for piece in talk.ask(text))


def test_a_tuned_model_gets_its_template() -> None:
    talk, prompts = conversation("你好!", chat_tuned=True, system="brief")
    assert [say(talk, "one"), say(talk, "two")] == ["你好!", "你好!"]
    tokenizer = fit_bpe(["hello world 你好世界 " * 20], 300)
    assert tokenizer.decode(prompts[1], skip_special_tokens=False) == (
        "<|im_start|>system\nbrief<|im_end|>\n<|im_start|>user\none<|im_end|>\n"
        "<|im_start|>assistant\n你好!<|im_end|>\n<|im_start|>user\ntwo<|im_end|>\n<|im_start|>assistant\n"
    )
    talk.reset()
    assert talk.messages == [{"role": "system", "content": "brief"}]


@pytest.mark.parametrize(
    ("first", "said", "answer", "prompt"),
    [
        ("hi", " hello\nUser: and you", "hello", "User: hi\nAssistant: hello\nUser: x\nAssistant:"),
        ("你好", "世界\n用户：再", "世界", "用户：你好\n助手：世界\n用户：x\n助手："),
    ],
)
def test_a_base_model_continues_plain_text(first: str, said: str, answer: str, prompt: str) -> None:
    talk, prompts = conversation(said, chat_tuned=False)
    assert not talk.uses_template
    assert say(talk, first) == answer
    say(talk, "x")
    assert bytes(b for i in prompts[1] for b in talk_bytes(talk, i)).decode() == prompt


def talk_bytes(talk: Conversation, token_id: int) -> bytes:
    return talk._engine.tokenizer.token_bytes(token_id)


def test_the_oldest_turns_are_forgotten_and_the_system_is_kept() -> None:
    talk, prompts = conversation("ok", chat_tuned=True, max_seq_len=120, system="s")
    for number in range(9):
        assert say(talk, f"message {number}") == "ok"
    assert talk.num_forgotten > 0 and talk.num_forgotten % 2 == 0
    assert all(len(prompt) <= 90 for prompt in prompts)
    assert talk.messages[0] == {"role": "system", "content": "s"}
    assert talk.messages[1]["role"] == "user"
    assert talk.messages[-2:] == [
        {"role": "user", "content": "message 8"},
        {"role": "assistant", "content": "ok"},
    ]


def test_a_message_longer_than_the_context_is_refused_and_not_kept() -> None:
    talk, _ = conversation("ok", chat_tuned=True, max_seq_len=60)
    with pytest.raises(InputError, match="context holds 60"):
        say(talk, "x" * 200)
    assert talk.messages == []
    assert say(talk, "short") == "ok"


def test_an_answer_cut_short_is_kept_as_far_as_it_was_shown() -> None:
    talk, _ = conversation("hello world", chat_tuned=True)
    pieces = talk.ask("hi")
    shown = next(pieces).text
    pieces.close()
    assert shown and shown != "hello world"
    assert talk.messages == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": shown}]
