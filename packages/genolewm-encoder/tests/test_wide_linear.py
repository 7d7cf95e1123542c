"""bf16 products by fp32: the same numbers as PyTorch's own bf16, to a rounding here and there."""

import pytest
import torch

from genolewm_core.testing.conformance import TEST_ARCHITECTURE, random_model
from genolewm_encoder import wide_linear
from genolewm_encoder.loading import llama_model


def bf16_tensors():
    return {
        n: torch.from_numpy(t).bfloat16()
        for n, t in random_model(TEST_ARCHITECTURE).items()
        if n != "lm_head.weight"
    }


@pytest.mark.parametrize("shape", [(1, 64, 32), (90, 256, 96), (7, 1_024, 3_072)])
def test_products_are_those_of_bf16(shape):
    rows, width, out = shape
    torch.manual_seed(rows)
    plain = torch.nn.Linear(width, out, bias=False).bfloat16()
    x = torch.randn(rows, width).bfloat16()
    expected = plain(x)
    plain.__class__ = wide_linear.WideLinear
    found = plain(x)
    assert found.dtype == torch.bfloat16
    # Of the same sums in another order, few are rounded to the neighbouring number.
    assert (found != expected).float().mean() < 0.02
    torch.testing.assert_close(found, expected, rtol=2**-7, atol=1e-3)


@pytest.mark.parametrize(
    ("native", "dtype", "widened"),
    [
        (False, torch.bfloat16, True),
        (True, torch.bfloat16, False),
        (False, torch.float32, False),
    ],
)
def test_where_products_are_widened(monkeypatch, native, dtype, widened):
    monkeypatch.setattr(wide_linear, "_native_bf16", lambda: native)
    tensors = {name: tensor.to(dtype) for name, tensor in bf16_tensors().items()}
    model = llama_model(TEST_ARCHITECTURE, tensors)
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert len(linear) == 7 * TEST_ARCHITECTURE.n_layers
    assert {type(m) is wide_linear.WideLinear for m in linear} == {widened}
    assert {p.dtype for p in model.parameters()} == {dtype}


def test_hidden_states_agree(monkeypatch):
    ids = torch.arange(3, 93)[None]
    found = {}
    for native in (True, False):
        monkeypatch.setattr(wide_linear, "_native_bf16", lambda native=native: native)
        found[native] = llama_model(TEST_ARCHITECTURE, bf16_tensors())(ids).last_hidden_state.float()
    similarity = torch.nn.functional.cosine_similarity(found[True], found[False], dim=-1)
    assert similarity.min() > 0.999
