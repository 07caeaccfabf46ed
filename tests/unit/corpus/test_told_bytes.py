from __future__ import annotations

from pathlib import Path

from yanmo.corpus.files import SourceFile
from yanmo.corpus.part import _Told
from yanmo.corpus.reader import read_file


def test_bytes_of_a_file_are_told_once_however_often_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<html><body>" + "<p>Ink is ground before writing.</p>" * 400 + "</body></html>")
    size = path.stat().st_size
    read: list[int] = []
    told: list[int] = []
    file = SourceFile(path=path, label="page.html", num_bytes=size)
    list(read_file(file, text_column=None, note=print, meter=read.append))
    assert sum(read) > 1.5 * size
    tell = _Told(file, told.append)
    list(read_file(file, text_column=None, note=print, meter=tell))
    tell.finish()
    assert sum(told) == size
    # Signs of life go on when all is told.
    tell(9)
    assert told[-1] == 0
