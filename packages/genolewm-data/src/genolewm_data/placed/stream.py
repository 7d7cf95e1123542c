"""A stream of reference windows: shuffled, in parts, without what is held out, which can be left and gone on with."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from genolewm_core.errors import ConfigError, InputError
from genolewm_core.genome.bed import Region, merge_regions, whole_genome
from genolewm_core.genome.reference import Contig, Reference
from genolewm_core.scoring.sixmer import K
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.parts import Part, Touches, check_resumed, shuffled
from genolewm_data.placed.layout import Layout, Places

__all__ = ["PlacedAccount", "PlacedReader", "PlacedState", "PlacedStream"]

_BASES = b"ACGT"


@dataclass(frozen=True, slots=True)
class PlacedAccount:
    """Windows counted, each once: in the first of the reasons that applies, or as given.

    Attributes:
        windows: given.
        held_out: that touch held-out places; their bases are not read.
        short: of less than a six-mer, at a contig's end.
        all_n: of nothing but N.
        n_share: with too many letters other than A, C, G and T.
    """

    windows: int = 0
    held_out: int = 0
    short: int = 0
    all_n: int = 0
    n_share: int = 0

    def __add__(self, other: PlacedAccount) -> PlacedAccount:
        """The account of two parts together."""
        names = [field.name for field in fields(PlacedAccount)]
        return PlacedAccount(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass(frozen=True, slots=True)
class PlacedState:
    """Everything that a reader needs to go on behind the window that it gave last; small, and can be pickled.

    Attributes:
        stream: digest of the stream and the part that the state is of.
        passes: finished.
        position: of the next window to look at, in the part's order of this pass.
        given: windows of this pass so far.
        account: of all that was looked at.
    """

    stream: str
    passes: int
    position: int
    given: int
    account: PlacedAccount


class PlacedStream:
    """Which windows of a reference are read. Can be pickled; each process opens the FASTA for itself.

    Args:
        fasta: indexed FASTA.
        layout: `Strides` or `Cells`.
        regions: where windows may lie; None for the whole reference. They are merged and put in order.
        max_n_share: windows with a larger share of letters other than A, C, G and T are dropped.
        held_out: windows that touch it are dropped. It is asked with the FASTA's names of contigs.
        seed: of the order; None for the reference's order.
        repeat: begin another pass, in another order, when one has ended.

    Raises:
        InputError: `reference-unreadable`; `contig-unknown`, for a region of another reference.
        ConfigError: `config-invalid`, for a region beyond its contig's end.
    """

    def __init__(
        self,
        fasta: str | os.PathLike[str],
        layout: Layout,
        *,
        regions: Sequence[Region] | None = None,
        max_n_share: float = 0.0,
        held_out: Touches | None = None,
        seed: int | None = 0,
        repeat: bool = False,
    ) -> None:
        self.reference = Reference(Path(fasta))
        self.layout = layout
        self.max_n_share = max_n_share
        self.held_out = held_out
        self.seed = seed
        self.repeat = repeat
        contigs = self.reference.contigs
        for region in regions or ():
            if not 0 <= region.start < region.end <= self.reference.contig(region.contig).length:
                raise ConfigError(
                    "config-invalid",
                    "A region cannot be read.",
                    where=f"regions, {region.contig}",
                    expected=f"0 <= start < end <= {contigs[region.contig]}",
                    found=f"start {region.start}, end {region.end}",
                )
        chosen = whole_genome(contigs) if regions is None else merge_regions(regions, contigs)
        self.places = Places(layout, chosen, dict(contigs))
        self._regions = hashlib.sha256(repr(chosen).encode()).hexdigest()

    def reader(self, part: Part | None = None, state: PlacedState | None = None) -> PlacedReader:
        """Read one part, from the start or from a state.

        Raises:
            ConfigError: `resume-conflict`, when the state is of another stream or another part.
        """
        return PlacedReader(self, part or Part(), state)

    def __iter__(self) -> PlacedReader:
        return self.reader()

    def identity(self, part: Part) -> str:
        """Digest of all that decides which windows a part has, but for `held_out` and the bases."""
        contigs = hashlib.sha256(repr(dict(self.reference.contigs)).encode()).hexdigest()
        text = repr((contigs, self.layout, self._regions, self.max_n_share, self.seed, self.repeat, part))
        return hashlib.sha256(text.encode()).hexdigest()


class PlacedReader(Iterator[ReferenceWindow]):
    """The windows of one part, in order, without loci. Made by `PlacedStream.reader`.

    Raises, while it is read:
        InputError: `reference-unreadable`; `training-data-missing`, when a stream that repeats has no window.
    """

    def __init__(self, stream: PlacedStream, part: Part, state: PlacedState | None) -> None:
        self._identity = stream.identity(part)
        if state is not None:
            check_resumed(state.stream, self._identity, "FASTA")
        self._stream = stream
        self._part = part
        self._passes = state.passes if state else 0
        self._position = state.position if state else 0
        self._given = state.given if state else 0
        account = state.account if state else PlacedAccount()
        self._counts: Counter[str] = Counter(
            {name: getattr(account, name) for name in PlacedAccount.__dataclass_fields__}
        )
        self._contigs: dict[str, Contig] = {}
        self._windows = self._all()

    def __next__(self) -> ReferenceWindow:
        return next(self._windows)

    @property
    def state(self) -> PlacedState:
        """The state behind the window that was given last."""
        return PlacedState(self._identity, self._passes, self._position, self._given, self.account)

    @property
    def account(self) -> PlacedAccount:
        """What was looked at so far, earlier runs included."""
        return PlacedAccount(**self._counts)

    def _all(self) -> Iterator[ReferenceWindow]:
        while self._passes == 0 or self._stream.repeat:
            order = self._order()
            while self._position < len(order):
                window = self._read(*self._stream.places[int(order[self._position])])
                self._position += 1
                if window is not None:
                    self._counts["windows"] += 1
                    self._given += 1
                    yield window
            if self._given == 0 and self._stream.repeat:
                raise InputError(
                    "training-data-missing",
                    "The reference has no window for this part of the stream.",
                    where=f"{self._stream.reference.path.name}, part {self._part.index + 1} of {self._part.count}",
                    expected="a window that is not held out and has enough bases",
                    found=", ".join(f"{name} {count:,}" for name, count in self._counts.items() if count)
                    or "no places",
                    next_step="give more regions, shorter windows, or fewer parts",
                )
            self._passes, self._position, self._given = self._passes + 1, 0, 0

    def _order(self) -> Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]]:
        n, seed = len(self._stream.places), self._stream.seed
        if seed is None:
            return range(self._part.index, n, self._part.count)
        return shuffled(n, f"{seed}:{self._passes}")[self._part.index :: self._part.count].copy()

    def _read(self, name: str, number: int) -> ReferenceWindow | None:
        contig = self._contigs.get(name)
        if contig is None:
            contig = self._contigs[name] = self._stream.reference.contig(name)
        start, end = self._stream.layout.span(number, contig)
        held_out = self._stream.held_out
        if end - start < K:
            self._counts["short"] += 1
        elif held_out is not None and held_out.touches(name, start, end):
            self._counts["held_out"] += 1
        else:
            bases = contig.fetch(start, end)
            reason = _refusal(bases.encode("ascii", "replace"), self._stream.max_n_share)
            if reason is None:
                return ReferenceWindow(name, start, end, bases)
            self._counts[reason] += 1
        return None


def _refusal(bases: bytes, max_n_share: float) -> str | None:
    odd = bases.translate(None, _BASES)
    if len(odd) == len(bases) and not odd.strip(b"N"):
        return "all_n"
    return "n_share" if len(odd) > max_n_share * len(bases) else None
