"""Which setting of the contract the measurements support: agreement, cost and separation of every setting.

A setting is compared with the contract's own on the same bootstrap resamples, and the interval of the
difference is simultaneous over all settings and all measures that can decide: with so many chances the best
one looks good by luck.

Letters of shapes: N variants, K settings, S phases, B resamples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.manifest import Contract
from genolewm_train.studies.contract import Grid, Setting
from genolewm_train.studies.parts import Arrays, by_group
from genolewm_train.studies.resampling import auroc_B, correlation_B, draw, estimate, ranks_BN
from genolewm_train.studies.variants import StudyCell

__all__ = ["SEPARATIONS", "ContractResults", "contract_setting", "gather", "summarise"]

SEPARATIONS = ("brca1_missense", "brca1_all", "clinvar_missense", "synthetic_vs_common")
"""Pairs of classes that a displacement should tell apart; the first is the harmful or the random one."""

# BRCA1's missense variants are among all of BRCA1 and must not count twice.
_DISTINCT = ("brca1_all", "clinvar_missense", "synthetic_vs_common")

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ContractResults:
    """Displacements of one set of variants that are whole at every radius and in every phase.

    Attributes:
        scores_SNK: by phase, variant and setting, in the order of `Grid.settings`.
        label, consequence: per variant.
        n_left_out: variants next to N or to an end, or without a displacement.
    """

    scores_SNK: Float
    label: npt.NDArray[np.bool_]
    consequence: npt.NDArray[np.str_]
    n_left_out: int


def contract_setting(contract: Contract) -> Setting:
    """What a model's contract says today."""
    return Setting(contract.state_layer, contract.radius_tok, "normalised", contract.pool_type, "unit")


def gather(results: Iterable[tuple[StudyCell, Arrays]]) -> dict[str, ContractResults]:
    """Results of all cells by the name of their set."""
    found = {}
    for group, (edits, parts) in by_group(results).items():
        scores = np.concatenate([arrays["scores"] for arrays in parts], axis=1)
        scores_SNK = scores.reshape(*scores.shape[:2], -1)
        whole = np.concatenate([arrays["whole"] for arrays in parts])
        whole &= ~np.isnan(scores_SNK).any(axis=(0, 2))
        found[group] = ContractResults(
            scores_SNK[:, whole],
            np.array([bool(edit.label) for edit in edits])[whole],
            np.array([edit.consequence for edit in edits])[whole],
            int((~whole).sum()),
        )
    return found


def summarise(
    results: Mapping[str, ContractResults],
    grid: Grid,
    contract: Contract,
    tokens: Mapping[int, float],
    resamples: int,
) -> dict[str, Any]:
    """Every number of the page.

    Args:
        results: by the sets' names: `common_and_synthetic`, `in_phase_indels`, `brca1`, `clinvar_missense`.
        grid: what was measured.
        contract: of the model.
        tokens: radius -> tokens a variant of a personal genome.
        resamples: bootstrap resamples.
    """
    settings = list(grid.settings())
    own = settings.index(contract_setting(contract))
    rows: list[dict[str, Any]] = [{**asdict(s), "tokens": tokens[s.radius]} for s in settings]
    everyday, indels = results["common_and_synthetic"], results["in_phase_indels"]
    measures_KB = {"phases": _phase_agreement(everyday.scores_SNK, resamples)}
    classes: dict[str, Any] = {}
    for name, (scores_NK, labels) in _separations(results).items():
        classes[name] = {"n": len(labels), "n_positive": int(labels.sum())}
        measures_KB[name] = _areas(scores_NK, labels, resamples)
    _enter(rows, measures_KB, own)
    _enter(rows, {"phases_indel_in_phase": _phase_agreement(indels.scores_SNK, resamples)}, own)
    _radius_agreement(everyday.scores_SNK[0], rows, settings, grid, resamples)
    sizes = {
        "phases": everyday.scores_SNK.shape[1],
        "phases_indel_in_phase": indels.scores_SNK.shape[1],
    }
    return {
        "contract": asdict(settings[own]),
        "classes": classes,
        "agreement_n": sizes,
        "left_out": {group: r.n_left_out for group, r in results.items()},
        "settings": rows,
        "decision": _decide(rows, own),
    }


def _phase_agreement(scores_SNK: Float, resamples: int) -> Float:
    """Mean Spearman correlation between phases, (K, 1 + B)."""
    weights_BN = draw(scores_SNK.shape[1], resamples)
    means = []
    for k in range(scores_SNK.shape[2]):
        ranks = [ranks_BN(scores_NK[:, k], weights_BN) for scores_NK in scores_SNK]
        means.append(np.mean([correlation_B(a, b) for a, b in combinations(ranks, 2)], axis=0))
    return np.array(means)


