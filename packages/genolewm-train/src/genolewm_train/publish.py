"""From a trained network to a model directory: weights, manifest, measured numbers and card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file

from genolewm_core.artifacts.manifest import (
    Architecture,
    Contract,
    Manifest,
    ModelDirectory,
    digest_file,
    write_manifest,
)
from genolewm_core.artifacts.weights import StoredVocabulary
from genolewm_core.errors import ResourceError
from genolewm_core.scoring.backend import Backend, load_backend
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.passes import PassOptions
from genolewm_data.holdouts.held import Holdouts
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.rules import FLANK_BP, NAMED_REGIONS
from genolewm_train import brca1
from genolewm_train.card import Measured, read_log, render_card, training_time, write_loss_curve
from genolewm_train.data_folder import open_reference
from genolewm_train.language_model import LOG_NAME
from genolewm_train.language_model_eval import bits_per_base, evaluation_pieces, markov_bits, paired_margin
from genolewm_train.recipe import Recipe
from genolewm_train.training_sequence import TrainingSequence

__all__ = [
    "MODEL_NAME",
    "MODEL_VERSION",
    "contract_of",
    "measure",
    "publish",
    "refuse_existing",
    "rounded",
    "save_weights",
]

MODEL_NAME = "genolewm-mini"
MODEL_VERSION = "0.1.0"
WEIGHTS_NAME = "model.safetensors"

# By docs/studies/phases.md: of a substitution's scores delta_ll comes back in another six-mer phase, and the
# displacement hardly does.
DEFAULT_HEADS = {
    "substitution": "delta_ll",
    "indel_in_phase": "displacement",
    "indel_out_of_phase": "delta_ll",
}

# The same relative depth at which Carbon-500M's states are read: layer 20 of 28.
STATE_DEPTH = 20 / 28


def contract_of(network: Architecture) -> Contract:
    """The state contract of an embedded model."""
    return Contract(state_layer=max(1, round(network.n_layers * STATE_DEPTH)), dtype="fp32")


def rounded(model: Any) -> Any:
    """The network with its weights rounded to bfloat16 and back, in place: what the published file gives."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16).to(torch.float32))
    return model


def save_weights(model: Any, path: Path) -> None:
    """Writes the weights as bfloat16 by their Transformers names; the tied output layer is not repeated."""
    tensors = {
        name: value.detach().to(torch.bfloat16).contiguous()
        for name, value in model.named_parameters()
        if name != "lm_head.weight"
    }
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors makes files that only their owner may read


def _training(recipe: Recipe, sequence: TrainingSequence, holdouts: Holdouts) -> dict[str, Any]:
    named = {
        assembly: Intervals({}).union(*regions.values()).by_contig
        for assembly, regions in NAMED_REGIONS.items()
    }
    return {
        # Through JSON, so that what is in memory equals what is read back.
        "recipe": json.loads(json.dumps(asdict(recipe))),
        "data_sha256": sequence.digest,
        "bases": {source.name: source.n_bases for source in sequence.sources},
        "held_out": {
            "intervals": json.loads(json.dumps(named)),
            "genes": list(holdouts.genes),
            "gene_flank_bp": FLANK_BP,
        },
    }


def _brca1(data: Path, backend: Backend, contract: Contract) -> dict[str, dict[str, float]]:
    rows = brca1.read_brca1(data)
    options = PassOptions(
        Geometry(contract.window_bp, contract.cell_bp), radius_tok=contract.radius_tok, ll_tok=contract.ll_tok
    )
    with open_reference(data, "GRCh37") as reference:
        scores: Mapping[str, npt.NDArray[np.float64]] = brca1.head_scores(rows, reference, backend, options)
    own = {f"{MODEL_NAME}, {head}": brca1.brca1_auroc(rows, values) for head, values in scores.items()}
    return {**own, **brca1.published_auroc(rows)}


