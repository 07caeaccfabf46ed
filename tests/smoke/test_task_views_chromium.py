"""The page's views of fine-tuned models in Chromium: forms, results, many texts, files, what is kept."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.page_audits import too_wide
from benchmarks.page_scenes import SCENES, Scene, leave, show
from benchmarks.page_specimens import Prediction, models, served, spans, tasked, write_runs

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

EMOJI = "🎨🎨 王羲之 lived in 会稽."
may_answer = threading.Event()


def _slow(_: tuple[str, ...]) -> Prediction:
    assert may_answer.wait(20)
    return {"label": "late", "probabilities": {"late": 1.0}}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("runs")
    write_runs(folder)
    more = [
        tasked("slow", "classify", _slow, task="text-classification"),
        tasked("formula", "classify", lambda _: {"label": "=1+1", "probabilities": {}}, task=None),
        tasked(
            "emoji",
            "tag",
            lambda text: {"entities": spans(text[0], {"会稽": "LOC", "王羲之": "PER"})},
            task=None,
        ),
        tasked(
            "torn",
            "tag",
            lambda _: {"entities": [{"text": "x", "label": "X", "start": 5, "end": 99}]},
            task=None,
        ),
    ]
    with served([*models(), *more], folder) as url:
        yield url


@pytest.fixture
def page(browser: sync_api.Browser, url: str) -> Iterator[sync_api.Page]:
    context = browser.new_context(locale="en-US", viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(15_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    page.goto(f"{url}/")
    expect(page.locator("#model option").first).to_be_attached()
    yield page
    context.close()
    assert [error for error in errors if "status of 4" not in error] == []


def choose(page: sync_api.Page, model: str) -> None:
    page.locator("#model").select_option(model)


def ask(page: sync_api.Page, **fields: str) -> None:
    for name, text in fields.items():
        page.locator(f"#field-{name}").fill(text)
    page.keyboard.press("Control+Enter")


def rows(page: sync_api.Page) -> list[list[str]]:
    return page.locator("#task-result tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent))"
    )


def downloaded(page: sync_api.Page, button: str) -> tuple[str, list[list[str]]]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button).click()
    file = waiting.value
    return file.suggested_filename, list(csv.reader(io.StringIO(Path(file.path()).read_text("utf-8-sig"))))


def test_a_model_opens_on_what_it_was_made_for(page: sync_api.Page) -> None:
    tabs = page.locator(".tabs a:visible")
    for model, view, names in (
        ("sentiment", "classify", ["Classify", "Runs"]),
        ("names", "tag", ["Tag", "Runs"]),
        ("passages", "answer", ["Answer", "Runs"]),
        ("en-zh", "translate", ["Translate", "Runs"]),
        ("minilm", "similarity", ["Compare", "Runs"]),
        ("novels", "complete", ["Chat", "Complete", "Runs"]),
        ("smollm2", "chat", ["Chat", "Complete", "Compare", "Runs"]),
    ):
        choose(page, model)
        expect(page.locator(f"a[data-view={view}]")).to_have_attribute("aria-current", "page")
        expect(tabs).to_have_text(names)
    choose(page, "sentiment")
    page.evaluate("location.hash = 'chat'")
    expect(page.locator("#task-title")).to_have_text("Classify")
    expect(page.locator("#view-chat")).to_be_hidden()
    assert "sentiment · classification" in page.locator("#model option").all_text_contents()
    page.reload()
    expect(page.locator("#task-title")).to_have_text("Classify")


def test_labels_stand_with_their_probabilities(page: sync_api.Page) -> None:
    choose(page, "sentiment")
    ask(page, text="so good")
    expect(page.locator(".verdict")).to_have_text("positive")
    expect(page.locator(".bar-row")).to_have_text(["positive93.4%", "neutral4.9%", "negative1.7%"])
    expect(page.locator("#task-said")).to_have_text("positive 93.4%")
    choose(page, "topics")
    ask(page, text="so good")
    expect(page.locator(".verdict")).to_have_text(["arts", "crafts", "history", "书法"])
    expect(page.locator(".bar-row")).to_have_count(8)
    page.get_by_role("button", name="Show all 12").click()
    expect(page.locator(".bar-row")).to_have_count(12)
    choose(page, "rating")
    ask(page, text="so good")
    expect(page.locator(".big")).to_have_text("4.327")


def test_a_pair_has_two_fields_and_an_empty_one_is_told(page: sync_api.Page) -> None:
    choose(page, "paraphrase")
    ask(page, text="The ink is dry.")
    expect(page.locator("#task-status")).to_have_text("There is no text yet.")
    expect(page.locator("#field-second")).to_be_focused()
    ask(page, second="not dry")
    expect(page.locator(".verdict")).to_have_text("negative")
    page.get_by_role("button", name="Many").click()
    ask(page, lines="a\tb\nno tab")
    expect(page.locator("#task-status")).to_have_text("Line 2 has no tab between its two texts.")
    ask(page, lines="a\tb\n\nc\tnot d")
    expect(page.locator("#task-result tbody tr")).to_have_count(2)
    assert rows(page)[1] == ["c", "not d", "negative", "86.1%"]


def test_entities_are_marked_where_they_stand_and_hidden_by_kind(page: sync_api.Page) -> None:
    choose(page, "emoji")
    ask(page, text=EMOJI)
    expect(page.locator("#task-result mark")).to_have_text(["王羲之PER", "会稽LOC"])
    expect(page.locator("#task-result .reading-text")).to_have_text("🎨🎨 王羲之PER lived in 会稽LOC.")
    assert [row[:2] for row in rows(page)] == [["王羲之", "PER"], ["会稽", "LOC"]]
    page.locator(".kind-key", has_text="LOC").press("Enter")
    expect(page.locator("#task-result mark")).to_have_text(["王羲之PER"])
    expect(page.locator(".kind-key", has_text="LOC")).to_have_attribute("aria-pressed", "false")
    choose(page, "torn")
    ask(page, text="short")
    expect(page.locator("#task-result .reading-text")).to_have_text("short")
    choose(page, "parts-of-speech")
    ask(page, text="is it, it is")
    expect(page.locator("#task-result mark")).to_have_count(5)


def test_an_answer_is_marked_in_its_passage_and_none_is_said(page: sync_api.Page) -> None:
    choose(page, "passages")
    context = "墨🎨 It is said that Tang Taizong took it."
    ask(page, question="Who took it?", context=context)
    expect(page.locator("#task-result mark")).to_have_text("Tang Taizong")
    expect(page.locator("#task-result .reading-text")).to_have_text(context)
    ask(page, question="When?")
    expect(page.locator("#task-result .note")).to_have_text("The passage does not answer this.")
    expect(page.locator("#task-result mark")).to_have_count(0)
    page.get_by_role("button", name="Many").click()
    ask(page, lines="Who?\nWhen?")
    expect(page.locator("#task-result tbody tr")).to_have_count(2)
    assert [row[1] for row in rows(page)] == ["Tang Taizong", "The passage does not answer this."]


def test_texts_are_written_anew_beside_their_source(page: sync_api.Page) -> None:
    choose(page, "en-zh")
    ask(page, text="Grinding ink is slow.")
    expect(page.locator(".written")).to_contain_text("研墨很慢")
    source, made = (page.locator(of).bounding_box() for of in ("#field-text", ".written"))
    assert source is not None and made is not None and made["x"] > source["x"] + source["width"]
    choose(page, "news")
    ask(page, text="x" * 118)
    expect(page.locator("#task-result")).to_contain_text("59 characters, 50.0% of the source")


def test_many_texts_become_a_table_and_a_file(page: sync_api.Page) -> None:
    choose(page, "sentiment")
    page.get_by_role("button", name="Many").click()
    lines = [f'"good", {number}' for number in range(20)]
    ask(page, lines="\n".join([*lines, "", "bad, not good"]))
    expect(page.locator("#task-result tbody tr")).to_have_count(21)
    assert rows(page)[20] == ["bad, not good", "negative", "86.1%"]
    name, table = downloaded(page, "Download CSV")
    assert name == "classify-sentiment.csv"
    assert table[0] == ["text", "label", "negative", "neutral", "positive"]
    assert table[1] == [lines[0], "positive", "0.017", "0.049", "0.934"]
    assert len(table) == 22
    choose(page, "formula")
    ask(page, lines="@x\n-1")
    expect(page.locator("#task-result tbody tr")).to_have_count(2)
    # A spreadsheet must not compute what a text says.
    assert downloaded(page, "Download CSV")[1][1:] == [["'@x", "'=1+1"], ["'-1", "'=1+1"]]
    choose(page, "emoji")
    page.get_by_role("button", name="Many").click()
    ask(page, lines=f"{EMOJI}\nNobody.")
    expect(page.locator("#task-result tbody tr")).to_have_count(2)
    assert [row[2:6] for row in downloaded(page, "Download CSV")[1][1:]] == [
        ["王羲之", "PER", "3", "6"],
        ["会稽", "LOC", "16", "18"],
    ]


def test_any_two_texts_are_compared(page: sync_api.Page) -> None:
    choose(page, "minilm")
    ask(page, lines="one")
    expect(page.locator("#task-status")).to_have_text("It takes two texts or more.")
    ask(page, lines="a cat\na cat\nstocks fell")
    expect(page.locator(".matrix .heat")).to_have_count(9)
    expect(page.locator(".extreme").first).to_contain_text("1.000")
    table = rows(page)
    assert table[0][2] == table[1][1] == "1.00" and table[0][3] == table[2][1]
    vectors = downloaded(page, "Download the vectors")[1]
    assert [row[0] for row in vectors] == ["text", "a cat", "a cat", "stocks fell"]
    assert len(vectors[1]) == 65 and vectors[1] == vectors[2]
    ask(page, lines="\n".join(map(str, range(41))))
    expect(page.locator("#task-status")).to_contain_text("41 texts are more than the 40")


def test_escape_stops_and_another_model_takes_no_late_answer(page: sync_api.Page) -> None:
    may_answer.clear()
    choose(page, "slow")
    ask(page, text="hello")
    expect(page.locator("#task-stop")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#task-status")).to_have_text("Stopped.")
    expect(page.locator("#task-run")).to_be_visible()
    page.locator("#task-run").click()
    expect(page.locator("#task-stop")).to_be_focused()
    choose(page, "sentiment")
    may_answer.set()
    ask(page, text="hello")
    expect(page.locator(".verdict")).to_have_text("positive")


def test_one_thing_at_a_time_and_odd_storage_is_no_harm(page: sync_api.Page) -> None:
    odd = {
        "drafts": {"classify": None, "tag": 5},
        "recent": [None, {"values": None}, {"values": {}, "view": "classify"}],
    }
    page.evaluate(
        "(odd) => { for (const key in odd) localStorage.setItem(`yanmo.${key}`, JSON.stringify(odd[key])); }",
        odd,
    )
    page.reload()
    may_answer.clear()
    choose(page, "slow")
    ask(page, text="hello")
    expect(page.locator("#task-stop")).to_be_visible()
    page.keyboard.press("Control+Enter")
    may_answer.set()
    expect(page.locator(".verdict")).to_have_text("late")
    expect(page.locator("#recent-list li")).to_have_count(1)
    page.route("**/v1/chat/completions", lambda _: None)
    choose(page, "smollm2")
    page.get_by_label("Your message").fill("hello")
    page.keyboard.press("Enter")
    expect(page.locator("#stop")).to_be_visible()
    choose(page, "sentiment")
    ask(page, text="hello")
    expect(page.locator("#task-status")).to_contain_text("Another answer is still being written")
    page.keyboard.press("Escape")
    ask(page, text="hello")
    expect(page.locator(".verdict")).to_have_text("positive")


def test_what_was_asked_is_kept_in_the_browser_until_it_is_forgotten(page: sync_api.Page) -> None:
    choose(page, "sentiment")
    ask(page, text="the first")
    expect(page.locator(".verdict")).to_have_text("positive")
    ask(page, text="not the second")
    expect(page.locator(".verdict")).to_have_text("negative")
    expect(page.locator("#recent-list li")).to_have_count(2)
    page.wait_for_timeout(500)
    page.reload()
    expect(page.locator("#field-text")).to_have_value("not the second")
    page.locator("details.recent summary").click()
    page.locator("#recent-list button", has_text="the first").click()
    expect(page.locator("#field-text")).to_have_value("the first")
    expect(page.locator(".verdict")).to_have_text("positive")
    page.get_by_role("button", name="Forget these").click()
    page.reload()
    expect(page.locator("#recent-list li")).to_have_count(0)


def test_the_load_is_shown_and_errors_are_one_line_in_the_chosen_language(page: sync_api.Page) -> None:
    choose(page, "sentiment")
    page.locator("#load-open").press("Enter")
    expect(page.locator("#load")).to_contain_text("0 running, 0 waiting")
    expect(page.locator("#load")).to_contain_text("of 4.0 GiB")
    page.keyboard.press("Escape")
    expect(page.locator("#load")).to_be_hidden()
    expect(page.locator("#load-open")).to_be_focused()
    said = {"message": "two\n  lines", "type": "x", "param": None, "code": None}
    page.route("**/v1/classify", lambda route: route.fulfill(status=400, json={"error": said}))
    ask(page, text="hello")
    expect(page.locator("#banner-text")).to_have_text("two lines")
    said["code"] = "model_not_loaded"
    page.locator("#language").click()
    page.locator("#task-run").click()
    expect(page.locator("#banner-text")).to_have_text("模型无法载入，原因见服务日志。")


def test_tokens_are_walked_with_the_arrow_keys(page: sync_api.Page) -> None:
    choose(page, "novels")
    page.get_by_label("Token probabilities").check()
    page.get_by_label("Your text").fill("It was")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#continue")).to_be_visible()
    expect(page.locator(".token[tabindex='0']")).to_have_count(1)
    page.locator(".token").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".token").nth(1)).to_be_focused()
    expect(page.locator("#token-detail")).to_contain_text("Instead of ␣the")
    page.keyboard.press("End")
    expect(page.locator(".token").last).to_be_focused()


def test_the_first_stop_of_the_tab_key_skips_to_the_content(page: sync_api.Page) -> None:
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    choose(page, "sentiment")
    skip.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    expect(page.locator("#task-title")).to_be_visible()
    order = []
    for _ in range(4):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.textContent || document.activeElement.id"))
    assert order == ["One", "Many", "field-text", "Classify"]


@pytest.mark.parametrize(("locale", "scenes"), [("en-US", SCENES), ("zh-CN", SCENES[::4])])
def test_no_view_is_wider_than_a_phone(
    browser: sync_api.Browser, url: str, locale: str, scenes: tuple[Scene, ...]
) -> None:
    context = browser.new_context(locale=locale, viewport={"width": 375, "height": 760})
    page = context.new_page()
    page.goto(f"{url}/")
    expect(page.locator("#model option").first).to_be_attached()
    for scene in scenes:
        show(page, scene)
        assert too_wide(page) == [], scene.name
        leave(page)
    context.close()
