"""Carbon's files: what they must say, in tables; and the manifest that is made of them."""

import json

import pytest

from genolewm_core.artifacts.carbon import (
    RELEASES,
    carbon_manifest,
    check_config,
    check_revision,
    check_tokenizer,
    weight_files,
)
from genolewm_core.artifacts.manifest import digest_file
from genolewm_core.errors import ConfigError, ProvenanceError

REVISION = "9796b752108258c1d365089f842e62e6c0547704"
SMALL = RELEASES["carbon-500m"]
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 155_776,
    "hidden_size": 1_024,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 3_072,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
    "rope_theta": 500_000.0,
    "rope_scaling": None,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": 1,
    "torch_dtype": "bfloat16",
}
DNA_CONFIG = {
    "k": 6,
    "dna_start_id": 151_669,
    "dna_vocab_size": 4_107,
    "special_tokens": ["<dna>", "</dna>", "<oov>"],
    "auto_dna_tags": False,
}
TOKENIZER = """
from itertools import product
BASES = ["A", "T", "C", "G"]
VALID = set("ACGT")
KMERS = ["".join(p) for p in product(BASES, repeat=6)]
"""


def refused(call):
    with pytest.raises(ProvenanceError) as caught:
        call()
    assert caught.value.code == "carbon-files-invalid"
    return caught.value


def text(value):
    return json.dumps(value).encode()


def without(value, name):
    return {key: v for key, v in value.items() if key != name}


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        without(CONFIG, "head_dim"),
        without(CONFIG, "attention_bias"),
        {**without(CONFIG, "rope_theta"), "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
        {**CONFIG, "rope_theta": 500_000},
    ],
)
def test_a_stock_llama_of_the_right_shape_is_accepted(config):
    check_config(text(config), SMALL.architecture)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "qwen3"),
        ("vocab_size", 151_936),
        ("hidden_size", 2_048),
        ("num_hidden_layers", 30),
        ("num_attention_heads", 32),
        ("num_key_value_heads", 16),
        ("head_dim", 128),
        ("intermediate_size", 8_448),
        ("hidden_act", "gelu"),
        ("rms_norm_eps", 1e-5),
        ("rope_theta", 5_000_000.0),
        ("tie_word_embeddings", False),
        ("tie_word_embeddings", 1),
        ("attention_bias", True),
        ("mlp_bias", True),
        ("rope_scaling", {"rope_type": "yarn", "factor": 2.0}),
        ("rope_scaling", [1]),
        ("vocab_size", None),
    ],
)
def test_another_model_is_refused(field, value):
    error = refused(lambda: check_config(text({**CONFIG, field: value}), SMALL.architecture))
    assert error.where == "config.json"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"[" * 100_000])
def test_files_that_are_no_json_objects(data):
    refused(lambda: check_config(data, SMALL.architecture))
    refused(lambda: check_tokenizer(data, None))
    refused(lambda: check_tokenizer(None, None, data))
    refused(lambda: weight_files(["a"], data))


def test_the_published_tokenizer_files_are_accepted_and_may_be_absent():
    check_tokenizer(text(DNA_CONFIG), TOKENIZER.encode())
    check_tokenizer(None, None)
    check_tokenizer(text(without(DNA_CONFIG, "special_tokens")), b'BASES = "ATCG"')


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("k", 3),
        ("k", True),
        ("dna_start_id", 151_670),
        ("dna_vocab_size", 4_099),
        ("auto_dna_tags", True),
        ("special_tokens", ["</dna>", "<dna>", "<oov>"]),
        ("special_tokens", ["<dna>"]),
        ("k", None),
    ],
)
def test_another_dna_vocabulary_is_refused(field, value):
    refused(lambda: check_tokenizer(text({**DNA_CONFIG, field: value}), None))


@pytest.mark.parametrize(
    "code",
    [
        b'BASES = ["A", "C", "G", "T"]',
        b'BASES = ("G", "C", "T", "A")',
        b'BASES = "ACGT"',
        b"",
        b"raise SystemExit",
        b"def f(:",
        b"\0",
        b"# A, T, C, G",
        b'BASES = ["A", "T", "C", "G", "N"]',
    ],
)
def test_a_tokenizer_of_another_base_order_is_refused_without_being_run(code):
    refused(lambda: check_tokenizer(None, code))


def test_the_text_vocabulary_is_counted():
    vocabulary = {f"t{i}": i for i in range(151_643)}
    added = [{"content": f"added{i}"} for i in range(26)]
    check_tokenizer(None, None, text({"model": {"vocab": vocabulary}, "added_tokens": added}))
    refused(
        lambda: check_tokenizer(None, None, text({"model": {"vocab": vocabulary}, "added_tokens": added[1:]}))
    )
    refused(lambda: check_tokenizer(None, None, text({"model": {}})))


@pytest.mark.parametrize(
    "revision", ["main", "v1.0", "", "9796b75", REVISION.upper(), REVISION + "0", f"{REVISION}\n", "g" * 40]
)
def test_floating_revisions_are_refused(revision):
    with pytest.raises(ConfigError) as caught:
        check_revision(revision)
    assert caught.value.code == "revision-floating"


def test_shards_are_named_by_the_index_in_order():
    weight_map = {"b": "model-00002-of-00002.safetensors", "a": "model-00001-of-00002.safetensors"}
    names = sorted(weight_map.values())
    assert weight_files(names, text({"weight_map": weight_map})) == names
    assert weight_files(["model.safetensors"], None) == ["model.safetensors"]
    refused(lambda: weight_files(names[:1], text({"weight_map": weight_map})))
    refused(lambda: weight_files([], None))
    for bad in ({}, [], None, {"a": "../x.safetensors"}, {"a": "x.bin"}, {"a": 1}):
        refused(lambda bad=bad: weight_files(names, text({"weight_map": bad})))


def test_manifest_of_a_folder_of_published_files(tmp_path):
    contents = {
        "config.json": text(CONFIG),
        "dna_config.json": text(DNA_CONFIG),
        "tokenizer.py": TOKENIZER.encode(),
        "model.safetensors": b"weights",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    files = [digest_file(tmp_path / name) for name in contents]
    manifest = carbon_manifest(tmp_path, SMALL, REVISION, files)
    assert (manifest.name, manifest.version) == ("carbon-500m", REVISION)
    assert [file.name for file in manifest.weights] == ["model.safetensors"]
    assert [file.name for file in manifest.other_files] == ["config.json", "dna_config.json", "tokenizer.py"]
    assert manifest.vocabulary.dna_row + manifest.architecture.vocab_rows == manifest.vocabulary.n_rows
    refused(lambda: carbon_manifest(tmp_path, RELEASES["carbon-3b"], REVISION, files))
    refused(lambda: carbon_manifest(tmp_path, SMALL, REVISION, files[1:]))
    (tmp_path / "config.json").write_bytes(text({**CONFIG, "extra": 1}))
    with pytest.raises(ProvenanceError, match="promises"):
        carbon_manifest(tmp_path, SMALL, REVISION, files)
