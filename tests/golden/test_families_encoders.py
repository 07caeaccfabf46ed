"""Encoders and their heads against transformers, on tiny random weights, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from family_checks import check_encoder

from yanmo.models.heads import HeadKind

transformers = pytest.importorskip("transformers")

BERT: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
# Class of transformers, sizes, our head to the field of their output.
CASES: dict[str, tuple[str, dict[str, Any], dict[HeadKind | None, str]]] = {
    "bert": ("BertModel", BERT, {None: "last_hidden_state", HeadKind.POOLED: "pooler_output"}),
    "bert-masked-lm": ("BertForMaskedLM", BERT, {HeadKind.MASKED_LM: "logits"}),
    "bert-pretraining": (
        "BertForPreTraining",
        BERT,
        {HeadKind.MASKED_LM: "prediction_logits", HeadKind.NEXT_SENTENCE: "seq_relationship_logits"},
    ),
    "bert-next-sentence": ("BertForNextSentencePrediction", BERT, {HeadKind.NEXT_SENTENCE: "logits"}),
    "bert-classification": (
        "BertForSequenceClassification",
        BERT | {"num_labels": 3},
        {HeadKind.SEQUENCE_CLASSIFICATION: "logits"},
    ),
    "bert-tagging": (
        "BertForTokenClassification",
        BERT | {"num_labels": 5},
        {HeadKind.TOKEN_CLASSIFICATION: "logits"},
    ),
    "bert-span": ("BertForQuestionAnswering", BERT, {HeadKind.SPAN: "span"}),
}


@pytest.mark.parametrize("case", CASES)
def test_encoder_family(case: str, tmp_path: Path) -> None:
    name, sizes, answers = CASES[case]
    model_class = getattr(transformers, name)
    theirs = model_class(model_class.config_class(**sizes))
    types = getattr(theirs.config, "type_vocab_size", 0) > 1
    check_encoder(theirs, tmp_path, answers=answers, types=types)
