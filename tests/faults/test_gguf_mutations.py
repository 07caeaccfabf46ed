"""Damaged GGUF files: one clear line or a right load, at once, without a crash and without much memory."""

from __future__ import annotations

import random
import re
import resource
import struct
import time
from pathlib import Path

import pytest

from yanmo.errors import InputError
from yanmo.models.gguf.reader import GgufFile

transformers = pytest.importorskip("transformers", reason="makes the models that are damaged here")

import gguf_made  # noqa: E402

NUM_MUTATIONS = 400
_EXTREMES = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
_MAX_SECONDS = 2.0
_MAX_GROWTH_BYTES = 200 * 2**20


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    found = []
    for name, tokenizer, dtype in (
        ("llama-llama3", gguf_made.byte_level(), "f32"),
        ("mixtral", gguf_made.byte_level(), "q8_0"),
        ("gemma3_text", gguf_made.sentencepiece(prefixed=False), "q4_0"),
        ("gpt_neox", gguf_made.byte_level(), "bf16"),
    ):
        folder = tmp_path_factory.mktemp("original")
        gguf_made.make_model(folder, name, vocab_size=800)
        found.append(gguf_made.write(folder / "model.gguf", folder, tokenizer, dtype=dtype).read_bytes())
    return found


def mutate(data: bytes, rng: random.Random) -> bytes:
    """The file with one to four things wrong, most of them in its header."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        # Half of the damage goes where the counts, keys and numbers are, the rest anywhere.
        at = rng.randrange(min(len(changed), rng.choice((64, 2_000, 40_000, len(changed)))) or 1)
        match rng.randrange(7):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                changed[at : at + 8] = struct.pack("<Q", rng.choice(_EXTREMES))
            case 2:
                changed[at : at + 4] = struct.pack("<I", rng.choice(_EXTREMES) & 0xFFFFFFFF)
            case 3:
                del changed[at:]
            case 4:
                del changed[at : at + rng.randrange(1, 64)]
            case 5:
                changed[at:at] = rng.randbytes(rng.randrange(1, 64))
            case _:
                other = rng.randrange(len(changed) or 1)
                length = rng.randrange(1, 64)
                changed[at : at + length] = changed[other : other + length]
    return bytes(changed)


def use_all(path: Path) -> None:
    """All that can be asked of a file."""
    file = GgufFile(path)
    for name, info in file.tensors.items():
        tensor = file.read(name)
        assert (tuple(tensor.shape), tensor.dtype) == (info.shape, info.dtype)
    assert file.config["num_hidden_layers" if "num_hidden_layers" in file.config else "n_layer"] >= 1
    assert file.generation_config is not None and file.file_type
    assert file.tokenizer_files()


def is_read(data: bytes, path: Path) -> bool:
    """Whether a damaged file is read rather than refused; it is one or the other, at once."""
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    try:
        use_all(path)
        read = True
    except InputError as error:
        read = False
        assert "\n" not in str(error) and len(str(error)) < 1_000
    assert time.process_time() - start < _MAX_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < _MAX_GROWTH_BYTES
    return read


def test_originals_are_read(originals: list[bytes], tmp_path: Path) -> None:
    for data in originals:
        (tmp_path / "model.gguf").write_bytes(data)
        use_all(tmp_path / "model.gguf")


def test_mutations(originals: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    rng = random.Random(0)
    read = sum(
        is_read(mutate(originals[index % len(originals)], rng), path) for index in range(NUM_MUTATIONS)
    )
    assert 0 < read < NUM_MUTATIONS / 2


def test_every_number_of_the_metadata_changed(originals: list[bytes], tmp_path: Path) -> None:
    """Sizes that are sound numbers but not those of the tensors are refused."""
    path = tmp_path / "model.gguf"
    sizes = (
        "embedding_length",
        "block_count",
        "feed_forward_length",
        "expert_count",
        "key_length",
    )
    for data in originals:
        for at, key in _uint32_places(data):
            for value in (0, 3, 2**16, 2**27, 2**32 - 1):
                if data[at : at + 4] == struct.pack("<I", value):
                    continue
                changed = data[:at] + struct.pack("<I", value) + data[at + 4 :]
                assert not (is_read(changed, path) and key.endswith(sizes)), (key, value)


def _uint32_places(data: bytes) -> list[tuple[int, str]]:
    """Where the file holds whole numbers, and their keys."""
    found = []
    for match in re.finditer(rb"[a-z0-9_]+(?:\.[a-z0-9_]+)+(?=\x04\x00\x00\x00)", data[:4_000]):
        found.append((match.end() + 4, match[0].decode()))
    assert len(found) > 7
    return found


def test_every_cut_is_refused(originals: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    data = originals[0]
    for length in [*range(64), *range(64, len(data), len(data) // 50)]:
        path.write_bytes(data[:length])
        with pytest.raises(InputError):
            GgufFile(path)
