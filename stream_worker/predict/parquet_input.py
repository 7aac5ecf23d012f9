"""Parquet files: chunks of the one that is read, and parts joined into the one that is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from stream_worker.predict.formats.arrow import to_stream
from stream_worker.predict.formats.job import CHUNK_BYTES, InputChunk, Position
from stream_worker.process import return_freed_arrow_memory

BUFFER_BYTES: Final = 1024**2
GROUP_ROWS: Final = 65_536


def open_parquet(stream: BinaryIO) -> pq.ParquetFile:
    """Open a file; columns are read through small buffers. Raises ArrowException, OSError."""
    return_freed_arrow_memory()
    return pq.ParquetFile(pa.PythonFile(stream, "r"), buffer_size=BUFFER_BYTES, pre_buffer=False)


def rows_at_once(file: pq.ParquetFile, rows_max: int) -> int:
    """Rows of a chunk: the same for the whole file, so that chunks are, wherever one begins to read."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    rows, size = sum(one.num_rows for one in groups), sum(one.total_byte_size for one in groups)
    fitting: int = CHUNK_BYTES * rows // max(size, 1)
    return max(1, min(rows_max, fitting))


def cut(file: pq.ParquetFile, start: Position, rows: int, file_bytes: int) -> Iterator[InputChunk]:
    """Yield chunks of so many rows from `start` on; numbers begin at 0. Raises ArrowException, OSError."""
    total, begin = max(file.metadata.num_rows, 1), start.offset
    first, at = 0, 0
    while first < file.metadata.num_row_groups:
        more = file.metadata.row_group(first).num_rows
        if at + more > begin:
            break
        first, at = first + 1, at + more
    groups = list(range(first, file.metadata.num_row_groups))
    pending, number = file.schema_arrow.empty_table(), 0
    for batch in file.iter_batches(rows, row_groups=groups, use_threads=False) if groups else ():
        rest = batch.slice(max(0, min(begin - at, batch.num_rows)))
        at += batch.num_rows
        pending = pa.concat_tables([pending, pa.Table.from_batches([rest])])
        while pending.num_rows >= rows:
            yield _chunk(pending.slice(0, rows), number, start, total, file_bytes)
            start = Position(start.offset + rows, start.row + rows, 0)
            pending, number = pending.slice(rows), number + 1
    if pending.num_rows or not file.metadata.num_rows:
        yield _chunk(pending, number, start, total, file_bytes)


def _chunk(table: pa.Table, number: int, start: Position, total: int, file_bytes: int) -> InputChunk:
    end = Position(start.offset + table.num_rows, start.row + table.num_rows, 0)
    return InputChunk(number, start, end, to_stream(table), file_bytes * end.offset // total)


def join(parts: list[Path], path: Path) -> None:
    """Write Arrow streams of one schema as one Parquet file. Raises OSError."""
    writer = None
    try:
        for part in parts:
            with pa.OSFile(str(part)) as file, pa.ipc.open_stream(file) as stream:
                if writer is None:
                    writer = pq.ParquetWriter(path, stream.schema, compression="zstd", compression_level=1)
                writer.write_table(stream.read_all(), row_group_size=GROUP_ROWS)
    finally:
        if writer is not None:
            writer.close()
