"""Weights out of several files: only what is needed is read, and nothing of a file that is not as promised."""

import dataclasses

import numpy as np
import pytest

from genolewm_core.artifacts.architectures import Architecture, tensor_shapes
from genolewm_core.artifacts.manifest import Contract, ModelDirectory, digest_file, write_manifest
from genolewm_core.artifacts.weights import StoredVocabulary, digest_of_shards
from genolewm_core.errors import ProvenanceError
from genolewm_core.testing.models import safetensors_bytes, write_model

SHAPE = Architecture(
    n_layers=3,
    d_model=8,
    n_heads=2,
    n_kv_heads=1,
    head_dim=4,
    d_ffn=12,
    rms_norm_eps=1e-6,
    rope_theta=1e4,
    tied=False,
)
BEFORE, BEHIND = 30, 5
RNG = np.random.default_rng(7)
TENSORS = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in tensor_shapes(SHAPE).items()}
VOCABULARY = ("model.embed_tokens.weight", "lm_head.weight")


def stored(tensors):
    """The tensors as Carbon stores them: more rows of vocabulary before and behind the DNA rows."""

    def around(array):
        return np.concatenate(
            [np.full((BEFORE, 8), 7, np.float32), array, np.full((BEHIND, 8), 9, np.float32)]
        )

    return {name: around(a) if name in VOCABULARY else a for name, a in tensors.items()}


@pytest.fixture
def sharded(tmp_path):
    model = write_model(tmp_path, SHAPE, TENSORS, Contract(state_layer=2))
    (tmp_path / "model.safetensors").unlink()
    names = sorted(TENSORS)
    whole = stored(TENSORS)
    shards = []
    for i, part in enumerate((names[:10], names[10:20], names[20:])):
        path = tmp_path / f"model-{i}.safetensors"
        path.write_bytes(safetensors_bytes({name: whole[name] for name in part}))
        shards.append(digest_file(path))
    vocabulary = StoredVocabulary(BEFORE + SHAPE.vocab_rows + BEHIND, BEFORE)
    write_manifest(
        tmp_path, dataclasses.replace(model.manifest, weights=tuple(shards), vocabulary=vocabulary)
    )
    return ModelDirectory.open(tmp_path)


def refused(model, code="tensor-file-invalid"):
    with pytest.raises(ProvenanceError) as caught:
        model.tensors()
    assert caught.value.code == code
    return caught.value


def test_shards_give_the_model_with_its_dna_rows(sharded):
    found = sharded.tensors()
    assert found.keys() == TENSORS.keys()
    for name, array in found.items():
        assert np.array_equal(array, TENSORS[name]), name


def test_layers_and_the_head_are_left_out_where_they_are_not_needed(sharded):
    names = {name for name, _ in sharded.stored_tensors(n_layers=2, head=False)}
    assert names == {n for n in TENSORS if not n.startswith("model.layers.2.")} - {
        "lm_head.weight",
        "model.norm.weight",
    }


def test_every_shard_is_hashed(sharded):
    path = sharded.path / "model-2.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    refused(sharded, "artifact-digest")


def other(model, **changes):
    return ModelDirectory(model.path, dataclasses.replace(model.manifest, **changes))


def test_shards_that_do_not_make_the_model_are_refused(sharded):
    shards = sharded.manifest.weights
    assert refused(other(sharded, weights=shards[:2])).found == "no such tensor"
    assert refused(other(sharded, weights=(*shards, shards[0]))).found == "the tensor twice"
    narrow = StoredVocabulary(BEFORE + SHAPE.vocab_rows, BEFORE)
    assert "4137" in refused(other(sharded, vocabulary=narrow)).expected
    deeper = dataclasses.replace(SHAPE, n_layers=4)
    assert "layers.3" in refused(other(sharded, architecture=deeper)).where


def test_a_file_that_changes_while_it_is_read_is_refused(sharded):
    tensors = sharded.stored_tensors()
    next(tensors)
    path = sharded.path / sharded.manifest.weights[0].name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ProvenanceError) as caught:
        list(tensors)
    assert caught.value.code == "artifact-digest"


def test_the_digest_of_weights(sharded):
    one, *more = sharded.manifest.weights
    assert digest_of_shards([one]) == one.sha256
    assert digest_of_shards([one, *more]) != digest_of_shards([*more, one])
    assert sharded.manifest.weights_sha256 == digest_of_shards(sharded.manifest.weights)
