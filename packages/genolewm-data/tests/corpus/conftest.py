"""Small corpora with the real columns."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

GENERATOR = "eukaryote_generator"
GENERATOR_COLUMNS = [
    "begin_of_sequence",
    "end_of_sequence",
    "begin_of_gene",
    "end_of_gene",
    "gene_type",
    "species_type",
    "strand",
    "sequence",
    "molecule_type",
    "topology",
    "taxonomy",
    "record_id",
]


def bases(n: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=n))


def generator_rows(sequences: Sequence[str | None], accession: str = "NC_000022.11") -> list[dict[str, Any]]:
    return [
        {name: "<s>" for name in GENERATOR_COLUMNS}
        | {"sequence": text, "record_id": accession, "start": 1000 * at, "end": 1000 * at + len(text or "")}
        for at, text in enumerate(sequences)
    ]


def text_rows(sequences: Sequence[str | None]) -> list[dict[str, Any]]:
    return [{"text": text, "metadata": {"source": "chunk1.jsonl.gz"}} for text in sequences]


def write(
    folder: Path,
    config: str,
    rows: list[dict[str, Any]],
    name: str = "part-0.parquet",
    row_group_size: int = 4,
) -> None:
    path = folder / config / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group_size)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four configs, two files each, row groups of four, records of 0 to 400 bases."""
    folder = tmp_path_factory.mktemp("corpus")
    configs: dict[str, Callable[[Sequence[str | None]], list[dict[str, Any]]]] = {
        GENERATOR: generator_rows,
        "mrna_evo2": text_rows,
        "mrna_splice_evo2": text_rows,
        "prokaryote_evo2": text_rows,
    }
    for number, (config, rows_of) in enumerate(configs.items()):
        draw = random.Random(number)
        texts = [bases(draw.randrange(400), 1000 * number + at) for at in range(45)]
        rows = rows_of(texts)
        # As the real configs: the first has folders below its own.
        names = ("fungi/0.parquet", "plant/0.parquet") if config == GENERATOR else ("a.parquet", "b.parquet")
        write(folder, config, rows[:21], names[0])
        write(folder, config, rows[21:], names[1])
    return folder
