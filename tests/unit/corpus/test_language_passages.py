"""Paragraphs by language, their shares, and the filter."""

from __future__ import annotations

import pytest

from yanmo.corpus.language.passages import LanguageSettings, Passage, describe, passages, shares
from yanmo.errors import InputError

ENGLISH = (
    "The boats came home late that evening, and the whole village went down to the shore with lanterns. "
    "Nobody spoke until the last of them had been pulled up on the sand."
)
GERMAN = (
    "Am nächsten Morgen lag der Schnee so hoch vor der Tür, dass wir nicht mehr hinausgehen konnten. "
    "Erst gegen Mittag kam jemand mit einer Schaufel."
)
CHINESE = "清晨我们走到河边，等了很久，船才慢慢地从雾里回来。岸上的人都不说话，只听见水声。"
CODE = (
    "int total = 0;\nfor (int i = 0; i < n; i++) {\n    total += weights[i] * x[i];\n    seen[i] = true;\n}\n"
    "if (total > max_total) { max_total = total; best_index = i; }\nreturn total;\n"
)


def codes(text: str) -> list[str]:
    return [passage.code for passage in passages(text)]


def test_paragraphs_of_one_language_are_joined() -> None:
    text = f"{ENGLISH}\n\n{ENGLISH}\n\n{CHINESE}\n\n{CHINESE}\n{GERMAN}\n"
    found = passages(text)
    assert [passage.code for passage in found] == ["en", "zh", "de"]
    assert text[found[0].start : found[0].end] == f"{ENGLISH}\n\n{ENGLISH}"
    assert text[found[1].start : found[1].end] == f"{CHINESE}\n\n{CHINESE}"
    assert text[found[2].start : found[2].end] == GERMAN


def test_wrapped_lines_are_one_paragraph() -> None:
    wrapped = ENGLISH.replace(" ", "\n")
    assert passages(wrapped) == [Passage(0, len(wrapped), "en")]


def test_a_change_of_script_ends_a_paragraph() -> None:
    text = "\n".join(
        [
            "Good morning, how are you?",
            "早上好，你好吗？",
            "I am fine, thank you very much.",
            "我很好，谢谢你。",
        ]
    )
    assert codes(text) == ["en", "zh", "en", "zh"]


def test_headings_and_numbers_go_with_their_neighbours() -> None:
    assert codes(f"1.\n\n{ENGLISH}\n\n* * *\n\n{ENGLISH}\n\n17\n\n{CHINESE}\n\n42") == ["en", "zh"]


def test_program_code_is_a_passage_in_no_language() -> None:
    text = f"{ENGLISH}\n\n{CODE}\n\n{ENGLISH}"
    found = passages(text)
    assert [passage.code for passage in found] == ["en", "", "en"]
    assert text[found[1].start : found[1].end] == CODE.strip()


def test_a_short_paragraph_in_doubt_follows_its_document() -> None:
    """Alone, this line of names says little; within an English text it is not taken for Latin."""
    text = "\n\n".join([ENGLISH] * 6 + ["CORIOLANUS:\nAufidius, Menenius."] + [ENGLISH] * 6)
    assert codes(text) == ["en"]


def test_shares_describe_a_mixed_document() -> None:
    found = shares(f"{ENGLISH}\n\n{CHINESE * 2}")
    assert list(found) == ["en", "zh"]
    assert found["en"] == pytest.approx(len(ENGLISH) / (len(ENGLISH) + 2 * len(CHINESE)))
    assert sum(found.values()) == pytest.approx(1)
    assert describe({"en": 0.7012, "zh": 0.29, "": 0.005, "de": 0.004}) == "en 0.7, zh 0.29"


@pytest.mark.parametrize("text", ["", "\n \n\t\n"])
def test_nothing_has_no_passages(text: str) -> None:
    assert passages(text) == [] and shares(text) == {}


def test_passages_are_in_order_whatever_the_text() -> None:
    text = "\n".join(["a" * 5000, "", "你" * 5000, "1 2 3", ENGLISH * 30, CODE * 3, "\ud800", "x"] * 20)
    place = 0
    for start, end, _ in passages(text):
        assert place <= start < end <= len(text)
        place = end


def test_a_gigantic_line_is_read_in_pieces() -> None:
    text = f"{ENGLISH} " * 1000 + CHINESE * 3000
    found = passages(text)
    assert [passage.code for passage in found] == ["en", "zh"]
    assert abs(found[0].end - len(f"{ENGLISH} " * 1000)) < 2000


def test_filter_keeps_mixed_documents_by_share() -> None:
    settings = LanguageSettings(keep=("zh",), min_share=0.3)
    assert settings.refusal({"en": 0.6, "zh": 0.4}) is None
    assert settings.refusal({"en": 0.8, "zh": 0.2}) == "en 0.8, zh 0.2: zh 0.20, less than 0.30"
    assert LanguageSettings(keep=("de", "en")).refusal({"en": 0.3, "de": 0.3, "zh": 0.4}) is None
    assert LanguageSettings(keep=("de", "en")).refusal({"fr": 1.0}) is not None


def test_filter_keeps_what_is_in_no_language() -> None:
    assert LanguageSettings(keep=("zh",)).refusal({"": 1.0}) is None
    assert LanguageSettings(keep=("zh",)).refusal({"": 0.9, "zh": 0.1}) is None
    assert LanguageSettings(keep=("zh",)).refusal({"": 0.9, "en": 0.1}) is not None
    assert LanguageSettings().refusal({"en": 1.0}) is None


@pytest.mark.parametrize(
    ("keep", "min_share", "message"),
    [
        (("english",), 0.5, "'english' is no language"),
        (("en",), 0.0, "min_share"),
        (("en",), 1.5, "min_share"),
    ],
)
def test_wrong_settings_are_refused(keep: tuple[str, ...], min_share: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LanguageSettings(keep=keep, min_share=min_share)
