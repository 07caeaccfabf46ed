"""The README.md of a model folder."""

from __future__ import annotations

from collections.abc import Mapping

from yanmo.config import format_duration, format_size
from yanmo.corpus.store import CorpusSummary
from yanmo.planning.plan import Candidate
from yanmo.training.trainer import TrainingState

_CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags: [yanmo, qwen3]
---

# {name}

A language model pretrained from nothing with yanmo on its owner's text. It continues text; it was not trained
to follow instructions or to converse.

| | |
|---|---|
| architecture | Qwen3ForCausalLM, {num_layers} layers, width {d_model}, {num_heads} heads |
| parameters | {num_parameters:,} |
| vocabulary, context | {vocab_size:,} tokens, {max_seq_len} tokens |
| training text | {num_documents:,} documents, {num_bytes} (sha256 of the corpus {sha256}) |
| training | {step:,} steps, {num_tokens:,} tokens ({epochs:.1f} passes), {elapsed} |
| held-out text | {bits_per_byte:.4f} bits per byte |

It may repeat passages of its training text word for word: share it with those who may read that text.
"""


def model_card(
    name: str,
    chosen: Candidate,
    corpus: CorpusSummary,
    state: TrainingState,
    valid: Mapping[str, float],
) -> str:
    """A model card in Markdown from what the run knows."""
    return _CARD.format(
        name=name,
        num_layers=chosen.num_layers,
        d_model=chosen.d_model,
        num_heads=chosen.num_heads,
        num_parameters=chosen.num_parameters,
        vocab_size=chosen.vocab_size,
        max_seq_len=chosen.max_seq_len,
        num_documents=corpus.splits["train"]["num_documents"],
        num_bytes=format_size(corpus.splits["train"]["num_bytes"]),
        sha256=corpus.sha256[:16],
        step=state.step,
        num_tokens=state.num_tokens,
        epochs=chosen.epochs * state.step / max(1, chosen.num_steps),
        elapsed=format_duration(state.elapsed_s),
        bits_per_byte=valid["bits_per_byte"],
    )
