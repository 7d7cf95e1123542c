"""Where the edits of a training stream come from, and how many of each."""

from genolewm_data.samplers.edit import SOURCES, EditSource, Refusal, Sampler, WindowEdit, place
from genolewm_data.samplers.mix import SourceMix
from genolewm_data.samplers.synthetic import SyntheticIndel, SyntheticMnv, SyntheticSnv
from genolewm_data.samplers.table import TableSampler, VariantTable
from genolewm_data.samplers.window import EditableWindow, edge_margin
from genolewm_data.samplers.words import SlotWords

__all__ = [
    "SOURCES",
    "EditSource",
    "EditableWindow",
    "Refusal",
    "Sampler",
    "SlotWords",
    "SourceMix",
    "SyntheticIndel",
    "SyntheticMnv",
    "SyntheticSnv",
    "TableSampler",
    "VariantTable",
    "WindowEdit",
    "edge_margin",
    "place",
]
