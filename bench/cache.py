"""Reading states from the cache, against a plain numpy memory map of the same rows.

    python bench/cache.py [--rows 1000000] [--width 256] [--folder FOLDER]

Builds a cache of random states and an array of the same rows side by side, reads 100,000 of them a time in random
order and in the order of the shards from both, and checks that they are equal before anything is timed. One window
a row, the dearest case for the size. The folder's data is deleted at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import paired, publish

from genolewm_core.scoring.states import Encoding, StateKey, WindowBlock
from genolewm_encoder.cache import StateBatch, StateCache

ENCODING = Encoding(hashlib.sha256(b"an encoder").digest(), 20, "span_mean", 8, "fp32")
ROWS_PER_SHARD = 4_096
ASKED = 100_000
STRIDE_BP, WINDOW_BP = 8_192, 12_288


def key(number: int, center: int) -> StateKey:
    """The key of a row; windows differ as sequences do, which is not at all."""
    digest = hashlib.sha256(number.to_bytes(8, "little")).digest()
    e = ENCODING
    return StateKey(digest, e.encoder_hash, e.state_layer, e.pool_type, e.pool_radius, center, e.dtype)


def build(folder: Path, rows: int, width: int, rng: np.random.Generator) -> tuple[list[StateKey], float]:
    """A cache and `rows.npy` of the same states; their keys, and the seconds that `put_many` took."""
    centers = rng.integers(0, WINDOW_BP // 6, rows).tolist()
    keys = [key(number, center) for number, center in enumerate(centers)]
    plain = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, (rows, width))
    seconds = 0.0
    with StateCache(folder / "cache") as cache:
        for first in range(0, rows, ROWS_PER_SHARD):
            part = slice(first, min(first + ROWS_PER_SHARD, rows))
            n = part.stop - part.start
            states = rng.standard_normal((n, width), dtype=np.float32)
            plain[part] = states
            starts = np.arange(part.start, part.stop) * STRIDE_BP
            batch = StateBatch(keys[part], "chr1", starts, starts + WINDOW_BP, np.zeros(n, np.bool_), states)
            started = time.perf_counter()
            cache.put_many(WindowBlock("chr1", first // ROWS_PER_SHARD), batch)
            seconds += time.perf_counter() - started
    plain.flush()
    return keys, seconds


def bytes_under(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def reading(folder: Path, keys: list[StateKey], places: np.ndarray, pairs: int) -> dict[str, Any]:
    """Rows a second of the cache and of the memory map, at some places, in turn."""
    cache = StateCache(folder / "cache")
    plain = np.load(folder / "rows.npy", mmap_mode="r")
    asked = [keys[i] for i in places.tolist()]

    def baseline() -> float:
        assert plain[places].shape[0] == len(places)
        return len(places)

    def candidate() -> float:
        assert cache.get_many(asked)[1].all()
        return len(places)

    def check() -> None:
        states, found = cache.get_many(asked)
        assert found.all()
        assert np.array_equal(states, plain[places])

    timing = paired(baseline, candidate, check=check, pairs=pairs)
    busy = []
    for _ in range(pairs):
        started = time.process_time()
        candidate()
        busy.append((time.process_time() - started) / len(places))
    cache.close()
    found = timing.summary()
    found["rows_per_s"] = 1 / found["candidate_s_per_unit"]["median"]
    # What the machine does besides is not in this one.
    found["rows_per_processor_s"] = 1 / float(np.median(busy))
    found["baseline_rows_per_s"] = 1 / found["baseline_s_per_unit"]["median"]
    return found


def measure(folder: Path, rows: int, width: int, pairs: int) -> dict[str, Any]:
    """Everything about a cache of one width."""
    rng = np.random.default_rng(width)
    keys, seconds = build(folder, rows, width, rng)
    payload = rows * width * 4
    started = time.perf_counter()
    with StateCache(folder / "cache") as cache:
        cache.get_many(keys[:1])
    opening = time.perf_counter() - started
    n = min(ASKED, rows)
    found = {
        "rows": rows,
        "d_state": width,
        "put_rows_per_s": rows / seconds,
        "bytes_over_payload": bytes_under(folder / "cache") / payload,
        "index_bytes_per_row": os.path.getsize(folder / "cache" / "index.sqlite") / rows,
        "open_and_first_row_s": opening,
        "random_order": reading(folder, keys, rng.permutation(rows)[:n], pairs),
        "shard_order": reading(folder, keys, np.arange(n) + (rows - n) // 2, pairs),
    }
    for order in ("random_order", "shard_order"):
        rate, ratio = found[order]["rows_per_s"], found[order]["ratio"]["median"]
        busy = found[order]["rows_per_processor_s"]
        print(f"width {width}, {order.replace('_', ' ')}: {rate:,.0f} rows/s, {ratio:.2f} of the memory map")
        print(f"  {busy:,.0f} rows per second of processor time")
    print(
        f"  size {found['bytes_over_payload']:.4f} of the payload, put {found['put_rows_per_s']:,.0f} rows/s",
        flush=True,
    )
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, action="append", help="of a state; may be given several times")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to build; 2.1 times the payload is needed")
    arguments = parser.parse_args()
    widths = arguments.width or [256]
    document = {}
    for width in widths:
        folder = Path(tempfile.mkdtemp(prefix="genolewm-cache-", dir=arguments.folder))
        try:
            document[f"width_{width}"] = measure(folder, arguments.rows, width, arguments.pairs)
        finally:
            shutil.rmtree(folder)
    publish("cache", document)


if __name__ == "__main__":
    main()
