"""The steps together: settings, counts, the way back to the source, and that a clean text is clean."""

from __future__ import annotations

import pickle
import random

import pytest

from yanmo.corpus.cleaning.cleaner import STEPS, Cleaner
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.errors import InputError

EVERYTHING = CleaningSettings(
    boilerplate=("cookies", "sharing", "navigation", "copyright"),
    quotations=True,
    signatures=True,
    width="all",
    spaces=True,
    flags=False,
)
PIECES = [
    *"aZé ß1 \t\n\r\x0b\x0c\x00\x1b[m\x85\xa0\xad\u0301\u200b\u2028\ud83d\ude00\ufeff中文，。！－ＡｱÃ¶â€œ-”…",
    "recog-\nnition ",
    "\r\n",
    "\n\n",
    "\x1b[1m",
    "浣犲ソ锛",
    "the lines of a paragraph that is long enough to be filled up to the margin\n",
    "and goes on with small letters until nothing more would have fitted into it\n",
    "这是一行足够长的文字一直写到页边为止然后在句子中间断开换到了下一行去继\n",
    "Page 3 of 9\n",
    "第 4 页\n",
    "\f",
    "Share on Twitter\n",
    "首页 | 关于我们\n",
    "On Monday, 3 May 2021, A. Writer wrote:\n> quoted\n",
    "-- \nsignature\n",
    "- an item\n",
    "© 2020 Nobody. All rights reserved.\n",
]


@pytest.mark.parametrize(
    "settings", [CleaningSettings(flags=False), EVERYTHING], ids=["default", "everything"]
)
@pytest.mark.parametrize("paged", [False, True])
def test_a_clean_text_is_clean_and_leads_back_to_its_source(settings: CleaningSettings, paged: bool) -> None:
    rng = random.Random(7)
    cleaner = Cleaner(settings)
    seen: dict[str, int] = {}
    for _ in range(80):
        raw = "".join(rng.choices(PIECES, k=rng.choice([3, 20, 60])))
        once = cleaner.clean(raw, paged=paged)
        assert once.alignment.fits(once.text, raw), raw
        assert once.changed or once.text == raw, raw
        again = cleaner.clean(once.text, paged=paged)
        assert (again.text, again.changed) == (once.text, {}), raw
        once.text.encode("utf-8")
        for name, count in once.changed.items():
            seen[name] = seen.get(name, 0) + count
    assert len(seen) >= 10, f"the texts must try most steps; only {sorted(seen)}"


def test_steps_have_names_of_their_own_and_settings_travel() -> None:
    assert len(STEPS) == 21
    assert pickle.loads(pickle.dumps(EVERYTHING)) == EVERYTHING


def test_what_one_step_uncovers_another_repairs() -> None:
    assert Cleaner(CleaningSettings()).clean("sch\x00Ã\x00¶n").text == "schön"


def test_edits_are_counted_by_step_and_each_place_is_known_in_the_source() -> None:
    raw = "\ufeffGr\u00c3\u00bc\u00dfe\r\n中文\x00字\r\n"
    result = Cleaner(CleaningSettings()).clean(raw)
    assert result.text == "Grüße\n中文字\n"
    assert result.changed == {"mojibake repaired": 1, "line ends unified": 2, "control characters removed": 2}
    start, end = result.alignment.source_span(result.text.index("文"), result.text.index("字") + 1)
    assert raw[start:end].rstrip("\r") == "文\x00字"


def test_steps_that_are_off_stay_off() -> None:
    raw = "ＡＢＣ  two   spaces\n\n\n\nSent from my iPhone\n首页 | 关于我们\n"
    settings = CleaningSettings(boilerplate=(), wraps=False, pages=False)
    assert Cleaner(settings).clean(raw).text == raw


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", "half"), ("script", "zh"), ("spelling", "yes"), ("boilerplate", ("adverts",))],
)
def test_an_unknown_choice_is_refused_with_the_choices(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{name}: .*any of|^{name}: .*one of"):
        CleaningSettings(**{name: value})


def test_an_empty_text_stays_empty() -> None:
    result = Cleaner(EVERYTHING).clean("", paged=True)
    assert (result.text, result.changed, result.flags) == ("", {}, {})
