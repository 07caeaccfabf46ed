"""Judgements of the page in Chromium: texts that stay texts, accessibility, widths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.page_payloads import FORBIDDEN, PAYLOADS, TEXT
from benchmarks.page_scenes import Browser, Page, Scene, page_of, show, task

_LINES = ("lines", TEXT)
_FIRST = ("text", TEXT)
# Where what a model says, or what a file or a run is called, comes onto the page.
HOSTILE_SCENES = (
    Scene("labels", "several", "classify", task(_FIRST)),
    Scene("a label a line", "one", "classify", task(_LINES, many=True)),
    Scene("entities", "found", "tag", task(_FIRST)),
    Scene("entities a line", "found", "tag", task(_LINES, many=True)),
    Scene("an answer", "found-here", "answer", task(("question", PAYLOADS[4]), ("context", TEXT))),
    Scene("an answer a line", "found-here", "answer", task(("context", TEXT), _LINES, many=True)),
    Scene("a translation a line", "translated", "translate", task(("lines", "one\ntwo"), many=True)),
    Scene("a summary", "short", "summarize", task(_FIRST)),
    Scene("comparisons", "alike", "similarity", task(("lines", "\n".join(PAYLOADS[:40])))),
    Scene("comparisons", "alike", "similarity", task(("lines", "\n".join(PAYLOADS[40:80])))),
    Scene("comparisons", "alike", "similarity", task(("lines", "\n".join(PAYLOADS[80:])))),
)
_STORED = """(payloads) => {
  const messages = payloads.flatMap((text) => [
    {role: "user", content: text},
    {role: "assistant", content: text, model: text, note: text},
  ]);
  const talks = payloads.map((title, index) => ({id: String(index), title, messages: index ? [] : messages}));
  const rest = {view: "similarity", entries: [], asked: []};
  const recent = payloads.map((said) => ({...rest, model: said, values: {lines: said}, said}));
  localStorage.setItem("yanmo.conversations", JSON.stringify(talks));
  localStorage.setItem("yanmo.conversation", JSON.stringify("0"));
  localStorage.setItem("yanmo.recent", JSON.stringify(recent));
}"""


class Witness:
    """A tab in which every payload is shown in every place, with the browser's own protection (CSP) off.

    Attributes:
        places: the payloads that were seen as text, by place.
        num_dialogs: dialogs that opened.
        num_hits: times that a script was found to have run.
        num_elements: elements that only a payload could have made.
        outside: requests to other machines.
    """

    def __init__(self, page: Page, url: str) -> None:
        """Watch a tab."""
        self.page, self._url = page, url
        self.places: dict[str, set[str]] = {}
        self.num_dialogs = self.num_hits = self.num_elements = 0
        self.outside: list[str] = []
        page.on("dialog", self._dismiss)
        page.on("request", self._requested)

    def see(self, place: str, selector: str) -> None:
        """Count the payloads in the text of elements, and look for what they may have done."""
        texts = self.page.locator(selector).evaluate_all("(nodes) => nodes.map((node) => node.textContent)")
        shown = "\n".join(texts).replace("␣", " ")
        self.places.setdefault(place, set()).update(payload for payload in PAYLOADS if payload in shown)
        made = self.page.locator(f"{FORBIDDEN}, [onerror], [onload], [onfocus], [onbegin], [ontoggle]")
        self.num_elements += made.count()
        self.num_hits += int(self.page.evaluate("window.hit !== undefined"))

    @property
    def is_clean(self) -> bool:
        """Whether nothing ran, nothing was asked of others, and nothing became an element."""
        return not (self.num_dialogs or self.num_hits or self.num_elements or self.outside)

    def _dismiss(self, dialog: Any) -> None:
        self.num_dialogs += 1
        dialog.dismiss()

    def _requested(self, asked: Any) -> None:
        if not asked.url.startswith((self._url, "blob:", "data:")):
            self.outside.append(asked.url)


def hostile_page(browser: Browser, url: str) -> Witness:
    """Show every payload in every place; the server has ``hostile_models`` and ``write_hostile_runs``."""
    with page_of(browser, url, language="en", theme="light", width=1280, bypass_csp=True) as page:
        witness = Witness(page, url)
        page.evaluate(_STORED, PAYLOADS)
        page.reload()
        page.wait_for_function("document.querySelectorAll('#model option').length > 0")
        witness.see("names of models", "#model option")
        _written(page, witness)
        for scene in HOSTILE_SCENES:
            show(page, scene)
            more = page.locator("#task-result [aria-expanded=false]")
            if more.count():
                more.click()
            witness.see(scene.name, "#task-result")
        page.locator("details.recent summary").click()
        witness.see("what was asked before", "#recent-list")
        _refused(page, witness)
        _around(page, url, witness)
        show(page, Scene("", "", "runs", lambda tab: tab.locator("#runs-table tbody tr").first.wait_for()))
        page.locator("#chart path.curve").first.wait_for()
        witness.see("names of runs", "#runs-table, #legend")
        witness.see("samples of runs", "#sample-list")
        witness.see("settings of runs", "#difference-tables, #outcome-table")
        # What loads or runs late has its time.
        page.wait_for_timeout(300)
        witness.see("names of runs", "#runs-table, #legend")
    return witness


def _written(page: Page, witness: Witness) -> None:
    show(page, Scene("", "talker", "chat"))
    witness.see("a conversation that was kept", ".theirs")
    witness.see("titles of conversations", "#conversations .open")
    page.locator("#new-chat").click()
    page.locator("#message").fill("hello")
    page.keyboard.press("Enter")
    page.locator("#regenerate").wait_for()
    witness.see("an answer that streams", ".theirs .text")
    show(page, Scene("", "writer", "complete"))
    page.locator("#probabilities").check()
    page.locator("#text").fill(TEXT)
    page.keyboard.press("Control+Enter")
    page.locator(".token").nth(len(PAYLOADS) - 1).wait_for()
    page.locator("#continue").wait_for()
    witness.see("a text that is continued", "#mirror .ink")
    witness.see("tokens", ".token")
    for place in range(0, len(PAYLOADS), 4):
        page.locator(".token").nth(place).dispatch_event("pointerenter")
        witness.see("other tokens", "#token-detail")


def _refused(page: Page, witness: Witness) -> None:
    said = {"error": {"message": TEXT, "type": "x", "param": None, "code": None}}
    page.route("**/v1/similarity", lambda route: route.fulfill(status=400, json=said))
    page.locator("#task-run").click()
    page.locator("#banner").wait_for()
    witness.see("an error", "#banner-text")
    page.unroute("**/v1/similarity")


def _around(page: Page, url: str, witness: Witness) -> None:
    for payload in PAYLOADS:
        body = {"model": payload, "prompt": "x"}
        assert page.request.post(f"{url}/v1/completions", data=body).ok
    page.locator("#load-open").click()
    page.locator("#load-facts dd").first.wait_for()
    witness.see("models in memory", "#load-facts")
    page.keyboard.press("Escape")
    page.locator("#settings-open").click()
    for payload in PAYLOADS[::5]:
        page.locator("#model").select_option(payload)
        witness.see("facts of a model", "#model-facts")
    page.keyboard.press("Escape")


def findings(page: Page, axe: str) -> list[dict[str, Any]]:
    """What axe-core has against the page as it is: rule, impact and the elements."""
    page.evaluate(axe)
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [
        {
            "rule": one["id"],
            "impact": one["impact"],
            "nodes": [" ".join(map(str, node["target"])) for node in one["nodes"]],
        }
        for one in found
    ]


def too_wide(page: Page) -> list[str]:
    """Elements that are wider than what holds them; tables may scroll in their boxes."""
    wide: list[str] = (
        page.evaluate("""() => [document.documentElement, ...document.querySelectorAll("body *")]
        .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
        .filter((e) => getComputedStyle(e).textOverflow !== "ellipsis")
        .filter((e) => getComputedStyle(e).clipPath === "none")
        .filter((e) => !e.closest(".table-box, .hidden, svg, select, label"))
        .map((e) => `${e.tagName}#${e.id}.${e.className}`)""")
    )
    return wide


def serious(found: list[dict[str, Any]]) -> list[str]:
    """Those that keep somebody out."""
    return [f"{one['rule']}: {one['nodes'][:3]}" for one in found if one["impact"] in ("serious", "critical")]


def read_axe(path: Path) -> str:
    """axe-core's source, as npm installs it (``axe.min.js``)."""
    return path.read_text(encoding="utf-8")
