"""Batch scoring: inputs are cut into chunks, processes score them, parts become the result.

Rules:
1. Checks that need nothing but the files come first: wrong usage is reported within a second.
2. A run that is started again does the missing chunks, and none twice. It is the same run only with the same
   inputs, the same options and the same model.
3. An input that changes while it is read gives no result.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from stream_worker.adapters.object_store.objects import Objects
from stream_worker.errors import Unreadable
from stream_worker.predict import inputs, journal, outputs, planning
from stream_worker.predict.formats.header import heading, pack
from stream_worker.predict.formats.job import CHUNK_ROWS, LABELS, ChunkMarker
from stream_worker.predict.inputs import Input, WrongUsage, with_retries
from stream_worker.predict.malloc import return_freed_memory
from stream_worker.predict.outputs import DONE, InputResult, Output, StoreReference
from stream_worker.predict.pool import ModelReference, Pool, Task
from stream_worker.quantity import quantity
from stream_worker.settings.schema import Settings

Markers = list[dict[int, ChunkMarker]]  # by input and chunk
Progress = Callable[[str, int, int], None]


class Options(NamedTuple):
    """The options of a run, beside its inputs and its output."""

    text: str
    delimiter: str | None = None
    prefix: str = ""
    processes: int = 2
    chunk_rows: int = CHUNK_ROWS
    restart: bool = False


class RowCounts(NamedTuple):
    """Rows by outcome: each row has one label, or one reason why it was rejected."""

    labels: dict[str, int]
    reasons: dict[str, int]

    @property
    def scored(self) -> int:
        """Rows with a label of sentiment."""
        return self.labels["negative"] + self.labels["neutral"] + self.labels["positive"]

    @property
    def rejected(self) -> int:
        """Rows that could not be scored."""
        return sum(self.reasons.values())

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.labels.values()) + self.rejected

    def as_object(self) -> dict[str, object]:
        """The counts for JSON (docs/batch.md)."""
        return {
            "rows": self.rows,
            "scored": self.scored,
            **self.labels,
            "rejected": self.rejected,
            "reasons": self.reasons,
        }


class FileSummary(NamedTuple):
    """One input: where it came from, where its rows went, and how many there were."""

    source: str
    destination: str
    rejected_rows: str | None
    """Where the rejected rows are, if there are any."""
    counts: RowCounts


class Summary(NamedTuple):
    """The outcome of a run."""

    model: str
    files: list[FileSummary]
    seconds: float
    rows_done_before: int
    """Rows that an earlier, unfinished run had scored."""

    @property
    def counts(self) -> RowCounts:
        """The sums over all files."""
        reasons = Counter[str]()
        for file in self.files:
            reasons.update(file.counts.reasons)
        labels = {label: sum(file.counts.labels[label] for file in self.files) for label in LABELS}
        return RowCounts(labels, dict(sorted(reasons.items())))

    def as_object(self) -> dict[str, object]:
        """The summary for JSON (docs/batch.md)."""
        return {
            **self.counts.as_object(),
            "model": self.model,
            "seconds": round(self.seconds, 3),
            "rows_done_before": self.rows_done_before,
            "files": [
                {
                    "in": file.source,
                    "out": file.destination,
                    "rejected_rows": file.rejected_rows,
                    **file.counts.as_object(),
                }
                for file in self.files
            ],
        }


def predict(settings: Settings, source: str, out: str, options: Options, progress: Progress) -> Summary:
    """Score the texts of all inputs. Raises WrongUsage, Misconfigured, Unavailable, Unreadable."""
    began_s = time.monotonic()
    bucket = _bucket(settings)
    files = inputs.find(source, lambda url: bucket._replace(url=url).open())
    output = outputs.plan(out, files, bucket)
    plans = [
        planning.plan_input(item, result, options.text, options.delimiter, options.prefix)
        for item, result in zip(files, output.results, strict=True)
    ]
    _refuse_finished(output, options)
    return_freed_memory()
    model = ModelReference(settings.model.path, settings.model.pin, settings.model.scorer)
    total_bytes = sum(item.size for item in files)
    progress("loading the model", 0, total_bytes)
    with outputs.locked(output):
        objects = Objects(output.staging.open())
        header = journal.header_of("", options.chunk_rows, files, [plan.job for plan in plans])
        earlier = _earlier_run(objects, header, output, options)
        with Pool(options.processes, model, output.staging) as pool:
            version = pool.model_version()
            _begin(objects, earlier, replace(header, model=version), output, options)
            markers = [journal.read_markers(objects, result) for result in output.results]
            rows_done_before = sum(marker.rows for done in markers for marker in done.values())
            remaining = _RemainingChunks(files, plans, output.results, markers, options.chunk_rows)
            _score(pool, remaining, progress)
        progress("writing", total_bytes, total_bytes)
        _refuse_changed(files, bucket)
        summaries = [_finish(*one, output) for one in zip(files, plans, output.results, markers, strict=True)]
        summary = Summary(version, summaries, time.monotonic() - began_s, rows_done_before)
        _end(objects, output, summary)
    return summary


def _bucket(settings: Settings) -> StoreReference:
    archive, secret = settings.archive, settings.archive.secret_access_key
    return StoreReference(
        "",
        archive.endpoint,
        archive.access_key_id,
        None if secret is None else secret.get_secret_value(),
        archive.region,
        archive.allow_http,
    )


def _refuse_finished(output: Output, options: Options) -> None:
    """Refuse to write over local results, but those of a run that has begun and is not tidied up."""
    if options.restart or output.folder is None or (output.folder / outputs.HEAD).exists():
        return
    for result in output.results:
        if result.path is not None and result.path.exists():
            raise WrongUsage(
                f"{result.path} is there already; name another place, or write it anew with --restart"
            )


def _earlier_run(
    objects: Objects, header: journal.RunHeader, output: Output, options: Options
) -> journal.RunHeader | None:
    """Return the run that has begun here. Refuses what can be refused before the model is known."""
    earlier = journal.read_header(objects)
    if earlier is None:
        outputs.refuse_foreign(output, objects)
    elif not options.restart:
        journal.refuse_other(earlier, replace(header, model=earlier.model), output)
    return earlier


def _begin(
    objects: Objects,
    earlier: journal.RunHeader | None,
    header: journal.RunHeader,
    output: Output,
    options: Options,
) -> None:
    """Begin a run, or go on with the earlier one."""
    if earlier is not None and not options.restart:
        journal.refuse_other(earlier, header, output)
        return
    if options.restart:
        outputs.clear(output, objects, has_begun=earlier is not None)
    journal.write_header(objects, header)


class _RemainingChunks:
    """The chunks that are not done, in order; how much is done."""

    def __init__(
        self,
        files: list[Input],
        plans: list[planning.InputPlan],
        results: list[InputResult],
        markers: Markers,
        chunk_rows: int,
    ) -> None:
        self._files, self._plans, self._results = files, plans, results
        self.markers, self._chunk_rows = markers, chunk_rows
        self.total_bytes = sum(item.size for item in files)

    def tasks(self) -> Iterator[Task]:
        """Yield a task for each chunk without a marker. Raises Unavailable, Unreadable."""
        for item, plan, result in zip(self._files, self._plans, self._results, strict=True):
            done = self.markers[result.number]
            number, position, more = 0, plan.start, True
            while more:
                while number in done:
                    if done[number].start != position:
                        raise Unreadable(
                            f"the markers of {item.address} leave a gap; begin anew with --restart"
                        )
                    position, number = done[number].end, number + 1
                more = False
                for chunk in planning.chunks(item, plan, position, self._chunk_rows):
                    if number in done:  # by a process that was faster, before the kill
                        more = True
                        break
                    if chunk.start == chunk.end and number:
                        break  # the end of a file of which something is done
                    yield Task(plan.job, result, chunk._replace(number=number))
                    position, number = chunk.end, number + 1

    def done_bytes(self) -> int:
        """Return how many bytes of all inputs the chunks that are done have read."""
        return sum(max((marker.read_bytes for marker in done.values()), default=0) for done in self.markers)


def _score(pool: Pool, remaining: _RemainingChunks, progress: Progress) -> None:
    began_s, rows = time.monotonic(), 0
    progress("scoring", remaining.done_bytes(), remaining.total_bytes)
    for task, marker in pool.run(remaining.tasks()):
        remaining.markers[task.result.number][task.chunk.number] = marker
        rows += marker.rows
        rate = rows / max(time.monotonic() - began_s, 1e-9)
        progress(
            f"{quantity(rows, 'row')}, {rate:,.0f} rows/s", remaining.done_bytes(), remaining.total_bytes
        )


def _refuse_changed(files: list[Input], bucket: StoreReference) -> None:
    for item in files:
        (now,) = inputs.find(item.address, lambda url: bucket._replace(url=url).open())
        if (now.size, now.stamp) != (item.size, item.stamp):
            raise Unreadable(f"{item.address} was changed while it was read; begin anew with --restart")


def _finish(
    item: Input,
    plan: planning.InputPlan,
    result: InputResult,
    markers: dict[int, ChunkMarker],
    output: Output,
) -> FileSummary:
    """Make the result of an input visible, and sum it up."""
    counts = _count(markers.values())
    if result.path is None:
        destination = f"{output.address}/{result.prefix}"
        rejected_rows = f"{output.address}/{outputs.REJECTED}/{result.prefix}"
    else:
        first = pack(plan.job, heading(plan.job, plan.raw_heading))
        outputs.assemble(result, output, len(markers), first, to_parquet=plan.job.out == "parquet")
        destination, rejected_rows = str(result.path), str(result.rejected_path)
    return FileSummary(item.address, destination, rejected_rows if counts.rejected else None, counts)


def _end(objects: Objects, output: Output, summary: Summary) -> None:
    """Mark the run as done, and tidy up."""
    if output.folder is None:
        body = msgspec.json.encode(summary.as_object())
        with_retries(lambda: objects.create(DONE, body), output.address)
    else:
        shutil.rmtree(output.folder, ignore_errors=True)


def _count(markers: Iterable[ChunkMarker]) -> RowCounts:
    labels, reasons = [0] * len(LABELS), Counter[str]()
    for marker in markers:
        labels = [total + rows for total, rows in zip(labels, marker.labels, strict=True)]
        reasons.update(marker.reasons)
    return RowCounts(dict(zip(LABELS, labels, strict=True)), dict(sorted(reasons.items())))
