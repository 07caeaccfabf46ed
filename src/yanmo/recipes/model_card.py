"""The README.md of a model folder."""

from __future__ import annotations

from collections.abc import Mapping

from yanmo.config import format_duration, format_size
from yanmo.corpus.store import CorpusSummary
from yanmo.planning.candidate import Candidate
from yanmo.planning.shapes import ShapeName
from yanmo.training.state import TrainingState

# What other tools do with each shape, and what it is good for.
_HEADERS: Mapping[ShapeName, str] = {
    "decoder": "library_name: transformers\npipeline_tag: text-generation\n",
    "encoder": "library_name: transformers\npipeline_tag: fill-mask\n",
    "encoder-decoder": "library_name: transformers\npipeline_tag: text2text-generation\n",
    "lstm": "library_name: yanmo\npipeline_tag: text-generation\n",
}
_USES: Mapping[ShapeName, str] = {
    "decoder": "It continues text; it was not trained to follow instructions or to converse.",
    "encoder": "It fills in hidden tokens and gives vectors of tokens; for a task it has to be fine-tuned.",
    "encoder-decoder": "It fills in missing spans; for a task it has to be fine-tuned.",
    "lstm": "It continues text; it was not trained to follow instructions or to converse.",
}
_CARD = """---
{header}tags: [yanmo]
---

# {name}

{origin} with yanmo on its owner's text. {use}

| | |
|---|---|
| architecture | {shape}, {num_layers} layers, width {d_model} |
| parameters | {num_parameters:,} |
| vocabulary, context | {vocab_size:,} tokens, trained on {max_seq_len} tokens at once |
| training text | {num_documents:,} documents, {num_bytes} (sha256 of the corpus {sha256}) |
| training | {step:,} steps, {num_tokens:,} tokens ({epochs:.1f} passes), {elapsed} |
| held-out text | {score} |

It may repeat passages of its training text word for word: share it with those who may read that text.
"""


def model_card(
    name: str,
    chosen: Candidate,
    corpus: CorpusSummary,
    state: TrainingState,
    valid: Mapping[str, float],
    *,
    start: str | None = None,
) -> str:
    """A model card in Markdown from what the run knows; ``start`` is the model that training went on from."""
    origin = "A language model pretrained from nothing"
    if start is not None:
        origin = f"{start}, whose terms go on to hold for it, pretrained further"
    return _CARD.format(
        header=_HEADERS[chosen.shape],
        name=name,
        origin=origin,
        use=_USES[chosen.shape],
        shape=chosen.shape,
        num_layers=chosen.num_layers,
        d_model=chosen.d_model,
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
        score=score_words(valid),
    )


def score_words(valid: Mapping[str, float | None]) -> str:
    """A score for people: bits per byte, or the loss and the shares that were right."""
    if valid.get("bits_per_byte") is not None:
        return f"{valid['bits_per_byte']:.4f} bits per byte"
    parts = [f"loss {valid['loss_nats']:.4f} nats for each hidden token"]
    parts += [
        f"{value:.1%} {name.removesuffix('_accuracy').replace('_', ' ')} right"
        for name, value in valid.items()
        if name.endswith("_accuracy") and value is not None
    ]
    return ", ".join(parts)
