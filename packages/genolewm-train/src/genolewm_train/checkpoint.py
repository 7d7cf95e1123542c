"""Local checkpoints of an unfinished run: weights, optimisers and the next step, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.errors import InputError

__all__ = ["load_checkpoint", "save_checkpoint"]

CHECKPOINT_VERSION = 1


def _flatten(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimiser.state_dict()["state"]
    return {f"{index}.{name}": value for index, values in state.items() for name, value in values.items()}


def save_checkpoint(
    path: Path,
    *,
    step: int,
    digest: str,
    model: torch.nn.Module,
    optimisers: Mapping[str, torch.optim.Optimizer],
) -> None:
    """Writes a checkpoint in place of the last one; a run killed half-way leaves the last one whole.

    Args:
        path: file to write.
        step: the next step to take.
        digest: `Recipe.digest` of the run.
        model: whose parameters are saved.
        optimisers: by name.

    Raises:
        ResourceError: `output-unwritable`.
    """
    tensors = {f"model.{name}": value.detach() for name, value in model.named_parameters()}
    for kind, optimiser in optimisers.items():
        tensors.update({f"{kind}.{name}": value for name, value in _flatten(optimiser).items()})
    about = {"version": CHECKPOINT_VERSION, "step": step, "digest": digest}
    with publishing(path) as temporary:
        save_file(
            {name: value.contiguous() for name, value in tensors.items()},
            temporary,
            # One entry only: safetensors writes several in an order that changes from run to run.
            metadata={"checkpoint": json.dumps(about)},
        )


def load_checkpoint(
    path: Path,
    *,
    digest: str,
    model: torch.nn.Module,
    optimisers: Mapping[str, torch.optim.Optimizer],
) -> int:
    """Restores model and optimisers; returns the next step to take.

    Raises:
        InputError: the file is not a checkpoint, or of another recipe, data or thread count.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("checkpoint", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            "tensor-file-invalid",
            "The checkpoint cannot be read.",
            where=str(path),
            expected="a checkpoint written by train-mini",
            found=repr(error),
            next_step="start again without --resume",
        ) from error
    if metadata.get("version") != CHECKPOINT_VERSION or metadata.get("digest") != digest:
        raise InputError(
            "resume-conflict",
            "The checkpoint belongs to a run with another recipe, seed, thread count or data.",
            where=str(path),
            expected=f"version {CHECKPOINT_VERSION}, digest {digest}",
            found=f"version {metadata.get('version')}, digest {metadata.get('digest')}",
            next_step="give the options of the first run, or start again without --resume",
        )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
    for kind, optimiser in optimisers.items():
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            owner, _, rest = name.partition(".")
            if owner == kind:
                index, _, key = rest.partition(".")
                state.setdefault(int(index), {})[key] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return int(metadata["step"])
