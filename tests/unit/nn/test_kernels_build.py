"""Compiling and caching the kernels, and what happens where that cannot be done."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from yanmo.nn import kernels
from yanmo.nn.coded_weight import CodedWeight
from yanmo.nn.kernels import build, library
from yanmo.nn.norm import RMSNorm
from yanmo.nn.quantization import quantize

needs_kernels = pytest.mark.skipif(
    not kernels.suit(torch.zeros(1)), reason=f"the kernels are {kernels.status()}"
)


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing loaded yet and an empty cache, which is returned; compiled in a hurry."""
    functions = dict(library._functions)
    monkeypatch.setattr(library, "_library", None)
    monkeypatch.setattr(build, "_FLAGS", tuple(flag for flag in build._FLAGS if flag != "-O3"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("YANMO_KERNELS", raising=False)
    yield tmp_path / "cache" / "yanmo" / "kernels"
    library._functions.clear()
    library._functions.update(functions)


def forget() -> None:
    library._library = None


def works() -> bool:
    """A module that has kernels gives the right answer, with them or without."""
    x = torch.arange(1.0, 13.0).view(3, 4)
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return torch.allclose(RMSNorm(4)(x), expected)


@needs_kernels
def test_it_is_compiled_once(fresh: Path) -> None:
    assert kernels.status().startswith("on, compiled by /")
    (path,) = fresh.iterdir()
    made_ns = path.stat().st_mtime_ns
    forget()
    assert kernels.status().startswith("on") and works()
    assert [file.stat().st_mtime_ns for file in fresh.iterdir()] == [made_ns]
    assert path.stat().st_mode & 0o077 & ~0o055 == 0


@needs_kernels
@pytest.mark.parametrize("damage", ["cut short", "changed", "emptied", "not a library"])
def test_a_damaged_library_is_made_again(fresh: Path, damage: str) -> None:
    path = build.built_library().path
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    path.write_bytes(
        {
            "cut short": whole[:5000],
            "changed": bytes(changed),
            "emptied": b"",
            "not a library": build.sealed(b"not a library"),
        }[damage]
    )
    assert kernels.status().startswith("on") and works()
    assert path.read_bytes() == whole


def sources(folder: Path, old: str, new: str) -> tuple[Path, ...]:
    """The kernels' sources with something changed."""
    for path in build._FOLDER.glob("*.[ch]"):
        (folder / path.name).write_text(path.read_text("utf-8").replace(old, new), encoding="utf-8")
    assert any(new in (folder / source.name).read_text("utf-8") for source in build._SOURCES)
    return tuple(folder / source.name for source in build._SOURCES)


@needs_kernels
def test_a_wrong_library_in_the_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = build.built_library().path
    wrong = sources(tmp_path, "3.0f * cubic", "2.0f * cubic")
    with monkeypatch.context() as patched:
        patched.setattr(build, "_SOURCES", wrong)
        build.built_library().path.replace(right)
    assert kernels.status().startswith("on") and works()


@needs_kernels
def test_kernels_that_compute_wrong_numbers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = sources(tmp_path, "3.0f * cubic", "2.0f * cubic")
    monkeypatch.setattr(build, "_SOURCES", wrong)
    assert kernels.status().endswith("gate in torch.float32 computes wrong numbers")
    assert not kernels.suit(torch.zeros(1)) and works()
    assert len(caplog.records) == 1


WITHOUT = {
    "AVX-VNNI": "-mno-avx512f",
    "AVX2": "-mno-avx512f -mno-avxvnni",
    "plain C": "-mno-avx2 -mno-f16c",
}


@needs_kernels
@pytest.mark.parametrize("flags", WITHOUT.values(), ids=WITHOUT)
def test_narrower_instructions_compute_the_same(flags: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("these flags are those of x86-64")
    x = torch.randn(37, 96, generator=torch.Generator().manual_seed(1))
    matrices = [CodedWeight(quantize(x[:, :96] * 0.1, bits)) for bits in (8, 4)]
    wide = [matrix.product(x[:number]) for matrix in matrices for number in (1, 2, 14, 37)]
    compiler = build.built_library().compiler
    forget()
    monkeypatch.setenv("CC", f"{compiler} {flags}")
    # The check when they are loaded compares every kernel with torch's operators.
    assert kernels.status().startswith("on, compiled by ")
    narrow = [matrix.product(x[:number]) for matrix in matrices for number in (1, 2, 14, 37)]
    for one, other in zip(wide, narrow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@needs_kernels
def test_a_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false --quietly")
    assert kernels.status().startswith("on, compiled by ")
    forget()
    broken = sources(tmp_path, "static inline float from_float", "int main( {")
    monkeypatch.setattr(build, "_SOURCES", broken)
    assert kernels.status().startswith("off, torch's operators are used: ")
    assert "false failed: exit code 1" in kernels.status() and "kernels.c:" in kernels.status()
    assert works()


def test_without_a_compiler_one_line_says_so(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with caplog.at_level(logging.WARNING):
        assert works() and works()
    assert not kernels.suit(torch.zeros(1))
    why = "off, torch's operators are used: there is no C compiler (cc, gcc or clang; CC names another)"
    assert kernels.status() == why
    assert [record.message for record in caplog.records] == [f"fused kernels are {why}"]
    assert not fresh.exists()


@needs_kernels
def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "cannot be written" in kernels.status() and works()


def test_switched_off_without_a_word(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("YANMO_KERNELS", "0")
    assert works() and not kernels.suit(torch.zeros(1))
    assert kernels.status() == "off: YANMO_KERNELS is 0"
    assert not caplog.records and not fresh.exists()


def test_on_other_systems_without_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert works() and kernels.status() == "off: they are made for Linux only"
    assert not caplog.records


@needs_kernels
def test_processes_that_compile_at_once(fresh: Path) -> None:
    program = """
import sys
from yanmo.nn import kernels
from yanmo.nn.kernels import build
build._FLAGS = tuple(flag for flag in build._FLAGS if flag != "-O3")
print("ready", flush=True)
sys.stdin.readline()
print(kernels.status())
"""
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in running:
        output, errors = process.communicate("go\n", timeout=120)
        assert output.startswith("on, compiled by ") and not errors
    (path,) = fresh.iterdir()
    assert path.suffix == ".so"


@needs_kernels
def test_no_second_pool_of_threads() -> None:
    def pools(program: str) -> set[str]:
        program += "; print(open('/proc/self/maps').read())"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return {line.split()[-1] for line in done.stdout.splitlines() if "omp" in line and ".so" in line}

    before = pools("from yanmo.nn import kernels")
    assert len(before) == 1
    assert pools("from yanmo.nn import kernels; assert kernels.status().startswith('on')") == before
