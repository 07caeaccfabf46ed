"""What a fine-tuned model is asked: texts that were typed, or the rows of a file."""

from __future__ import annotations

from pathlib import Path

from yanmo.corpus.texts import read_texts
from yanmo.finetuning.registry import ask
from yanmo.tasks.base import ReadSettings
from yanmo.tasks.broken import Note
from yanmo.tasks.columns import Columns
from yanmo.tasks.examples import Example
from yanmo.tasks.read import load_examples

_LINES = (".txt", ".text", "")


def questions(
    task: str,
    texts: tuple[str, ...] | None,
    file: Path | None,
    *,
    columns: Columns,
    header: bool | None = None,
    note: Note,
) -> list[Example]:
    """Examples to predict on.

    Args:
        task: what the model has learned.
        texts: those of one question; None where there is a file.
        file: lines of plain text, or anything that examples are read from; labels need not be there.
        columns: of a table, where guessing is not wanted.
        header: whether its first row names the columns, where guessing is not wanted.
        note: takes each line that the user should know, such as a guessed column.

    Raises:
        InputError: the file cannot be read, holds no example, or the task wants more texts.
    """
    if texts is not None or file is None:
        return [ask(task, texts or ())]
    if file.is_file() and file.suffix.lower() in _LINES:
        return [ask(task, (line,)) for line in read_texts(file)]
    loaded = load_examples(file, task, ReadSettings(columns=columns, header=header, labelled=False))
    for line in loaded.notes:
        note(line)
    for row in loaded.broken:
        note(f"set aside: {row}")
    return loaded.examples