def _radius_agreement(
    scores_NK: Float, rows: list[dict[str, Any]], settings: list[Setting], grid: Grid, resamples: int
) -> None:
    """Spearman correlation with the next larger radius, other things equal, into every row."""
    weights_BN = draw(len(scores_NK), resamples)
    ranks = [ranks_BN(scores_NK[:, k], weights_BN) for k in range(len(settings))]
    index = {setting: k for k, setting in enumerate(settings)}
    larger = dict(zip(grid.radii, grid.radii[1:], strict=False))
    for k, s in enumerate(settings):
        if s.radius in larger:
            other = index[Setting(s.layer, larger[s.radius], s.form, s.pool, s.distance)]
            rows[k]["next_radius"] = estimate(correlation_B(ranks[k], ranks[other]))


def _separations(results: Mapping[str, ContractResults]) -> dict[str, tuple[Float, npt.NDArray[np.bool_]]]:
    brca1, clinvar = results["brca1"], results["clinvar_missense"]
    everyday = results["common_and_synthetic"]
    missense = brca1.consequence == "Missense"
    return {
        "brca1_missense": (brca1.scores_SNK[0][missense], brca1.label[missense]),
        "brca1_all": (brca1.scores_SNK[0], brca1.label),
        "clinvar_missense": (clinvar.scores_SNK[0], clinvar.label),
        "synthetic_vs_common": (everyday.scores_SNK[0], everyday.label),
    }


def _areas(scores_NK: Float, labels: npt.NDArray[np.bool_], resamples: int) -> Float:
    weights_BN = draw(len(labels), resamples, strata=labels)
    return np.array([auroc_B(scores_NK[:, k], labels, weights_BN) for k in range(scores_NK.shape[1])])


def _enter(rows: list[dict[str, Any]], measures_KB: Mapping[str, Float], own: int) -> None:
    """Values, intervals, and differences from the contract's own setting, into every row.

    The interval of a difference is as wide as the largest standardised deviation over all settings and all
    the given measures together asks for; `low_alone` is corrected for the settings, but not for the measures.
    """
    differences_KB = {name: values - values[own] for name, values in measures_KB.items()}
    spread_K = {name: each[:, 1:].std(axis=1) for name, each in differences_KB.items()}
    largest_B = {name: _standardised(each) for name, each in differences_KB.items()}
    critical = float(np.percentile(np.max(list(largest_B.values()), axis=0), 95))
    for name, values in measures_KB.items():
        alone = float(np.percentile(largest_B[name], 95))
        for k, row in enumerate(rows):
            value, width = float(differences_KB[name][k, 0]), critical * float(spread_K[name][k])
            row[name] = {
                **estimate(values[k]),
                "gain": {
                    "value": round(value, 4),
                    "low": round(value - width, 4),
                    "high": round(value + width, 4),
                    "low_alone": round(value - alone * float(spread_K[name][k]), 4),
                },
            }


def _standardised(differences_KB: Float) -> Float:
    """Largest deviation from the value over all settings, in standard errors, in every resample: (B,)."""
    moved = np.abs(differences_KB[:, 1:] - differences_KB[:, :1])
    spread = differences_KB[:, 1:].std(axis=1)[:, None]
    return np.asarray(np.divide(moved, spread, out=np.zeros_like(moved), where=spread > 0).max(axis=0))


def _decide(rows: list[dict[str, Any]], own: int) -> dict[str, Any]:
    """The setting to propose.

    A setting is better supported than the contract's when it separates some pair of classes better by the
    simultaneous interval, to an AUROC whose own interval lies above one half, none worse, and its phases do
    not agree less. Of such settings the one that gains most over the distinct sets of variants is proposed;
    where there is none the contract stays.
    """
    better, better_alone = (
        [
            k
            for k, row in enumerate(rows)
            if any(row[name]["gain"][bound] > 0 and row[name]["low"] > 0.5 for name in SEPARATIONS)
            and not any(row[name]["gain"]["high"] < 0 for name in SEPARATIONS)
            and row["phases"]["gain"]["high"] >= 0
        ]
        for bound in ("low", "low_alone")
    )
    proposed = max(
        better, key=lambda k: sum(rows[k][name]["gain"]["value"] for name in _DISTINCT), default=own
    )
    steadier = [
        k
        for k, row in enumerate(rows)
        if row["phases"]["gain"]["low"] > 0
        and row["tokens"] <= rows[own]["tokens"]
        and not any(row[name]["gain"]["high"] < 0 for name in SEPARATIONS)
    ]
    steadiest = max(steadier, key=lambda k: float(rows[k]["phases"]["value"]), default=own)
    return {
        "n_settings": len(rows),
        "n_better": len(better),
        "n_better_alone": len(better_alone),
        "proposed": proposed,
        "n_steadier": len(steadier),
        "steadiest": steadiest,
        "own": own,
    }
