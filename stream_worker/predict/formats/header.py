"""The heading of CSV, and compression: what a file needs besides its parts."""

import gzip
from typing import Final

from stream_worker.predict.formats.job import Job

GZIP_LEVEL: Final = 3


def heading(job: Job, raw: bytes = b"") -> bytes:
    """Return the heading of CSV, not compressed; `raw` is that of the file, without line end."""
    if job.out != "csv":
        return b""
    names = job.added if raw else job.names + job.added
    line = job.out_delimiter.join(_csv(name, job.out_delimiter) for name in names).encode()
    return (raw + job.out_delimiter.encode() if raw else b"") + line + job.newline.encode()


def pack(job: Job, body: bytes) -> bytes:
    """Compress text where the name asks for it. Members of gzip may follow each other."""
    return gzip.compress(body, GZIP_LEVEL, mtime=0) if job.compressed and body else body


def _csv(name: str, delimiter: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in f'"\r\n{delimiter}') else name
