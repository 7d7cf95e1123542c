"""Carbon as an encoder: states against Transformers' own hidden states, for every way of pooling."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from genolewm_core.artifacts.architectures import ARCHITECTURES, Architecture, tensor_shapes
from genolewm_core.artifacts.carbon import CARBON_VOCABULARY
from genolewm_core.artifacts.manifest import Contract, digest_file, write_manifest
from genolewm_core.errors import ConfigError, InputError, ProvenanceError
from genolewm_core.scoring.sixmer import Vocabulary
from genolewm_core.testing.conformance import random_model
from genolewm_core.testing.models import write_model
from genolewm_encoder.carbon import CarbonStateEncoder
from genolewm_encoder.identity import EncoderIdentity
from genolewm_encoder.loading import llama_config, llama_model
from genolewm_encoder.lora import LoRAConfig, add_adapter

SHAPE = Architecture(
    n_layers=10,
    d_model=16,
    n_heads=4,
    n_kv_heads=2,
    head_dim=8,
    d_ffn=24,
    rms_norm_eps=1e-6,
    rope_theta=1e4,
)
LAYER = 9
TENSORS = random_model(SHAPE, seed=4)
RNG = np.random.default_rng(0)
WINDOW = "".join(RNG.choice(list("ACGT"), 240))
BASES = st.text("ACGTN", min_size=1, max_size=30)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return write_model(folder, SHAPE, TENSORS, Contract(state_layer=LAYER))


@pytest.fixture(scope="module")
def make(model):
    def encoder(**options):
        options = {"dtype": "fp32", **options}
        return CarbonStateEncoder(model.path, model.manifest.model_id, **options)

    return encoder


@pytest.fixture(scope="module")
def encoder(make):
    return make()


@pytest.fixture(scope="module")
def oracle():
    llama = LlamaForCausalLM(llama_config(SHAPE)).eval()
    llama.load_state_dict({name: torch.from_numpy(t) for name, t in TENSORS.items()}, strict=False)

    def rows(window, layer=LAYER):
        raw = []
        handle = llama.model.layers[layer - 1].register_forward_hook(
            lambda _m, _i, output: raw.append(output)
        )
        ids = np.concatenate([[0], Vocabulary(0).encode(window)])
        with torch.inference_mode():
            llama(torch.from_numpy(ids.astype(np.int64))[None])
        handle.remove()
        h = raw[0][0].numpy().astype(np.float64)[1:]
        return h / np.sqrt(np.mean(h**2, axis=1, keepdims=True) + SHAPE.rms_norm_eps)

    return rows


def unit(vector):
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("pool", "radius", "locus", "tokens"),
    [
        ("span_mean", 8, 61, slice(10, 19)),
        ("span_mean", 0, 0, slice(0, 1)),
        ("span_mean", 8, 239, slice(39, 40)),
        ("span_mean", 100, 120, slice(20, 40)),
        ("centered_mean", 4, 61, slice(6, 15)),
        ("centered_mean", 4, 5, slice(0, 5)),
        ("centered_mean", 256, 120, slice(0, 40)),
        ("global_mean", 8, 61, slice(0, 40)),
        ("global_mean", 8, None, slice(0, 40)),
        ("span_mean", 8, None, slice(0, 40)),
        ("centered_mean", 4, None, slice(0, 40)),
        ("attention", 8, 61, slice(0, 40)),  # untrained: the mean
        ("attention", 8, None, slice(0, 40)),
    ],
)
def test_states_are_means_of_transformers_rows(make, oracle, pool, radius, locus, tokens):
    encoder = make(pool_type=pool, pool_radius=radius)
    mean = oracle(WINDOW)[tokens].mean(axis=0)
    np.testing.assert_allclose(encoder.encode(WINDOW, locus).detach().numpy(), unit(mean), atol=2e-6)
    np.testing.assert_allclose(encoder.pool_loci(WINDOW, [locus])[0], mean, atol=2e-6)
    raw = make(pool_type=pool, pool_radius=radius, normalize=False).encode(WINDOW, locus)
    np.testing.assert_allclose(raw.detach().numpy(), mean, atol=2e-6)


@pytest.mark.parametrize(("layer", "read"), [(1, 1), (9, 9), (10, 10), (-1, 10), (-2, 9), (-10, 1)])
def test_states_of_any_layer(make, oracle, layer, read):
    encoder = make(state_layer=layer)
    assert encoder.state_layer == read
    assert len(encoder.model.layers) == read
    mean = oracle(WINDOW, read)[10:19].mean(axis=0)
    np.testing.assert_allclose(encoder.encode(WINDOW, 60).numpy(), unit(mean), atol=2e-6)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(BASES, st.integers(0, 10_000)), min_size=1, max_size=6))
def test_a_batch_is_its_windows_one_by_one(encoder, drawn):
    windows = [(bases * 6) for bases, _ in drawn]
    loci = [None if at % 4 == 0 else at % len(window) for window, (_, at) in zip(windows, drawn, strict=True)]
    together = encoder.encode_batch(windows, loci)
    alone = torch.stack([encoder.encode(w, at) for w, at in zip(windows, loci, strict=True)])
    torch.testing.assert_close(together, alone, atol=5e-6, rtol=0)


def test_many_loci_of_one_pass(encoder):
    loci = [0, 61, None, 100, 239, 61]
    together = encoder.pool_loci(WINDOW, loci)
    alone = np.stack([encoder.pool_loci(WINDOW, [locus])[0] for locus in loci])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    assert together.dtype == np.float32
    assert encoder.pool_loci(WINDOW, []).shape == (0, 16)
    assert encoder.encode_batch([], []).shape == (0, 16)


def test_more_windows_than_one_pass_takes(encoder, monkeypatch):
    monkeypatch.setattr("genolewm_encoder.carbon._TOKENS_AT_ONCE", 50)
    windows = [WINDOW[: 6 * n] for n in (1, 40, 7, 20, 40)]
    found = encoder.encode_batch(windows, [None] * 5)
    alone = torch.stack([encoder.encode(w) for w in windows])
    torch.testing.assert_close(found, alone, atol=5e-6, rtol=0)


def test_nothing_behind_the_span_matters_and_nothing_of_it_is_run(encoder):
    behind = WINDOW[:114] + "A" * 126
    assert torch.equal(encoder.encode(WINDOW, 60), encoder.encode(behind, 60))
    assert not torch.equal(encoder.encode(WINDOW, 61), encoder.encode(WINDOW[:113] + "T" + WINDOW[114:], 61))


def test_spelling_of_bases(encoder):
    assert torch.equal(encoder.encode(WINDOW.lower(), 60), encoder.encode(WINDOW, 60))
    with_n = WINDOW[:70] + "N" + WINDOW[71:]
    assert torch.isfinite(encoder.encode(with_n, 60)).all()
    other_n = WINDOW[:70] + "R" + WINDOW[71:]
    assert torch.equal(encoder.encode(with_n, 60), encoder.encode(other_n, 60))


@pytest.mark.parametrize(
    ("window", "locus"),
    [
        ("", None),
        ("ACGTA", None),
        ("A" * 24_582, None),
        (WINDOW, -1),
        (WINDOW, 240),
        (WINDOW, 1.0),
        (WINDOW, True),
        ("ÄCGTAC", None),
    ],
)
def test_windows_that_cannot_be_encoded(encoder, window, locus):
    with pytest.raises(InputError) as caught:
        encoder.encode(window, locus)
    assert caught.value.code == "window-mismatch"
    assert window[:12] not in str(caught.value) or not window


def test_windows_and_loci_of_different_number(encoder):
    with pytest.raises(InputError):
        encoder.encode_batch([WINDOW], [1, 2])


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"dtype": "fp16"}, "dtype-unsupported"),
        ({"dtype": "int8"}, "dtype-unsupported"),
        ({"state_layer": 0}, "config-invalid"),
        ({"state_layer": 11}, "config-invalid"),
        ({"state_layer": -11}, "config-invalid"),
        ({"pool_type": "max"}, "config-invalid"),
        ({"pool_radius": -1}, "config-invalid"),
        ({"pool_radius": 1.5}, "config-invalid"),
        ({"lora_config": LoRAConfig(n_layers=10)}, "config-invalid"),
        ({"device": "cuda:99"}, "config-invalid"),
        ({"device": "abacus"}, "config-invalid"),
    ],
)
def test_options_that_are_refused(make, options, code):
    with pytest.raises(ConfigError) as caught:
        make(**options)
    assert caught.value.code == code
    if options.get("dtype") == "fp16":
        assert "overflow" in str(caught.value)


@pytest.mark.parametrize("revision", ["main", "0.0.0", "", "a" * 39, "A" * 64])
def test_floating_revisions_are_refused(model, revision):
    with pytest.raises(ConfigError) as caught:
        CarbonStateEncoder(model.path, revision)
    assert caught.value.code == "revision-floating"


def test_another_revision_is_refused(model):
    with pytest.raises(ConfigError, match="another revision"):
        CarbonStateEncoder(model.path, "a" * 40)


def test_it_is_frozen(encoder):
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder.encode(WINDOW, 60).requires_grad
    assert encoder.d_state == 16


def test_bf16_layers_and_fp32_states(make, encoder):
    half = make(dtype="bf16")
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    state = half.encode(WINDOW, 60)
    assert state.dtype == torch.float32
    assert float(state @ encoder.encode(WINDOW, 60)) > 0.999
    assert half.encoder_hash != encoder.encoder_hash


def test_another_format_behind_the_encoders_back_is_refused(make):
    encoder = make()
    encoder.half()
    with pytest.raises(ConfigError) as caught:
        encoder.encode(WINDOW, 60)
    assert caught.value.code == "dtype-unsupported"


def test_centre_tokens(make, encoder):
    assert [encoder.center_tok(locus) for locus in (None, 0, 5, 6, 239)] == [-1, 0, 0, 1, 39]
    assert make(pool_type="global_mean").center_tok(6) == -1


def test_the_learned_pool_can_be_trained(make):
    encoder = make(pool_type="attention")
    before = encoder.encoder_hash
    trainable = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trainable == {"attention_pool.query.weight"}
    state = encoder.encode(WINDOW, 60)
    state.square()[0].backward()
    assert float(encoder.attention_pool.query.weight.grad.abs().max()) > 0
    with torch.no_grad():
        encoder.attention_pool.query.weight.add_(0.3)
    assert encoder.encoder_hash != before
    assert not torch.allclose(encoder.encode(WINDOW, 60), state, atol=1e-4)


# Adapters


def test_an_adapter_begins_as_no_change_and_alone_can_be_trained(make, encoder):
    adapted = make(lora_config=LoRAConfig())
    torch.testing.assert_close(adapted.encode(WINDOW, 60), encoder.encode(WINDOW, 60), atol=1e-6, rtol=0)
    trainable = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert len(trainable) == 8 * 4 * 2
    assert all(".lora_" in name and "_proj" in name for name in trainable)
    assert {int(name.split("layers.")[1].split(".")[0]) for name in trainable} == set(range(1, 9))
    adapted.encode(WINDOW, 60)[0].backward()
    graded = {name for name, p in adapted.named_parameters() if p.grad is not None}
    assert graded == trainable


def test_number_of_parameters_at_carbon_500m():
    a = ARCHITECTURES["carbon-500m"]
    with torch.device("meta"):
        tensors = {
            name: torch.empty(shape)
            for name, shape in tensor_shapes(a).items()
            if not name.startswith(tuple(f"model.layers.{i}." for i in range(20, 28)))
        }
        model = llama_model(a, {n: t for n, t in tensors.items() if n != "model.norm.weight"})
        add_adapter(model, LoRAConfig())
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 917_504


def test_an_adapter_is_saved_loaded_and_hashed(make, encoder, tmp_path):
    first, second = make(lora_config=LoRAConfig()), make(lora_config=LoRAConfig())
    untouched = first.encoder_hash
    assert untouched != encoder.encoder_hash
    with torch.no_grad():
        for name, parameter in first.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    assert first.encoder_hash != untouched
    first.save_lora(tmp_path / "adapter")
    second.load_lora(tmp_path / "adapter")
    assert torch.equal(first.encode(WINDOW, 60), second.encode(WINDOW, 60))
    assert first.encoder_hash == second.encoder_hash
    assert not torch.allclose(first.encode(WINDOW, 60), encoder.encode(WINDOW, 60), atol=1e-4)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (16, 32, "LORA")


def test_dropout_is_of_training_alone(make, tmp_path):
    encoder = make(lora_config=LoRAConfig(dropout=0.5))
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    assert torch.equal(encoder.encode(WINDOW, 60), encoder.encode(WINDOW, 60))
    encoder.train()
    assert not torch.equal(encoder.encode(WINDOW, 60), encoder.encode(WINDOW, 60))


def test_an_adapter_of_another_scale_is_refused(make, tmp_path):
    make(lora_config=LoRAConfig(alpha=64)).save_lora(tmp_path)
    with pytest.raises(ProvenanceError) as caught:
        make(lora_config=LoRAConfig()).load_lora(tmp_path)
    assert (caught.value.expected, caught.value.found) == ("lora_alpha = 32", "lora_alpha = 64")


def test_adapters_that_do_not_fit_are_refused(make, tmp_path):
    make(lora_config=LoRAConfig(rank=4)).save_lora(tmp_path)
    encoder = make(lora_config=LoRAConfig())
    before = encoder.encoder_hash
    for damage in (lambda p: None, lambda p: p.write_bytes(p.read_bytes()[:-1]), lambda p: p.unlink()):
        damage(tmp_path / "adapter_model.safetensors")
        with pytest.raises(ProvenanceError) as caught:
            encoder.load_lora(tmp_path)
        assert caught.value.code == "tensor-file-invalid"
    assert encoder.encoder_hash == before
    for call in (lambda: make().save_lora(tmp_path), lambda: make().load_lora(tmp_path)):
        with pytest.raises(ConfigError, match="no adapter"):
            call()


@pytest.mark.parametrize(
    "wrong", [{"rank": 0}, {"alpha": 0}, {"n_layers": 0}, {"targets": ()}, {"dropout": 1.0}]
)
def test_adapters_of_no_shape(wrong):
    with pytest.raises(ConfigError):
        LoRAConfig(**wrong)


# Identity


def test_everything_that_changes_a_state_changes_the_hash(make, encoder):
    others = [
        make(dtype="bf16"),
        make(state_layer=8),
        make(pool_type="centered_mean"),
        make(pool_radius=7),
        make(pool_type="attention"),
        make(lora_config=LoRAConfig()),
    ]
    hashes = {one.encoder_hash for one in (encoder, *others)}
    assert len(hashes) == 7
    assert all(len(h) == 32 for h in hashes)
    assert make(normalize=False).encoder_hash == encoder.encoder_hash == make().encoder_hash


def test_identity_is_written_and_read(model, encoder, tmp_path):
    identity = encoder.identity
    identity.write(tmp_path)
    assert EncoderIdentity.read(tmp_path) == identity
    lines = (tmp_path / "encoder_hash.txt").read_text().splitlines()
    assert lines == [
        f"encoder_hash {identity.encoder_hash.hex()}",
        f"weights_sha256 {identity.weights_sha256}",
        f"runtime_sha256 {identity.runtime_sha256}",
    ]
    config = json.loads((tmp_path / "config.json").read_text())["encoder"]
    assert config["revision"] == encoder.identity.revision
    assert config["weights_sha256"] == model.manifest.weights_sha256


@pytest.mark.parametrize("file", ["config.json", "encoder_hash.txt"])
def test_identities_that_do_not_hold_together_are_refused(encoder, tmp_path, file):
    encoder.identity.write(tmp_path)
    path = tmp_path / file
    text = path.read_text()
    for other in (text.replace("a", "b"), text[:-3], "", "{}", "[" * 100_000):
        path.write_text(other)
        with pytest.raises(ProvenanceError) as caught:
            EncoderIdentity.read(tmp_path)
        assert caught.value.code == "encoder-identity-invalid"
    path.unlink()
    with pytest.raises(ProvenanceError):
        EncoderIdentity.read(tmp_path)


def test_a_new_revision_of_the_same_weights_gives_the_same_states(encoder):
    old = encoder.identity
    new = dataclasses.replace(old, revision="b" * 40, tokenizer={"tokenizer.py": "0" * 64})
    assert new.encoder_hash != old.encoder_hash
    assert new.same_states(old)
    assert not dataclasses.replace(new, weights_sha256="0" * 64).same_states(old)
    assert not new.with_contract(dtype="bf16").same_states(old)


# Files of Carbon's layout


@pytest.fixture(scope="module")
def carbon_like(tmp_path_factory):
    """A model of Carbon's vocabulary and of half its width, in bf16, in three shards."""
    folder = tmp_path_factory.mktemp("carbon")
    shape = Architecture(
        n_layers=6,
        d_model=512,
        n_heads=8,
        n_kv_heads=4,
        head_dim=64,
        d_ffn=1_536,
        rms_norm_eps=1e-6,
        rope_theta=5e5,
    )
    rng = np.random.default_rng(3)
    shards, values = [], {}
    names = sorted(tensor_shapes(shape))
    for i in range(3):
        header, parts, offset = {"__metadata__": {"format": "pt"}} if i else {}, [], 0
        for name in names[i::3]:
            rows, *rest = tensor_shapes(shape)[name]
            if name == "model.embed_tokens.weight":
                rows = CARBON_VOCABULARY.n_rows
            value = (rng.standard_normal((rows, *rest), dtype=np.float32) * 0.02).view(np.uint32)
            bits = (value >> 16).astype("<u2")
            if "norm" in name:
                bits[:] = 0x3F80
            values[name] = (bits.astype(np.uint32) << 16).view(np.float32)
            header[name] = {
                "dtype": "BF16",
                "shape": list(bits.shape),
                "data_offsets": [offset, offset + bits.nbytes],
            }
            offset += bits.nbytes
            parts.append(bits.tobytes())
        text = json.dumps(header).encode()
        path = folder / f"model-{i + 1:05}-of-00003.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
        shards.append(digest_file(path))
    seed = write_model(folder / "seed", SHAPE, TENSORS, Contract(state_layer=4)).manifest
    manifest = dataclasses.replace(
        seed,
        name="carbon-like",
        version="c" * 40,
        architecture=shape,
        weights=tuple(shards),
        vocabulary=CARBON_VOCABULARY,
    )
    write_manifest(folder, manifest)
    return folder, shape, values


