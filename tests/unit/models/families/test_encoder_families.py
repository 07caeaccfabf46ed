"""What config.json files and weight names of encoders may look like, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.models.families import FAMILIES, albert, bert, modernbert, roberta
from yanmo.models.files.weights import TensorInfo
from yanmo.models.folder import CheckpointWeights, load_transformer
from yanmo.models.heads import HeadConfig, HeadKind, Select
from yanmo.models.transformer import Transformer

CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "architectures": ["BertForMaskedLM"],
    "vocab_size": 11,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 10,
}
ALBERT = CONFIG | {"model_type": "albert", "architectures": ["AlbertModel"], "embedding_size": 4}
MODERNBERT = CONFIG | {"model_type": "modernbert", "architectures": ["ModernBertModel"]}
TOKENS = torch.tensor([[3, 1, 4, 1, 5]])


class Renamed:
    """A model's weights as a file with other names might have them: a ``WeightSource``."""

    def __init__(self, model: Transformer, model_type: str, rename: Callable[[str], str | None]) -> None:
        """``rename`` gives None for weights that the file lacks."""
        self.path = Path(f"{model_type}.safetensors")
        self._weights = CheckpointWeights(model, model_type, dtype=torch.float32)
        self._names = {new: name for name in self._weights.tensors if (new := rename(name)) is not None}

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        return {new: self._weights.tensors[name] for new, name in self._names.items()}

    def read(self, name: str) -> Tensor:
        return self._weights.read(self._names[name])

    def release(self) -> None:
        """Nothing is held."""


def made(config: Mapping[str, Any]) -> Transformer:
    """A model of a config with weights that all matter."""
    model = Transformer(FAMILIES[config["model_type"]].read_config(config))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return model.eval()


def load(config: Mapping[str, Any], source: Renamed) -> Transformer:
    return load_transformer(config, source, where=Path("config.json"))


def test_the_first_bert_files_are_read_without_prefix_and_with_gamma_and_beta() -> None:
    def old(name: str) -> str:
        name = name.removeprefix("bert.")
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    model = made(CONFIG)
    with torch.no_grad():
        assert torch.equal(load(CONFIG, Renamed(model, "bert", old))(TOKENS), model(TOKENS))


@pytest.mark.parametrize("config", [CONFIG, ALBERT | {"architectures": ["AlbertForMaskedLM"]}])
def test_the_bias_of_masked_tokens_is_found_beside_the_output_matrix(config: dict[str, Any]) -> None:
    model, model_type = made(config), config["model_type"]
    beside = "predictions.decoder.bias"
    source = Renamed(model, model_type, lambda name: name.replace("predictions.bias", beside))
    assert any(name.endswith(beside) for name in source.tensors)
    with torch.no_grad():
        assert torch.equal(load(config, source)(TOKENS), model(TOKENS))


def test_an_encoder_without_its_heads_weights_loads_without_that_head(
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = CONFIG | {"architectures": ["BertForPreTraining"]}
    model = made(config)
    source = Renamed(model, "bert", lambda name: None if name.startswith("cls.seq") else name)
    loaded = load(config, source)
    assert [head.kind for head in loaded.config.heads] == [HeadKind.MASKED_LM]
    with torch.no_grad():
        assert torch.equal(loaded(TOKENS), model(TOKENS))
    said = capsys.readouterr().err
    assert "cls.seq_relationship.weight is missing" in said and "without its next_sentence head" in said
    with pytest.raises(InputError, match=r"has no next_sentence.*its heads: masked_lm"):
        loaded(TOKENS, head=HeadKind.NEXT_SENTENCE)


def test_a_bare_encoder_is_written_as_one() -> None:
    config = CONFIG | {"architectures": ["BertModel"]}
    model = made(config)
    loaded = load(config, Renamed(model, "bert", lambda name: None if "pooler" in name else name))
    assert loaded.config.heads == ()
    assert bert.write_config(loaded.config)["architectures"] == ["BertModel"]
    with torch.no_grad():
        assert torch.equal(loaded.hidden(TOKENS), model.hidden(TOKENS))


def test_a_missing_weight_of_the_encoder_itself_is_refused() -> None:
    def lossy(name: str) -> str | None:
        return None if name.endswith("layer.1.output.dense.bias") else name

    with pytest.raises(InputError, match=r"layer\.1\.output\.dense\.bias is missing"):
        load(CONFIG, Renamed(made(CONFIG), "bert", lossy))


def test_roberta_counts_positions_from_behind_the_padding_id() -> None:
    config = CONFIG | {"model_type": "roberta", "architectures": ["RobertaModel"], "pad_token_id": 1}
    model = made(config)
    assert model.max_seq_len == 8
    assert model.get_parameter("encoder.input.positions.weight").shape == (10, 8)
    # The first token's vector is that of row 2: nothing of rows 0 and 1 is ever seen.
    rows = model.get_parameter("encoder.input.positions.weight")
    with torch.no_grad():
        before = model.hidden(TOKENS)
        rows[:2, 0] += 9.0
        assert torch.equal(model.hidden(TOKENS), before)
        rows[2, 0] += 9.0
        assert not torch.allclose(model.hidden(TOKENS), before)
    assert roberta.write_config(model.config)["pad_token_id"] == 1
    with pytest.raises(InputError, match="max_position_embeddings = 2"):
        roberta.read_config(config | {"max_position_embeddings": 2})


def test_the_layers_of_albert_are_one_block() -> None:
    one, three = made(ALBERT), made(ALBERT | {"num_hidden_layers": 3})
    assert one.config.num_parameters == three.config.num_parameters
    assert [three.encoder.order if three.encoder else None] == [[0, 0, 0]]
    grouped = made(ALBERT | {"num_hidden_layers": 4, "num_hidden_groups": 2})
    assert grouped.encoder is not None and grouped.encoder.order == [0, 0, 1, 1]


def test_modernbert_reads_windows_and_bases_in_their_old_and_new_form() -> None:
    old = MODERNBERT | {
        "num_hidden_layers": 5,
        "global_attn_every_n_layers": 2,
        "local_attention": 6,
        "global_rope_theta": 500.0,
        "local_rope_theta": 20.0,
    }
    new = MODERNBERT | {
        "num_hidden_layers": 5,
        "layer_types": ["full_attention", "sliding_attention"] * 2 + ["full_attention"],
        "local_attention": 6,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 500.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
        },
    }
    read = modernbert.read_config(old)
    assert read == modernbert.read_config(new) == modernbert.read_config(modernbert.write_config(read))
    assert read.encoder is not None
    assert read.encoder.local_layers == (False, True, False, True, False)
    # Three tokens at either side, so that the fourth is out of sight.
    assert read.encoder.block.attention.window == 4
    plain = modernbert.read_config(MODERNBERT | {"num_hidden_layers": 4}).encoder
    assert plain is not None and plain.position.local_rope is not None
    assert (plain.position.rope.theta, plain.position.local_rope.theta) == (160_000.0, 10_000.0)
    assert plain.local_layers == (False, True, True, False)


