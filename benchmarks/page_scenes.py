"""The page in Chromium, brought into each of the states that a person sees."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.page_specimens import TEXTS

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync"]
WIDTHS = {375: 760, 1280: 860}
LOCALES = {"en": "en-US", "zh": "zh-CN"}
THEMES = ("light", "dark")
TIMEOUT_MS = 60_000

# Playwright is no dependency of the project's own sources: pages and browsers are untyped here.
Page = Any
Browser = Any


@dataclass(frozen=True)
class Scene:
    """A state of the page: the model that is chosen, the view, and what is done there."""

    name: str
    model: str
    view: str
    act: Callable[[Page], None] = lambda _: None


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium, the system's own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def page_of(
    browser: Browser, url: str, *, language: str, theme: str, width: int, **more: Any
) -> Iterator[Page]:
    """A tab with the page."""
    size = {"width": width, "height": WIDTHS[width]}
    context = browser.new_context(locale=LOCALES[language], color_scheme=theme, viewport=size, **more)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{url}/")
    page.wait_for_function("document.querySelectorAll('#model option').length > 0")
    yield page
    context.close()


def show(page: Page, scene: Scene) -> None:
    """Bring the page into a state."""
    if scene.model:
        page.locator("#model").select_option(scene.model)
    page.evaluate("(view) => { location.hash = view; }", scene.view)
    page.wait_for_function(
        "(view) => document.querySelector(`a[data-view='${view}'][aria-current]`)", arg=scene.view
    )
    scene.act(page)


def leave(page: Page) -> None:
    """Close what a scene has opened."""
    for _ in range(2):
        page.keyboard.press("Escape")


def task(*fields: tuple[str, str], many: bool = False) -> Callable[[Page], None]:
    """Fill the fields of a task and wait for the answer."""

    def act(page: Page) -> None:
        switch = page.locator("#task-mode button").nth(int(many))
        if page.locator("#task-mode").is_visible() and switch.get_attribute("aria-pressed") == "false":
            switch.click()
        for name, text in fields:
            page.locator(f"#field-{name}").fill(text)
        page.locator("#task-run").click()
        page.locator("#task-result > :not(.nothing)").first.wait_for()
        page.locator("#task-run").wait_for()

    return act


def _talk(page: Page) -> None:
    page.locator("#message").fill("How is ink made? 墨是怎么做的？")
    page.keyboard.press("Enter")
    page.locator("#regenerate").wait_for()


def _continue(page: Page) -> None:
    page.locator("#probabilities").check()
    page.locator("#text").fill("It was late in the year,")
    page.keyboard.press("Control+Enter")
    page.locator(".token").nth(40).wait_for()
    page.locator("#continue").wait_for()
    page.locator(".token").nth(7).focus()


def _open(button: str, panel: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        if page.locator(panel).is_hidden():
            page.locator(button).click()
        page.locator(panel).wait_for()
        page.wait_for_timeout(300)

    return act


_TEXT = ("text", TEXTS["classify"])
_LINES = f"{TEXTS['classify']}\nThe brush sheds badly.\n纸太薄，质量很差。\nNot worth it."
_PASSAGE = ("context", TEXTS["context"])
SCENES = (
    Scene("chat-empty", "smollm2", "chat"),
    Scene("chat", "smollm2", "chat", _talk),
    Scene("complete", "novels", "complete", _continue),
    Scene("classify-empty", "sentiment", "classify"),
    Scene("classify", "sentiment", "classify", task(_TEXT)),
    Scene("classify-several", "topics", "classify", task(_TEXT)),
    Scene("classify-score", "rating", "classify", task(_TEXT)),
    Scene(
        "classify-pair", "paraphrase", "classify", task(("text", "The ink is dry."), ("second", "墨已干了。"))
    ),
    Scene("classify-many", "sentiment", "classify", task(("lines", _LINES), many=True)),
    Scene("tag", "names", "tag", task(("text", TEXTS["tag"]))),
    Scene("tag-words", "parts-of-speech", "tag", task(("text", TEXTS["translate"]))),
    Scene(
        "tag-many",
        "names",
        "tag",
        task(("lines", f"{TEXTS['tag']}\n王羲之住在会稽。\nNobody here."), many=True),
    ),
    Scene("answer", "passages", "answer", task(("question", TEXTS["question"]), _PASSAGE)),
    Scene("answer-none", "passages", "answer", task(("question", "When did it rain?"), _PASSAGE)),
    Scene(
        "answer-many",
        "passages",
        "answer",
        task(_PASSAGE, ("lines", f"{TEXTS['question']}\nWhen did it rain?"), many=True),
    ),
    Scene("translate", "en-zh", "translate", task(("text", TEXTS["translate"]))),
    Scene("translate-many", "en-zh", "translate", task(("lines", "Ink.\nGrinding ink is slow."), many=True)),
    Scene("summarize", "news", "summarize", task(("text", TEXTS["summarize"]))),
    Scene("compare", "minilm", "similarity", task(("lines", TEXTS["similarity"]))),
    Scene("compare-two", "minilm", "similarity", task(("lines", "a cat sleeps\na cat naps"))),
    Scene("load", "sentiment", "classify", _open("#load-open", "#load")),
    Scene("settings-task", "sentiment", "classify", _open("#settings-open", "#settings")),
    Scene("settings", "smollm2", "chat", _open("#settings-open", "#settings")),
    # Last: the picker of models is hidden there.
    Scene("runs", "", "runs", lambda page: page.locator("#chart path.curve").first.wait_for()),
)
