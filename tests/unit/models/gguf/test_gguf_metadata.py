"""Typed access to metadata."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yanmo.errors import InputError
from yanmo.models.gguf.metadata import Metadata, shortest


def made(**values: Any) -> Metadata:
    named = {key.replace("__", "."): value for key, value in values.items()}
    return Metadata({"general.architecture": "llama", **named}, Path("m.gguf"))


def test_keys_of_the_architecture() -> None:
    metadata = made(llama__block_count=3, other=4)
    assert metadata.integer(".block_count") == 3
    assert metadata.integer("other") == 4
    assert metadata.has(".block_count") and not metadata.has(".other")
    assert metadata.integer(".missing", 7) == 7


def test_one_number_for_each_layer_counts_where_all_are_the_same() -> None:
    assert made(n=[4, 4, 4]).integer("n") == 4
    with pytest.raises(InputError):
        made(n=[4, 8]).integer("n")


@pytest.mark.parametrize(
    "get",
    [
        lambda: made(x=1).text("x"),
        lambda: made(x=1).flag("x"),
        lambda: made(x=True).integer("x"),
        lambda: made(x=-1).integer("x"),
        lambda: made(x=2**40).integer("x"),
        lambda: made(x=1.0).integer("x"),
        lambda: made(x=[]).integer("x"),
        lambda: made(x="1").number("x"),
        lambda: made(x=True).number("x"),
        lambda: made(x=float("nan")).number("x"),
        lambda: made(x=[1]).texts("x"),
        lambda: made(x="ab").texts("x"),
        lambda: made(x=["1"]).integers("x"),
        lambda: made(x=[float("inf")]).numbers("x"),
        lambda: made(x=["1"]).numbers("x"),
    ],
)
def test_values_of_another_type_are_refused(get: Callable[[], object]) -> None:
    with pytest.raises(InputError, match="x is n"):
        get()


def test_a_missing_value_is_named() -> None:
    with pytest.raises(InputError, match=r"llama\.context_length is missing"):
        made().integer(".context_length")
    with pytest.raises(InputError, match=r"general\.architecture is missing"):
        Metadata({}, Path("m.gguf"))


def test_shortest_decimal_of_a_float32() -> None:
    assert shortest(float(np.float32(1e-6))) == 1e-6
    assert shortest(float(np.float32(0.1))) == 0.1
    assert shortest(0.1) == 0.1
    assert shortest(1e300) == 1e300
    assert made(eps=float(np.float32(1e-5))).number("eps") == 1e-5