def test_a_token_beyond_all_windows_of_modernbert_changes_nothing() -> None:
    model = made(MODERNBERT | {"layer_types": ["sliding_attention"] * 2, "local_attention": 4})
    tokens = torch.arange(10)[None] % 11
    other = tokens.clone()
    other[0, 9] = 10
    with torch.no_grad():
        first, second = model.hidden(tokens), model.hidden(other)
    # Two layers of two tokens to either side: position 5 sees up to 9, position 4 only up to 8.
    assert torch.equal(first[0, :5], second[0, :5])
    assert not torch.allclose(first[0, 5], second[0, 5])


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (CONFIG | {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        (CONFIG | {"is_decoder": True}, "is_decoder"),
        (CONFIG | {"hidden_size": 9}, "not a multiple"),
        (CONFIG | {"hidden_size": 10**12}, "hidden_size"),
        (CONFIG | {"num_hidden_layers": 10**9}, "num_hidden_layers"),
        (CONFIG | {"hidden_act": "mish"}, "hidden_act"),
        (CONFIG | {"layer_norm_eps": "small"}, "layer_norm_eps"),
        (CONFIG | {"architectures": ["BertForTokenClassification"], "id2label": {}}, "no label"),
        (CONFIG | {"architectures": ["BertForTokenClassification"], "id2label": []}, "id2label"),
        (ALBERT | {"num_hidden_groups": 3}, "num_hidden_groups"),
        (ALBERT | {"num_hidden_layers": 3, "num_hidden_groups": 2}, "num_hidden_groups"),
        (ALBERT | {"inner_group_num": 2}, "inner_group_num"),
        (CONFIG | {"model_type": "roberta", "pad_token_id": -1}, "pad_token_id"),
        (MODERNBERT | {"layer_types": ["full_attention", "chunked_attention"]}, "layer_types"),
        (MODERNBERT | {"layer_types": ["full_attention"]}, "local_layers"),
        (MODERNBERT | {"layer_types": "full_attention"}, "layer_types"),
        (MODERNBERT | {"rope_scaling": {"factor": 2.0}}, "rope_scaling"),
        (MODERNBERT | {"rope_parameters": {"full_attention": {"rope_type": "ntk"}}}, "rope_type"),
        (MODERNBERT | {"num_attention_heads": 8}, "even"),
        (
            MODERNBERT
            | {"architectures": ["ModernBertForSequenceClassification"], "classifier_pooling": "max"},
            "classifier_pooling",
        ),
    ],
)
def test_what_the_stack_does_not_do_is_refused(config: dict[str, Any], why: str) -> None:
    family = FAMILIES[config["model_type"]]
    if config["model_type"] == "roberta":
        config = config | {"architectures": ["RobertaModel"]}
    with pytest.raises(InputError, match=why):
        family.read_config(config, where="config.json")


def test_heads_that_no_class_has_are_refused() -> None:
    read = albert.read_config(ALBERT)
    heads = (HeadConfig(kind=HeadKind.REPLACED_TOKEN, num_outputs=1, select=Select.ALL),)
    with pytest.raises(InputError, match="no class of Albert has the heads replaced_token"):
        albert.write_config(dataclasses.replace(read, heads=heads))
