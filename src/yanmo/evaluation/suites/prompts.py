"""How a question is put to a model: the text before an answer, the answers, and examples before both.

The English wordings are those of EleutherAI's lm-evaluation-harness (Gao et al. 2021,
doi 10.5281/zenodo.5371628), so that figures compare; questions in Chinese are put in Chinese. The examples of
a few-shot prompt (Brown et al. 2020, arXiv 2005.14165, section 2) are drawn once, by the seed, and are the
same for all questions, of its subject where there are subjects; a question never is its own example.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from yanmo.errors import InputError
from yanmo.evaluation.suites.items import LETTERS, Item
from yanmo.evaluation.suites.subjects import SUBJECTS

_BETWEEN = "\n\n"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a model reads, and what it may say."""

    context: str
    continuations: tuple[str, ...]
    answer: int

    @property
    def solved(self) -> str:
        """With the right answer: an example for others."""
        return self.context + self.continuations[self.answer]


@dataclass(frozen=True, kw_only=True)
class Style:
    """How the questions of a suite are put.

    Attributes:
        put: from a question, and whether it is put in Chinese, to its prompt.
        preamble: what stands before the examples of a group.
        takes_examples: whether a question may follow others.
        ranks_letters: whether answers are letters, which are all equally long.
    """

    put: Callable[[Item, bool], Prompt]
    preamble: Callable[[str], str] = lambda group: ""
    takes_examples: bool = True
    ranks_letters: bool = False


def _spaced(item: Item, chinese: bool) -> Prompt:
    """The answers go on from the question."""
    gap = "" if chinese else " "
    return Prompt(
        context=item.question, continuations=tuple(gap + c for c in item.choices), answer=item.answer
    )


def _asked(item: Item, chinese: bool) -> Prompt:
    if chinese:
        return Prompt(
            context=f"问题：{item.question}\n答案：", continuations=item.choices, answer=item.answer
        )
    return Prompt(
        context=f"Question: {item.question}\nAnswer:",
        continuations=tuple(f" {choice}" for choice in item.choices),
        answer=item.answer,
    )


def _lettered(item: Item, chinese: bool) -> Prompt:
    letters = LETTERS[: len(item.choices)]
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, item.choices, strict=True))
    ending, gap = ("答案：", "") if chinese else ("Answer:", " ")
    return Prompt(
        context=f"{item.question}\n{listed}\n{ending}",
        continuations=tuple(gap + letter for letter in letters),
        answer=item.answer,
    )


def _as_it_stands(item: Item, chinese: bool) -> Prompt:
    return Prompt(context=item.question, continuations=item.choices, answer=item.answer)


def _exam(group: str) -> str:
    subject = SUBJECTS.get(group, "")
    about = f"中国关于{subject}" if subject else "中国"
    return f"以下是{about}考试的单项选择题，请选出其中的正确答案。{_BETWEEN}"


CONTINUED = Style(put=_spaced)
ASKED = Style(put=_asked)
EXAM = Style(put=_lettered, preamble=_exam, ranks_letters=True)
LAST_WORD = Style(put=_as_it_stands)
SENTENCES = Style(put=_as_it_stands, takes_examples=False)


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """The prompts of questions, and the examples in them: each with its place."""

    prompts: list[Prompt]
    examples: tuple[tuple[str, str], ...]


def prompts_of(
    items: Sequence[Item],
    style: Style,
    *,
    chinese: bool,
    num_examples: int = 0,
    pool: Sequence[Item] = (),
    seed: int = 0,
) -> Prompts:
    """Put questions to a model.

    Args:
        items: the questions.
        style: how.
        chinese: in which language.
        num_examples: solved questions before each; 0 is zero-shot.
        pool: what examples are drawn from; the questions themselves if empty.
        seed: of the draw.

    Raises:
        InputError: the suite takes no examples, or there are too few to draw from.
    """
    if num_examples and not style.takes_examples:
        raise InputError("whole sentences are compared without examples", remedy="leave --few-shot out")
    if num_examples < 0:
        raise InputError(f"--few-shot cannot be {num_examples}", remedy="choose 0 or more")
    put = [style.put(item, chinese) for item in items]
    if not num_examples:
        with_preamble = [
            _behind(style.preamble(item.group), prompt) for item, prompt in zip(items, put, strict=True)
        ]
        return Prompts(prompts=with_preamble, examples=())
    source = pool or items
    # One more than needed stands in where a question is among its own examples.
    spare = int(not {id(item) for item in source}.isdisjoint(id(item) for item in items))
    drawn = _draw(source, {item.group for item in items}, num_examples + spare, seed)
    shown: dict[str, str] = {}
    prompts = []
    for item, prompt in zip(items, put, strict=True):
        others = [one for one in drawn[item.group] if one is not item][:num_examples]
        solved = [style.put(one, chinese).solved for one in others]
        shown.update(zip((one.place for one in others), solved, strict=True))
        before = style.preamble(item.group) + "".join(text + _BETWEEN for text in solved)
        prompts.append(_behind(before, prompt))
    return Prompts(prompts=prompts, examples=tuple(shown.items()))


def _behind(text: str, prompt: Prompt) -> Prompt:
    return Prompt(context=text + prompt.context, continuations=prompt.continuations, answer=prompt.answer)


def _draw(pool: Sequence[Item], groups: set[str], number: int, seed: int) -> Mapping[str, list[Item]]:
    """Examples for each group: its own where the pool has enough of them, else any."""
    by_group: dict[str, list[Item]] = defaultdict(list)
    for item in pool:
        by_group[item.group].append(item)
    if len(pool) < number:
        raise InputError(
            f"there are {len(pool)} questions to draw examples from, not {number}",
            remedy="ask for fewer with --few-shot, or name others with --train",
        )
    drawn = {}
    for group in sorted(groups):
        own = by_group[group]
        source = own if len(own) >= number else list(pool)
        drawn[group] = random.Random(f"{seed} {group}").sample(source, number)
    return drawn
