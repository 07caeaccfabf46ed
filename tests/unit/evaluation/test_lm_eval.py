"""The adapter to lm-eval, without lm-eval."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from yanmo.errors import InputError
from yanmo.evaluation import lm_eval
from yanmo.evaluation.lm_eval import YanmoLM, model_class


class Hook:
    """Remembers what is kept in lm-eval's cache."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, object, object]] = []

    def add_partial(self, name: str, args: object, answer: object) -> None:
        self.kept.append((name, args, answer))


@pytest.fixture
def model(made_run: Path) -> YanmoLM:
    adapter = YanmoLM(pretrained=made_run, batch_size=1, device="cpu")
    adapter.cache_hook = Hook()
    return adapter


def asked(*args: object) -> SimpleNamespace:
    return SimpleNamespace(args=args)


def test_an_ngram_ranks_what_it_has_read_above_what_it_has_not(model: YanmoLM) -> None:
    (seen, _), (unseen, _), (again, _) = model.loglikelihood(
        [
            asked("the cat sees", " the river"),
            asked("the cat sees", " the qqqqq"),
            asked("一只小猫看见了", "小河"),
        ]
    )
    assert 0 > seen > unseen and again < 0
    assert [name for name, _, _ in model.cache_hook.kept] == ["loglikelihood"] * 3


def test_spaces_at_the_end_of_a_context_belong_to_the_answer(model: YanmoLM) -> None:
    with_space, without = model.loglikelihood(
        [asked("the cat sees ", "the river"), asked("the cat sees", " the river")]
    )
    assert with_space == without


def test_an_empty_context_is_the_beginning_of_a_text(model: YanmoLM) -> None:
    text = "the cat sees the river."
    (whole,) = model.loglikelihood_rolling([asked(text)])
    ((alone, _),) = model.loglikelihood([asked("", text)])
    assert whole == pytest.approx(alone) and whole < 0


def test_an_answer_ends_before_a_stop_string(model: YanmoLM) -> None:
    free, stopped = model.generate_until(
        [
            asked("the cat", {"until": [], "max_gen_toks": 20}),
            asked("the cat", {"until": ["e"], "max_gen_toks": 20}),
        ]
    )
    assert "e" in free and stopped == free[: free.index("e")]


def test_a_missing_harness_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    model_class.cache_clear()
    with pytest.raises(InputError, match=r"pip install yanmo\[lm-eval\]"):
        lm_eval.main()
    model_class.cache_clear()


def test_a_type_that_is_not_there_is_refused(made_run: Path) -> None:
    with pytest.raises(InputError, match="no type is named 'int8'"):
        YanmoLM(pretrained=made_run, dtype="int8")
