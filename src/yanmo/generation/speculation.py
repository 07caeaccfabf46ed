"""Several tokens a step: a draft proposes what may come, and the model judges all of it at once.

The draft is a smaller model with the same tokenizer, or the text itself: what followed the last tokens
where they stood before (prompt look-up, as in transformers' ``prompt_lookup_num_tokens``). A proposed token
x, drawn from the draft's distribution q, is kept with probability min(1, p(x) / q(x)), where p is the
model's; otherwise one is drawn from max(0, p - q), normalised. What comes out has exactly the distribution p
(Leviathan et al. 2023, arXiv 2211.17192, section 2.3 and appendix A.1; Chen et al. 2023, arXiv 2302.01318,
theorem 1). A token that is looked up was certain to be proposed: q is 1 at it. p and q are both taken after
penalties, temperature and filters.

Shapes: V ids that both the model and the tokenizer have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.generation.prompt import Opening
from yanmo.generation.sampling import draw, likeliest, probabilities
from yanmo.generation.shaping import Shaper
from yanmo.models.base import Reversible, Session
from yanmo.models.registry import LoadedModel
from yanmo.tokenizers.load import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Speculation:
    """Who proposes, and how much.

    Attributes:
        draft: a smaller model with the same tokenizer; None looks up what followed in prompt and answer.
        num_tokens: most tokens proposed at once, at least 1. After a refusal one less is proposed, and two
            more after all were kept.
        longest_match: looking up compares so many last tokens, then one less, down to two.
    """

    draft: LoadedModel | None = None
    num_tokens: int = 5
    longest_match: int = 3

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InputError: naming the setting.
        """
        if self.num_tokens < 1:
            raise InputError(f"num_tokens of a draft cannot be {self.num_tokens}", remedy="choose 1 or more")
        if self.longest_match < 2:
            raise InputError(f"longest_match cannot be {self.longest_match}", remedy="choose 2 or more")


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A token that may come next.

    Attributes:
        token_id: the token.
        chances_1V: the distribution that it was drawn from, float64; None where it was certain.
    """

    token_id: int
    chances_1V: Tensor | None = None


class Drafter(Protocol):
    """Proposes how one answer may go on."""

    def propose(self, shaper: Shaper, generator: torch.Generator, most: int) -> list[Proposal]:
        """At most so many next tokens; none where there is no idea.

        Args:
            shaper: where the answer stands; left as it is.
            generator: what is drawn, is drawn from it.
            most: at least 1.
        """


def verify(shaped_1V: Tensor, proposal: Proposal, generator: torch.Generator) -> int:
    """The next token: the proposed one or another, distributed as softmax of the scores.

    Raises:
        InputError: as ``sample``.
    """
    chances_1V, token_id = probabilities(shaped_1V), proposal.token_id
    proposed_1V = proposal.chances_1V
    if proposed_1V is None:
        proposed_1V = torch.zeros_like(chances_1V)
        proposed_1V[0, token_id] = 1.0
    luck = torch.rand((), generator=generator, dtype=torch.float64)
    if bool(luck * proposed_1V[0, token_id] < chances_1V[0, token_id]):
        return token_id
    rest_1V = (chances_1V - proposed_1V).clamp_min(0)
    # Two distributions that differ by rounding alone leave nothing.
    return int(draw(rest_1V, [generator])) if bool(rest_1V.sum() > 0) else token_id


def follow(text: Sequence[int], *, longest_match: int, most: int) -> list[int]:
    """What followed the last tokens of a text where they stood before; empty where they never did.

    The longest match counts; of several the last that so many tokens follow, else the first.
    """
    ids_T = torch.tensor(text)
    for size in range(min(longest_match, len(text) - 1), 1, -1):
        before_NS = ids_T[:-1].unfold(0, size, 1)
        starts = (before_NS == ids_T[-size:]).all(dim=1).nonzero().flatten().tolist()
        if starts:
            full = [start for start in starts if start + size + most <= len(text)]
            begin = (full[-1] if full else starts[0]) + size
            return list(text[begin : begin + most])
    return []


class LookUp:
    """Proposes what stood in the prompt, or in the answer, before."""

    def __init__(self, prompt_ids: Sequence[int], longest_match: int) -> None:
        """``prompt_ids``: what the model was given, of an encoder-decoder the source."""
        self._prompt_ids, self._longest_match = list(prompt_ids), longest_match

    def propose(self, shaper: Shaper, generator: torch.Generator, most: int) -> list[Proposal]:
        """As ``Drafter``; nothing is drawn."""
        text = self._prompt_ids + shaper.answer_ids
        found = follow(text, longest_match=self._longest_match, most=most)
        return [Proposal(token_id=token_id) for token_id in found]


class ModelDrafter:
    """Proposes what a smaller model would say."""

    def __init__(self, opening: Opening, *, vocab_size: int, max_seq_len: int | None) -> None:
        """Begin.

        Args:
            opening: where the answer begins, for the draft.
            vocab_size: V.
            max_seq_len: context of the draft.
        """
        self._session = reversible(opening.start(1))
        self._first_ids, self._vocab_size, self._limit = opening.first_ids, vocab_size, max_seq_len
        self._taken: list[int] = []

    def propose(self, shaper: Shaper, generator: torch.Generator, most: int) -> list[Proposal]:
        """As ``Drafter``; nothing where the draft's context has ended."""
        ids = self._first_ids + shaper.answer_ids
        if self._limit is not None:
            # The last of the proposed tokens is not taken in.
            most = min(most, self._limit - len(ids) + 1)
        if most < 1:
            return []
        shaper = shaper.copy()
        scores_1V, proposals = self._catch_up(ids), list[Proposal]()
        while True:
            proposal = self._propose_one(shaper.shape(self._known(scores_1V)), shaper, generator)
            proposals.append(proposal)
            if len(proposals) == most or proposal.token_id in shaper.end_ids:
                return proposals
            shaper.push(proposal.token_id)
            if shaper.is_complete:
                return proposals
            self._taken.append(proposal.token_id)
            scores_1V = self._session.extend(torch.tensor([[proposal.token_id]]))

    def _propose_one(self, shaped_1V: Tensor, shaper: Shaper, generator: torch.Generator) -> Proposal:
        if shaper.is_greedy:
            return Proposal(token_id=int(likeliest(shaped_1V)))
        chances_1V = probabilities(shaped_1V)
        return Proposal(token_id=int(draw(chances_1V, [generator])), chances_1V=chances_1V)

    def _catch_up(self, ids: list[int]) -> Tensor:
        """Scores after all of the ids; what the session took in of others is forgotten."""
        pairs = zip(self._taken, ids, strict=False)
        same = next((place for place, (old, new) in enumerate(pairs) if old != new), len(self._taken))
        # The scores are those of the last token taken in, so there must be one.
        same = min(same, len(ids) - 1)
        if same < len(self._taken):
            self._session.rollback(same)
        self._taken = list(ids)
        return self._session.extend(torch.tensor([ids[same:]]))

    def _known(self, scores_1V: Tensor) -> Tensor:
        """Scores of V ids; those that the draft does not know are impossible to it."""
        missing = max(0, self._vocab_size - scores_1V.shape[1])
        scores_1V = scores_1V[:, : self._vocab_size].float()
        return torch.nn.functional.pad(scores_1V, (0, missing), value=-torch.inf)


def reversible(session: Session) -> Reversible:
    """The session, which can forget its last tokens.

    Raises:
        InputError: it cannot.
    """
    if not isinstance(session, Reversible):
        raise InputError(
            "this model cannot take back tokens that it has read, as a draft needs it",
            remedy="give a Transformer or an n-gram model, or no draft",
        )
    return session


def check_draft(tokenizer: Tokenizer, draft: LoadedModel) -> None:
    """Refuse a draft that cannot propose tokens to the model of a tokenizer.

    Raises:
        InputError: it has another tokenizer, or cannot take back tokens.
    """
    theirs = draft.tokenizer
    if theirs.tokens_by_id != tokenizer.tokens_by_id or theirs.special_ids != tokenizer.special_ids:
        raise InputError(
            "the draft has another tokenizer than the model",
            where=draft.path,
            remedy="a draft must be trained with the same one",
        )
    try:
        reversible(draft.model.start(1))
    except InputError as error:
        raise InputError(error.what, where=draft.path, remedy=error.remedy) from None
