"""How fast `stream-worker predict` is, and in how much memory.

    nice python -m bench.predict --rows 1000000

Writes product reviews of 90 to 300 characters as CSV, JSON lines and Parquet, scores each with the command,
and prints time, CPU and the highest sum of RSS over its process and those it started, every 50 ms.
`--kill 5` kills the command with all its processes after so many seconds, runs it again, and adds both up.
"""

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

GROUP = 50_000
THINGS = [
    "phone",
    "battery",
    "case",
    "screen",
    "cable",
    "speaker",
    "charger",
    "keyboard",
    "lamp",
    "kettle",
    "jacket",
    "backpack",
    "camera",
]
OPINIONS = [
    "I love it, works great every day and looks even better than on the pictures",
    "terrible quality, broke after two days and nobody answers my mails",
    "it does what it says, nothing special about it",
    "not bad for the price, but I would not buy it again",
    'my daughter said "wow" when she opened the box',
    "arrived late, the box was damaged and one part was missing",
    "absolutely amazing, best thing I bought this year 😍",
    "worst purchase ever, total waste of money 😡",
    "the colour is blue, it weighs 300 grams and has two ports",
    "delivery was quick; support friendly, too",
    "stopped working after an update and now it is slow, hot and useless",
    "fits perfectly and feels solid",
]
TOLD = ("rows", "scored", "rejected", "model")
FORMS = ("csv", "jsonl", "parquet")


def reviews(rows: int, seed: int = 6) -> Any:
    """Yield groups of (id, product, stars, review, date); mostly different texts, some over two lines."""
    chance = random.Random(seed)
    for start in range(0, rows, GROUP):
        group = []
        for i in range(start, min(start + GROUP, rows)):
            thing, size = chance.choice(THINGS), chance.randint(90, 300)
            text = f"{thing.capitalize()} number {i % 9973}: {chance.choice(OPINIONS)}"
            while len(text) < size:
                text += chance.choice((". ", ", ", "! ", "\n")) + chance.choice(OPINIONS)
            group.append((i, f"P-{i % 5000:05}", 1 + i % 5, text[:300], f"2026-11-{1 + i % 28:02}"))
        yield group


NAMES = ("id", "product", "stars", "review", "date")


def write(folder: Path, rows: int) -> dict[str, Path]:
    paths = {form: folder / f"reviews.{form}" for form in ("csv", "jsonl", "parquet")}
    if all(path.exists() for path in paths.values()):
        return paths
    encode = msgspec.json.encode
    with paths["csv"].open("w", newline="", encoding="utf-8") as text, paths["jsonl"].open("wb") as lines:
        writer, parquet = csv.writer(text, lineterminator="\n"), None
        writer.writerow(NAMES)
        for group in reviews(rows):
            writer.writerows(group)
            lines.writelines(encode(dict(zip(NAMES, row, strict=True))) + b"\n" for row in group)
            table = pa.table(dict(zip(NAMES, map(list, zip(*group, strict=True)), strict=True)))
            parquet = parquet or pq.ParquetWriter(paths["parquet"], table.schema)
            parquet.write_table(table)
        parquet.close()
    return paths


def tree(pid: int) -> dict[int, tuple[int, float]]:
    """RSS in bytes and CPU seconds of a process and all it started."""
    parents, facts = {}, {}
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            facts[int(entry.name)] = (int(fields[21]) * page, (int(fields[11]) + int(fields[12])) / tick)
    wanted = {pid}
    while more := {child for child, parent in parents.items() if parent in wanted} - wanted:
        wanted |= more
    return {one: facts[one] for one in wanted if one in facts}


def run(path: Path, out: Path, options: list[str], kill_after_s: float = 0) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "stream_worker",
        "predict",
        str(path),
        str(out),
        "--text-column",
        "review",
    ]
    began_s, peak, cpu = time.monotonic(), 0, {}
    process = subprocess.Popen([*command, "--json", *options], stdout=subprocess.PIPE, start_new_session=True)
    while process.poll() is None:
        seen = tree(process.pid)
        peak = max(peak, sum(rss for rss, _ in seen.values()))
        cpu |= {one: seconds for one, (_, seconds) in seen.items()}
        if kill_after_s and time.monotonic() - began_s > kill_after_s:
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(0.05)
    told = process.stdout.read()
    return {
        "seconds": round(time.monotonic() - began_s, 1),
        "cpu_s": round(sum(cpu.values()), 1),
        "rss_mb": round(peak / 1e6),
        "exit": process.returncode,
        **{name: value for name, value in json.loads(told or "{}").items() if name in TOLD},
    }


def show(form: str, path: Path, what: str, found: dict[str, Any]) -> None:
    print(f"{form} {path.stat().st_size / 1e6:.0f} MB{what}: {json.dumps(found)}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--form", nargs="+", choices=FORMS, default=list(FORMS))
    options.add_argument("--folder", type=Path, help="keep the files here, and take those that are there")
    options.add_argument("--kill", type=float, default=0, metavar="SECONDS")
    options.add_argument("more", nargs="*", help="options of the command, behind --")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        paths = write(folder, given.rows)
        for form in given.form:
            out = folder / f"scored.{form}"
            out.unlink(missing_ok=True)
            if given.kill:
                show(form, paths[form], ", killed", run(paths[form], out, given.more, given.kill))
            show(form, paths[form], "", run(paths[form], out, given.more))


if __name__ == "__main__":
    main()
