"""The windows of training: shards made each on its own, so that any number of processes makes the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.errors import ConfigError
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs import Seat
from genolewm_core.scoring.cells import Geometry
from genolewm_data.corpus import CorpusStream, HubSource, ParquetSource, RecordSource, Slice, WindowRule
from genolewm_data.corpus.records import CONFIGS
from genolewm_data.dataset.config import DatasetConfig
from genolewm_data.dataset.regions import regions_of
from genolewm_data.dataset.shortfalls import ENDED
from genolewm_data.holdouts.held import HeldOut, Holdouts
from genolewm_data.holdouts.integrity import LEAST_INFORMATIVE, THRESHOLD
from genolewm_data.holdouts.kmers import HeldSequence
from genolewm_data.holdouts.sequence_file import read_held_sequence
from genolewm_data.parts import Part
from genolewm_data.placed import Cells, PlacedStream, Strides
from genolewm_data.placed.layout import Layout
from genolewm_data.release.release import HELD_KMERS, HOLDOUTS
from genolewm_data.release.windows import PLACED, StoredWindow, WindowTable, write_windows

__all__ = ["ShardWork", "corpus_stream", "layout_of", "placed_stream", "train_file"]

W = TypeVar("W", bound=StoredWindow)

_OF_RECORDS = ("empty", "short", "held_out", "outside_slice")


def train_file(shard: int) -> str:
    """Path of a shard inside a release."""
    return f"windows/train-{shard:05d}.parquet"


@dataclass(frozen=True, slots=True)
class ShardWork:
    """Makes shards of windows, by number; see `genolewm_core.jobs.Work`.

    What it says of a shard: `windows` by where they are from, and `left_out` by stage and reason.

    Attributes:
        config: what is wanted.
        folder: of the release; its hold-outs are there already.
        spill: folder for windows that wait to be mixed.
    """

    config: DatasetConfig
    folder: Path
    spill: Path

    def start(self, seat: Seat) -> Callable[[int], dict[str, Any]]:
        """Read the hold-outs and open the sources."""
        holdouts = Holdouts.read(self.folder / HOLDOUTS)
        sequence = read_held_sequence(self.folder / HELD_KMERS)
        placed = placed_stream(self.config, holdouts.on(self.config.assembly))
        corpus = corpus_stream(self.config, holdouts)

        def do(number: int) -> dict[str, Any]:
            part = Part(number, self.config.windows.shards)
            said: dict[str, Any] = {"windows": Counter(), "left_out": {}}
            spilled = []
            for kind, stream in ((PLACED, placed), ("corpus", corpus)):
                if stream is not None:
                    spilled.append(self.spill / f"{number:05d}.{kind}.parquet")
                    with publishing(spilled[-1]) as temporary:
                        write_windows(
                            temporary, _marked(self._of_stream(kind, stream, part, sequence, said), said)
                        )
            with publishing(self.folder / train_file(number)) as temporary:
                tables = [WindowTable([path]) for path in spilled]
                write_windows(temporary, ((window, "") for window in _mixed(tables)))
            for path in spilled:
                path.unlink()
            return said

        return do

    def _of_stream(
        self,
        kind: str,
        stream: PlacedStream | CorpusStream,
        part: Part,
        sequence: HeldSequence,
        said: dict[str, Any],
    ) -> Iterator[StoredWindow]:
        options = self.config.windows.placed if kind == PLACED else self.config.windows.corpus
        quota = None if options is None else options.n_windows
        if quota is not None:
            quota = quota // part.count + (part.index < quota % part.count)
        reader: Any = stream.reader(part)
        refused: Counter[tuple[str, str]] = Counter()
        yield from _dissimilar(reader, sequence, quota, refused)
        left_out = said["left_out"]
        if kind == PLACED:
            left_out["windows.placed"] = {**asdict(reader.account), "similar": refused[PLACED, "similar"]}
            del left_out["windows.placed"]["windows"]
            return
        for config, account in reader.accounts.items():
            reasons = {reason: refused[config, reason] for reason in ("similar", "undecided")}
            counts = {**asdict(account), **reasons}
            records, windows = counts.pop("records"), counts.pop("windows")
            if records or windows:
                left_out[f"records.{config}"] = {name: counts.pop(name) for name in _OF_RECORDS}
                left_out[f"windows.{config}"] = counts
        if reader.ended is not None:
            left_out.setdefault(f"records.{reader.ended}", {})[ENDED] = 1


def placed_stream(config: DatasetConfig, held_out: HeldOut) -> PlacedStream | None:
    """The windows of the reference that training may have; None where none were asked for."""
    placed = config.windows.placed
    if placed is None:
        return None
    path = config.reference.path
    regions = None if placed.regions is None else regions_of(placed.regions, Reference(path))
    return PlacedStream(
        path,
        layout_of(config),
        regions=regions,
        max_n_share=placed.max_n_share,
        held_out=held_out,
        seed=config.seed,
    )


def corpus_stream(config: DatasetConfig, holdouts: Holdouts) -> CorpusStream | None:
    """The windows of the corpus; None where none were asked for."""
    corpus = config.windows.corpus
    if corpus is None:
        return None
    sources: list[RecordSource] = []
    # Of two configs whose turn it is, the first one goes first; the manifest does not keep another order than this.
    mix = dict(sorted(corpus.mix.items()))
    for name in mix:
        if name not in CONFIGS:
            near = get_close_matches(name, CONFIGS, n=1)
            raise ConfigError(
                "config-invalid",
                "The corpus has no such config.",
                where=f"windows.corpus.mix.{name}",
                expected=near[0] if near else ", ".join(CONFIGS),
                found=name[:60],
                next_step=f"did you mean {near[0]}?" if near else "name configs of the corpus",
            )
        if corpus.folder is not None:
            sources.append(ParquetSource(name, corpus.folder.path))
        elif corpus.hub is not None:
            sources.append(HubSource(name, corpus.hub.repo, corpus.hub.revision))
    return CorpusStream(
        sources,
        rule=WindowRule(
            config.windows.window_bp, corpus.stride_bp, corpus.margin_bp, corpus.max_ambiguous_share
        ),
        mix=mix,
        subset=None if corpus.slice == 1.0 else Slice(seed=config.seed, fraction=corpus.slice),
        seed=config.seed,
        at_end=corpus.at_end,
        held_out=_OnAny(tuple(holdouts.assemblies.values())),
    )


def layout_of(config: DatasetConfig) -> Layout:
    """How windows lie on the reference."""
    placed, window_bp = config.windows.placed, config.windows.window_bp
    if placed is not None and placed.layout == "cells":
        return Cells(Geometry(window_bp, placed.stride_bp))
    return Strides(window_bp, *(() if placed is None else (placed.stride_bp,)))


@dataclass(frozen=True, slots=True)
class _OnAny:
    """What is held out on any assembly: the corpus does not say which one its accessions are read on."""

    held: tuple[HeldOut, ...]

    def touches(self, contig: str, start: int, end: int) -> bool:
        """See `Touches`."""
        return any(one.touches(contig, start, end) for one in self.held)


def _dissimilar(
    windows: Iterator[W], sequence: HeldSequence, quota: int | None, refused: Counter[tuple[str, str]]
) -> Iterator[W]:
    """The first windows that do not share too much with held-out sequence; counts the others by origin and reason.

    Without coordinates only its sequence can clear a window, so one with too few k-mers is refused.
    """
    given = 0
    while quota is None or given < quota:
        window = next(windows, None)
        if window is None:
            return
        match = sequence.match(window.sequence)
        origin, decided = _origin(window), match.informative >= LEAST_INFORMATIVE
        if (decided and match.containment >= THRESHOLD) or not (decided or origin == PLACED):
            refused[origin, "similar" if decided else "undecided"] += 1
            continue
        given += 1
        yield window


def _marked(windows: Iterable[StoredWindow], said: dict[str, Any]) -> Iterator[tuple[StoredWindow, str]]:
    for window in windows:
        said["windows"][_origin(window)] += 1
        yield window, ""


def _origin(window: StoredWindow) -> str:
    return getattr(window, "config", PLACED)


def _mixed(tables: list[WindowTable]) -> Iterator[StoredWindow]:
    """The windows of all tables, so that each is spread evenly over the whole."""
    at = [0] * len(tables)
    sizes = [len(table) for table in tables]
    for _ in range(sum(sizes)):
        left = [number for number in range(len(tables)) if at[number] < sizes[number]]
        one = min(left, key=lambda number: (2 * at[number] + 1) / sizes[number])
        yield tables[one][at[one]]
        at[one] += 1
