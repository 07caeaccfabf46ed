"""Folders from elsewhere: settings, side files, foreign code, and the names that lead to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from yanmo.errors import InputError
from yanmo.models.files.hf_folder import HfFolder, find_model, hub_cache
from yanmo.reporting import progress

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def nothing_said_yet() -> Iterator[None]:
    before = set(progress._said_once)
    progress._said_once.clear()
    yield
    progress._said_once.clear()
    progress._said_once.update(before)


def make_folder(folder: Path, config: dict[str, object] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3"} | (config or {})))
    save_file({"w": torch.ones(3)}, folder / "model.safetensors")
    return folder


def test_settings_and_weights(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", {"num_hidden_layers": 2})
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 2]}')
    model = HfFolder.open(folder)
    assert model.config == {"model_type": "qwen3", "num_hidden_layers": 2}
    assert model.generation_config == {"eos_token_id": [1, 2]}
    assert model.model_type == "qwen3"
    assert model.source().read("w").tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "not JSON"),
        ('{"vocab_size": NaN}', "NaN is no number"),
        ('{"vocab_size": 1, "vocab_size": 2}', "twice"),
        ('{"a": "' + "x" * 11 * 2**20 + '"}', "larger than 10.0 MB"),
        ("[" * 20000 + "]" * 20000, "nested too deep"),
    ],
)
def test_bad_settings(tmp_path: Path, content: str, what: str) -> None:
    folder = make_folder(tmp_path)
    for name in ("generation_config.json", "config.json"):
        (folder / name).write_text(content)
        with pytest.raises(InputError, match=what) as refused:
            HfFolder.open(folder)
        assert str(refused.value).startswith(str(folder / name))
        (folder / name).write_text("{}")
    with pytest.raises(InputError, match="has no model_type"):
        _ = HfFolder.open(folder).model_type


def test_no_folder_and_no_config(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        HfFolder.open(tmp_path / "gone")
    with pytest.raises(InputError, match=r"has no config\.json"):
        HfFolder.open(tmp_path)


def test_foreign_code_is_named_once_and_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    auto_map = {"AutoModel": "modeling_x.XModel"}
    folder = make_folder(tmp_path, {"auto_map": auto_map, "custom_pipelines": {"p": {}}})
    for name in ("modeling_x.py", "a\x1b[31m.py", "z1.py", "z2.py"):
        (folder / name).write_text("raise SystemExit('it ran')")
    for _ in range(2):
        HfFolder.open(folder)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "never run" in lines[0]
    assert "auto_map of config.json, custom_pipelines of config.json" in lines[0]
    assert "and 2 more" in lines[0]
    assert "\x1b" not in lines[0]


def test_a_tokenizer_that_points_to_code_is_named_and_points_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path / "theirs")
    settings = {"auto_map": {"AutoTokenizer": ["tokenization_x.X", None]}, "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    opened = HfFolder.open(folder)
    assert "auto_map of tokenizer_config.json" in capsys.readouterr().err
    copy = tmp_path / "copy"
    copy.mkdir()
    opened.copy_side_files(copy)
    assert json.loads((copy / "tokenizer_config.json").read_text()) == {"model_max_length": 77}


def test_an_ordinary_folder_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    HfFolder.open(make_folder(tmp_path))
    assert capsys.readouterr().err == ""


def test_only_pickled_weights_leads_to_convert(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        HfFolder.open(folder).source()
    torch.save({"w": torch.ones(3)}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=rf"\(convert it once: yanmo convert {folder} DEST --to hf\)"):
        HfFolder.open(folder).source()


def test_side_files_are_carried_along_unchanged(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    wanted = {
        "tokenizer.json": b"{} \n",
        "chat_template.jinja": "你好 {{ x }}\r\n".encode(),
        "additional_chat_templates/tool_use.jinja": b"{{ tools }}",
        "modules.json": b"[]",
        "1_Pooling/config.json": b"{}",
        "2_Dense/config.json": b"{}",
        "2_Dense/model.safetensors": b"\0",
        "source.spm": b"\1\2",
        "LICENSE": b"free",
    }
    left = [
        "pytorch_model.bin",
        "2_Dense/pytorch_model.bin",
        "modeling.py",
        "README.md",
        "deep/1_Pooling/config.json",
        "additional_chat_templates/notes.txt",
    ]
    for name, content in (wanted | dict.fromkeys(left, b"x")).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    destination = tmp_path / "out"
    destination.mkdir()
    names = HfFolder.open(folder).copy_side_files(destination)
    assert sorted(names) == sorted(wanted)
    written = {p.relative_to(destination).as_posix(): p for p in destination.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in written.items()} == wanted


@pytest.mark.parametrize("name", ["tokenizer.json", "1_Pooling/config.json"])
def test_a_link_to_a_secret_is_not_carried_along(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path / "m")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "config.json").write_text("key")
    if "/" in name:
        (folder / "1_Pooling").symlink_to(tmp_path / "secret")
    else:
        (folder / name).symlink_to(tmp_path / "secret" / "config.json")
    with pytest.raises(InputError, match="link to a file outside"):
        HfFolder.open(folder).side_files()


def test_paths_of_models(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run" / "model")
    assert find_model(folder) == folder
    assert find_model(str(tmp_path / "run")) == folder
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    assert find_model(tmp_path / "x.gguf") == tmp_path / "x.gguf"
    with pytest.raises(InputError, match=r"neither a folder nor a \.gguf"):
        find_model(folder / "model.safetensors")
    with pytest.raises(InputError, match=r"has no config\.json"):
        find_model(tmp_path)
    for missing in (tmp_path / "gone", tmp_path / "gone.gguf", "gone.gguf", "a/b/c", "../x", "", "x" * 5000):
        with pytest.raises(InputError):
            find_model(missing)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache with one model, as its tools make it."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    model = tmp_path / "hub" / "models--org--tiny-1.5"
    made = make_folder(tmp_path / "made")
    (model / "blobs").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    snapshot = model / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for path in made.iterdir():
        path.rename(model / "blobs" / f"hash-of-{path.name}")
        (snapshot / path.name).symlink_to(f"../../blobs/hash-of-{path.name}")
    return tmp_path / "hub"


def test_a_name_in_the_cache(cache: Path) -> None:
    folder = find_model("org/tiny-1.5")
    assert folder == cache / "models--org--tiny-1.5" / "snapshots" / COMMIT
    assert HfFolder.open(folder).source().read("w").tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["org/other", "gpt2", "org/..", "../org"])
def test_a_name_that_is_not_there(cache: Path, name: str) -> None:
    with pytest.raises(InputError) as refused:
        find_model(name)
    if ".." not in name:
        assert f"no such model in the cache {cache}" in str(refused.value)
        assert "nothing is downloaded" in str(refused.value)


@pytest.mark.parametrize("content", ["../../../secret", "0" * 40, "", "main"])
def test_a_cache_that_is_not_whole(cache: Path, content: str) -> None:
    make_folder(cache.parent / "secret")
    (cache / "models--org--tiny-1.5" / "refs" / "main").write_text(content)
    with pytest.raises(InputError, match="in the cache but not whole"):
        find_model("org/tiny-1.5")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/h")
    assert hub_cache() == Path("/h/.cache/huggingface/hub")
    expected = ("/4/huggingface/hub", "/3/hub", "/2", "/1")
    for number, (name, path) in enumerate(zip(reversed(names), expected, strict=True)):
        monkeypatch.setenv(name, f"/{4 - number}")
        assert hub_cache() == Path(path)
