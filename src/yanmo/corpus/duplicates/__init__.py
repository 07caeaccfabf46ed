"""Texts that are there twice: exact, near and in meaning; and evaluation items inside a corpus."""
