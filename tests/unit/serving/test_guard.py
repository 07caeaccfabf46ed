"""Who may ask: key, Host, Origin; headers of every answer; nothing secret in the log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from serving_fakes import FakeEngine, fake_model
from starlette.testclient import TestClient

from yanmo.errors import InputError
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.guard import Access, is_loopback, read_api_key

KEY = "a-long-enough-key"
BODY = {"model": "fake", "prompt": "the secret prompt", "max_tokens": 2}


def client(access: Access | None = None, engine: FakeEngine | None = None) -> TestClient:
    app = create_app(Catalog([fake_model(engine=engine)]), access=access)
    return TestClient(app, base_url="http://localhost:8000")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_loopback_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org"])
def test_other_names(host: str) -> None:
    assert not is_loopback(host)


def test_other_machines_need_a_key() -> None:
    with pytest.raises(InputError, match="api-key-file"):
        Access(host="0.0.0.0")
    assert KEY not in repr(Access(host="0.0.0.0", api_key=KEY))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.1", "["]
)
def test_rebound_names_are_refused(host: str) -> None:
    answer = client().get("/v1/models", headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:8000", "[::1]:8000"])
def test_names_of_this_machine_are_taken(host: str) -> None:
    assert client().get("/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9000", "http://["])
def test_posts_of_other_pages_are_refused_before_any_work(origin: str) -> None:
    engine = FakeEngine()
    answer = client(engine=engine).post("/v1/completions", json=BODY, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert engine.prompts == []


def test_posts_of_our_own_page_are_taken() -> None:
    answer = client().post("/v1/completions", json=BODY, headers={"Origin": "http://localhost:8000"})
    assert answer.status_code == 200


def test_there_is_no_cors() -> None:
    answer = client().get("/v1/models", headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/health", "/static/app.js", "/v1/models", "/nowhere"])
def test_every_answer_carries_the_security_headers(path: str) -> None:
    headers = client().get(path).headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "header",
    [None, "", KEY, f"Basic {KEY}", "Bearer ", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer \xe9"],
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/fake", "/api/runs", "/nowhere", "/staticx"])
def test_without_the_key_nothing_is_told(header: str | None, path: str) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = client(Access(api_key=KEY)).get(path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/", "/health", "/static/app.js", "/favicon.ico"])
def test_the_page_itself_is_open(path: str) -> None:
    assert client(Access(api_key=KEY)).get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/static/../v1/models", "/static/%2e%2e/%2e%2e/app.py", "/static/..%2fapp.py"]
)
def test_the_open_folder_leads_nowhere_else(path: str) -> None:
    assert client(Access(api_key=KEY)).get(path).status_code in (401, 404)


def test_the_right_key_opens() -> None:
    answer = client(Access(api_key=KEY)).get("/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200


def test_with_a_key_any_host_name_may_be_used() -> None:
    asked = client(Access(host="0.0.0.0", api_key=KEY))
    headers = {"Authorization": f"Bearer {KEY}", "Host": "box.lan:8000"}
    assert asked.get("/v1/models", headers=headers).status_code == 200


def test_the_log_tells_neither_prompt_nor_key(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broken = FakeEngine(error=RuntimeError("the secret prompt made it fail"))
    asked = client(Access(api_key=KEY), broken)
    headers = {"Authorization": f"Bearer {KEY}"}
    assert asked.post("/v1/completions?q=secret", json=BODY, headers=headers).status_code == 500
    assert asked.get("/v1/models", headers={"Authorization": "Bearer wrong-secret"}).status_code == 401
    # The test's own HTTP client logs its URLs.
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    log = "".join([*capfd.readouterr(), *ours])
    assert "POST /v1/completions 500" in log
    assert "RuntimeError" in log
    assert "secret" not in log
    assert KEY not in log


def test_prompts_are_in_the_log_only_where_that_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    body = BODY | {"prompt": "磨墨\n\x9b2Jand\u202eink", "max_tokens": 2}
    for log_prompts in (False, True):
        app = create_app(Catalog([fake_model()]), access=Access(api_key=KEY), log_prompts=log_prompts)
        asked = TestClient(app, base_url="http://localhost")
        answer = asked.post("/v1/completions", json=body, headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 200
        said = "".join(capfd.readouterr())
        assert ("磨墨" in said) is log_prompts
        assert KEY not in said and "\x9b" not in said and "\u202e" not in said
    assert said.count("\n") == 2


def test_key_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    assert read_api_key(path) == KEY
    assert capfd.readouterr().err == ""
    path.chmod(0o644)
    read_api_key(path)
    assert "chmod 600" in (said := capfd.readouterr().err)
    assert KEY not in said


@pytest.mark.parametrize(
    "content", ["", "\n", "short", "two words here", "line one\nline two", "密钥密钥密钥密钥"]
)
def test_bad_key_files_are_refused_without_showing_them(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_api_key(path)
    assert str(path) in str(caught.value)
    assert content.strip() == "" or content not in str(caught.value)


def test_missing_key_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such API key file"):
        read_api_key(tmp_path / "none")
