"""What a model's files say about the tokens of its answers."""

from __future__ import annotations

from typing import Any

import pytest

from yanmo.errors import InputError
from yanmo.models.generation_settings import GenerationSettings, read_generation_settings


def read(generation: dict[str, Any], config: dict[str, Any], **options: Any) -> GenerationSettings:
    settings = {"vocab_size": 100, "has_source": False, "where": "m"} | options
    return read_generation_settings(generation, config, **settings)


def test_the_generation_config_decides_and_the_config_fills_in() -> None:
    config = {"eos_token_id": 1, "decoder_start_token_id": 5, "bad_words_ids": [[9]]}
    assert read({"eos_token_id": [2, 3, 2]}, config).end_ids == (2, 3)
    assert read({"eos_token_id": None}, config).end_ids == (1,)
    assert read({}, config) == GenerationSettings(end_ids=(1,), suppressed_ids=(9,))
    assert read({}, {}) == GenerationSettings()


def test_an_answer_to_a_source_begins_where_the_files_say() -> None:
    generation = {"decoder_start_token_id": 7, "bos_token_id": 3}
    assert read(generation, {}).first_ids == ()
    assert read(generation, {}, has_source=True).first_ids == (7,)
    assert read(generation, {"forced_bos_token_id": 8}, has_source=True).first_ids == (7, 8)
    # As transformers does where nothing else is said.
    assert read({"bos_token_id": 3}, {}, has_source=True).first_ids == (3,)
    with pytest.raises(InputError, match="which token an answer begins with"):
        read({"decoder_start_token_id": 100}, {}, has_source=True)


def test_ids_that_no_model_can_draw_are_left_out() -> None:
    generation = {"eos_token_id": [50256, 4, -1], "suppress_tokens": [6, 100], "bad_words_ids": [[5], [7000]]}
    settings = read(generation, {})
    assert settings.end_ids == (4,) and settings.suppressed_ids == (5, 6)


def test_forbidden_sequences_are_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        settings = read({"bad_words_ids": [[5], [1, 2], []]}, {}, where="folder with sequences")
        assert settings.suppressed_ids == (5,)
    assert capsys.readouterr().err.count("bad_words_ids of more than one token") == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eos_token_id", "2"),
        ("eos_token_id", True),
        ("eos_token_id", [1, 2.5]),
        ("eos_token_id", {"id": 2}),
        ("suppress_tokens", [[1]]),
        ("bad_words_ids", [3]),
        ("bad_words_ids", [["a"]]),
        ("bad_words_ids", 3),
    ],
)
def test_what_is_no_token_id_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(InputError, match=key):
        read({key: value}, {})
