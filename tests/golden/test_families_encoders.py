"""Encoders and their heads against transformers, on tiny random weights, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from family_checks import check_encoder, differ, read, shake

from yanmo.models.families import FAMILIES
from yanmo.models.heads import HeadKind

transformers = pytest.importorskip("transformers")

Answers = dict[HeadKind | None, str]

SIZES: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
ROBERTA = SIZES | {"type_vocab_size": 1, "layer_norm_eps": 1e-5}
DISTILBERT: dict[str, Any] = {
    "vocab_size": 99,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 48,
    "max_position_embeddings": 40,
}
NARROW = SIZES | {"embedding_size": 16}
GROUPS = NARROW | {"num_hidden_layers": 4, "num_hidden_groups": 2}
IDS = {f"{name}_token_id": number for number, name in enumerate(("pad", "bos", "eos", "cls", "sep"))}
# A window of five tokens to either side, less than the longest text.
MODERNBERT = SIZES | IDS | {"num_hidden_layers": 4, "local_attention": 10}
BIASES = dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), True)
STRETCHED = {
    "rope_parameters": {
        "full_attention": {
            "rope_type": "yarn",
            "rope_theta": 500.0,
            "factor": 4.0,
            "original_max_position_embeddings": 10,
        },
        "sliding_attention": {"rope_type": "linear", "rope_theta": 50.0, "factor": 2.0},
    }
}
UNTIED = {"tie_word_embeddings": False}
LABELS = {"id2label": {0: "cat", 1: "dog", 2: "猫"}, "label2id": {"cat": 0, "dog": 1, "猫": 2}}

HIDDEN: Answers = {None: "last_hidden_state"}
POOLED: Answers = HIDDEN | {HeadKind.POOLED: "pooler_output"}
MASKED: Answers = {HeadKind.MASKED_LM: "logits"}
SENTENCES: Answers = {HeadKind.NEXT_SENTENCE: "logits"}
PRETRAINING: Answers = {HeadKind.MASKED_LM: "prediction_logits"}
REPLACED: Answers = {HeadKind.REPLACED_TOKEN: "logits"}
CLASSES: Answers = {HeadKind.SEQUENCE_CLASSIFICATION: "logits"}
TAGS: Answers = {HeadKind.TOKEN_CLASSIFICATION: "logits"}
SPAN: Answers = {HeadKind.SPAN: "span"}

# Class of transformers, settings, our head to the field of their output.
CASES: list[tuple[str, dict[str, Any], Answers]] = [
    ("BertModel", SIZES | {"hidden_act": "relu"}, POOLED),
    ("BertForMaskedLM", SIZES, MASKED),
    ("BertForMaskedLM", SIZES | UNTIED, MASKED),
    ("BertForPreTraining", SIZES, PRETRAINING | {HeadKind.NEXT_SENTENCE: "seq_relationship_logits"}),
    ("BertForNextSentencePrediction", SIZES, SENTENCES),
    ("BertForSequenceClassification", SIZES | LABELS, CLASSES),
    ("BertForTokenClassification", SIZES | {"num_labels": 5}, TAGS),
    ("BertForQuestionAnswering", SIZES, SPAN),
    ("RobertaModel", ROBERTA, POOLED),
    ("RobertaModel", ROBERTA | {"type_vocab_size": 2, "pad_token_id": 0}, POOLED),
    ("RobertaForMaskedLM", ROBERTA | {"hidden_act": "relu"}, MASKED),
    ("RobertaForMaskedLM", ROBERTA | UNTIED, MASKED),
    ("RobertaForSequenceClassification", ROBERTA | LABELS, CLASSES),
    ("RobertaForTokenClassification", ROBERTA | {"num_labels": 5}, TAGS),
    ("RobertaForQuestionAnswering", ROBERTA, SPAN),
    ("XLMRobertaModel", ROBERTA, POOLED),
    ("XLMRobertaForMaskedLM", ROBERTA, MASKED),
    ("XLMRobertaForSequenceClassification", ROBERTA | {"num_labels": 1}, CLASSES),
    ("XLMRobertaForTokenClassification", ROBERTA | LABELS, TAGS),
    ("XLMRobertaForQuestionAnswering", ROBERTA, SPAN),
    ("DistilBertModel", DISTILBERT | {"sinusoidal_pos_embds": True}, HIDDEN),
    ("DistilBertForMaskedLM", DISTILBERT | {"activation": "relu"}, MASKED),
    ("DistilBertForMaskedLM", DISTILBERT | UNTIED, MASKED),
    ("DistilBertForSequenceClassification", DISTILBERT | LABELS, CLASSES),
    ("DistilBertForTokenClassification", DISTILBERT | {"num_labels": 5}, TAGS),
    ("DistilBertForQuestionAnswering", DISTILBERT, SPAN),
    ("ElectraModel", NARROW, HIDDEN),
    ("ElectraModel", SIZES | {"embedding_size": 32}, HIDDEN),
    ("ElectraForPreTraining", NARROW | {"hidden_act": "relu"}, REPLACED),
    ("ElectraForMaskedLM", NARROW | {"hidden_act": "relu"}, MASKED),
    ("ElectraForMaskedLM", NARROW | UNTIED, MASKED),
    ("ElectraForSequenceClassification", NARROW | LABELS, CLASSES),
    ("ElectraForTokenClassification", NARROW | {"num_labels": 5}, TAGS),
    ("ElectraForQuestionAnswering", NARROW, SPAN),
    ("AlbertModel", NARROW, POOLED),
    ("AlbertModel", GROUPS, POOLED),
    ("AlbertForMaskedLM", NARROW | {"hidden_act": "gelu"}, MASKED),
    ("AlbertForMaskedLM", NARROW | UNTIED, MASKED),
    ("AlbertForPreTraining", NARROW, PRETRAINING | {HeadKind.NEXT_SENTENCE: "sop_logits"}),
    ("AlbertForSequenceClassification", SIZES | LABELS | {"embedding_size": 32}, CLASSES),
    ("AlbertForTokenClassification", GROUPS | {"num_labels": 5}, TAGS),
    ("AlbertForQuestionAnswering", NARROW, SPAN),
    ("ModernBertModel", MODERNBERT, HIDDEN),
    ("ModernBertModel", MODERNBERT | {"global_attn_every_n_layers": 1}, HIDDEN),
    ("ModernBertModel", MODERNBERT | STRETCHED, HIDDEN),
    ("ModernBertForMaskedLM", MODERNBERT | {"classifier_activation": "silu"}, MASKED),
    ("ModernBertForMaskedLM", MODERNBERT | BIASES | UNTIED | {"decoder_bias": False}, MASKED),
    ("ModernBertForSequenceClassification", MODERNBERT | BIASES | LABELS, CLASSES),
    ("ModernBertForSequenceClassification", MODERNBERT | {"classifier_pooling": "mean"}, CLASSES),
    ("ModernBertForTokenClassification", MODERNBERT | {"num_labels": 5}, TAGS),
    ("ModernBertForQuestionAnswering", MODERNBERT, SPAN),
]


def _name(number: int) -> str:
    earlier = [case[0] for case in CASES[:number]].count(CASES[number][0])
    return CASES[number][0] + (f"-{earlier + 1}" if earlier else "")


@pytest.mark.parametrize("number", range(len(CASES)), ids=_name)
def test_encoder_family(number: int, tmp_path: Path) -> None:
    name, settings, answers = CASES[number]
    model_class = getattr(transformers, name)
    theirs = model_class(model_class.config_class(**settings))
    types = getattr(theirs.config, "type_vocab_size", 0) > 1
    ours = check_encoder(theirs, tmp_path, answers=answers, types=types)
    # What is written says all that was read: nothing falls back on a default by chance.
    family, model_type = FAMILIES[theirs.config.model_type], theirs.config.model_type
    written = family.write_config(ours.config, model_type=model_type)
    assert written["architectures"] == [name]
    assert family.read_config(written) == ours.config


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "settings"),
    [("BertForMaskedLM", SIZES), ("RobertaForMaskedLM", ROBERTA), ("ModernBertForMaskedLM", MODERNBERT)],
)
def test_an_output_apart_in_a_file_that_says_tied_stays_apart(
    name: str, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_class = getattr(transformers, name)
    shake(model_class(model_class.config_class(**settings | UNTIED))).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    ours, theirs = read(tmp_path), model_class.from_pretrained(tmp_path).eval()
    assert not ours.head().config.tied
    assert "decoder.weight is not the embedding" in capsys.readouterr().err
    tokens = torch.tensor([[5, 6, 7, 8]])
    differ(ours(tokens), theirs(tokens).logits)