def test_shards_of_carbons_layout_give_the_states_of_transformers(carbon_like):
    folder, shape, values = carbon_like
    encoder = CarbonStateEncoder(folder, "c" * 40, dtype="fp32")
    ids = Vocabulary(CARBON_VOCABULARY.dna_row)
    tokens = np.concatenate([[ids.dna], ids.encode(WINDOW)]).astype(np.int64)
    whole = dataclasses.replace(shape, vocab_rows=CARBON_VOCABULARY.n_rows)
    oracle = LlamaForCausalLM(llama_config(whole)).eval()
    oracle.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()}, strict=False)
    with torch.inference_mode():
        hidden = oracle(torch.from_numpy(tokens)[None], output_hidden_states=True).hidden_states[4][0, 1:]
    h = hidden.numpy().astype(np.float64)
    rows = h / np.sqrt(np.mean(h**2, axis=1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(encoder.encode(WINDOW, 60).numpy(), unit(rows[10:19].mean(axis=0)), atol=2e-6)


MEASURE = """
import sys
import torch
from genolewm_encoder.carbon import CarbonStateEncoder

def kib(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":"))

torch.zeros(1)
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
before = kib("VmRSS")
encoder = CarbonStateEncoder(sys.argv[1], "c" * 40, dtype=sys.argv[2], device="cpu")
kept = sum(p.numel() * p.element_size() for p in encoder.parameters())
print((kib("VmHWM") - before) * 1024 / kept, kept)
"""


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_loading_takes_little_more_memory_than_what_is_kept(carbon_like, dtype):
    """Of 190 MB of vocabulary and six layers, the DNA rows and four layers."""
    folder, shape, _ = carbon_like
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, folder, dtype], capture_output=True, text=True, check=True
    )
    ratio, kept = map(float, answer.stdout.split())
    needed = sum(
        np.prod(size)
        for name, size in tensor_shapes(dataclasses.replace(shape, n_layers=4)).items()
        if name != "model.norm.weight"
    )
    assert kept == needed * (2 if dtype == "bf16" else 4)
    # Of a small model the interpreter's own growth is a visible share; docs/encoder.md has the full size.
    assert ratio < 1.1 + 12e6 / kept
