"""What can be told before any window is made: whether there is a place for one, and a variant in some place."""

from __future__ import annotations

from genolewm_core.errors import InputError
from genolewm_core.genome.reference import Reference
from genolewm_data.dataset.config import DatasetConfig
from genolewm_data.dataset.tables import Reach, has_variants
from genolewm_data.placed import PlacedStream, Strides
from genolewm_data.samplers import edge_margin

__all__ = ["HOW_THEY_LIE", "check_places"]

HOW_THEY_LIE = (
    "Windows begin at multiples of the stride and lie inside a region, so that up to a stride is lost at each of its "
    "ends; regions of another assembly look the same"
)
"""Why a region may have no window, or none at a variant."""


def check_places(config: DatasetConfig, stream: PlacedStream, reference: Reference) -> None:
    """Refuse regions that have no window, and shards of the mix without a variant in the places of any.

    Cells cover every base of a region; their places are not looked at.

    Raises:
        InputError: `training-data-missing`.
    """
    places, layout = stream.places, stream.layout
    if not len(places):
        raise InputError(
            "training-data-missing",
            f"No region has room for a window. {HOW_THEY_LIE}.",
            where="windows.placed",
            expected=f"a region with {config.windows.window_bp:,} bases from a multiple of the stride on",
            found=f"{places.n_without:,} regions without a window",
            next_step="give larger regions, or a smaller stride_bp or window_bp",
        )
    if not isinstance(layout, Strides):
        return
    margin = edge_margin(config.edits.radius_tok)
    spans: dict[str, list[tuple[int, int]]] = {}
    for contig, number in places:
        start = number * layout.stride_bp
        spans.setdefault(contig, []).append((start + margin, start + layout.window_bp - margin))
    reach = Reach(spans)
    for source, shard in (("gnomad", config.variants.gnomad), ("clinvar", config.variants.clinvar)):
        if shard is None or source not in config.mix.sources:
            continue
        if not has_variants(shard, source, reference.contigs, reach):
            raise InputError(
                "training-data-missing",
                f"No variant of a shard lies in the place of any window. {HOW_THEY_LIE}.",
                where=f"variants.{source}",
                expected="variants that training may take, in the places of windows",
                found=f"none in {len(places):,} places; {places.n_without:,} regions without one",
                next_step="give regions and a shard of the same assembly, larger regions, or a smaller stride_bp",
            )
