"""bf16 layers on a processor without bf16 matrix instructions.

PyTorch emulates them there, ten times slower than fp32. A product of bf16 numbers that is summed in fp32 and
rounded to bf16 is what such an instruction gives, so the same can be had from an fp32 product of the widened
operands: the same products and the same rounding, summed in another order.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

__all__ = ["widen_products"]


class WideLinear(torch.nn.Linear):
    """A linear layer whose bf16 product is computed in fp32; the weight stays bf16 in memory."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As `torch.nn.Linear`."""
        return torch.nn.functional.linear(input.float(), self.weight.float()).to(input.dtype)


def widen_products(model: PreTrainedModel) -> None:
    """Let the model's linear layers compute in fp32 where it is bf16 on a CPU that has no such instructions."""
    if model.dtype != torch.bfloat16 or model.device.type != "cpu" or _native_bf16():
        return
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            # Only the arithmetic changes: parameters, hooks and names stay.
            module.__class__ = WideLinear


def _native_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    # What other processors have is left to PyTorch.
    if capabilities["architecture"] != "x86_64":
        return True
    return bool(capabilities["avx512_bf16"] or capabilities["amx_bf16"])
