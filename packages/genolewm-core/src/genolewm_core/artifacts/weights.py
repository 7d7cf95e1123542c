"""The weights of a model out of one or several safetensors files: only the tensors and rows that are needed.

Carbon's files hold 155,776 rows of vocabulary, of which 4,107 are DNA; a state after 20 layers needs no
layer above. What is not needed is not read, so that loading takes little more memory than what is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genolewm_core.artifacts.tensors import StoredTensor, read_header, read_tensor
from genolewm_core.artifacts.verified import FileDigest, open_verified
from genolewm_core.errors import ProvenanceError

__all__ = ["StoredVocabulary", "Wanted", "digest_of_shards", "read_weights"]

_VOCABULARY_TENSORS = ("model.embed_tokens.weight", "lm_head.weight")


@dataclass(frozen=True, slots=True)
class StoredVocabulary:
    """Rows of the embedding as its files have it.

    Attributes:
        n_rows: all of them; 155,776 in Carbon.
        dna_row: the row of `<dna>`, which becomes row 0; 151,669 in Carbon.
    """

    n_rows: int
    dna_row: int

    def __post_init__(self) -> None:
        if (
            type(self.n_rows) is not int
            or type(self.dna_row) is not int
            or not 0 <= self.dna_row < self.n_rows
        ):
            raise ValueError(f"StoredVocabulary: row {self.dna_row!r} of {self.n_rows!r} is not allowed")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tensors to read.

    Attributes:
        shapes: name -> shape of every tensor that the model has, with the vocabulary cut to the DNA rows.
        n_layers: layers above are left out; None reads all.
        head: the output layer, or the norm before it, is needed.
    """

    shapes: dict[str, tuple[int, ...]]
    n_layers: int | None = None
    head: bool = True

    def __contains__(self, name: str) -> bool:
        if name in ("lm_head.weight", "model.norm.weight"):
            return self.head
        if self.n_layers is None or not name.startswith("model.layers."):
            return True
        return int(name.split(".")[2]) < self.n_layers


def read_weights(
    directory: Path, shards: Sequence[FileDigest], vocabulary: StoredVocabulary, wanted: Wanted
) -> Iterator[tuple[str, StoredTensor]]:
    """Tensors by name, one at a time, each shard hashed before its header is parsed.

    Use nothing of it before the iterator has ended: that no tensor is missing, and that no file changed while
    it was read, is known at the end.

    Raises:
        ProvenanceError: `artifact-digest`, `artifact-path`, `tensor-file-invalid`.
    """
    seen: set[str] = set()
    for shard in shards:
        path = directory / shard.name
        with open_verified(directory, shard) as file:
            entries = read_header(file, shard.n_bytes, path)
            for name, entry in sorted(entries.items(), key=lambda item: item[1].begin):
                expected = wanted.shapes.get(name)
                rows = None
                if expected is not None and name in _VOCABULARY_TENSORS:
                    rows = slice(vocabulary.dna_row, vocabulary.dna_row + expected[0])
                    expected = (vocabulary.n_rows, *expected[1:])
                if name in seen or entry.shape != expected:
                    raise _unfit(name, expected, entry.shape, twice=name in seen)
                seen.add(name)
                if name in wanted:
                    yield name, read_tensor(file, entry, path, rows)
    for name in sorted(wanted.shapes.keys() - seen):
        raise _unfit(name, wanted.shapes[name], None, twice=False)


def digest_of_shards(shards: Sequence[FileDigest]) -> str:
    """SHA-256 that names the weights: of the file; of several, of their digests' hex digits in order."""
    if len(shards) == 1:
        return shards[0].sha256
    return hashlib.sha256("".join(shard.sha256 for shard in shards).encode("ascii")).hexdigest()


def _unfit(
    name: str, expected: tuple[int, ...] | None, found: tuple[int, ...] | None, *, twice: bool
) -> ProvenanceError:
    return ProvenanceError(
        "tensor-file-invalid",
        "The weights do not fit the architecture that the manifest states.",
        where=f"{name!r:.100}",
        expected="no such tensor" if expected is None else f"shape {expected}",
        found="the tensor twice" if twice else "no such tensor" if found is None else f"shape {found}",
        next_step="get the model again from where it was published",
    )
