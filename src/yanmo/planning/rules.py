"""Rules of thumb of a plan: batch, learning rates, noise, and what the scaling law leaves out."""

from __future__ import annotations

import math

# Peak rates of Muon and of AdamW for a model that has learned already: higher ones learn new text sooner and
# forget more of the old (benchmarks/LOG.md).
_MORE_MUON_RATE, _MORE_ADAM_RATE = 0.004, 0.002
# Passes over the text after which Muon's and AdamW's weights have forgotten most of what they were; on tiny
# texts, where a pass is a handful of steps, no fewer steps than these.
_MUON_EPOCHS, _ADAM_EPOCHS, _LEAST_STEPS_AN_EPOCH = 2.5, 1.2, 40.0
# Passes from which on tokens are taken apart (benchmarks/LOG.md).
_SPLIT_EPOCHS = 12.0
# More passes teach nothing more; on tiny texts these many steps are made in any case.
_MOST_EPOCHS, _LEAST_STEPS, _MANY_STEPS = 24.0, 400, 2000

# Rows of a step. With fewer, whose tokens are much alike, a step teaches less (benchmarks/LOG.md).
LEAST_ROWS = 32
# Tokens of a step for budgets below so many seconds.
_BATCHES, _LARGEST_BATCH = ((150, 2048), (1200, 4096), (7200, 8192)), 16384


def learning_rates(d_model: int, *, goes_on: bool, encodes: bool = False) -> tuple[float, float]:
    """Peak learning rates of Muon and of AdamW.

    Args:
        d_model: width.
        goes_on: whether the model has learned before.
        encodes: whether it is an encoder that learns from masked tokens: these want a fifth of AdamW's rate
            (benchmarks/LOG.md).
    """
    if goes_on:
        return _MORE_MUON_RATE, _MORE_ADAM_RATE
    return 0.02, (0.003 if encodes else 0.015) * (256 / d_model) ** 0.5


def weight_decays(
    steps_an_epoch: float, muon_rate: float, adam_rate: float, *, goes_on: bool
) -> tuple[float, float]:
    """Decay of what Muon moves and of what AdamW moves: what was learned fades over a few passes.

    A weight forgets what it was over 1 / (rate * decay) steps; told in passes over the text, the best such
    time hardly depends on sizes (Wang and Aitchison 2024, arXiv 2405.13698, section 4). For text read
    once the decay is next to nothing, for small text read often it is strong. AdamW's matters most: it keeps
    the table of tokens and the gains of the norms small (benchmarks/LOG.md).

    Args:
        steps_an_epoch: optimizer steps in one pass over the training text.
        muon_rate: Muon's peak learning rate.
        adam_rate: AdamW's.
        goes_on: whether the model has learned before; what it knows must not fade.
    """
    if goes_on:
        return 0.0, 0.0
    steps = max(_LEAST_STEPS_AN_EPOCH, steps_an_epoch)
    muon_decay = 1 / (_MUON_EPOCHS * steps * muon_rate) if muon_rate else 0.0
    adam_decay = 1 / (_ADAM_EPOCHS * steps * adam_rate) if adam_rate else 0.0
    return muon_decay, adam_decay


def batch_tokens(budget_s: float | None, num_train_tokens: float) -> int:
    """Tokens of a step: little time needs many steps; more of it affords larger ones.

    Muon's cost is spread over the tokens of a step. A small text, which cannot be read more than so often,
    needs many steps however much time there is.

    Args:
        budget_s: seconds of training; None where steps are counted.
        num_train_tokens: of the text; infinite where nothing bounds the passes.
    """
    if budget_s is None:
        return 4096
    affordable = next((tokens for limit_s, tokens in _BATCHES if budget_s < limit_s), _LARGEST_BATCH)
    while affordable > _BATCHES[0][1] and _MOST_EPOCHS * num_train_tokens < _MANY_STEPS * affordable:
        affordable //= 2
    return affordable


def dropout_of(epochs: float, num_parameters: int, num_train_tokens: float) -> float:
    """Text seen often by a model that could hold it needs noise against being learned by heart."""
    if num_parameters < num_train_tokens or epochs <= 4:
        return 0.0
    return 0.1


def split_share_of(epochs: float) -> float:
    """Probability at first that a merge is undone (``data/splitting.py``): for text read very often.

    A tenth kept 24 passes over half a million tokens from harm (benchmarks/LOG.md); it grows with their root.
    """
    return min(0.25, 0.1 * math.sqrt(epochs / 24)) if epochs > _SPLIT_EPOCHS else 0.0


def most_steps(steps_an_epoch: float) -> int:
    """Steps beyond which a model that continues text learns nothing more from it.

    Sixty passes over half a million tokens ended no better than twelve, on held-out pieces of the same plays
    and on another play (benchmarks/LOG.md).
    """
    return round(max(_MOST_EPOCHS * steps_an_epoch, _LEAST_STEPS))


def memorising_penalty(epochs: float, num_parameters: int, num_train_tokens: float) -> float:
    """How much worse a model does that is large enough to learn by heart what it sees often.

    Measured on 0.5 M tokens: 3.0 M parameters and 10 passes ended above 1.3 M parameters and 9.5 passes.
    """
    often = min(1.0, max(0.0, (epochs - 3) / 6))
    return max(1.0, num_parameters / (4 * num_train_tokens)) ** (0.15 * often)


def short_sight(context_bytes: float) -> float:
    """How much worse a model with this context reads a new document, beyond what validation tells.

    Held-out pieces of documents that it has learned from hold names that it knows; a new one has its own, and
    a model that sees more of it can take them from there (three novels learned, a fourth read:
    benchmarks/LOG.md).
    """
    return 1 + 3 / max(64.0, context_bytes)


def context_penalty(context_bytes: float) -> float:
    """How much worse a model does that sees only this many bytes back."""
    return 1 + 1.2 / max(16.0, context_bytes)
