"""The page in a real browser: Chromium driven by Playwright, against a live server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_fakes import TEXT, FakeEngine, fake_model, live_server

from yanmo.serving.guard import Access

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect


class Visit:
    """A tab that remembers what went wrong in it."""

    def __init__(self, browser: sync_api.Browser, url: str, **context: object) -> None:
        self.context = browser.new_context(**{"locale": "en-US", **context})
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.on("request", lambda asked: asked.url.startswith(url) or self.outside.append(asked.url))
        self.page.goto(f"{url}/")

    def close(self) -> None:
        self.context.close()
        assert self.outside == []
        assert self.errors == []


@pytest.fixture(scope="module")
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    run = folder / "研墨"
    run.mkdir()
    rows = [
        {"kind": kind, "step": step, "tokens": step * 10, "elapsed_s": step / 10, "loss_nats": 5 / step**0.5}
        | {"bits_per_byte": 1 + 3 / step}
        for step in range(1, 50)
        for kind in ("train", "valid")
    ]
    rows.append({"kind": "sample", "step": 49, "text": "<img src=x onerror=alert(1)>"})
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / "result.json").write_text('{"bits_per_byte": 1.061, "baseline_bits_per_byte": 2.19, "steps": 49}')
    return folder


@pytest.fixture(scope="module")
def url(engine: FakeEngine, runs: Path) -> Iterator[str]:
    models = [fake_model("talker", engine=engine), fake_model("base", engine=engine, chat=False)]
    with live_server(*models, runs_dir=runs) as url:
        yield url


@pytest.fixture
def visit(browser: sync_api.Browser, url: str, engine: FakeEngine) -> Iterator[Visit]:
    engine.step_s = 0.0
    visit = Visit(browser, url)
    yield visit
    visit.close()


def test_chat_streams_an_answer_as_plain_text_and_keeps_it(visit: Visit) -> None:
    page = visit.page
    page.get_by_label("Your message").fill("hello 研墨")
    page.keyboard.press("Enter")
    reply = page.locator(".theirs .text")
    expect(reply).to_have_text(TEXT)
    assert page.locator("#messages b, #messages img").count() == 0
    expect(page.get_by_role("log")).to_have_attribute("aria-live", "polite")
    page.reload()
    expect(page.locator(".mine .text")).to_have_text("hello 研墨")
    expect(page.locator(".theirs .text")).to_have_text(TEXT)
    page.get_by_role("button", name="Answer again").click()
    expect(reply).to_have_text(TEXT)
    expect(page.locator(".message")).to_have_count(2)
    page.locator("#new-chat").click()
    expect(page.locator(".message")).to_have_count(0)
    expect(page.locator("#conversations .open")).to_have_text(["hello 研墨"])


def test_shift_enter_breaks_the_line_and_an_input_methods_enter_does_not_send(visit: Visit) -> None:
    page = visit.page
    page.get_by_label("Your message").fill("a")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("b")
    assert page.locator("#message").input_value() == "a\nb"
    page.locator("#message").dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    page.locator("#message").dispatch_event("keydown", {"key": "Enter", "keyCode": 229})
    expect(page.locator(".message")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator(".mine .text")).to_have_text("a\nb")
    expect(page.locator("#regenerate")).to_be_visible()


def test_escape_stops_the_answer_here_and_on_the_server(visit: Visit, engine: FakeEngine) -> None:
    page = visit.page
    engine.step_s = 0.1
    engine.was_cancelled.clear()
    page.get_by_label("Your message").fill("hello")
    page.keyboard.press("Enter")
    expect(page.locator(".theirs .text")).to_contain_text("Ink")
    page.keyboard.press("Escape")
    expect(page.locator(".theirs")).to_contain_text("Stopped.")
    assert engine.was_cancelled.wait(5)
    assert len(page.locator(".theirs .text").inner_text()) < len(TEXT)


def test_settings_reach_the_model_and_are_kept(visit: Visit, engine: FakeEngine) -> None:
    page = visit.page
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("Be brief.")
    page.locator("#set-temperature").fill("0")
    page.locator("#set-top_k").fill("7")
    page.locator("#set-seed").fill("42")
    page.get_by_role("button", name="Close").last.click()
    page.reload()
    page.get_by_label("Your message").fill("hello")
    page.keyboard.press("Enter")
    expect(page.locator("#regenerate")).to_be_visible()
    asked = engine.params[-1]
    assert (asked.temperature, asked.top_k, asked.seed) == (0, 7, 42)
    assert b"system: Be brief." in bytes(token for token in engine.prompts[-1] if token < 256)


def test_a_long_conversation_forgets_its_beginning_and_says_so(visit: Visit, engine: FakeEngine) -> None:
    page = visit.page
    for number in range(3):
        page.get_by_label("Your message").fill(f"{number}" * 170)
        page.keyboard.press("Enter")
        expect(page.locator(".theirs .under")).to_have_count(1)
        expect(page.locator(".theirs")).to_have_count(number + 1)
        expect(page.locator("#send")).to_be_visible()
    expect(page.locator(".theirs").last).to_contain_text("no longer fit")
    prompt = bytes(token for token in engine.prompts[-1] if token < 256)
    assert b"2" * 170 in prompt
    assert b"0" * 170 not in prompt
    # The browser itself notes the refusals that told the page how much fits.
    visit.errors = [error for error in visit.errors if "400" not in error]


def test_a_base_model_opens_on_complete_and_continues_in_place(visit: Visit) -> None:
    page = visit.page
    page.locator("#model").select_option("base")
    page.locator("[data-view=chat]").click()
    expect(page.locator("#base-note")).to_be_visible()
    page.evaluate("location.hash = ''")
    expect(page.locator("#view-complete")).to_be_visible()
    expect(page.locator("#complete-note")).to_contain_text("base model")
    page.get_by_label("Token probabilities").check()
    page.get_by_label("Your text").fill("开头 ")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#complete-status")).to_contain_text("tokens")
    assert page.locator("#text").input_value() == "开头 " + TEXT
    expect(page.locator("#mirror .ink")).to_have_text(TEXT)
    # Mirror and text area must break their lines alike, or the caret stands beside its letter.
    box = "(e) => [e.clientWidth, e.clientHeight]"
    assert page.locator("#mirror").evaluate(box) == page.locator("#text").evaluate(box)
    assert page.locator(".token").count() == len(TEXT.encode())
    page.locator(".token").first.click()
    expect(page.locator("#token-detail")).to_contain_text("<|endoftext|>")
    page.locator("#text").press("Home")
    page.keyboard.type("X")
    expect(page.locator("#mirror .ink")).to_have_text(TEXT)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#undo")).to_be_enabled()
    page.get_by_role("button", name="Take back").click()
    assert page.locator("#text").input_value() == "X开头 " + TEXT


def test_runs_show_curves_baseline_figures_and_samples(visit: Visit) -> None:
    page = visit.page
    page.locator("[data-view=runs]").click()
    expect(page.locator("#chart path.curve")).to_have_count(2)
    expect(page.locator("#chart line.level")).to_have_count(1)
    row = page.locator("#runs-table tbody tr")
    expect(row).to_contain_text("研墨")
    expect(row.locator("td.better")).to_have_text("1.061")
    expect(row).to_contain_text("2.190")
    expect(page.locator("#sample-list")).to_contain_text("<img src=x")
    before = page.locator("#chart path.curve").last.get_attribute("d")
    page.get_by_role("button", name="Loss").click()
    expect(page.locator("#chart line.level")).to_have_count(0)
    assert page.locator("#chart path.curve").last.get_attribute("d") != before
    page.get_by_label("Show 研墨").uncheck()
    expect(page.locator("#chart path.curve")).to_have_count(0)


def test_curves_grow_while_a_run_goes_on(visit: Visit, runs: Path) -> None:
    run = runs / "live"
    run.mkdir()
    row = {"kind": "valid", "step": 1, "tokens": 10, "elapsed_s": 1.0, "loss_nats": 2.0, "bits_per_byte": 2.5}
    (run / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    page = visit.page
    page.locator("[data-view=runs]").click()
    expect(page.locator("#runs-live")).to_be_visible()
    cells = page.locator("#runs-table tr", has_text="live")
    expect(cells).to_contain_text("2.500")
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row | {"step": 2, "elapsed_s": 2.0, "bits_per_byte": 2.25}) + "\n")
    expect(cells).to_contain_text("2.250", timeout=10_000)


def test_language_and_theme_follow_the_browser_and_are_kept(browser: sync_api.Browser, url: str) -> None:
    visit = Visit(browser, url, locale="zh-CN", color_scheme="dark")
    page = visit.page
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("[data-view=complete]")).to_have_text("续写")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#language").click()
    page.locator("#theme").click()
    expect(page.locator("[data-view=complete]")).to_have_text("Complete")
    page.reload()
    expect(page.locator("[data-view=complete]")).to_have_text("Complete")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    visit.close()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_overflows_at_360_pixels(browser: sync_api.Browser, url: str, locale: str) -> None:
    visit = Visit(browser, url, locale=locale, viewport={"width": 360, "height": 740})
    page = visit.page
    page.locator("#message").fill("x" * 300)
    page.keyboard.press("Enter")
    expect(page.locator("#regenerate")).to_be_visible()
    page.locator("#history-open").click()
    expect(page.locator("#new-chat")).to_be_in_viewport()
    page.keyboard.press("Escape")
    page.locator("#settings-open").click()
    expect(page.locator("#set-temperature")).to_be_in_viewport()
    page.locator("#settings-close").click()
    for view in ("chat", "complete", "runs"):
        page.locator(f"[data-view={view}]").click()
        expect(page.locator(f"#view-{view}")).to_be_visible()
        # A table may scroll inside its own box; nothing else may be wider than what holds it.
        wide = page.evaluate("""() => [document.documentElement, ...document.querySelectorAll("body *")]
            .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
            .filter((e) => getComputedStyle(e).textOverflow !== "ellipsis")
            .filter((e) => !e.closest(".table-box, .hidden, svg, select, label"))
            .map((e) => `${e.tagName}#${e.id}.${e.className}`)""")
        assert wide == [], view
        assert page.evaluate("document.documentElement.scrollHeight") <= 740, view
    visit.close()


def test_the_page_asks_for_the_key_and_keeps_it_off_the_disk(browser: sync_api.Browser) -> None:
    with live_server(fake_model(), access=Access(api_key="a-long-enough-key")) as url:
        visit = Visit(browser, url)
        page = visit.page
        page.get_by_label("API key").fill("wrong-key")
        page.keyboard.press("Enter")
        expect(page.locator("#key-wrong")).to_be_visible()
        page.get_by_label("API key").fill("a-long-enough-key")
        page.keyboard.press("Enter")
        expect(page.locator("#model option")).to_have_text(["fake · chat"])
        assert "long-enough" not in page.evaluate("JSON.stringify(localStorage)")
        refused = [error for error in visit.errors if re.search("401", error)]
        assert len(refused) == len(visit.errors) > 0
        visit.errors.clear()
        visit.close()


def test_a_server_that_has_gone_is_told(browser: sync_api.Browser) -> None:
    with live_server(fake_model()) as url:
        visit = Visit(browser, url)
        expect(visit.page.locator("#model option")).to_have_count(1)
    visit.page.get_by_label("Your message").fill("hello")
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#banner")).to_contain_text("cannot be reached")
    visit.errors.clear()
    visit.close()
