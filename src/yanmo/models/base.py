"""What every language model offers, whatever it is made of.

Evaluation, generation and serving know only ``LanguageModel``; the Transformer, the LSTM and the
n-gram model satisfy it. Training knows only ``Trainable``, which the first two satisfy.
Shapes: B rows, T tokens, D = d_model, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


class TokenCosts(NamedTuple):
    """What tokens cost where they would come next."""

    loss_BT: Tensor
    """-log p of each token given all before it, float32 nats."""
    is_likeliest_BT: Tensor
    """Whether no other token was likelier, bool."""


class Session(Protocol):
    """One or more texts being continued; holds whatever makes the next step cheap (a KV cache)."""

    @property
    def num_tokens(self) -> int:
        """Tokens taken in so far (the same for every row)."""

    def extend(self, tokens_BT: Tensor) -> Tensor:
        """Take in T >= 1 more tokens a row.

        Args:
            tokens_BT: token ids, int64.

        Returns:
            scores_BV: float32 unnormalised log-probabilities of the token that comes next
            (``log_softmax`` of them is the model's distribution).

        Raises:
            InputError: the model's ``max_seq_len`` would be passed.
        """

    def costs(self, tokens_BT: Tensor) -> TokenCosts:
        """What T >= 1 more tokens a row would cost; none of them is taken in.

        Args:
            tokens_BT: token ids, int64; at least one token a row was taken in before.

        Raises:
            InputError: the model's ``max_seq_len`` would be passed by all but the last of them.
        """

    def select(self, rows_B: Tensor) -> None:
        """Keep, repeat or reorder rows (int64 indices into the present rows)."""


@runtime_checkable
class Reversible(Session, Protocol):
    """A session that can forget its last tokens, as a draft needs it (speculative decoding)."""

    def extend_each(self, tokens_BT: Tensor) -> Tensor:
        """As ``extend``, with the scores after each of the tokens: scores_BTV."""

    def rollback(self, num_tokens: int) -> None:
        """Forget all but the first ``num_tokens`` tokens of each row; the next call must be ``extend``.

        Args:
            num_tokens: 0 to the present number.
        """


@runtime_checkable
class LanguageModel(Protocol):
    """Next-token scores and the scoring of a text."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids the model knows."""

    @property
    def max_seq_len(self) -> int | None:
        """Longest context in tokens, or None where there is no limit."""

    def start(self, batch_size: int = 1) -> Session:
        """Begin ``batch_size`` empty texts."""

    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        """Loss of each token given those before it, without ever holding logits for all of them.

        Args:
            tokens_BT: token ids, int64, T <= max_seq_len.

        Returns:
            loss_BT1: float32 nats, shape (B, T - 1): entry t is -log p(tokens[t + 1] | tokens[: t + 1]).
        """


class Trainable(LanguageModel, Protocol):
    """A network, as far as the training loop and its objectives know it: an ``nn.Module`` with these."""

    @property
    def output_weight_VD(self) -> Tensor:
        """The matrix that turns hidden states into scores."""

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Hidden states, (B, T, D), of rows of tokens (int64), each a text of its own."""

    def set_dropout(self, probability: float) -> None:
        """How much to drop while training; 0 is nothing."""

    def train(self, mode: bool = True) -> object:
        """Turn dropout on, or off."""

    def eval(self) -> object:
        """Turn dropout off."""
