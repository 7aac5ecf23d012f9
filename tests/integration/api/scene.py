"""A town of invented brands in Redis, written by the real scripts and judged by the real detector.

`Scene(url, prefix).play(minutes)` fills the minutes up to now, one brand of them in a negative spike;
`live()` adds a second of mentions to the running minute. Seeded: the same minutes have the same numbers.
"""

import time
from types import SimpleNamespace

import numpy as np

from stream_worker.adapters.redis.aggregates import RedisAggregates
from stream_worker.core.aggregates.measures import MEASURES, Delta
from stream_worker.core.archive.layout import Log
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.partition.effects import Apply
from stream_worker.core.time import MINUTE_MS
from stream_worker.observability.health import Health
from stream_worker.observability.metrics import Metrics
from stream_worker.observability.worker_recorder import WorkerRecorder
from stream_worker.worker.window_lifecycle import WindowLifecycle

LOG = Log("mentions", "0a1b2c3d")
LATENESS_MS = 30_000
PARTITIONS = 3
MODEL = "9f3c51b0e27a sk"
NETWORKS = {"x": 0.41, "reddit": 0.22, "instagram": 0.17, "bluesky": 0.12, "youtube": 0.08}
CRISIS_MINUTES = 24


def brand(rate, neg, pos, unc=0.08, uns=0.003, copies=0.2, shape=lambda ago: {}):
    return SimpleNamespace(rate=rate, neg=neg, pos=pos, unc=unc, uns=uns, copies=copies, shape=shape)


def _ease(since, slow):
    return 0 if since < 0 else 1 - np.exp(-(since + 1) / slow)


def _recall(ago):
    since = CRISIS_MINUTES - ago
    return (
        {}
        if since < 0
        else {
            "rate": 26 * (1 + 5.3 * _ease(since, 5)),
            "neg": 0.17 + 0.45 * _ease(since, 2.5),
            "pos": 0.34 - 0.26 * _ease(since, 2.5),
            "copies": 0.2 + 0.09 * _ease(since, 4),
        }
    )


TOWN = {
    "Kestrel Coffee": brand(26, 0.17, 0.34, shape=_recall),
    "Ovio Mobile": brand(40, 0.30, 0.31, shape=lambda ago: {"neg": 0.41, "pos": 0.18} if ago < 15 else {}),
    "Saltmarsh Crisps": brand(12, 0.18, 0.36, shape=lambda ago: {"uns": 0.068} if ago < 22 else {}),
    "Tidewater Bank": brand(
        18, 0.27, 0.22, shape=lambda ago: {"rate": 46, "copies": 0.64} if ago < 19 else {}
    ),
    "Quillon Games": brand(
        9, 0.13, 0.44, shape=lambda ago: {"rate": 50, "pos": 0.75, "neg": 0.05} if ago < 18 else {}
    ),
    "Petra Motors": brand(15, 0.24, 0.30),
    "Fennmark": brand(58, 0.23, 0.29),
    "Nordlys Air": brand(34, 0.33, 0.25),
    "Lumo Sport": brand(22, 0.14, 0.40),
    "Halden Coffee": brand(13, 0.19, 0.33),
    "Bramble & Rye": brand(7, 0.12, 0.41),
    "Aldertree Health": brand(0.5, 0.22, 0.28),
}


class Scene:
    """One system's Redis below one prefix, up to the present."""

    def __init__(self, url, prefix="{sw}", town=TOWN, seed=11):
        self.aggregates = RedisAggregates(url, LOG, prefix=prefix, owner="worker-a:4711")
        self.town, self._random = town, np.random.default_rng(seed)
        self.now_minute = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
        self._next = dict.fromkeys(range(PARTITIONS), 0)
        recorder = WorkerRecorder(Metrics(), Health())
        self._minutes = WindowLifecycle(
            self.aggregates,
            ShareDetector(),
            owner="scene",
            lateness_ms=LATENESS_MS,
            max_hold_ms=120_000,
            recorder=recorder,
        )

    def play(self, minutes):
        """Count the minutes before this one, seal and close what may be, and draw."""
        first = self.now_minute - minutes * MINUTE_MS
        for partition in range(PARTITIONS):
            self.aggregates.create_cursor(partition, 0, 0, first)
        for start in range(first, self.now_minute, MINUTE_MS):
            ago = (self.now_minute - start) // MINUTE_MS
            self.count(start, ago, watermark_ms=start + MINUTE_MS - LATENESS_MS)
            if ago > 2:
                self.seal()
        self.live(share=0.2)
        return self

    def count(self, start, ago, *, watermark_ms, share=1.0):
        """Count one minute of all brands, spread over the partitions."""
        rows = [row for name, of in self.town.items() for row in self._rows(start, name, of, ago, share)]
        for partition in range(PARTITIONS):
            self.apply(rows[partition::PARTITIONS], partition, watermark_ms)

    def apply(self, rows, partition=0, watermark_ms=0, model=MODEL):
        """Count rows (start, network, brand, ten sums[, late]) and move the cursor."""
        at = self._next[partition]
        delta = Delta(
            np.array([row[0] for row in rows], np.int64),
            np.array([len(row) > 4 and row[4] for row in rows], bool),
            [row[1] for row in rows],
            [row[2] for row in rows],
            np.array([row[3] for row in rows], np.int64).reshape(-1, len(MEASURES)),
            model,
        )
        to = at + max(1, int(delta.measures[:, 0].sum()))
        answer = self.aggregates.apply([Apply(partition, at, to, watermark_ms, to, delta)])[0]
        assert answer.applied
        self._next[partition] = to

    def seal(self):
        """Seal and close all that may be."""
        self._minutes.seal(PARTITIONS)
        while self._minutes.close_one():
            pass

    def live(self, share=1 / 60):
        """A second of mentions in the minute that runs, sealed, drawn and told as a worker does."""
        now_ms = int(time.time() * 1000)
        start = now_ms // MINUTE_MS * MINUTE_MS
        self.count(start, 1, watermark_ms=now_ms - LATENESS_MS, share=share)
        self.seal()
        self._minutes.refresh_view(set(self.town), {start})

    def _rows(self, start, name, of, ago, share):
        now = {**vars(of), **of.shape(ago)}
        for network, part in NETWORKS.items():
            n = int(self._random.poisson(now["rate"] * part * share))
            if n == 0:
                continue
            rest = max(0.0, 1 - now["neg"] - now["pos"] - now["unc"] - now["uns"])
            parts = [now["neg"], rest, now["pos"], now["unc"], now["uns"]]
            neg, neu, pos, unc, uns = map(int, self._random.multinomial(n, np.array(parts) / sum(parts)))
            repeats = int(self._random.binomial(n, now["copies"]))
            voices = n - repeats
            neg_voices = min(voices, round(neg * voices / n))
            total = int((0.82 * pos - 0.85 * neg + 0.03 * neu - 0.05 * unc) * 1e6)
            yield start, network, name, (n, neg, neu, pos, unc, uns, total, repeats, voices, neg_voices)
