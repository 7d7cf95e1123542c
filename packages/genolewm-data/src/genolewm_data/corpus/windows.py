"""Windows of a record: where they start, and which letters they may have."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from genolewm_core.errors import ConfigError
from genolewm_core.scoring.sixmer import K
from genolewm_data.parts import check_at_least

__all__ = ["CorpusWindow", "Slice", "WindowRule", "refusal"]

_BASES = b"ACGT"
_AMBIGUITY = b"NRYSWKMBDHV"


@dataclass(frozen=True, slots=True)
class CorpusWindow:
    """A stretch of a corpus record; it has no place in any reference.

    Attributes:
        config: of the corpus.
        record_id: see `CorpusRecord.record_id`.
        start: 0-based, in the record.
        sequence: upper-case bases.
    """

    config: str
    record_id: str
    start: int
    sequence: str


@dataclass(frozen=True, slots=True)
class WindowRule:
    """Which windows a record has.

    Attributes:
        window_bp: length; whole six-mers.
        stride_bp: from one window's start to the next one's.
        margin_bp: bases at both ends of a record that no window reaches.
        max_ambiguous_share: windows with a larger share of IUPAC codes other than A, C, G and T are dropped.

    Raises:
        ConfigError: `config-invalid`.
    """

    window_bp: int = 12_288
    stride_bp: int = 8_192
    margin_bp: int = 256
    max_ambiguous_share: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("window_bp", self.window_bp, K, multiple_of=K)
        check_at_least("stride_bp", self.stride_bp, 1)
        check_at_least("margin_bp", self.margin_bp, 0)

    @property
    def least_bp(self) -> int:
        """Bases of the shortest record that has a window."""
        return self.window_bp + 2 * self.margin_bp

    def starts(self, n_bp: int, key: str) -> range:
        """Starts of the windows of a record that is long enough.

        The first is drawn by a hash of `key`, evenly from a stride's worth of places (or from all that the record
        has, if fewer); so every place from `margin_bp` to `n_bp - window_bp - margin_bp` is a start in the same
        share of all keys.

        Args:
            n_bp: length of the record, at least `least_bp`.
            key: names the record, the seed and the pass.
        """
        n_places = n_bp - self.least_bp + 1
        draw = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        first = draw % min(self.stride_bp, n_places)
        return range(self.margin_bp + first, self.margin_bp + n_places, self.stride_bp)


@dataclass(frozen=True, slots=True)
class Slice:
    """A fixed fraction of the records: those whose SHA-256 of "seed:record_id" is below it.

    Attributes:
        seed: another seed, another slice.
        fraction: above 0, up to 1. The slice of a larger fraction holds that of a smaller one.

    Raises:
        ConfigError: `config-invalid`.
    """

    seed: int = 0
    fraction: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ConfigError(
                "config-invalid",
                "This fraction of the corpus cannot be taken.",
                where="fraction",
                expected="above 0, at most 1",
                found=str(self.fraction),
            )

    def __contains__(self, record_id: str) -> bool:
        digest = hashlib.sha256(f"{self.seed}:{record_id}".encode()).digest()
        # 53 bits, so that the division is exact.
        return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53) < self.fraction


def refusal(sequence: str, starts: Sequence[int], rule: WindowRule) -> list[str | None]:
    """Why each window of an upper-case record may not be used; None where it may.

    `other_letter`: a character that is no IUPAC code; `uracil`: a U, which is RNA and is not rewritten; `gap`: a
    dash; `ambiguous`: too many codes that stand for several bases. The first that applies is named.
    """
    raw = sequence.encode("ascii", "replace")
    if not raw.translate(None, _BASES):
        return [None] * len(starts)
    return [_refusal(raw[start : start + rule.window_bp], rule) for start in starts]


def _refusal(window: bytes, rule: WindowRule) -> str | None:
    odd = window.translate(None, _BASES)
    strange = odd.translate(None, _AMBIGUITY)
    if strange.strip(b"U-"):
        return "other_letter"
    if strange:
        return "uracil" if b"U" in strange else "gap"
    return "ambiguous" if len(odd) > rule.max_ambiguous_share * len(window) else None
