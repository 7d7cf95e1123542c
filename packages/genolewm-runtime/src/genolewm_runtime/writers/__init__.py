"""Score tables on disk: the columns, the shards of a run, and one module for each published format."""

from genolewm_runtime.writers.formats import Format, format_of, stage_table
from genolewm_runtime.writers.table import SCHEMA, FinishedShards, read_shard_outcome, table_of, write_shard

__all__ = [
    "SCHEMA",
    "FinishedShards",
    "Format",
    "format_of",
    "read_shard_outcome",
    "stage_table",
    "table_of",
    "write_shard",
]
