"""Families of checkpoints: how each one's config and weight names map to the one stack.

A family is a module with ``ARCHITECTURE``, ``read_config``, ``write_config`` and ``names``; it is
used in both directions.
"""

from __future__ import annotations

from types import ModuleType

from yanmo.models.families import qwen3

FAMILIES: dict[str, ModuleType] = {
    "qwen3": qwen3,
}
