"""Diverse beams against a slow reference in plain Python, and what must hold of them whatever the model."""

from __future__ import annotations

import math

import pytest
import torch
from fake_model import FakeModel

from yanmo.errors import InputError
from yanmo.generation.search import Asked, Found, SearchParams, answer_many

VOCAB, END = 12, 11


class Wordy(FakeModel):
    """A fake whose answers end now and then."""

    def scores(self, tokens: list[int], num_first: int) -> torch.Tensor:
        scores_V = super().scores(tokens, num_first) / 2
        scores_V[END] += 0.4
        return scores_V


def search(prompts: list[list[int]], *, end_id: int = END, **settings: float) -> list[list[Found]]:
    params = SearchParams(end_ids=frozenset({end_id}), vocab_size=VOCAB, **settings)
    max_tokens = 6
    return answer_many(Wordy(VOCAB), [Asked(first_ids=ids, max_tokens=max_tokens) for ids in prompts], params)


def logs(tokens: list[int]) -> list[float]:
    return torch.log_softmax(Wordy(VOCAB).scores(tokens, 0), dim=-1).tolist()


class SlowGroup:
    """Beams as (lowered sum, tokens), and ended answers as (lowered score, tokens)."""

    def __init__(self, size: int) -> None:
        self.size, self.is_done = size, False
        self.beams: list[tuple[float, list[int]]] = [(0.0, [])]
        self.ended: list[tuple[float, list[int]]] = []

    def step(self, prompt: list[int], lost: list[float], length: int, penalty: float, is_over: bool) -> None:
        longer = [
            (total + log - lost[token], [*ids, token])
            for total, ids in self.beams
            for token, log in enumerate(logs(prompt + ids))
        ]
        longer.sort(key=lambda pair: -pair[0])
        for rank, (total, ids) in enumerate(longer[: 2 * self.size]):
            if rank < self.size and (ids[-1] == END or is_over) and not self.is_done:
                self.ended.append((total / length**penalty, ids))
        self.ended = sorted(self.ended, key=lambda pair: -pair[0])[: self.size]
        self.beams = [pair for pair in longer[: 2 * self.size] if pair[1][-1] != END][: self.size]
        is_hopeless = self.beams[0][0] / length**penalty <= self.ended[-1][0] if self.ended else False
        self.is_done |= is_over or (len(self.ended) == self.size and is_hopeless)


def slow_search(
    prompt: list[int], *, num_beams: int, num_groups: int, diversity: float, penalty: float, longest: int
) -> list[tuple[float, list[int]]]:
    groups = [SlowGroup(num_beams // num_groups) for _ in range(num_groups)]
    for length in range(1, longest + 1):
        lost = [0.0] * VOCAB
        for group in groups:
            group.step(prompt, lost, length, penalty, length == longest)
            if not group.is_done:
                for _, ids in group.beams:
                    lost[ids[-1]] += diversity
        if all(group.is_done for group in groups):
            break
    found = {}
    for group in groups:
        for _, ids in group.ended:
            own = sum(logs(prompt + ids[:place])[token] for place, token in enumerate(ids))
            found[tuple(ids)] = own / len(ids) ** penalty
    return sorted(((own, [*ids]) for ids, own in found.items()), key=lambda pair: -pair[0])


@pytest.mark.parametrize(
    ("num_beams", "num_groups", "diversity", "penalty"),
    [(4, 2, 0.7, 1.0), (6, 3, 1.5, 0.0), (4, 4, 0.4, 1.0), (6, 2, 0.0, 2.0), (3, 1, 0.0, 1.0)],
)
def test_diverse_beams_equal_a_slow_search(
    num_beams: int, num_groups: int, diversity: float, penalty: float
) -> None:
    prompts = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    found = search(
        prompts,
        num_beams=num_beams,
        num_groups=num_groups,
        diversity=diversity,
        length_penalty=penalty,
        num_best=num_beams,
    )
    for prompt, answers in zip(prompts, found, strict=True):
        wanted = slow_search(
            prompt,
            num_beams=num_beams,
            num_groups=num_groups,
            diversity=diversity,
            penalty=penalty,
            longest=6,
        )
        assert [list(answer.token_ids) for answer in answers] == [
            ids[:-1] if ids[-1] == END else ids for _, ids in wanted
        ]
        assert [answer.score for answer in answers] == pytest.approx([own for own, _ in wanted], abs=1e-4)
        assert [answer.has_ended for answer in answers] == [ids[-1] == END for _, ids in wanted]


def test_strong_diversity_begins_each_group_otherwise() -> None:
    # No end comes: groups shun the tokens that beams go on with.
    settings = {"num_beams": 4, "num_groups": 4, "diversity": 100.0, "num_best": 4, "end_id": VOCAB}
    for answers in search([[1, 2], [3, 4]], **settings):
        assert len({answer.token_ids[:1] for answer in answers}) == 4
    same = search([[1, 2]], num_beams=4, num_groups=4, num_best=4)[0]
    # Without it all groups find the same, which is given once.
    assert len(same) == 1


def test_the_best_come_first_and_each_once() -> None:
    answers = search([[1, 2]], num_beams=6, num_groups=2, diversity=0.5, num_best=5)[0]
    assert len({(answer.token_ids, answer.has_ended) for answer in answers}) == len(answers) > 2
    assert [answer.score for answer in answers] == sorted((a.score for a in answers), reverse=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_beams": 4, "num_groups": 3}, "4 beams do not make 3 groups"),
        ({"num_beams": 4, "num_groups": 0}, "4 beams do not make 0 groups"),
        ({"num_beams": 4, "num_groups": 2, "diversity": -1.0}, "diversity must be 0 or more"),
        ({"num_beams": 4, "num_groups": 2, "diversity": math.nan}, "diversity must be 0 or more"),
        ({"num_beams": 4, "diversity": 0.5}, "between groups of beams"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchParams(end_ids=frozenset(), vocab_size=VOCAB, **settings)
