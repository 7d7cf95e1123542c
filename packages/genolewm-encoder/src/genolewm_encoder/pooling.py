"""From the rows of a window to one state: after which layer, and which tokens (RFC-0002 sections 3.3, 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from genolewm_core.errors import ConfigError

__all__ = ["Pool", "PoolType", "layer_of"]

PoolType = Literal["span_mean", "centered_mean", "global_mean", "attention"]


@dataclass(frozen=True, slots=True)
class Pool:
    """Which tokens make a state.

    Attributes:
        kind: "span_mean": the token of the locus and `radius` behind it, the only ones near it that an edit
            there can change. "centered_mean": as many before it too. "global_mean": all. "attention": all,
            weighted by a learned query at the locus.
        radius: in tokens.
    """

    kind: PoolType = "span_mean"
    radius: int = 8

    def __post_init__(self) -> None:
        if self.kind not in get_args(PoolType):
            raise ConfigError(
                "config-invalid",
                "This way of pooling is not offered.",
                where="pool_type",
                expected=", ".join(get_args(PoolType)),
                found=str(self.kind),
            )
        if type(self.radius) is not int or self.radius < 0:
            raise ConfigError(
                "config-invalid",
                "A pooling radius is a number of tokens.",
                where="pool_radius",
                expected="0 or more",
                found=str(self.radius),
            )

    def targeted(self, centre: int | None) -> bool:
        """Whether the state is one of a locus; a state without is never compared with one that has."""
        return centre is not None and self.kind != "global_mean"

    def tokens(self, n_tok: int, centre: int | None) -> tuple[int, int]:
        """First token and end of the tokens that are read, cut off at the window's ends.

        Args:
            n_tok: tokens of the window, without `<dna>`.
            centre: token of the locus; None for a window without.
        """
        if centre is None or self.kind in ("global_mean", "attention"):
            return 0, n_tok
        before = self.radius if self.kind == "centered_mean" else 0
        return max(0, centre - before), min(n_tok, centre + self.radius + 1)


def layer_of(state_layer: int, n_layers: int) -> int:
    """Number of layers after which rows are read; -1 is the last, -2 the one before.

    Raises:
        ConfigError: `config-invalid`, when there is no such layer.
    """
    layer = n_layers + 1 + state_layer if state_layer < 0 else state_layer
    if not 1 <= layer <= n_layers:
        raise ConfigError(
            "config-invalid",
            "The model has no such layer to read states from.",
            where="state_layer",
            expected=f"1 to {n_layers}, or -1 for the last",
            found=str(state_layer),
        )
    return layer
