"""What Hugging Face datasets say of their columns: the names of the classes that they number.

A folder says it in ``dataset_info.json``, a Parquet file of the hub in its metadata.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

_INFO = "dataset_info.json"
_MOST_BYTES = 16 << 20


@functools.lru_cache(maxsize=64)
def class_names(folder: Path) -> Mapping[str, tuple[str, ...]]:
    """From columns to the names of their classes, of the files in a folder; empty where it says nothing."""
    path = folder / _INFO
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        features = json.loads(path.read_bytes())["features"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        # Rows are read without it: then classes have numbers.
        return {}
    return _all_names(features)


def class_names_in_parquet(path: Path) -> Mapping[str, tuple[str, ...]]:
    """As ``class_names``, of what a Parquet file says itself."""
    with duckdb.connect(":memory:") as connection:
        try:
            found = connection.execute(
                "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = 'huggingface'",
                [str(path)],
            ).fetchone()
            features = json.loads(found[0])["info"]["features"] if found else {}
        except (duckdb.Error, ValueError, KeyError, TypeError, RecursionError):
            # A damaged file is told when its rows are read.
            return {}
    return _all_names(features)


def _all_names(features: Any) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(features, dict):
        return {}
    named = {column: _names(feature) for column, feature in features.items()}
    return {column: names for column, names in named.items() if names}


def _names(feature: Any) -> tuple[str, ...]:
    """The names of a ClassLabel, or of a list of them."""
    if isinstance(feature, list) and len(feature) == 1:
        return _names(feature[0])
    if not isinstance(feature, dict):
        return ()
    names = feature.get("names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return _names(feature["feature"]) if "feature" in feature else ()
