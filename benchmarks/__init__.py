"""Measurements whose figures stand in RESULTS.md; one file a claim, each runnable alone."""
