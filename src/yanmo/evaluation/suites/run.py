"""Judging a language model by a suite of questions, without training it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from yanmo import metrics
from yanmo.artifact import write_json
from yanmo.errors import InputError
from yanmo.evaluation.continuations import Cost, continuation_costs, encode_prompts
from yanmo.evaluation.suites.formats import FORMATS
from yanmo.evaluation.suites.items import Item
from yanmo.evaluation.suites.prompts import LAST_WORD, Prompts, prompts_of
from yanmo.evaluation.suites.read import Questions, read_questions
from yanmo.evaluation.suites.registry import Suite, find_suite
from yanmo.evaluation.suites.result import SuiteEvaluation
from yanmo.evaluation.suites.scores import (
    Beside,
    ranking_baselines,
    ranking_scores,
    word_baselines,
    word_scores,
)
from yanmo.evaluation.tasks import judge
from yanmo.metrics import Scores
from yanmo.metrics.segments import mostly_chinese
from yanmo.models.registry import LoadedModel, load
from yanmo.reporting.progress import Progress, say

_LANGUAGE_SAMPLE = 200


def evaluate_suite(
    model: Path | str | LoadedModel,
    data: Path | str,
    suite: str,
    *,
    few_shot: int = 0,
    train: Path | str | None = None,
    limit: int | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    out: Path | None = None,
) -> SuiteEvaluation:
    """Judge a language model by a suite.

    Args:
        model: a model folder, or a model that ``yanmo.load`` returned.
        data: file, archive or folder of its questions, as published.
        suite: a key of ``SUITES``.
        few_shot: solved questions that stand before each.
        train: questions that these are drawn from; the suite's own, never the one that is asked, if None.
        limit: judge by a sample of so many questions; all if None.
        dtype: type of the weights in memory, where ``model`` is a path.
        seed: of the sample, of the examples, and of the intervals.
        out: JSON file to write the result to; nothing is written if None.

    Raises:
        InputError: the model or the questions cannot be read, or the model continues no texts.
    """
    found = find_suite(suite)
    questions = read_questions(Path(data), found.formats)
    say(f"{data}: {FORMATS[questions.format].what}, {len(questions.items):,} questions")
    if questions.set_aside:
        say(f"{sum(questions.set_aside.values()):,} rows are set aside: {questions.first_flaw} ...")
    pool = read_questions(Path(train), found.formats).items if train is not None else ()
    loaded = model if isinstance(model, LoadedModel) else load(model, dtype=dtype)
    result = judge_items(
        loaded,
        questions,
        found,
        name=suite,
        data=str(data),
        few_shot=few_shot,
        pool=pool,
        limit=limit,
        seed=seed,
    )
    if out is not None:
        write_json(out, result.to_json())
    return result


def judge_items(
    loaded: LoadedModel,
    questions: Questions,
    suite: Suite,
    *,
    name: str,
    data: str,
    few_shot: int,
    pool: Sequence[Item],
    limit: int | None,
    seed: int,
) -> SuiteEvaluation:
    """As ``evaluate_suite``, of questions that were read."""
    items = _sample(questions.items, limit, seed)
    chinese = mostly_chinese(_words_of(item) for item in items[:_LANGUAGE_SAMPLE])
    prompts = prompts_of(
        items,
        suite.style,
        chinese=chinese,
        num_examples=few_shot,
        pool=pool or (questions.items if len(items) < len(questions.items) else ()),
        seed=seed,
    )
    costs, num_cut = _ask(loaded, prompts, suite.what)
    scores, beside = _scores(items, costs, suite)
    best = max(beside, key=lambda one: one.scores[suite.decides])
    both = _joined(scores.only([suite.decides]), best.scores.only([suite.decides]))
    return SuiteEvaluation(
        suite=name,
        what=suite.what,
        format=FORMATS[questions.format].what,
        data=data,
        model=judge(loaded.name, scores, seed=seed),
        baseline=judge(best.name, best.scores, seed=seed),
        decides=suite.decides,
        lead=metrics.paired_bootstrap(both, seed=seed)[suite.decides],
        groups=_groups(items, scores.only([suite.decides]), suite.decides, seed),
        num_examples=len(items),
        num_cut=num_cut,
        few_shot=few_shot,
        examples=prompts.examples,
        language="zh" if chinese else "en",
        prompt=prompts.prompts[0].solved,
        set_aside=questions.set_aside,
    )


def _ask(loaded: LoadedModel, prompts: Prompts, what: str) -> tuple[list[tuple[Cost, ...]], int]:
    pairs = ((prompt.context, prompt.continuations) for prompt in prompts.prompts)
    requests = list(encode_prompts(loaded.tokenizer, pairs))
    with Progress(what, total=len(requests), unit="questions") as progress:
        costs = continuation_costs(loaded.model, requests, on_progress=progress.advance)
    return costs.of_requests, costs.num_cut


def _scores(
    items: Sequence[Item], costs: Sequence[Sequence[Cost]], suite: Suite
) -> tuple[Scores, list[Beside]]:
    if suite.style is LAST_WORD:
        return word_scores(costs), word_baselines(items)
    normalised = bool(items[0].question) and not suite.style.ranks_letters
    scores = ranking_scores(items, costs, normalised=normalised)
    return scores, ranking_baselines(items, scores)


def _joined(scores: Scores, beside: Scores) -> Scores:
    """The baseline's examples and then the model's, by the one score that both have."""
    (name,) = scores.names
    return metrics.from_ratios([name], np.concatenate([beside.each(), scores.each()]))


def _groups(items: Sequence[Item], scores: Scores, name: str, seed: int) -> dict[str, dict[str, Any]]:
    members: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        members.setdefault(item.group, []).append(number)
    if len(members) < 2:
        return {}
    found = {}
    for group, rows in sorted(members.items()):
        among = scores.among(rows)
        interval = metrics.bootstrap(among, seed=seed)[name]
        found[group] = {"value": among[name], "interval": list(interval), "num_examples": len(rows)}
    return found


def _sample(items: tuple[Item, ...], limit: int | None, seed: int) -> tuple[Item, ...]:
    if limit is None or limit >= len(items):
        return items
    if limit < 1:
        raise InputError(f"a sample of {limit} questions is none", remedy="choose 1 or more")
    chosen = sorted(random.Random(seed).sample(range(len(items)), limit))
    return tuple(items[number] for number in chosen)


def _words_of(item: Item) -> str:
    return item.question or item.choices[0]
