"""Six-mer tokens exactly as Carbon's tokenizer makes them, and base marginals over them.

Ids follow Carbon's layout: `<dna>`, `</dna>`, `<oov>`, then the 4,096 six-mers with base order A, T, C, G
(not alphabetical), first base most significant. Carbon starts that block at 151,669; a model whose
embedding is sliced to the DNA rows starts it at 0. A six-mer holding anything but A, C, G or T is `<oov>`,
and the frame does not shift. Unlike Carbon's tokenizer, nothing here pads a trailing partial six-mer with
A: invented bases are not sequence, so callers pass whole six-mers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["BASE_ORDER", "N_SIXMERS", "K", "Vocabulary", "base_digits", "base_log_marginals", "sixmer_codes"]

K = 6
N_SIXMERS = 4**K
BASE_ORDER = "ATCG"

_DIGIT = np.full(256, -1, dtype=np.int32)
for _digit, _base in enumerate(BASE_ORDER):
    _DIGIT[ord(_base)] = _digit
    _DIGIT[ord(_base.lower())] = _digit
_PLACE = (4 ** np.arange(K - 1, -1, -1)).astype(np.int32)

# `bytes.translate` and a product of floats, which holds these whole numbers exactly, take a fraction of the time of
# indexing and a product of integers.
_DIGIT_BYTES = _DIGIT.astype(np.int8).tobytes()
_NO_DIGIT = b"\xff"
_PLACE_F = _PLACE.astype(np.float32)

# digits[v, j]: the digit (index into BASE_ORDER) of base j of six-mer v.
_SIXMER_DIGITS = (np.arange(N_SIXMERS)[:, None] // _PLACE[None, :]) % 4

# has_base[v, 4 j + b]: 1 where base j of six-mer v is b. Summing over six-mers is then one matrix product.
_HAS_BASE = (_SIXMER_DIGITS[:, :, None] == np.arange(4)).reshape(N_SIXMERS, 4 * K).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token ids of the DNA part of a vocabulary.

    Attributes:
        dna_start_id: id of `<dna>`; 151,669 in Carbon, 0 in a sliced embedding.
    """

    dna_start_id: int = 0

    @property
    def dna(self) -> int:
        """Id of `<dna>`, the first token of every trunk."""
        return self.dna_start_id

    @property
    def end_dna(self) -> int:
        """Id of `</dna>`."""
        return self.dna_start_id + 1

    @property
    def oov(self) -> int:
        """Id of `<oov>`."""
        return self.dna_start_id + 2

    @property
    def sixmer_start(self) -> int:
        """Id of AAAAAA."""
        return self.dna_start_id + 3

    def encode(self, sequence: str | bytes) -> npt.NDArray[np.int32]:
        """Token ids of a sequence of whole six-mers.

        Args:
            sequence: bases in any case; its length a multiple of 6.

        Returns:
            int32 (len/6,), without `<dna>`.

        Raises:
            ValueError: the length is not a multiple of 6.
        """
        return self.ids_of(sixmer_codes(sequence))

    def ids_of(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
        """Token ids of six-mer codes; −1 is `<oov>`. Same shape."""
        return np.where(codes < 0, self.oov, codes + self.sixmer_start).astype(np.int32)

    def decode(self, ids: npt.NDArray[np.integer]) -> str:
        """Bases of six-mer ids; any other id reads as NNNNNN. Inverse of `encode` on A, C, G, T."""
        letters = np.frombuffer(BASE_ORDER.encode(), dtype=np.uint8)
        codes = np.asarray(ids, dtype=np.int64) - self.sixmer_start
        known = (codes >= 0) & (codes < N_SIXMERS)
        text = letters[_SIXMER_DIGITS[np.where(known, codes, 0)]]
        text[~known] = ord("N")
        return text.tobytes().decode("ascii")


def base_digits(sequence: str | bytes) -> npt.NDArray[np.int32]:
    """Digit of every base in `BASE_ORDER`; −1 where the base is not A, C, G or T. Shape (len,)."""
    raw = sequence.encode("ascii") if isinstance(sequence, str) else sequence
    return _DIGIT[np.frombuffer(raw, dtype=np.uint8)]


def sixmer_codes(sequence: str | bytes) -> npt.NDArray[np.int32]:
    """Code 0..4095 of every six-mer of a sequence; −1 where a base is not A, C, G or T.

    Raises:
        ValueError: the length is not a multiple of 6.
    """
    raw = sequence.encode("ascii") if isinstance(sequence, str) else sequence
    if len(raw) % K:
        raise ValueError(f"sequence length {len(raw)} is not a multiple of {K}")
    digits = raw.translate(_DIGIT_BYTES)
    digits_TK = np.frombuffer(digits, dtype=np.int8).reshape(-1, K)
    codes = np.asarray(digits_TK.astype(np.float32) @ _PLACE_F, dtype=np.int32)
    if _NO_DIGIT in digits:
        codes[(digits_TK < 0).any(axis=1)] = -1
    return codes


def base_log_marginals(log_probs: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Log-probability of each base at each place of a six-mer (factorised nucleotide supervision).

    The marginal of base b at place j is the summed probability of the six-mers whose j-th base is b.

    Args:
        log_probs: (..., 4096) log-probabilities of the six-mers in code order.

    Returns:
        float64 (..., 6, 4), last axis in `BASE_ORDER`.
    """
    probs = np.exp(np.asarray(log_probs, dtype=np.float64))
    marginals = probs @ _HAS_BASE
    return np.asarray(np.log(marginals.reshape(*marginals.shape[:-1], K, 4)))
