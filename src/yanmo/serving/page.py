"""The page's own files, read once and served from memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from fastapi import Request
from fastapi.responses import Response

from yanmo.serving.api_errors import ApiError

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, kw_only=True)
class PageFile:
    """A file with what its answer needs."""

    content: bytes
    media_type: str
    etag: str


def read_page() -> dict[str, PageFile]:
    """The page's files by name."""
    page = {}
    for path in files("yanmo.serving").joinpath("web").iterdir():
        media_type = _TYPES.get(path.name.rpartition(".")[2])
        if media_type is not None:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            page[path.name] = PageFile(content=content, media_type=media_type, etag=etag)
    return page


def file_response(page: dict[str, PageFile], name: str, request: Request) -> Response:
    """Answer with a file, or 304 where the browser has it already.

    Raises:
        ApiError: 404, there is no such file.
    """
    file = page.get(name)
    if file is None:
        raise ApiError(f"There is no file '{name}'.", status=404, code="not_found")
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
