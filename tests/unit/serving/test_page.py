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
I18N = (WEB / "i18n.js").read_text(encoding="utf-8")


def strings(language: str) -> dict[str, str]:
    block = re.search(rf"^  {language}: {{\n(.*?)^  }},$", I18N, re.DOTALL | re.MULTILINE)
    assert block is not None
    return {
        key: json.loads(text) for key, text in re.findall(r'^    (\w+): (".*"),$', block[1], re.MULTILINE)
    }


def test_both_languages_say_the_same_things() -> None:
    english, chinese = strings("en"), strings("zh")
    assert len(english) > 80
    assert english.keys() == chinese.keys()
    for key in english:
        assert set(re.findall(r"{\w+}", english[key])) == set(re.findall(r"{\w+}", chinese[key])), key


def test_chinese_is_chinese_with_its_own_punctuation() -> None:
    untranslated = {"other_language", "switch_language", "top_p", "top_k", "min_p"}
    for key, text in strings("zh").items():
        assert key in untranslated or re.search(r"[\u4e00-\u9fff]", text), key
        assert not re.search(r"[\u4e00-\u9fff][,;:?!]", text), f"{key}: half-width punctuation"


def test_every_word_that_is_asked_for_exists() -> None:
    asked = set(re.findall(r'data-i18n(?:-label|-placeholder)?="(\w+)"', (WEB / "index.html").read_text()))
    for script in SCRIPTS:
        asked |= set(re.findall(r'\bt\("(\w+)"', script.read_text(encoding="utf-8")))
    assert asked
    assert asked <= strings("en").keys()


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
    ids = set(re.findall(r'\bid="([\w-]+)"', (WEB / "index.html").read_text(encoding="utf-8")))
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
