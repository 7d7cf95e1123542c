"""Windows of a reference FASTA: they have coordinates, so what is held out can be kept out of them."""

from genolewm_data.placed.layout import Cells, Strides
from genolewm_data.placed.stream import PlacedAccount, PlacedReader, PlacedState, PlacedStream

__all__ = ["Cells", "PlacedAccount", "PlacedReader", "PlacedState", "PlacedStream", "Strides"]
