"""The page's files: complete in both languages, self-contained, and without a way for text to become HTML."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from serving_fakes import fake_model
from starlette.testclient import TestClient

from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.page import read_page

WEB = Path(str(files("yanmo.serving").joinpath("web")))
SCRIPTS = sorted(WEB.glob("*.js"))
INDEX = (WEB / "index.html").read_text(encoding="utf-8")
# Keys that are put together, t(`state_${...}`), and names of what runs measure and meet.
PARTS = (
    r"state_\w+",
    r"run_\w+",
    r"for_\w+",
    r"\w+_hint",
    r"\w+_help",
    r"kind_\w+",
    r"\w+_accuracy",
    "skipped|rollback",
)


# Scripts that are no dictionary.
USERS = [script for script in SCRIPTS if script.stem not in ("english", "chinese")]


def strings(language: str) -> dict[str, str]:
    text = (WEB / f"{language}.js").read_text(encoding="utf-8")
    pairs = re.findall(r'^  (\w+): (".*"),$', text, re.MULTILINE)
    assert len(pairs) == len(dict(pairs)) == text.count("\n") - 4, (
        f"{language}.js: a key twice, or no line a key"
    )
    return {key: json.loads(value) for key, value in pairs}


def test_both_languages_say_the_same_things() -> None:
    english, chinese = strings("english"), strings("chinese")
    assert len(english) > 80
    assert english.keys() == chinese.keys()
    for key in english:
        assert set(re.findall(r"{\w+}", english[key])) == set(re.findall(r"{\w+}", chinese[key])), key


def test_chinese_is_chinese_with_its_own_punctuation() -> None:
    untranslated = {"other_language", "switch_language", "top_p", "top_k", "min_p"}
    for key, text in strings("chinese").items():
        assert key in untranslated or re.search(r"[\u4e00-\u9fff]", text), key
        assert not re.search(r"[\u4e00-\u9fff][,;:?!]", text), f"{key}: half-width punctuation"


def test_every_word_that_is_asked_for_exists() -> None:
    known = strings("english").keys()
    asked = set(re.findall(r'data-i18n(?:-label|-placeholder)?="(\w+)"', INDEX))
    for script in USERS:
        text = script.read_text(encoding="utf-8")
        asked |= set(re.findall(r'\bt\("(\w+)"', text)) | set(re.findall(r'\blabel: "(\w+)"', text))
        for made in re.findall(r"\bt\(`([^`]+)`", text):
            # Of a key that is put together, some must be there.
            pattern = re.sub(r"\\\$\\{.*?\\}", r"\\w+", re.escape(made))
            assert any(re.fullmatch(pattern, key) for key in known), made
    assert len(asked) > 100
    assert asked <= known


def test_every_word_is_asked_for() -> None:
    sources = INDEX + "".join(script.read_text(encoding="utf-8") for script in USERS)
    quoted = set(re.findall(r'["\s](\w+)[":]', sources)) | set(re.findall(r'"(\w+)"', sources))
    for key in strings("english"):
        assert key in quoted or any(re.fullmatch(part, key) for part in PARTS), key


def test_every_task_has_its_words_and_its_tab() -> None:
    tasks = re.search(r"export const TASKS = (\[.*\]);", (WEB / "views.js").read_text())
    assert tasks is not None
    for task in json.loads(tasks[1]):
        assert {task, f"{task}_hint", f"run_{task}"} <= strings("english").keys()
        assert f'data-view="{task}"' in INDEX


@pytest.mark.parametrize("path", sorted(WEB.iterdir()), ids=lambda path: path.name)
def test_files_are_small_self_contained_and_harmless(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 500
    urls = [url for url in re.findall(r"https?://[^\s\"'`)]+", text) if "www.w3.org" not in url]
    assert [url for url in urls if "x.y" not in url] == []
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in text
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]*src=)|\sstyle=|\son\w+=", text)


def test_every_element_that_a_script_asks_for_is_on_the_page() -> None:
    ids = set(re.findall(r'\bid="([\w-]+)"', INDEX))
    asked = {name for script in SCRIPTS for name in re.findall(r'\$\("([\w-]+)"\)', script.read_text())}
    assert asked <= ids


def test_every_import_and_icon_exists() -> None:
    page = read_page()
    icons = set(re.findall(r"^  (\w+): \"M", (WEB / "dom.js").read_text(), re.MULTILINE))
    for path in (*SCRIPTS, WEB / "index.html"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r'from "\./([\w.]+)"', text)) <= page.keys()
        assert set(re.findall(r'(?:data-icon="|\bicon\(")(\w+)"', text)) <= icons


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; the Chromium test covers the scripts")
    done = subprocess.run([node, "--check", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_files_are_served_with_their_type_and_revalidated() -> None:
    asked = TestClient(create_app(Catalog([fake_model()])), base_url="http://localhost")
    page = asked.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert asked.head("/").status_code == 200
    assert asked.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    script = asked.get("/static/app.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["cache-control"] == "no-cache"
    assert asked.get("/static/nothing.js").json()["error"]["code"] == "not_found"
