"""The measurements of `make bench` as a table for people."""

from typing import Any

OF_A_STEP = ("decode", "horizon", "score", "fold", "gather")


def show(measured: dict[str, dict[str, Any]]) -> str:
    return "\n\n".join(_one(scorer, row) for scorer, row in measured.items())


def _one(scorer: str, row: dict[str, Any]) -> str:
    before, after = row["raw_per_cpu_s"]
    raw, whole, reading = (
        2 / (1 / before + 1 / after),
        row["mentions_per_cpu_s"],
        row["mentions_per_cpu_s_after_start"],
    )
    alone, mentions = row["alone_cpu_s_per_mention"], row["mentions_per_cpu_s"] * row["cpu_s"]
    worker = f"{reading:,.0f} mentions per CPU-second, {reading / raw:.2f} of raw"
    with_start = f"{whole:,.0f}, {whole / raw:.2f}, with its start"
    clock = f"load {row['load'][0]:.1f}; {row['mentions_per_s']:,.0f}/s on the clock"
    lines = [
        f"scorer {scorer}: {worker} ({with_start}); {row['rss_mb']:,.0f} MB at most",
        f"  raw consume + typed decode: {before:,.0f} before, {after:,.0f} after; {clock}",
        "  stage            CPU s   mentions per CPU-second",
    ]
    for stage, seconds in sorted(row["stages_cpu_s"].items(), key=lambda item: -item[1]):
        lines.append(_line(stage, seconds, mentions / seconds if seconds > 0 else 0))
        if stage == "partition":
            lines += [
                _line(f"  {name}, alone", alone[name] * mentions, 1 / alone[name]) for name in OF_A_STEP
            ]
        if stage == "archive":
            lines.append(_line("  parquet, alone", alone["parquet"] * mentions, 1 / alone["parquet"]))
    return "\n".join(lines)


def _line(name: str, seconds: float, rate: float) -> str:
    return f"  {name:16} {seconds:5.2f}   {rate:23,.0f}"
