"""How likely the tokens of a prompt were, each given those before it: what ``echo`` of completions shows.

Shapes: T tokens, V vocabulary. Scores are held for a stretch of tokens at a time, never for a whole prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.generation.engine import Engine, TokenLogprob
from yanmo.generation.prompt import Continued
from yanmo.models.base import Reversible, Session

_STRETCH = 64


def _never() -> bool:
    return False


@torch.inference_mode()
def prompt_logprobs(
    engine: Engine,
    prompt_ids: Sequence[int],
    num_top: int,
    cancelled: Callable[[], bool] = _never,
) -> list[TokenLogprob | None]:
    """Log-probabilities of a prompt's tokens.

    Args:
        engine: of the model that predicts; what it puts before a prompt is taken in, and not reported.
        prompt_ids: token ids.
        num_top: likeliest tokens to report beside each.
        cancelled: asked before each stretch; True ends it early, with fewer entries.

    Returns:
        One a token of ``prompt_ids``; None for a first token that nothing stands before.

    Raises:
        InputError: the prompt is a source text, is longer than the context, or holds an unknown id.
    """
    if not isinstance(engine.prompter, Continued):
        raise InputError("a source text is not predicted", remedy="leave echo out")
    ids = engine.prompter.open(prompt_ids).prompt_ids
    found: list[TokenLogprob | None] = [None]
    for start, scores_TV in _scores(engine.model.start(1), ids[:-1], cancelled):
        logprobs_TV = torch.log_softmax(scores_TV[:, : engine.vocab_size], dim=-1)
        top = torch.topk(logprobs_TV, min(num_top, logprobs_TV.shape[1]))
        chosen_T = torch.tensor(ids[start + 1 : start + 1 + len(logprobs_TV)])
        taken = logprobs_TV.gather(1, chosen_T[:, None])[:, 0].tolist()
        rows = zip(chosen_T.tolist(), taken, top.indices.tolist(), top.values.tolist(), strict=True)
        found += [
            TokenLogprob(token_id=token, logprob=p, top=tuple(zip(others, values, strict=True)))
            for token, p, others, values in rows
        ]
    return found[len(ids) - len(prompt_ids) :]


def _scores(
    session: Session, ids: Sequence[int], cancelled: Callable[[], bool]
) -> Iterator[tuple[int, Tensor]]:
    """Scores after each token, (T, V), with the place of the first of them."""
    step = _STRETCH if isinstance(session, Reversible) else 1
    for start in range(0, len(ids), step):
        if cancelled():
            return
        tokens_1T = torch.tensor([ids[start : start + step]])
        if isinstance(session, Reversible):
            yield start, session.extend_each(tokens_1T)[0].float()
        else:
            yield start, session.extend(tokens_1T).float()
