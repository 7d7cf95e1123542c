"""The k-mers of held-out sequence as a Parquet file, so that windows can be compared without the FASTA."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.errors import InputError
from genolewm_data.holdouts.kmers import K_BP, KEPT_ONE_IN, NEIGHBOURHOOD_BP, HeldSequence

__all__ = ["read_held_sequence", "write_held_sequence"]

SCHEMA_VERSION = "1.0.0"

_KEY = b"genolewm"
_REPEAT = -1
_SCHEMA = pa.schema(
    [
        pa.field("kmer", pa.uint64(), nullable=False),
        pa.field("labels", pa.uint16(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
    ]
)


def write_held_sequence(path: Path, sequence: HeldSequence) -> None:
    """Write, atomically; equal k-mers give equal bytes. Repeats have no labels, and place −1.

    Raises:
        ResourceError: `output-unwritable`.
    """
    said = {**_sampling(), "names": list(sequence.names), "digest": sequence.digest}
    n = len(sequence.repeats)
    kmers = np.concatenate([sequence.kmers, sequence.repeats])
    labels = np.concatenate([sequence.labels, np.zeros(n, np.uint16)])
    places = np.concatenate([sequence.places, np.full(n, _REPEAT, np.int32)])
    table = pa.table([kmers, labels, places], schema=_SCHEMA).replace_schema_metadata(
        {_KEY: json.dumps(said, sort_keys=True).encode()}
    )
    # K-mers are sorted, so their differences are what has to be kept.
    encoding = {"kmer": "DELTA_BINARY_PACKED", "place": "DELTA_BINARY_PACKED", "labels": "PLAIN"}
    with publishing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=False, column_encoding=encoding)


def read_held_sequence(path: Path) -> HeldSequence:
    """Read what `write_held_sequence` wrote.

    Raises:
        InputError: `holdouts-invalid`, when it is missing, damaged, changed, or sampled in another way.
    """
    try:
        table = pq.read_table(path, schema=None)
        said = json.loads(table.schema.metadata[_KEY])
        if {name: said[name] for name in _sampling()} != _sampling():
            raise ValueError("sampled in another way")
        kmers, labels, places = (table[name].to_numpy() for name in _SCHEMA.names)
        once = places != _REPEAT
        sequence = HeldSequence(tuple(said["names"]), kmers[once], labels[once], places[once], kmers[~once])
        if sequence.digest != said["digest"]:
            raise ValueError("another digest")
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "holdouts-invalid",
            "The k-mers of held-out sequence cannot be used.",
            where=str(path),
            expected=f"a table of {K_BP}-mers of version {SCHEMA_VERSION} with its own digest",
            found=type(error).__name__,
            next_step="copy the release again, or build it again",
        ) from None
    return sequence


def _sampling() -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "k_bp": K_BP,
        "kept_one_in": KEPT_ONE_IN,
        "neighbourhood_bp": NEIGHBOURHOOD_BP,
    }
