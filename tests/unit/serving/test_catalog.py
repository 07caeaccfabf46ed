"""Which models are in memory: opened when asked, gone when their memory is wanted."""

from __future__ import annotations

import dataclasses
import re
import threading
from pathlib import Path

import answers_made
import pytest
import torch
from requests_made import begin, end, served
from serving_fakes import fake_model
from starlette.testclient import TestClient

from yanmo.errors import InputError
from yanmo.serving.api_errors import ApiError
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog, OpenModel
from yanmo.serving.opening import describe, load


def catalog(*sizes: int, memory_bytes: int | None) -> Catalog:
    models = [fake_model(name, num_bytes=size) for name, size in zip("abcdef", sizes, strict=False)]
    return Catalog(models, memory_bytes=memory_bytes)


def use(models: Catalog, names: str) -> str:
    for name in names:
        use_one(models, name)
    return "".join(sorted(models.bytes_in_memory()))


def use_one(models: Catalog, name: str) -> None:
    with models.opened(name):
        pass


def test_the_model_that_was_asked_longest_ago_goes_first() -> None:
    models = catalog(4, 4, 4, 9, memory_bytes=10)
    assert use(models, "") == ""
    assert use(models, "ab") == "ab"
    assert use(models, "a") == "ab"
    assert use(models, "c") == "ac"
    assert use(models, "d") == "d"
    assert (models.num_opened, models.num_evicted) == (4, 3)
    assert use(catalog(4, 4, 4, memory_bytes=None), "abc") == "abc"


def test_a_model_in_use_stays_and_the_other_is_told() -> None:
    models = catalog(6, 6, memory_bytes=10)
    with models.opened("a"):
        with pytest.raises(ApiError) as caught, models.opened("b"):
            pass
        assert (caught.value.status, caught.value.code) == (503, "models_in_use")
        assert caught.value.headers["Retry-After"] == "2"
    assert use(models, "b") == "b"


def test_a_model_that_never_fits_is_told_at_once_and_refused(capsys: pytest.CaptureFixture[str]) -> None:
    models = catalog(4, 2048, memory_bytes=1024)
    assert "b needs 2.0 KB, more than --memory 1.0 KB" in capsys.readouterr().err
    with pytest.raises(ApiError) as caught, models.opened("b"):
        pass
    assert (caught.value.status, caught.value.code) == (503, "model_too_large")
    assert caught.value.headers["x-should-retry"] == "false"
    asked = TestClient(create_app(models), base_url="http://localhost")
    answer = asked.post("/v1/completions", json={"model": "b", "prompt": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_too_large")
    assert asked.post("/v1/completions", json={"model": "a", "prompt": "x"}).status_code == 200


def test_what_keeps_a_model_from_loading_is_in_the_log_alone(capsys: pytest.CaptureFixture[str]) -> None:
    models = Catalog([fake_model(error=InputError("is damaged", where="/home/me/secret"))])
    answer = TestClient(create_app(models), base_url="http://localhost").post(
        "/v1/completions", json={"model": "fake", "prompt": "x", "stream": True}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_loaded")
    assert "secret" not in answer.text
    assert "fake cannot be loaded: /home/me/secret: is damaged" in capsys.readouterr().err
    with pytest.raises(InputError, match="is damaged"):
        models.open_first()


def test_the_estimate_of_a_folder_is_what_it_holds(tmp_path: Path) -> None:
    folder = answers_made.decoder(tmp_path / "a").path
    for dtype in (torch.float32, torch.bfloat16):
        served = describe(folder, dtype=dtype)
        opened = served.open()
        assert served.card.num_bytes == pytest.approx(opened.num_bytes, rel=0.05)
        assert opened.num_parameters == served.card.num_parameters


def test_real_folders_take_turns(tmp_path: Path) -> None:
    decoder = answers_made.decoder(tmp_path / "a").path
    translator = answers_made.encoder_decoder(tmp_path / "b").path
    one = describe(decoder).card.num_bytes + describe(translator).card.num_bytes - 1
    asked = TestClient(create_app(load([decoder, translator], memory_bytes=one)), base_url="http://localhost")
    for name in (decoder.name, translator.name, decoder.name):
        body = {"model": name, "prompt": "a man", "max_tokens": 2, "temperature": 0}
        assert asked.post("/v1/completions", json=body).status_code == 200
    counted = asked.get("/metrics").text
    assert re.search(r"^yanmo_models_in_memory 1\.0$", counted, re.MULTILINE)
    assert re.search(r"^yanmo_models_evicted 2\.0$", counted, re.MULTILINE)


def test_a_model_that_is_loading_holds_up_only_those_who_ask_for_it() -> None:
    may_go_on, has_begun = threading.Event(), threading.Event()
    slow = fake_model("slow", num_bytes=4)

    def load_slowly() -> OpenModel:
        has_begun.set()
        assert may_go_on.wait(20)
        return slow.open()

    models = Catalog([fake_model("quick", num_bytes=4), dataclasses.replace(slow, open=load_slowly)])
    models.open_first()
    with served(models) as (address, _):
        waiting = [begin(address, model="slow", prompt="x") for _ in range(2)]
        assert has_begun.wait(20)
        assert end(begin(address, model="quick", prompt="x"))[0] == 200
        assert list(models.bytes_in_memory()) == ["quick"]
        may_go_on.set()
        assert [end(each)[0] for each in waiting] == [200, 200]
    assert models.num_opened == 2


def test_what_is_loading_has_its_memory_already() -> None:
    may_go_on, has_begun = threading.Event(), threading.Event()

    def load_slowly() -> OpenModel:
        has_begun.set()
        assert may_go_on.wait(20)
        return slow.open()

    slow = fake_model("slow", num_bytes=6)
    loading = dataclasses.replace(slow, open=load_slowly)
    models = Catalog([loading, fake_model("other", num_bytes=6)], memory_bytes=10)
    thread = threading.Thread(target=use_one, args=(models, "slow"))
    thread.start()
    assert has_begun.wait(20)
    with pytest.raises(ApiError) as caught, models.opened("other"):
        pass
    assert caught.value.code == "models_in_use"
    may_go_on.set()
    thread.join()
    use_one(models, "other")
    assert models.bytes_in_memory() == {"other": 6}


def test_a_model_that_could_not_be_loaded_is_tried_again() -> None:
    tries = iter([InputError("is damaged"), None])
    good = fake_model("a")

    def load_once_in_vain() -> OpenModel:
        error = next(tries)
        if error is not None:
            raise error
        return good.open()

    models = Catalog([dataclasses.replace(good, open=load_once_in_vain)])
    with pytest.raises(ApiError) as caught, models.opened("a"):
        pass
    assert caught.value.code == "model_not_loaded"
    assert use(models, "a") == "a"
