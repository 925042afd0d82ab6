"""Files: the page's own files, compressed once and sent again only if they have changed."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from rsq_pipe.page.answers import Refusal

ASSETS = Path(__file__).parent / "assets"
VIEW = "index.html"
TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css", ".html": "text/html"}


class _File(Struct, frozen=True):
    stamp: tuple[int, int]
    raw: bytes
    packed: bytes
    tag: str
    kind: str


_files: dict[Path, _File] = {}


async def asset(request: Request) -> Response:
    """Serve a file of the page; any other path is meant for a view, whose address is behind the `#`."""
    name = request.path_params["path"]
    try:
        path = _found(name or VIEW)
        if path is None:
            # Relative: a proxy may serve the page below a path of its own.
            return RedirectResponse(f"{'../' * name.count('/') or './'}#/{quote(name)}", 302)
        file = _read(path)
    except (OSError, ValueError) as exc:  # missing, too long for a name, or with a zero byte
        raise Refusal(404, "there is no such file") from exc
    headers = {"etag": file.tag, "cache-control": "no-cache", "vary": "accept-encoding"}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(file.packed, media_type=file.kind, headers=headers)
    return Response(file.raw, media_type=file.kind, headers=headers)


def _found(name: str) -> Path | None:
    """Find a file; None for a name that is not one of a file."""
    path = (ASSETS / name).resolve()
    if not path.is_relative_to(ASSETS):
        raise FileNotFoundError(name)
    with suppress(FileNotFoundError, NotADirectoryError):  # `is_file` hides the other errors on Python 3.14
        if S_ISREG(path.stat().st_mode):
            return path
    if "." in path.name:
        raise FileNotFoundError(name)
    return None


def _read(path: Path) -> _File:
    """Read a file, and cache it; the folder holds few files."""
    found = path.stat()
    stamp = found.st_mtime_ns, found.st_size
    known = _files.get(path)
    if known is None or known.stamp != stamp:
        raw = path.read_bytes()
        kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        tag = f'"{hashlib.sha256(raw).hexdigest()[:16]}"'
        known = _files[path] = _File(stamp, raw, gzip.compress(raw, mtime=0), tag, kind)
    return known
