"""What a Hugging Face datasets folder says of its columns: the names of the classes that they number."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    found = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        if names := _names(feature):
            found[column] = names
    return found


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
