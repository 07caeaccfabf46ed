"""The whole road on text that every CPython carries: its language reference and its docstrings."""

from __future__ import annotations

import ast
import sysconfig
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from pydoc_data import topics
from typing import Any

from yanmo.artifact import claim, new_folder
from yanmo.recipes.settings import PretrainSettings
from yanmo.recipes.train import train
from yanmo.reporting.progress import Progress

_LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "turtledemo",
    "__pycache__",
}


def demo(
    out: Path | str = "runs/demo", *, budget_s: float = 180.0, force: bool = False, spent_s: float = 0.0
) -> dict[str, Any]:
    """Write the demo's text as files, then do what ``train`` does with any user's folder.

    Args:
        out: the run's folder.
        budget_s: seconds for everything.
        force: begin again whatever is there.
        spent_s: seconds of the budget spent before this call.

    Returns:
        As ``train``.
    """
    began, out = time.monotonic() - spent_s, Path(out)
    source = out.with_name(out.name + "-source")
    write_python_reference(source)
    settings = PretrainSettings(budget_s=budget_s)
    return train(source, out, settings=settings, force=force, spent_s=time.monotonic() - began)


def write_python_reference(folder: Path) -> None:
    """Write the language reference and the standard library's docstrings, a file a topic or module."""
    details = {"python": sysconfig.get_python_version()}
    if claim(folder, kind="source", details=details):
        return
    library = Path(sysconfig.get_path("stdlib"))
    modules = sorted(p for p in library.rglob("*.py") if not _LEFT_OUT & set(p.relative_to(library).parts))
    with new_folder(folder, kind="source", details=details) as temporary:
        for name, text in topics.topics.items():
            _write(temporary / "reference" / f"{name}.txt", text)
        with Progress("reading docstrings", total=len(modules), unit="modules") as progress:
            for path in modules:
                if text := "\n\n".join(_docstrings(path)):
                    _write(temporary / "library" / path.relative_to(library).with_suffix(".md"), text)
                progress.advance()


def _docstrings(path: Path) -> Iterator[str]:
    """Every docstring of a module under its heading, in the order of the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
    for node in sorted(nodes, key=lambda node: getattr(node, "lineno", 0)):
        if text := ast.get_docstring(node):
            yield f"# {getattr(node, 'name', path.stem)}\n\n{text}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
