"""The recurrent language model: stacked LSTM layers with the regularisation of AWD-LSTM.

Merity, Keskar and Socher 2017 (arXiv 1708.02182): dropout on the recurrent weights (section 2), one dropout
mask for all tokens of a row on the inputs, between the layers and on the output (4.2), whole words dropped
from the embedding (4.3), tied embeddings (4.4) with a last layer as wide as they are (4.5), and penalties
on the activations and their changes (4.6, ``LstmStates.penalty``).

Departures: windows of text are independent and begin at an empty state, as every model's do in the one
training loop; AdamW instead of NT-ASGD, from a wider embedding; no bias in the output layer; the forget
gates start open.

A folder holds config.json (``model_type`` "yanmo-lstm"), model.safetensors, and the tokenizer's files.
Shape legend: B rows, T tokens, D = d_model, H outputs of a layer, V vocabulary, N = B*T.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from yanmo import artifact
from yanmo.config import from_mapping, to_mapping
from yanmo.errors import InputError
from yanmo.models.base import TokenCosts
from yanmo.models.files.foreign_files import DAMAGED
from yanmo.models.files.hf_folder import CONFIG_FILE
from yanmo.models.files.safetensors_files import SafetensorsFiles, write_safetensors
from yanmo.models.files.weights import fill, require_memory
from yanmo.nn.cross_entropy import token_costs, token_losses
from yanmo.nn.dropout import RowDropout
from yanmo.nn.embedding import Embedding
from yanmo.nn.recurrent import LstmLayer, activation_penalty, temporal_penalty

MODEL_TYPE = "yanmo-lstm"
ARCHITECTURE = "LstmModel"

# Without gradients a long text runs in pieces: what is held is bounded and the state carries over.
_PIECE_TOKENS = 8192
# Standard deviation. From the paper's uniform +-0.1 a model stays for hundreds of Adam's steps where it
# knows no more than the frequencies of tokens (benchmarks/LOG.md).
_INITIAL_EMBEDDING = 0.5
_WEIGHTS_PER_LAYER, _OTHER_WEIGHTS = 3, 1
_NOT_SIZES = ("model_type", "architectures", "dtype")

LstmState = list[tuple[Tensor, Tensor]]
"""Output and cell of each layer, each (B, H)."""


class Saveable(Protocol):
    """A tokenizer, as far as a model folder needs it."""

    def save(self, folder: Path) -> None:
        """Write its files into the folder."""


@dataclass(frozen=True, kw_only=True)
class LstmConfig:
    """Sizes: ``num_layers`` LSTMs, ``d_hidden`` wide but for the last, which is ``d_model`` wide."""

    vocab_size: int
    d_model: int
    d_hidden: int
    num_layers: int

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        for name in ("vocab_size", "d_model", "d_hidden", "num_layers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def widths(self) -> list[int]:
        """Of the embedding, then of each layer."""
        return [self.d_model, *[self.d_hidden] * (self.num_layers - 1), self.d_model]

    @property
    def num_parameters(self) -> int:
        """Trainable numbers in the whole model."""
        layers = sum(4 * h * (d + h + 1) for d, h in itertools.pairwise(self.widths))
        return self.vocab_size * self.d_model + layers


@dataclass(frozen=True, kw_only=True)
class LstmDropout:
    """What is dropped while training: probabilities, each below 1.

    Attributes:
        embedding: of a word, wherever it stands in the batch.
        inputs: of a feature of the embedded tokens of a row.
        between: of a feature between two layers.
        output: of a feature of the last layer.
        recurrent: of a recurrent weight.
    """

    embedding: float = 0.1
    inputs: float = 0.4
    between: float = 0.3
    output: float = 0.4
    recurrent: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what is not a probability below 1."""
        for name, value in vars(self).items():
            if not 0.0 <= value < 1.0:
                raise InputError(f"dropout {name} must be at least 0 and below 1, not {value:g}")

    def scaled(self, output: float) -> LstmDropout:
        """All probabilities by one factor, such that that of the output becomes ``output``."""
        factor = output / self.output
        return LstmDropout(**{name: value * factor for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class LstmStates:
    """Outputs of the last layer: ``out_BTD`` as they are, ``hidden_BTD`` after dropout."""

    out_BTD: Tensor
    hidden_BTD: Tensor

    def penalty(self, *, activation: float = 2.0, temporal: float = 1.0) -> Tensor:
        """AR and TAR (Merity et al. 2017, section 4.6) as a SUM over the B*T tokens, a float32 scalar.

        Args:
            activation: weight of the size of the outputs after dropout.
            temporal: weight of their changes from token to token, before dropout.
        """
        return activation * activation_penalty(self.hidden_BTD) + temporal * temporal_penalty(self.out_BTD)


class LstmModel(nn.Module):
    """An LSTM language model: tokens in, hidden states or scores out, never a loss."""

    def __init__(self, config: LstmConfig) -> None:
        """Build with random weights, from torch's global generator, and no dropout."""
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(LstmLayer(d, h) for d, h in itertools.pairwise(config.widths))
        self.input_dropout, self.output_dropout = RowDropout(), RowDropout()
        self.between_dropout = RowDropout()
        self._word_dropout = 0.0
        nn.init.normal_(self.embedding.weight, 0.0, _INITIAL_EMBEDDING)

    @property
    def vocab_size(self) -> int:
        """Number of token ids the model knows."""
        return self.config.vocab_size

    @property
    def max_seq_len(self) -> int | None:
        """None: a text may be of any length."""
        return None

    @property
    def num_parameters(self) -> int:
        """Trainable numbers in the whole model."""
        return self.config.num_parameters

    @property
    def output_weight_VD(self) -> Tensor:
        """The matrix that turns hidden states into scores: the embedding."""
        return self.embedding.weight

    def set_dropout(self, probability: float) -> None:
        """One dial for all dropouts: that of the output; the others in the paper's proportions.

        Raises:
            InputError: at 0.8 every recurrent weight would be dropped.
        """
        self.regularise(LstmDropout().scaled(probability))

    def regularise(self, dropout: LstmDropout) -> None:
        """Set each dropout."""
        self._word_dropout = dropout.embedding
        self.input_dropout.probability = dropout.inputs
        self.between_dropout.probability = dropout.between
        self.output_dropout.probability = dropout.output
        for layer in self._layers():
            layer.weight_dropout = dropout.recurrent

    def empty_state(self, batch_size: int) -> LstmState:
        """The state before the first token."""
        return [layer.empty_state(batch_size) for layer in self._layers()]

    def run(self, tokens_BT: Tensor, state: LstmState) -> tuple[LstmStates, LstmState]:
        """Outputs of the last layer, and the state after the last token.

        Args:
            tokens_BT: token ids, int64.
            state: after the tokens before these; left as it is.
        """
        x_BTD = self.input_dropout(self._embed(tokens_BT))
        after: LstmState = []
        for index, (layer, before) in enumerate(zip(self._layers(), state, strict=True)):
            x_BTD, layer_state = layer(self.between_dropout(x_BTD) if index else x_BTD, before)
            after.append(layer_state)
        return LstmStates(out_BTD=x_BTD, hidden_BTD=self.output_dropout(x_BTD)), after

    def states(self, tokens_BT: Tensor) -> LstmStates:
        """Outputs of the last layer for rows of tokens (int64) that begin at an empty state."""
        return self.run(tokens_BT, self.empty_state(len(tokens_BT)))[0]

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Hidden states, (B, T, D), of rows of tokens (int64) that begin at an empty state."""
        return self.states(tokens_BT).hidden_BTD

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Scores of the token after each token, shape (B, T, V)."""
        return self.hidden(tokens_BT) @ self.output_weight_VD.T

    def start(self, batch_size: int = 1) -> LstmSession:
        """Begin ``batch_size`` empty texts (``LanguageModel``)."""
        return LstmSession(self, batch_size)

    @torch.inference_mode()
    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        """Loss of each token given those before it (``LanguageModel``), float32 nats, (B, T - 1)."""
        state = self.empty_state(len(tokens_BT))
        losses = [torch.zeros(len(tokens_BT), 0)]
        inputs, targets = _pieces(tokens_BT[:, :-1]), _pieces(tokens_BT[:, 1:])
        for inputs_BT, targets_BT in zip(inputs, targets, strict=True):
            states, state = self.run(inputs_BT, state)
            hidden_ND = states.hidden_BTD.flatten(0, 1)
            loss_N = token_losses(hidden_ND, self.output_weight_VD, targets_BT.flatten())
            losses.append(loss_N.view(targets_BT.shape))
        return torch.cat(losses, dim=1)

    def _layers(self) -> list[LstmLayer]:
        return [layer for layer in self.layers if isinstance(layer, LstmLayer)]

    def _embed(self, tokens_BT: Tensor) -> Tensor:
        x_BTD: Tensor = self.embedding(tokens_BT)
        if not self.training or self._word_dropout == 0.0:
            return x_BTD
        keep = 1.0 - self._word_dropout
        kept_V1 = torch.empty(self.vocab_size, 1, dtype=x_BTD.dtype).bernoulli_(keep).div_(keep)
        return x_BTD * kept_V1[tokens_BT]


class LstmSession:
    """Texts being continued, with the state of every layer."""

    def __init__(self, model: LstmModel, batch_size: int) -> None:
        """Empty states for ``batch_size`` rows."""
        self._model, self._state = model, model.empty_state(batch_size)
        self._num_tokens = 0
        self._last_B1D: Tensor | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens taken in so far."""
        return self._num_tokens

    @torch.inference_mode()
    def extend(self, tokens_BT: Tensor) -> Tensor:
        """Take in T more tokens a row; scores of the next one, float32 (B, V)."""
        assert tokens_BT.shape[0] == len(self._state[0][0]) and tokens_BT.shape[1] > 0
        for piece_BT in _pieces(tokens_BT):
            states, self._state = self._model.run(piece_BT, self._state)
        self._num_tokens += tokens_BT.shape[1]
        self._last_B1D = states.hidden_BTD[:, -1:]
        return (self._last_B1D[:, 0] @ self._model.output_weight_VD.T).float()

    @torch.inference_mode()
    def costs(self, tokens_BT: Tensor) -> TokenCosts:
        """What T more tokens a row would cost; none is taken in."""
        assert self._last_B1D is not None and tokens_BT.shape[0] == len(self._last_B1D)
        hidden, state = [self._last_B1D], self._state
        for piece_BT in _pieces(tokens_BT[:, :-1]):
            states, state = self._model.run(piece_BT, state)
            hidden.append(states.hidden_BTD)
        hidden_ND = torch.cat(hidden, dim=1).flatten(0, 1)
        loss_N, is_likeliest_N = token_costs(hidden_ND, self._model.output_weight_VD, tokens_BT.flatten())
        return TokenCosts(loss_N.view(tokens_BT.shape), is_likeliest_N.view(tokens_BT.shape))

    @torch.inference_mode()
    def select(self, rows_B: Tensor) -> None:
        """Keep, repeat or reorder rows."""
        self._state = [(out_BH[rows_B], cell_BH[rows_B]) for out_BH, cell_BH in self._state]
        if self._last_B1D is not None:
            self._last_B1D = self._last_B1D[rows_B]


def save_lstm(
    folder: Path,
    model: LstmModel,
    weights: Mapping[str, Tensor],
    tokenizer: Saveable,
    *,
    dtype: torch.dtype,
    details: Mapping[str, Any],
    card: str,
) -> None:
    """Write a model folder whole, replacing one that is there; arguments as of ``folder.save_model``.

    Raises:
        YanmoError: the disk is full or the place cannot be written.
    """
    config = {
        "model_type": MODEL_TYPE,
        "architectures": [ARCHITECTURE],
        **to_mapping(model.config),
        "dtype": str(dtype).removeprefix("torch."),
    }
    tensors = {name: weights[name].detach().to(dtype).contiguous() for name, _ in model.named_parameters()}
    with artifact.new_folder(folder, kind="model", details=details) as temporary:
        write_safetensors(temporary, tensors)
        artifact.write_json(temporary / CONFIG_FILE, config)
        tokenizer.save(temporary)
        artifact.write_bytes(temporary / "README.md", card.encode())


def load_lstm(folder: Path, *, dtype: torch.dtype = torch.float32) -> LstmModel:
    """Read a folder written by ``save_lstm``.

    Args:
        folder: where it is.
        dtype: type of the weights in memory.

    Raises:
        InputError: a file is missing or damaged, the folder holds another kind of model, or memory is short.
    """
    path = folder / CONFIG_FILE
    plain = artifact.read_json(path)
    if plain.get("model_type") != MODEL_TYPE:
        raise InputError("is not an LSTM", where=path)
    sizes = {key: value for key, value in plain.items() if key not in _NOT_SIZES}
    source = SafetensorsFiles(folder)
    model = _lay_out(from_mapping(LstmConfig, sizes, where=path), source).to(dtype)
    num_bytes = sum(weight.nbytes for weight in model.parameters())
    require_memory(num_bytes, what=f"the model in {str(dtype).removeprefix('torch.')}", where=folder)
    model.to_empty(device="cpu")
    for name, weight in model.named_parameters():
        fill(weight.data, source.read(name), source)
    return model.eval()


def _lay_out(config: LstmConfig, source: SafetensorsFiles) -> LstmModel:
    """The model without memory, once the file is seen to hold just its weights."""
    found = source.tensors
    # Before anything is built: a config may claim any number of layers.
    if len(found) != _OTHER_WEIGHTS + _WEIGHTS_PER_LAYER * config.num_layers:
        raise InputError(
            f"holds {len(found)} weights, not those of {config.num_layers} layers",
            where=source.path,
            remedy=DAMAGED,
        )
    try:
        with torch.device("meta"):
            model = LstmModel(config)
    except (RuntimeError, OverflowError, TypeError):  # sizes, or products of them, past 64 bits
        raise InputError("asks for a model of impossible size", where=source.path, remedy=DAMAGED) from None
    for name, weight in model.named_parameters():
        if name not in found:
            raise InputError(f"weight {name} is missing", where=source.path, remedy=DAMAGED)
        if found[name].shape != weight.shape or not found[name].dtype.is_floating_point:
            kind = str(found[name].dtype).removeprefix("torch.")
            raise InputError(
                f"weight {name} is {kind} of shape {found[name].shape}, not a float of {tuple(weight.shape)}",
                where=source.path,
                remedy=DAMAGED,
            )
    return model


def _pieces(tokens_BT: Tensor) -> tuple[Tensor, ...]:
    rows, length = tokens_BT.shape
    return tokens_BT.split(max(1, _PIECE_TOKENS // rows), dim=1) if rows and length else ()
