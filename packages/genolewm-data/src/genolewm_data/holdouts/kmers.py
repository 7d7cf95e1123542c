"""Sequence of the hold-outs as a sample of its k-mers, to find it again where no coordinates tell.

A k-mer and its reverse complement count as one, the smaller of their codes. Of all k-mers those are kept whose hash
is below a bound (FracMinHash, Irber et al. 2022): whether one is kept depends on nothing but itself, so a copy that
is shifted, cut or on the other strand has the same ones. K-mers that one assembly's hold-outs have more than once are
repeats: they are set aside, and say nothing for or against a window. A transposon still matches here and there, a few
k-mers in each of its copies; so of a window's matches only those count that lie in one neighbourhood.

Letters of shapes: n k-mers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.sixmer import base_digits
from genolewm_data.holdouts.intervals import Intervals, chromosome

__all__ = [
    "KEPT_ONE_IN",
    "K_BP",
    "MOST_HOLDOUTS",
    "NEIGHBOURHOOD_BP",
    "HeldSequence",
    "Match",
    "sampled_kmers",
]

K_BP = 32
"""Bases of a k-mer: its code fills 64 bits. A copy of divergence d keeps (1 - d) ** 32 of them."""

KEPT_ONE_IN = 8
"""One k-mer in so many is kept."""

NEIGHBOURHOOD_BP = 1 << 15
"""Two neighbouring stretches of so many bases are a neighbourhood: a longer window than one may be cut."""

MOST_HOLDOUTS = 16
"""A k-mer has one bit for each."""

_CHUNK_BP = 1 << 20
_PERHAPS_BITS = 24
_BOUND = np.uint64((1 << 64) // KEPT_ONE_IN)

Codes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


class Match(NamedTuple):
    """What a window has in common with held-out sequence.

    Attributes:
        informative: different sampled k-mers of the window that are no repeat of the hold-outs.
        found: those of them that held-out sequence has in one neighbourhood, the one that has most.
        scattered: further ones of them that held-out sequence has elsewhere.
        by_holdout: name of a hold-out to how many of `found` it has; those without any are left out.
    """

    informative: int
    found: int
    scattered: int
    by_holdout: Mapping[str, int]

    @property
    def containment(self) -> float:
        """Share of the informative k-mers that one neighbourhood has; 0 where there are none."""
        return self.found / self.informative if self.informative else 0.0


def sampled_kmers(sequence: str) -> Codes:
    """The sampled k-mers of a sequence in any case, in order of place, uint64 (n,).

    K-mers with another letter than A, C, G and T are left out.
    """
    return _sampled(sequence)[0]


def _sampled(sequence: str) -> tuple[Codes, Places]:
    """The sampled k-mers of a sequence, and the place of each one's first base."""
    digits = base_digits(sequence)
    if len(digits) < K_BP:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    known = digits >= 0
    forward = digits.astype(np.uint64) & np.uint64(3)
    # In BASE_ORDER the complement of a digit is the digit with its lowest bit turned.
    reverse = forward ^ np.uint64(1)
    size = 1
    while size < K_BP:
        shift = np.uint64(2 * size)
        forward = (forward[:-size] << shift) | forward[size:]
        reverse = (reverse[size:] << shift) | reverse[:-size]
        size *= 2
    canonical = np.minimum(forward, reverse)
    kept = _mixed(canonical) < _BOUND
    if not known.all():
        unknown_before = np.concatenate(([0], np.cumsum(~known)))
        kept &= unknown_before[K_BP:] == unknown_before[:-K_BP]
    at = np.flatnonzero(kept)
    return canonical[at], at


