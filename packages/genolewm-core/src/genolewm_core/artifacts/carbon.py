"""Carbon's published files: what they must say, and the manifest that makes a model directory of them.

Carbon is a stock Llama whose vocabulary holds the six-mers behind those of a text tokenizer. Its tokenizer is
code, which is never run: the six-mer tokens are computed by `scoring.sixmer`, and the files are only asked
whether they mean the same tokens. Sources: the published configurations and tokenizer of
HuggingFaceBio/Carbon-500M, -3B and -8B.
"""

from __future__ import annotations

import ast
import json
import re
import reprlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genolewm_core.artifacts.architectures import ARCHITECTURES, Architecture
from genolewm_core.artifacts.manifest import Contract, Manifest
from genolewm_core.artifacts.verified import FileDigest, read_verified
from genolewm_core.artifacts.weights import StoredVocabulary
from genolewm_core.errors import ConfigError, ProvenanceError

__all__ = [
    "CARBON_VOCABULARY",
    "RELEASES",
    "CarbonRelease",
    "carbon_manifest",
    "check_config",
    "check_revision",
    "check_tokenizer",
    "weight_files",
]

CARBON_VOCABULARY = StoredVocabulary(n_rows=155_776, dna_row=151_669)
"""Rows of Carbon's embedding: a text vocabulary, `<dna>`, `</dna>`, `<oov>`, the six-mers and eight unused."""

CONFIG, INDEX, WEIGHTS = "config.json", "model.safetensors.index.json", "model.safetensors"
DNA_CONFIG, TOKENIZER_CODE, TEXT_TOKENIZER = "dna_config.json", "tokenizer.py", "tokenizer.json"

_SPECIAL = ["<dna>", "</dna>", "<oov>"]
_BASES = ["A", "T", "C", "G"]
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class CarbonRelease:
    """A published size of Carbon.

    Attributes:
        name: "carbon-500m", "carbon-3b" or "carbon-8b".
        repo: its name on the Hugging Face Hub.
        state_layer: layers after which states are read by default: 20 of Carbon-500M, where published
            displacements separate best; the same share of the depth elsewhere, which nobody has measured.
    """

    name: str
    repo: str
    state_layer: int

    @property
    def architecture(self) -> Architecture:
        """Its shape with the vocabulary cut to the DNA rows."""
        return ARCHITECTURES[self.name]


RELEASES = {
    release.name: release
    for release in (
        CarbonRelease("carbon-500m", "HuggingFaceBio/Carbon-500M", 20),
        CarbonRelease("carbon-3b", "HuggingFaceBio/Carbon-3B", 21),
        CarbonRelease("carbon-8b", "HuggingFaceBio/Carbon-8B", 23),
    )
}


def check_revision(revision: str) -> None:
    """Refuse what may name other files tomorrow: a branch, a tag, a shortened commit.

    Raises:
        ConfigError: `revision-floating`.
    """
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise ConfigError(
            "revision-floating",
            "A model's revision must be pinned.",
            where="revision",
            expected="a commit: 40 digits of 0-9 and a-f",
            found=reprlib.repr(revision),
            next_step="give the full commit of the files that you want, as the model's page shows it",
        )


def carbon_manifest(
    directory: Path, release: CarbonRelease, revision: str, files: Sequence[FileDigest]
) -> Manifest:
    """The manifest of a folder of Carbon's published files, after its small files were checked.

    Args:
        directory: the folder; the files' digests are checked here once more, those of the weights when they are
            loaded.
        release: which Carbon it is said to be.
        revision: commit that the files are of.
        files: every file of the release with its verified digest.

    Raises:
        ConfigError: `revision-floating`.
        ProvenanceError: `carbon-files-invalid`, `artifact-digest`, `artifact-path`.
    """
    check_revision(revision)
    by_name = {file.name: file for file in files}

    def read(name: str) -> bytes | None:
        return read_verified(directory, by_name[name]) if name in by_name else None

    config = read(CONFIG)
    if config is None:
        raise _invalid(CONFIG, "the file", "none")
    check_config(config, release.architecture)
    check_tokenizer(read(DNA_CONFIG), read(TOKENIZER_CODE), read(TEXT_TOKENIZER))
    weights = weight_files(by_name.keys(), read(INDEX))
    return Manifest(
        name=release.name,
        version=revision,
        architecture=release.architecture,
        contract=Contract(state_layer=release.state_layer),
        weights=tuple(by_name[name] for name in weights),
        vocabulary=CARBON_VOCABULARY,
        default_heads={
            "substitution": "displacement",
            "indel_in_phase": "displacement",
            "indel_out_of_phase": "delta_ll",
        },
        demonstration=False,
        training={"source": {"repo": release.repo, "revision": revision}},
        other_files=tuple(by_name[name] for name in sorted(by_name.keys() - set(weights))),
    )


