"""Reading a Hugging Face config.json: every value is checked for its type and range before it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, shorten
from yanmo.nn.feed_forward import Activation
from yanmo.nn.position import RopeConfig
from yanmo.nn.rope_scaling import RopeScaling, RopeScalingKind

T = TypeVar("T")

# Far above every model there is, and far below what would take minutes to refuse.
_MOST_LAYERS = 2048
_MOST = 2**31

ACTIVATIONS = {
    "relu": Activation.RELU,
    "relu2": Activation.RELU2,
    "gelu": Activation.GELU,
    "gelu_python": Activation.GELU,
    "gelu_new": Activation.GELU_TANH,
    "gelu_fast": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "quick_gelu": Activation.QUICK_GELU,
    "silu": Activation.SILU,
    "swish": Activation.SILU,
    "tanh": Activation.TANH,
}
ACTIVATION_NAMES = {
    Activation.RELU: "relu",
    Activation.RELU2: "relu2",
    Activation.GELU: "gelu",
    Activation.GELU_TANH: "gelu_pytorch_tanh",
    Activation.QUICK_GELU: "quick_gelu",
    Activation.SILU: "silu",
    Activation.TANH: "tanh",
}

_REQUIRED: Any = object()


class Fields:
    """The values of one config.json."""

    def __init__(self, config: Mapping[str, Any], where: object = None) -> None:
        """``where`` is the file, for messages."""
        self._config, self._where = config, where

    def __contains__(self, name: str) -> bool:
        """Whether the file says anything but null."""
        return self._config.get(name) is not None

    def size(self, name: str, default: int | None = _REQUIRED, *, least: int = 1, most: int = _MOST) -> Any:
        """A whole number; ``default`` where the file has none or null.

        Raises:
            InputError: it is missing, no whole number, or out of range.
        """
        value = self._get(name, default)
        if value is default and default is not _REQUIRED:
            return value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(name, value, "not a whole number")
        if not least <= value <= most:
            raise self.refuse(name, value, f"not from {least} to {most}")
        return value

    def layers(self, name: str, default: int | None = _REQUIRED) -> Any:
        """A number of layers."""
        return self.size(name, default, most=_MOST_LAYERS)

    def divide(self, whole: str, parts: str) -> int:
        """The size of one part, such as of a head.

        Raises:
            InputError: the parts are not of equal size.
        """
        quotient, rest = divmod(self.size(whole), self.size(parts))
        if rest or not quotient:
            raise self.refuse(whole, self._config[whole], f"not a multiple of {parts} {self._config[parts]}")
        return int(quotient)

    def number(self, name: str, default: float | None = _REQUIRED) -> Any:
        """A finite number; ``default`` where the file has none or null."""
        value = self._get(name, default)
        if value is default and default is not _REQUIRED:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.refuse(name, value, "not a number")
        return float(value)

    def flag(self, name: str, default: bool = _REQUIRED) -> bool:
        """True or false; ``default`` where the file has none or null."""
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise self.refuse(name, value, "neither true nor false")
        return value

    def choice(self, name: str, table: Mapping[str, T], default: str = _REQUIRED) -> T:
        """The value that a name in the file stands for."""
        value = self._get(name, default)
        if not isinstance(value, str) or value not in table:
            raise self.refuse(name, value, f"not one of {', '.join(table)}")
        return table[value]

    def activation(self, name: str, default: str = _REQUIRED) -> Activation:
        """An activation function."""
        return self.choice(name, ACTIVATIONS, default)

    def names(self, name: str) -> list[str] | None:
        """A list of strings, or None where the file has none."""
        value = self._config.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.refuse(name, value, "not a list of strings")
        return value

    def inner(self, name: str) -> Fields | None:
        """A table within the file, or None where there is none."""
        value = self._config.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.refuse(name, value, "not a table")
        return Fields(value, f"{self._where}, {name}" if self._where else name)

    def require(self, name: str, *allowed: object, default: object = None) -> None:
        """Refuse settings that this stack does not do.

        Args:
            name: of the setting.
            allowed: values that it may have.
            default: what its absence means.

        Raises:
            InputError: it has another value.
        """
        value = self._config.get(name, default)
        # Compared with their types: 0 and False are two things here.
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            known = ", ".join(repr(choice) for choice in allowed)
            raise self.refuse(name, value, f"not supported (only {known})")

    def labels(self) -> tuple[str, ...]:
        """Names of a classifier's outputs, in order: ``id2label``, else ``num_labels`` (2) of them."""
        table = self.inner("id2label")
        if table is None:
            return tuple(f"LABEL_{index}" for index in range(self.size("num_labels", 2, most=10**6)))
        count = len(table._config)
        return tuple(str(table._config.get(str(index), f"LABEL_{index}")) for index in range(count))

    def rope(
        self, max_seq_len: int, table: Fields | None = None, *, theta: float | None = None
    ) -> RopeConfig:
        """Rotary positions, as config.json had them before transformers 5 and has them since.

        Args:
            max_seq_len: the model's context.
            table: where they are not the whole file's.
            theta: base where ``table`` names none; the file's own is None.

        Raises:
            InputError: a value is missing or out of range.
        """
        table = (
            table or self.inner("rope_parameters") or self.inner("rope_scaling") or Fields({}, self._where)
        )
        theta = table.number("rope_theta", theta or self.number("rope_theta", 10_000.0))
        if theta <= 1:
            raise table.refuse("rope_theta", theta, "not above 1")
        partial = table.number("partial_rotary_factor", self.number("partial_rotary_factor", 1.0))
        if not 0 < partial <= 1:
            raise table.refuse("partial_rotary_factor", partial, "not between 0 and 1")
        return RopeConfig(theta=theta, partial=partial, scaling=_scaling(table, self, max_seq_len))

    def indices(self, name: str) -> frozenset[int]:
        """A list of whole numbers from 0 on; empty where the file has none."""
        value = self._config.get(name)
        if value is None:
            return frozenset()
        if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
            raise self.refuse(name, value, "not a list of whole numbers")
        return frozenset(value)

    def refuse(self, name: str, value: object, why: str) -> InputError:
        """The error for a value."""
        if value is _REQUIRED:
            return InputError(f"{name} is missing", where=self._where, remedy=DAMAGED)
        return InputError(f"{name} = {shorten(value)} is {why}", where=self._where)

    def _get(self, name: str, default: Any) -> Any:
        value = self._config.get(name)
        if value is None:
            if default is _REQUIRED:
                raise self.refuse(name, _REQUIRED, "")
            return default
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of numbers; empty where the file has none."""
        value = self._config.get(name)
        if value is None:
            return ()
        fine = isinstance(value, Sequence) and all(
            isinstance(item, int | float) and not isinstance(item, bool) and item > 0 for item in value
        )
        if not fine:
            raise self.refuse(name, value, "not a list of positive numbers")
        return tuple(float(item) for item in value)


_SCALINGS = {kind.value: kind for kind in RopeScalingKind} | {"su": RopeScalingKind.LONGROPE}
# Far above every stretch there is, and far below what overflows.
_MOST_STRETCH = 1e6


def _scaling(table: Fields, config: Fields, max_seq_len: int) -> RopeScaling:
    key = "rope_type" if "rope_type" in table else "type"
    kind = table.choice(key, _SCALINGS, "default")
    if kind is RopeScalingKind.NONE:
        return RopeScaling()
    name = "original_max_position_embeddings"
    original = config.size(name, table.size(name, max_seq_len, least=2), least=2)
    scaling = RopeScaling(
        kind=kind,
        factor=table.number("factor", max_seq_len / original),
        # Dynamic scaling begins behind the model's own context, whatever else a file says.
        original_max_seq_len=max_seq_len if kind is RopeScalingKind.DYNAMIC else original,
        low_freq_factor=table.number("low_freq_factor", 1.0),
        high_freq_factor=table.number("high_freq_factor", 4.0),
        beta_fast=table.number("beta_fast", 32.0),
        beta_slow=table.number("beta_slow", 1.0),
        attention_factor=table.number("attention_factor", None),
        mscale=table.number("mscale", None),
        mscale_all_dim=table.number("mscale_all_dim", None),
        truncate=table.flag("truncate", True),
        short_factors=table.numbers("short_factor"),
        long_factors=table.numbers("long_factor"),
    )
    if not 0 < scaling.factor <= _MOST_STRETCH:
        raise table.refuse("factor", scaling.factor, f"not above 0 and up to {_MOST_STRETCH:g}")
    if scaling.low_freq_factor >= scaling.high_freq_factor:
        raise table.refuse("low_freq_factor", scaling.low_freq_factor, "not below high_freq_factor")
    if min(scaling.beta_fast, scaling.beta_slow) <= 0:
        raise table.refuse("beta_slow", scaling.beta_slow, "not above 0")
    return scaling


def write_rope(rope: RopeConfig) -> dict[str, object]:
    """The ``rope_parameters`` table of a config.json."""
    scaling = rope.scaling
    table: dict[str, object] = {"rope_type": scaling.kind.value, "rope_theta": rope.theta}
    if rope.partial != 1.0:
        table["partial_rotary_factor"] = rope.partial
    by_kind: dict[RopeScalingKind, dict[str, object]] = {
        RopeScalingKind.NONE: {},
        RopeScalingKind.LINEAR: {"factor": scaling.factor},
        RopeScalingKind.DYNAMIC: {"factor": scaling.factor},
        RopeScalingKind.LLAMA3: {
            "factor": scaling.factor,
            "original_max_position_embeddings": scaling.original_max_seq_len,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
        },
        RopeScalingKind.YARN: {
            "factor": scaling.factor,
            "original_max_position_embeddings": scaling.original_max_seq_len,
            "beta_fast": scaling.beta_fast,
            "beta_slow": scaling.beta_slow,
            "attention_factor": scaling.attention_factor,
            "mscale": scaling.mscale,
            "mscale_all_dim": scaling.mscale_all_dim,
            "truncate": scaling.truncate,
        },
        RopeScalingKind.LONGROPE: {
            "factor": scaling.factor,
            "original_max_position_embeddings": scaling.original_max_seq_len,
            "attention_factor": scaling.attention_factor,
            "short_factor": list(scaling.short_factors),
            "long_factor": list(scaling.long_factors),
        },
    }
    return table | {name: value for name, value in by_kind[scaling.kind].items() if value is not None}
