"""A low-rank adapter on the encoder's top layers (RFC-0002 section 3.7), by peft.

The first layers keep what Carbon learned; the top ones may specialise. Only the adapter is trained, saved and
loaded, in peft's own files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from transformers import LlamaModel

from genolewm_core.artifacts.atomic import write_atomic, writing
from genolewm_core.artifacts.manifest import canonical_json
from genolewm_core.errors import ConfigError, ProvenanceError

__all__ = ["LoRAConfig", "add_adapter", "load_adapter", "lora_digest", "save_adapter"]

WEIGHTS_NAME = "adapter_model.safetensors"
CONFIG_NAME = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class LoRAConfig:
    """Shape of an adapter.

    Attributes:
        rank: r of the two factors.
        alpha: the product counts alpha / rank times.
        n_layers: of the layers that are run, so many at the top.
        targets: the projections that are adapted.
        dropout: of the adapter's input while training.
    """

    rank: int = 16
    alpha: int = 32
    n_layers: int = 8
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in {
            "rank": self.rank >= 1,
            "alpha": self.alpha > 0,
            "n_layers": self.n_layers >= 1,
            "targets": len(self.targets) > 0,
            "dropout": 0 <= self.dropout < 1,
        }.items():
            if not allowed:
                raise ConfigError(
                    "config-invalid",
                    "An adapter cannot have this shape.",
                    where=f"lora_config.{name}",
                    found=str(getattr(self, name)),
                )


def add_adapter(model: LlamaModel, config: LoRAConfig) -> None:
    """Put an adapter into a model. It begins as no change: its second factor is zero.

    Its factors are fp32 and trainable; the model's own weights are not.

    Raises:
        ConfigError: `config-invalid`, when the model has fewer layers.
    """
    n = len(model.layers)
    if config.n_layers > n:
        raise ConfigError(
            "config-invalid",
            "An adapter has more layers than are run.",
            where="lora_config.n_layers",
            expected=f"1 to {n}",
            found=str(config.n_layers),
        )
    inject_adapter_in_model(_peft_config(config, n), model)
    for name, parameter in model.named_parameters():
        adapted = ".lora_" in name
        parameter.requires_grad_(adapted)
        if adapted:
            parameter.data = parameter.data.float()
    # What peft has added would apply its dropout otherwise.
    model.eval()


def save_adapter(model: LlamaModel, config: LoRAConfig, directory: Path) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json`.

    Raises:
        ResourceError: `output-unwritable`.
    """
    with writing(directory / WEIGHTS_NAME):
        directory.mkdir(parents=True, exist_ok=True)
        _peft_config(config, len(model.layers)).save_pretrained(str(directory))
    write_atomic(directory / WEIGHTS_NAME, save(dict(_tensors(model))))


def load_adapter(model: LlamaModel, config: LoRAConfig, directory: Path) -> None:
    """Fill a model's adapter with one that was saved.

    Raises:
        ProvenanceError: `tensor-file-invalid`, when it is damaged or of another shape.
    """
    _check_config(directory / CONFIG_NAME, _peft_config(config, len(model.layers)))
    path = directory / WEIGHTS_NAME
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise _invalid(path, "an adapter", type(error).__name__) from error
    own = dict(_tensors(model))
    expected = {name: tuple(t.shape) for name, t in own.items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    if found != expected:
        odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise _invalid(path, f"{odd[0]} of shape {expected.get(odd[0])}", f"shape {found.get(odd[0])}")
    set_peft_model_state_dict(model, tensors)


def lora_digest(model: LlamaModel, config: LoRAConfig) -> str:
    """SHA-256 of an adapter: of its shape and its numbers."""
    digest = hashlib.sha256(
        canonical_json([config.rank, config.alpha, config.n_layers, sorted(config.targets)])
    )
    for name, tensor in _tensors(model):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _tensors(model: LlamaModel) -> Iterator[tuple[str, torch.Tensor]]:
    state = get_peft_model_state_dict(model)
    return ((name, state[name].detach().float().cpu().contiguous()) for name in sorted(state))


def _check_config(path: Path, own: LoraConfig) -> None:
    """Names and shapes do not tell the scale, so what the file says of the adapter is compared too."""
    try:
        stored = json.loads(path.read_bytes())
        found = {
            "r": stored["r"],
            "lora_alpha": stored["lora_alpha"],
            "target_modules": sorted(stored["target_modules"]),
            "layers_to_transform": sorted(stored["layers_to_transform"]),
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _invalid(path, "an adapter's configuration", type(error).__name__) from error
    expected = {
        "r": own.r,
        "lora_alpha": own.lora_alpha,
        "target_modules": sorted(own.target_modules),
        "layers_to_transform": own.layers_to_transform,
    }
    for name, value in expected.items():
        if found[name] != value:
            raise _invalid(path, f"{name} = {value}", f"{name} = {found[name]}")


def _peft_config(config: LoRAConfig, n_layers: int) -> LoraConfig:
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
        layers_to_transform=list(range(n_layers - config.n_layers, n_layers)),
        layers_pattern="layers",
        bias="none",
    )


def _invalid(path: Path, expected: str, found: str) -> ProvenanceError:
    return ProvenanceError(
        "tensor-file-invalid",
        "An adapter's file does not fit the encoder.",
        where=str(path),
        expected=expected,
        found=found,
        next_step="give the adapter that was trained on this encoder, with its own lora_config",
    )
