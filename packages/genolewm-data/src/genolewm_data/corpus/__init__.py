"""Windows of Carbon's pretraining corpus: records without a place in a reference, read in a fixed mix."""

from genolewm_data.corpus.account import ConfigAccount, CorpusState
from genolewm_data.corpus.hub import HubSource
from genolewm_data.corpus.local import ParquetSource
from genolewm_data.corpus.records import CARBON_MIX, CONFIGS, CorpusRecord, RecordSource
from genolewm_data.corpus.stream import CorpusReader, CorpusStream
from genolewm_data.corpus.windows import CorpusWindow, Slice, WindowRule

__all__ = [
    "CARBON_MIX",
    "CONFIGS",
    "ConfigAccount",
    "CorpusReader",
    "CorpusRecord",
    "CorpusState",
    "CorpusStream",
    "CorpusWindow",
    "HubSource",
    "ParquetSource",
    "RecordSource",
    "Slice",
    "WindowRule",
]