@dataclass(frozen=True, eq=False)
class HeldSequence:
    """Sampled k-mers of held-out sequence. Make one with `of`, join those of several assemblies with `join`.

    Attributes:
        names: hold-outs, by bit of `labels`.
        kmers: sorted, each once, uint64 (n,).
        labels: which hold-outs have each of them, uint16 (n,).
        places: neighbourhood of each of them, numbered along all held-out sequence, int32 (n,).
        repeats: sorted k-mers that some assembly's hold-outs have more than once, uint64; none is in `kmers`.
    """

    names: tuple[str, ...]
    kmers: Codes
    labels: npt.NDArray[np.uint16]
    places: npt.NDArray[np.int32]
    repeats: Codes
    _perhaps: npt.NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # One look into this table spares nearly all k-mers of unrelated windows two bisections.
        perhaps = np.zeros(1 << _PERHAPS_BITS, bool)
        for kmers in (self.kmers, self.repeats):
            perhaps[_slot(kmers)] = True
        object.__setattr__(self, "_perhaps", perhaps)

    @classmethod
    def of(cls, regions: Mapping[str, Intervals], reference: Reference) -> HeldSequence:
        """Of one assembly's held-out regions, as far as the reference has them.

        Args:
            regions: at most `MOST_HOLDOUTS` by name, such as `HeldOut.regions`.
            reference: the assembly that they are on.

        Raises:
            InputError: `reference-unreadable`.
            ValueError: more hold-outs than that.
        """
        names = tuple(sorted(regions))
        if len(names) > MOST_HOLDOUTS:
            raise ValueError(f"k-mers are labelled with at most {MOST_HOLDOUTS} hold-outs")
        whole = Intervals({}).union(*regions.values())
        found, places = _kmers_of(whole, reference)
        kmers, first, counts = np.unique(found, return_index=True, return_counts=True)
        repeats = kmers[counts > 1]
        once = kmers[counts == 1]
        labels = np.zeros(len(once), np.uint16)
        for bit, name in enumerate(names):
            labels[np.isin(once, _kmers_of(regions[name], reference)[0])] |= np.uint16(1 << bit)
        return cls(names, once, labels, places[first[counts == 1]], repeats)

    def join(self, other: HeldSequence) -> HeldSequence:
        """What either has, such as those of two assemblies; hold-outs of one name are one."""
        names = tuple(sorted({*self.names, *other.names}))
        repeats = _distinct(np.concatenate((self.repeats, other.repeats)))
        kmers = _distinct(np.concatenate((self.kmers, other.kmers)))
        kmers = kmers[~_among(kmers, repeats)[0]]
        labels = np.zeros(len(kmers), np.uint16)
        places = np.zeros(len(kmers), np.int32)
        # Where both have a k-mer it keeps its place in `self`, so that most of a window stays in one neighbourhood.
        offset = int(self.places.max(initial=-2)) + 2
        for one, moved in ((other, offset), (self, 0)):
            has, at = _among(kmers, one.kmers)
            places[has] = one.places[at[has]] + np.int32(moved)
            for bit, name in enumerate(one.names):
                marked = np.zeros(len(kmers), bool)
                marked[has] = (one.labels[at[has]] >> np.uint16(bit)) & 1 == 1
                labels[marked] |= np.uint16(1 << names.index(name))
        return HeldSequence(names, kmers, labels, places, repeats)

    @cached_property
    def digest(self) -> str:
        """`sha256:` and 64 hexadecimal digits over the k-mers, their labels and how they were sampled."""
        sha = hashlib.sha256(f"{K_BP} {KEPT_ONE_IN} {' '.join(self.names)}\n".encode())
        for array in (self.kmers, self.labels, self.places, self.repeats):
            sha.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return f"sha256:{sha.hexdigest()}"

    def match(self, sequence: str) -> Match:
        """What a window's bases have in common with held-out sequence, in whichever direction they are read."""
        # Each once: a tandem repeat is one k-mer over and over, and must not speak for the window.
        sampled = _distinct(sampled_kmers(sequence))
        candidates = sampled[self._perhaps[_slot(sampled)]]
        n_repeats = int(_among(candidates, self.repeats)[0].sum())
        found, at = _among(candidates, self.kmers)
        at = at[found]
        together = at[_most_crowded(self.places[at])]
        by_holdout: dict[str, int] = {}
        for bit, name in enumerate(self.names):
            count = int(((self.labels[together] >> np.uint16(bit)) & 1).sum())
            if count:
                by_holdout[name] = count
        n_found = len(together)
        return Match(len(sampled) - n_repeats, n_found, len(at) - n_found, by_holdout)


def _distinct(codes: Codes) -> Codes:
    """Each once, sorted; for so few `np.unique` takes several times as long."""
    codes = np.sort(codes)
    return codes[np.concatenate(([True], codes[1:] != codes[:-1]))] if len(codes) else codes


def _most_crowded(places: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Which matches lie in the two neighbouring stretches that have most of them."""
    if not len(places):
        return np.zeros(0, bool)
    stretches, counts = np.unique(places, return_counts=True)
    joined = counts.copy()
    joined[:-1] += np.where(np.diff(stretches) == 1, counts[1:], 0)
    best = stretches[np.argmax(joined)]
    return np.asarray((places == best) | (places == best + 1))


def _kmers_of(regions: Intervals, reference: Reference) -> tuple[Codes, npt.NDArray[np.int32]]:
    """Sampled k-mers of regions in order, and the stretch that each begins in; no stretch has bases of two contigs."""
    contigs = {chromosome(name): name for name in reference.contigs}
    kmers = [np.empty(0, np.uint64)]
    places = [np.empty(0, np.int32)]
    first_stretch = 0
    last_contig = ""
    for contig, start, end in regions:
        name = contigs.get(contig)
        if name is None:
            continue
        if last_contig and contig != last_contig:
            # One more than needed, so that the ends of two contigs are no neighbours.
            first_stretch += reference.contigs[contigs[last_contig]] // NEIGHBOURHOOD_BP + 2
        last_contig = contig
        for at, bases in _chunks(reference, name, start, min(end, reference.contigs[name])):
            found, offsets = _sampled(bases)
            kmers.append(found)
            places.append((first_stretch + (at + offsets) // NEIGHBOURHOOD_BP).astype(np.int32))
    return np.concatenate(kmers), np.concatenate(places)


def _chunks(reference: Reference, name: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    """Bases of a stretch in pieces, and where each begins; every k-mer lies in exactly one of them."""
    contig = reference.contig(name)
    for at in range(start, end, _CHUNK_BP):
        bases = contig.fetch(at, min(at + _CHUNK_BP + K_BP - 1, end))
        if bases.count("N") < len(bases):
            yield at, bases


def _among(kmers: Codes, table: Codes) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Which k-mers are in a sorted table, and where."""
    at = np.searchsorted(table, kmers)
    if not len(table):
        return np.zeros(len(kmers), bool), at
    return _at(table, at) == kmers, at


def _at(table: Codes, at: npt.NDArray[np.intp]) -> Codes:
    return table[np.minimum(at, len(table) - 1)]


def _slot(codes: Codes) -> Codes:
    return (codes * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _PERHAPS_BITS)


def _mixed(codes: Codes) -> Codes:
    """A hash of 64 bits (the finaliser of SplitMix64); equal everywhere, unlike Python's."""
    mixed = codes ^ (codes >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
