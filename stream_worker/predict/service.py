"""Batch scoring: inputs are cut into chunks, processes score them, parts become the result.

Rules:
1. What depends on nothing but the files is looked at first: wrong usage is told within a second.
2. A run that is begun again does what is missing, and nothing twice. It is the same run only with the same
   inputs, the same options and the same model.
3. An input that changes while it is read gives no result.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from stream_worker.adapters.object_store.objects import Objects
from stream_worker.errors import Unreadable
from stream_worker.predict import inputs, journal, outputs, planning
from stream_worker.predict.formats.header import heading, pack
from stream_worker.predict.formats.job import CHUNK_ROWS, LABELS, ChunkMark
from stream_worker.predict.inputs import Input, WrongUsage, again
from stream_worker.predict.malloc import return_what_is_freed
from stream_worker.predict.outputs import DONE, InputResult, Output, StoreAt
from stream_worker.predict.pool import ModelAt, Pool, Task
from stream_worker.settings.schema import Settings

Marks = list[dict[int, ChunkMark]]  # by input and chunk
Progress = Callable[[str, int, int], None]


class Options(NamedTuple):
    """What is asked for beside the inputs and the output."""

    text: str
    delimiter: str | None = None
    prefix: str = ""
    processes: int = 2
    chunk_rows: int = CHUNK_ROWS
    restart: bool = False


class Summary(NamedTuple):
    """What was found and written."""

    model: str
    files: list[dict[str, Any]]
    seconds: float
    rows_scored_before: int

    def as_object(self) -> dict[str, Any]:
        """The summary for JSON (docs/batch.md)."""
        counts = _counts([one["counts"] for one in self.files])
        return {
            **counts,
            "model": self.model,
            "seconds": round(self.seconds, 3),
            "rows_done_before": self.rows_scored_before,
            "files": [
                {**{k: v for k, v in one.items() if k != "counts"}, **one["counts"]} for one in self.files
            ],
        }


def predict(settings: Settings, given: str, out: str, options: Options, progress: Progress) -> Summary:
    """Score the texts of all inputs. Raises WrongUsage, Misconfigured, Unavailable, Unreadable."""
    began_s = time.monotonic()
    bucket = _bucket(settings)
    found = inputs.find(given, lambda url: bucket._replace(url=url).open())
    output = outputs.plan(out, found, bucket)
    plans = [
        planning.look(item, result, options.text, options.delimiter, options.prefix)
        for item, result in zip(found, output.results, strict=True)
    ]
    _refuse_finished(output, options)
    return_what_is_freed()
    model = ModelAt(settings.model.path, settings.model.pin, settings.model.scorer)
    total_bytes = sum(item.size for item in found)
    progress("loading the model", 0, total_bytes)
    with outputs.held(output):
        objects = Objects(output.desk.open())
        head = journal.head_of("", options.chunk_rows, found, [plan.job for plan in plans])
        begun = _begun(objects, head, output, options)
        with Pool(options.processes, model, output.desk) as pool:
            version = pool.model()
            _begin(objects, begun, replace(head, model=version), output, options)
            marks = [journal.read_marks(objects, result) for result in output.results]
            before = sum(mark.rows for of_one in marks for mark in of_one.values())
            todo = _Todo(found, plans, output.results, marks, options.chunk_rows)
            _work(pool, todo, progress)
        progress("writing", total_bytes, total_bytes)
        _refuse_changed(found, bucket)
        files = [_finish(*one, output) for one in zip(found, plans, output.results, marks, strict=True)]
        summary = Summary(version, files, time.monotonic() - began_s, before)
        _end(objects, output, summary)
    return summary


def _bucket(settings: Settings) -> StoreAt:
    archive, secret = settings.archive, settings.archive.secret_access_key
    return StoreAt(
        "",
        archive.endpoint,
        archive.access_key_id,
        None if secret is None else secret.get_secret_value(),
        archive.region,
        archive.allow_http,
    )


def _refuse_finished(output: Output, options: Options) -> None:
    """Refuse to write over local results, but those of a run that was begun and is not tidied up."""
    if options.restart or output.folder is None or (output.folder / outputs.HEAD).exists():
        return
    there = [result.path for result in output.results if result.path is not None and result.path.exists()]
    if there:
        raise WrongUsage(f"{there[0]} is there already; name another place, or write it anew with --restart")


def _begun(
    objects: Objects, head: journal.RunHeader, output: Output, options: Options
) -> journal.RunHeader | None:
    """Return the run that was begun here. Refuses what can be refused before the model is known."""
    begun = journal.read_head(objects)
    if begun is None:
        outputs.refuse_foreign(output, objects)
    elif not options.restart:
        journal.refuse_other(begun, replace(head, model=begun.model), output)
    return begun


def _begin(
    objects: Objects,
    begun: journal.RunHeader | None,
    head: journal.RunHeader,
    output: Output,
    options: Options,
) -> None:
    if begun is not None and not options.restart:
        journal.refuse_other(begun, head, output)
        return
    if options.restart:
        outputs.clear(output, objects, begun=begun is not None)
    journal.write_head(objects, head)


class _Todo:
    """The chunks that are not done, in order; how much is done."""

    def __init__(
        self,
        found: list[Input],
        plans: list[planning.InputPlan],
        results: list[InputResult],
        marks: Marks,
        chunk_rows: int,
    ) -> None:
        self._found, self._plans, self._results = found, plans, results
        self.marks, self._chunk_rows = marks, chunk_rows
        self.total_bytes = sum(item.size for item in found)

    def tasks(self) -> Iterator[Task]:
        """Yield what is to be done."""
        for item, plan, result in zip(self._found, self._plans, self._results, strict=True):
            done = self.marks[result.number]
            number, here, more = 0, plan.start, True
            while more:
                while number in done:
                    if done[number].start != here:
                        raise Unreadable(
                            f"the marks of {item.address} leave a gap; begin anew with --restart"
                        )
                    here, number = done[number].end, number + 1
                more = False
                for chunk in planning.chunks(item, plan, here, self._chunk_rows):
                    if number in done:  # by a process that was faster, before the kill
                        more = True
                        break
                    if chunk.start == chunk.end and number:
                        break  # the end of a file of which something is done
                    yield Task(plan.job, result, chunk._replace(number=number))
                    here, number = chunk.end, number + 1

    def done_bytes(self) -> int:
        """How far all inputs were read by what is done."""
        return sum(max((mark.read_bytes for mark in of_one.values()), default=0) for of_one in self.marks)


def _work(pool: Pool, todo: _Todo, progress: Progress) -> None:
    began_s, rows = time.monotonic(), 0
    progress("scoring", todo.done_bytes(), todo.total_bytes)
    for task, mark in pool.run(todo.tasks()):
        todo.marks[task.result.number][task.chunk.number] = mark
        rows += mark.rows
        rate = rows / max(time.monotonic() - began_s, 1e-9)
        progress(f"{rows:,} rows, {rate:,.0f} rows/s", todo.done_bytes(), todo.total_bytes)


def _refuse_changed(found: list[Input], bucket: StoreAt) -> None:
    for item in found:
        (now,) = inputs.find(item.address, lambda url: bucket._replace(url=url).open())
        if (now.size, now.stamp) != (item.size, item.stamp):
            raise Unreadable(f"{item.address} was changed while it was read; begin anew with --restart")


def _finish(
    item: Input, plan: planning.InputPlan, result: InputResult, marks: dict[int, ChunkMark], output: Output
) -> dict[str, Any]:
    """Make the result of an input visible; returns what the summary says of it."""
    counts = _count(marks.values())
    told = {"in": item.address, "out": output.address, "rejected_rows": None, "counts": counts}
    if result.path is None:
        told["out"] = f"{output.address}/{result.prefix}"
        if counts["rejected"]:
            told["rejected_rows"] = f"{output.address}/{outputs.REJECTED}/{result.prefix}"
        return told
    first = pack(plan.job, heading(plan.job, plan.raw_heading))
    outputs.put_together(result, output, len(marks), first, to_parquet=plan.job.out == "parquet")
    told["out"] = str(result.path)
    if counts["rejected"]:
        told["rejected_rows"] = str(result.rejected_path)
    return told


def _end(objects: Objects, output: Output, summary: Summary) -> None:
    """Say that all is there, and tidy up."""
    if output.folder is None:
        again(lambda: objects.create(DONE, msgspec.json.encode(summary.as_object())), output.address)
    else:
        shutil.rmtree(output.folder, ignore_errors=True)


def _count(marks: Iterable[ChunkMark]) -> dict[str, Any]:
    labels, reasons = [0] * len(LABELS), Counter[str]()
    for mark in marks:
        labels = [one + more for one, more in zip(labels, mark.labels, strict=True)]
        reasons.update(mark.reasons)
    return _as_counts(dict(zip(LABELS, labels, strict=True)), reasons)


def _counts(files: list[dict[str, Any]]) -> dict[str, Any]:
    """The sums over all files."""
    reasons = Counter[str]()
    for one in files:
        reasons.update(one["reasons"])
    return _as_counts({label: sum(one[label] for one in files) for label in LABELS}, reasons)


def _as_counts(labels: dict[str, int], reasons: Counter[str]) -> dict[str, Any]:
    rejected = reasons.total()
    return {
        "rows": sum(labels.values()) + rejected,
        "scored": labels["negative"] + labels["neutral"] + labels["positive"],
        **labels,
        "rejected": rejected,
        "reasons": dict(sorted(reasons.items())),
    }