def measure(
    model: Any,
    sequence: TrainingSequence,
    data: Path,
    backend: Backend,
    contract: Contract,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Every number of the card.

    Args:
        model: the network with rounded weights.
        sequence: what it was trained on; the Markov models count the same.
        data: folder with reference/ and benchmark/.
        backend: the same weights behind the scoring pipeline.
        contract: how it scores.
        on_stage: told what is measured next.
    """
    pieces = evaluation_pieces(data)
    on_stage("bits per base on chromosome 21")
    own = bits_per_base(model, pieces)
    on_stage("Markov models")
    single, interpolated, chosen = markov_bits(sequence, pieces)
    on_stage("BRCA1")
    strongest = min((single, interpolated), key=lambda bits: float(bits.chain.mean()))
    marginal = own.chain if own.marginal is None else own.marginal
    return Measured(
        n_bases=sum(len(piece) for piece in pieces),
        chain_bits=float(own.chain.mean()),
        marginal_bits=float(marginal.mean()),
        single_order=chosen.order,
        single_bits=float(single.chain.mean()),
        interpolated_order=chosen.orders[-1],
        interpolated_bits=float(interpolated.chain.mean()),
        margin=paired_margin(own.chain, strongest.chain),
        brca1=_brca1(data, backend, contract),
    )


def refuse_existing(target: Path) -> None:
    """A model directory is never replaced.

    Raises:
        ResourceError: `output-exists`.
    """
    if target.exists():
        raise ResourceError(
            "output-exists",
            "The model directory exists already.",
            where=str(target),
            next_step="give another --output, or move the old model away",
        )


def publish(
    model: Any,
    recipe: Recipe,
    sequence: TrainingSequence,
    holdouts: Holdouts,
    data: Path,
    run: Path,
    target: Path,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Measures a finished network and writes its model directory; it appears whole or not at all.

    Time and machine stand in the card only: the manifest is the same for every rebuild with the same bits.

    Args:
        model: from `train`; its weights are rounded in place.
        recipe, sequence, holdouts: what it was trained with.
        data: folder with reference/ and benchmark/.
        run: folder of the run, for its log.
        target: model directory to write; must not exist.
        on_stage: told what is done next.

    Raises:
        ResourceError: `target` exists.
    """
    refuse_existing(target)
    staging = target.with_name(f".{target.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    rounded(model)
    save_weights(model, staging / WEIGHTS_NAME)
    contract = contract_of(recipe.network)
    training = _training(recipe, sequence, holdouts)

    def write(measured: Mapping[str, Any]) -> None:
        write_manifest(
            staging,
            Manifest(
                name=MODEL_NAME,
                version=MODEL_VERSION,
                architecture=recipe.network,
                contract=contract,
                weights=(digest_file(staging / WEIGHTS_NAME),),
                vocabulary=StoredVocabulary(recipe.network.vocab_rows, dna_row=0),
                default_heads=DEFAULT_HEADS,
                demonstration=True,
                training={**training, "measured": measured},
            ),
        )

    # The scoring pipeline reads a model directory, so one without numbers comes first.
    write({})
    backend = load_backend("torch", ModelDirectory.open(staging), threads=recipe.threads)
    measured = measure(model, sequence, data, backend, contract, on_stage)
    write(asdict(measured))
    log = read_log(run / LOG_NAME)
    write_loss_curve(log, staging / "loss_curve.png")
    card = render_card(
        recipe=recipe,
        measured=measured,
        sources={source.name: source.n_bases for source in sequence.sources},
        held_out_genes=len(holdouts.genes),
        parameters=sum(p.numel() for p in model.parameters()),
        weight_bytes=(staging / WEIGHTS_NAME).stat().st_size,
        time=training_time(log),
        name=MODEL_NAME,
        version=MODEL_VERSION,
    )
    (staging / "card.md").write_text(card, encoding="utf-8")
    staging.replace(target)
    return measured
