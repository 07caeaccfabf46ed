"""Suites of questions that language models are compared by, read from local files as published."""

from yanmo.evaluation.suites.registry import SUITES
from yanmo.evaluation.suites.run import evaluate_suite

__all__ = ["SUITES", "evaluate_suite"]
