"""The page's files: read once from the package, served from memory, revalidated by their digest."""

from collections.abc import Mapping
from hashlib import sha256
from importlib import resources
from typing import Final, NamedTuple

from fastapi import Request, Response

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain; charset=utf-8",
}


class StaticFile(NamedTuple):
    """One file, its media type and its entity tag."""

    body: bytes
    media_type: str
    etag: str


def read_files() -> Mapping[str, StaticFile]:
    """Read all files of the page: name below `page/` → file."""
    root = resources.files("stream_worker.api") / "static"
    found = {}
    for folder in ("", "vendor/"):
        for entry in (root / folder if folder else root).iterdir():
            kind = _TYPES.get(entry.name.rpartition(".")[2])
            if entry.is_file() and kind is not None:
                body = entry.read_bytes()
                found[folder + entry.name] = StaticFile(body, kind, f'"{sha256(body).hexdigest()[:16]}"')
    return found


def file_answer(request: Request, file: StaticFile) -> Response:
    """Answer with a file, or with 304 when it has not changed."""
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=file.media_type)