def check_config(data: bytes, architecture: Architecture) -> None:
    """Refuse a config.json that is not a stock Llama of this shape over Carbon's vocabulary.

    Raises:
        ProvenanceError: `carbon-files-invalid`.
    """
    config = _json_object(CONFIG, data)
    a = architecture
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, dict) or rope.get("rope_type", rope.get("type", "default")) != "default":
        raise _invalid(CONFIG, "unscaled rotary positions", f"rope {reprlib.repr(rope)}")
    found = {
        "rope_theta": rope.get("rope_theta", config.get("rope_theta")),
        "head_dim": config.get("head_dim") or a.head_dim,
        "attention_bias": config.get("attention_bias", False),
        "mlp_bias": config.get("mlp_bias", False),
    }
    expected: dict[str, object] = {
        "model_type": "llama",
        "vocab_size": CARBON_VOCABULARY.n_rows,
        "hidden_size": a.d_model,
        "num_hidden_layers": a.n_layers,
        "num_attention_heads": a.n_heads,
        "num_key_value_heads": a.n_kv_heads,
        "head_dim": a.head_dim,
        "intermediate_size": a.d_ffn,
        "hidden_act": "silu",
        "rms_norm_eps": a.rms_norm_eps,
        "rope_theta": a.rope_theta,
        "tie_word_embeddings": a.tied,
        "attention_bias": False,
        "mlp_bias": False,
    }
    _same_fields(CONFIG, {**config, **found}, expected)


def check_tokenizer(
    dna_config: bytes | None, tokenizer_code: bytes | None, text_tokenizer: bytes | None = None
) -> None:
    """Refuse tokenizer files that would make other tokens than `scoring.sixmer`; None where there is no file.

    The tokenizer's code is parsed and never run: it must hold the bases in the order A, T, C, G.

    Raises:
        ProvenanceError: `carbon-files-invalid`.
    """
    if dna_config is not None:
        config = _json_object(DNA_CONFIG, dna_config)
        expected = {"k": 6, "dna_start_id": CARBON_VOCABULARY.dna_row, "dna_vocab_size": 4_107}
        _same_fields(DNA_CONFIG, config, expected)
        _same_fields(DNA_CONFIG, {"auto_dna_tags": False, **config}, {"auto_dna_tags": False})
        for name, value in config.items():
            if isinstance(value, list) and set(_SPECIAL) & {v for v in value if isinstance(v, str)}:
                _same_fields(DNA_CONFIG, {name: value[: len(_SPECIAL)]}, {name: _SPECIAL})
    if tokenizer_code is not None:
        orders = _base_orders(tokenizer_code)
        if _BASES not in orders:
            found = reprlib.repr(orders) if orders else "no order of bases"
            raise _invalid(TOKENIZER_CODE, "the bases in the order A, T, C, G", found)
    if text_tokenizer is not None:
        tokenizer = _json_object(TEXT_TOKENIZER, text_tokenizer)
        model, added = tokenizer.get("model"), tokenizer.get("added_tokens") or []
        vocabulary = model.get("vocab") if isinstance(model, dict) else None
        if not isinstance(vocabulary, dict) or not isinstance(added, list):
            raise _invalid(TEXT_TOKENIZER, "a vocabulary and added tokens", "something else")
        names = {token.get("content") for token in added if isinstance(token, dict)}
        _same_fields(
            TEXT_TOKENIZER,
            {"number of tokens": len(vocabulary.keys() | names)},
            {"number of tokens": CARBON_VOCABULARY.dna_row},
        )


def weight_files(names: Collection[str], index: bytes | None) -> list[str]:
    """Names of the weight files in order: the one file, or the shards that the index names.

    Raises:
        ProvenanceError: `carbon-files-invalid`.
    """
    if index is None:
        if WEIGHTS not in names:
            raise _invalid(WEIGHTS, f"{WEIGHTS}, or {INDEX} with its shards", "neither")
        return [WEIGHTS]
    weight_map = _json_object(INDEX, index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise _invalid(INDEX, "a weight_map", reprlib.repr(weight_map))
    shards = sorted({str(name) for name in weight_map.values()})
    for name in shards:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise _invalid(INDEX, "names of safetensors files beside it", reprlib.repr(name))
    missing = [name for name in shards if name not in names]
    if missing:
        raise _invalid(INDEX, "every shard that it names", f"no {missing[0]}")
    return shards


def _base_orders(code: bytes) -> list[list[str]]:
    """Every order in which the four bases stand as one literal of Python source: a list, a tuple or a string."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _invalid(TOKENIZER_CODE, "Python source", "something else") from error
    orders = []
    for node in ast.walk(tree):
        letters: list[object] = []
        if isinstance(node, ast.List | ast.Tuple):
            letters = [e.value for e in node.elts if isinstance(e, ast.Constant)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            letters = list(node.value)
        if len(letters) == len(_BASES) and {*letters} == {*_BASES}:
            orders.append([str(letter) for letter in letters])
    return orders


def _json_object(name: str, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _invalid(name, "JSON", "something else") from error
    if not isinstance(value, dict):
        raise _invalid(name, "a JSON object", type(value).__name__)
    return value


def _same_fields(name: str, found: dict[str, Any], expected: dict[str, Any]) -> None:
    for field, value in expected.items():
        own = found.get(field, _ABSENT)
        # True == 1 in Python, not here.
        if own != value or isinstance(own, bool) != isinstance(value, bool):
            shown = "nothing" if own is _ABSENT else reprlib.repr(own)
            raise _invalid(name, f"{field} = {value!r}", f"{field} = {shown}")


def _invalid(name: str, expected: str, found: str) -> ProvenanceError:
    return ProvenanceError(
        "carbon-files-invalid",
        "A file is not what Carbon publishes.",
        where=name,
        expected=expected,
        found=found,
        next_step="get all files of one commit of the model again, or choose the size of Carbon that they are of",
    )
