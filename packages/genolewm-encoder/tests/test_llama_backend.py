"""The PyTorch backend: conformance, and Transformers' own LlamaModel as the oracle."""

import dataclasses

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from genolewm_core.errors import ProvenanceError
from genolewm_core.scoring.backend import Pack, Trunk
from genolewm_core.testing.conformance import CHECKS, TEST_ARCHITECTURE, check_name, random_model
from genolewm_encoder.llama import TorchBackend
from genolewm_encoder.loading import llama_config, llama_model

STATE_LAYER = 2
UNTIED = dataclasses.replace(TEST_ARCHITECTURE, tied=False, rms_norm_eps=1e-5)


@pytest.fixture(scope="module")
def backend():
    return TorchBackend(TEST_ARCHITECTURE, random_model(TEST_ARCHITECTURE), STATE_LAYER)


@pytest.mark.parametrize("check", CHECKS, ids=check_name)
def test_conforms(backend, check):
    check(backend)


@pytest.mark.parametrize("architecture", [TEST_ARCHITECTURE, UNTIED], ids=["tied", "untied"])
def test_equals_transformers(architecture):
    """Rows of a trunk and of a branch against LlamaForCausalLM loaded the ordinary way."""
    tensors = random_model(architecture)
    oracle = LlamaForCausalLM(llama_config(architecture)).eval()
    oracle.load_state_dict(
        {name: torch.from_numpy(t) for name, t in tensors.items()}, strict=not architecture.tied
    )
    ids = np.random.default_rng(0).integers(3, 4_099, 90).astype(np.int32)
    ids[0] = 0
    edited = ids.copy()
    edited[40:49] += 1
    rows = np.arange(90)
    backend = TorchBackend(architecture, tensors, STATE_LAYER)
    prefix = backend.open(Trunk(ids, rows, rows, full_depth=True))
    branch = np.arange(9)
    found = backend.extend(
        prefix,
        Pack(
            token_ids=edited[40:49],
            positions=np.arange(40, 49, dtype=np.int32),
            branch=np.zeros(9, np.int32),
            prefix_tok=np.full(9, 40, np.int32),
            state_rows=branch,
            log_prob_rows=branch,
        ),
    )
    for got, sequence, at in ((prefix.rows, ids, rows), (found, edited, np.arange(40, 49))):
        with torch.inference_mode():
            out = oracle(torch.from_numpy(sequence.astype(np.int64))[None], output_hidden_states=True)
        hidden = out.hidden_states[STATE_LAYER][0]
        states = hidden / (hidden.square().mean(-1, keepdim=True) + architecture.rms_norm_eps).sqrt()
        log_probs = torch.log_softmax(out.logits[0, :, 3:4099], dim=-1)
        np.testing.assert_allclose(got.states, states.numpy()[at], atol=1e-5)
        np.testing.assert_allclose(got.log_probs, log_probs.numpy()[at], atol=1e-5)


def test_weights_are_used_in_place():
    tensors = random_model(TEST_ARCHITECTURE)
    for array in tensors.values():
        array.flags.writeable = False
    model = llama_model(TEST_ARCHITECTURE, tensors)
    for name, parameter in model.named_parameters():
        assert parameter.data_ptr() == tensors["model." + name].ctypes.data
        assert not parameter.requires_grad


def test_attention_is_pinned(backend):
    assert backend._full.config._attn_implementation == "sdpa"
    assert backend._shallow.config._attn_implementation == "sdpa"
    assert len(backend._shallow.layers) == STATE_LAYER


def test_refuses_what_a_trunk_cannot_give(backend):
    ids, rows, none = np.arange(20, dtype=np.int32), np.arange(20), np.arange(0)
    pack = Pack(ids[:2], ids[5:7], np.zeros(2, np.int32), np.full(2, 5, np.int32), rows[:2], rows[:2])
    with pytest.raises(ValueError, match="full depth"):
        backend.open(Trunk(ids, rows, rows, full_depth=False))
    with pytest.raises(ValueError, match="full depth"):
        backend.extend(backend.open(Trunk(ids, rows, none, full_depth=False)), pack)
    with pytest.raises(ValueError, match="kept"):
        backend.extend(backend.open(Trunk(ids, rows, rows, full_depth=True, keep=False)), pack)


def test_refuses_other_tensors():
    tensors = random_model(TEST_ARCHITECTURE)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(ProvenanceError) as error:
        TorchBackend(TEST_ARCHITECTURE, tensors, STATE_LAYER)
    assert error.value.code == "tensor-file-invalid"
