"""Compiling the kernels for this very machine, once.

The library lies in the user's cache folder under a hash of everything that it depends on. Its last 32 bytes
are the sha256 of those before: loading a damaged library would end the process.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from yanmo import artifact
from yanmo.errors import YanmoError

_FOLDER = Path(__file__).parent
_SOURCES = tuple(_FOLDER / name for name in ("kernels.c", "attention.c", "products.c", "decoding.c"))
_HEADERS = tuple(_FOLDER / name for name in ("numbers.h", "products.h"))
# No mathematics function sets errno and nothing traps: without these two, loops with square roots and
# choices are not vectorised. Results stay those of IEEE arithmetic.
_FLAGS = (
    "-O3",
    "-march=native",
    "-std=gnu11",
    "-shared",
    "-fPIC",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
)
_LINK_FLAGS = ("-Wl,--as-needed", "-Wl,-z,defs", "-lm")
_COMPILERS = ("cc", "gcc", "clang")
_BUILD_TIMEOUT_S = 120
_DIGEST_BYTES = hashlib.sha256().digest_size


class Unavailable(Exception):
    """There are no kernels on this machine; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A compiled library: where it lies, what compiled it, and whether that was just now."""

    path: Path
    compiler: str
    is_new: bool


def built_library(*, again: bool = False) -> Built:
    """The compiled kernels, from the cache or made now.

    Args:
        again: compile even if the cache has them.

    Raises:
        Unavailable: there is no compiler, or it failed.
    """
    threads = _thread_library()
    failures = []
    for compiler in _compilers():
        path = _cache_folder() / f"{_key(compiler, threads)}.so"
        if not again and _is_whole(path):
            return Built(path=path, compiler=compiler[0], is_new=False)
        try:
            _compile(compiler, threads, path)
        except Unavailable as failure:
            failures.append(str(failure))
        else:
            return Built(path=path, compiler=compiler[0], is_new=True)
    raise Unavailable("; ".join(failures) or "there is no C compiler (cc, gcc or clang; CC names another)")


def _compilers() -> list[tuple[str, ...]]:
    """Commands of the compilers there are, each once."""
    commands = [shlex.split(os.environ.get("CC", "")), *([name] for name in _COMPILERS)]
    found: dict[str, tuple[str, ...]] = {}
    for command in commands:
        path = shutil.which(command[0]) if command else None
        if path is not None:
            found.setdefault(str(Path(path).resolve()), (path, *command[1:]))
    return list(found.values())


def _thread_library() -> Path:
    """The OpenMP library that torch uses: with another, two pools of threads would fight for the cores."""
    bundled = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    mapped = re.findall(r"\s(/\S*/libgomp[^/\s]*\.so\S*)$", Path("/proc/self/maps").read_text(), re.MULTILINE)
    for path in (*bundled, *map(Path, mapped)):
        return path
    raise Unavailable("torch's OpenMP library (libgomp) was not found")


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "yanmo" / "kernels"


def _key(compiler: tuple[str, ...], threads: Path) -> str:
    """A hash of what the library depends on; the processor's features because of ``-march=native``."""
    program = Path(compiler[0]).resolve()
    version = program.stat()
    features = re.search(r"^(?:flags|Features)\s*:.*$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    parts = (
        *(source.read_text(encoding="utf-8") for source in (*_SOURCES, *_HEADERS)),
        " ".join((*_FLAGS, *_LINK_FLAGS, *compiler)),
        f"{program} {version.st_size} {version.st_mtime_ns}",
        features[0] if features else "",
        f"{platform.machine()} {threads.name}",
    )
    return artifact.sha256_of_text(*parts)[:32]


def sealed(library: bytes) -> bytes:
    """A library with its sha256 behind it, which loaders do not look at."""
    return library + hashlib.sha256(library).digest()


def _is_whole(path: Path) -> bool:
    """Whether this is a file of this user's that ends in the sha256 of the rest."""
    try:
        data, owner = path.read_bytes(), path.stat().st_uid
    except OSError:
        return False
    return owner == os.getuid() and sealed(data[:-_DIGEST_BYTES]) == data


def _compile(compiler: tuple[str, ...], threads: Path, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with artifact.new_file(path) as temporary:
            command = [
                *compiler,
                *_FLAGS,
                *map(str, _SOURCES),
                "-o",
                str(temporary),
                str(threads),
                *_LINK_FLAGS,
            ]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_BUILD_TIMEOUT_S,
                check=False,
            )
            if done.returncode != 0:
                lines = [line for line in done.stderr.splitlines() if "error" in line] or [
                    done.stderr.strip()
                ]
                raise Unavailable(f"{compiler[0]} failed: {lines[0] or f'exit code {done.returncode}'}")
            temporary.write_bytes(sealed(temporary.read_bytes()))
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{compiler[0]} took more than {_BUILD_TIMEOUT_S} seconds") from None
    except (OSError, YanmoError) as error:
        raise Unavailable(f"the cache of kernels cannot be written: {error}") from None
