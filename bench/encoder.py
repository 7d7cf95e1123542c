"""Carbon in PyTorch: ours against Transformers on the same weights, in one process.

    python bench/encoder.py --shape carbon-500m --dtype bf16 --data DATA
    python bench/encoder.py --shape mini --dtype fp32 --pairs 5

Weights are random: time does not depend on them. Measured:

* `ratios`: seconds a variant of the plain way over seconds a variant of ours. The plain way is Transformers'
  LlamaForCausalLM with its whole vocabulary (155,776 rows for Carbon's shape): the reference and the edited
  window in full, 2,049 tokens each, with logits of every token and hidden states of every layer, as a caller
  needs for a difference of log-likelihood and of states. Both must agree before anything is timed.
  bf16 on a CPU without bf16 instructions is emulated by PyTorch, many times slower than fp32; ours computes the
  same products in fp32 (genolewm_encoder.wide_linear), and so that the ratio is not of that, the plain way is
  given it too. `emulated_s` is one variant the plain way without.
  Workloads: `isolated` (one variant a cell, at places spread evenly over the cell), `personal` (cells of
  NA12878 in the demo slice), `saturation` (the fullest cell of the BRCA1 set; without --data all SNVs of 302
  consecutive bases).
* `window`: one full window, seconds of Transformers' LlamaModel over seconds of ours.
* `trunk`: floating-point operations a second of a trunk, over those of the seven matrix products of a layer at
  the same shapes, timed in turn: in the same dtype by PyTorch, and in fp32.
* `loading`: a file of Carbon's layout (all rows of vocabulary, all layers, bf16) loaded to the state layer: peak
  memory over memory kept, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import paired, publish, spread
from inference import FULL_VOCABULARY, STATE_LAYERS, WINDOW_TOK, Cell, personal_cells, saturated_cell
from transformers import LlamaForCausalLM

from genolewm_core.artifacts.architectures import ARCHITECTURES, Architecture, tensor_shapes
from genolewm_core.artifacts.carbon import CARBON_VOCABULARY
from genolewm_core.artifacts.manifest import Contract, Manifest, digest_file, write_manifest
from genolewm_core.genome.alleles import Replacement
from genolewm_core.scoring.backend import Trunk
from genolewm_core.scoring.cells import Geometry, StrandView
from genolewm_core.scoring.passes import PassOptions, score_cell
from genolewm_core.scoring.sixmer import N_SIXMERS, K, Vocabulary
from genolewm_encoder.llama import TorchBackend
from genolewm_encoder.loading import default_device, llama_config
from genolewm_encoder.wide_linear import widen_products

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
# bf16 rounds a log-probability to about 0.03, and 18 of them are summed.
TOLERANCE = {"bf16": 0.3, "fp32": 1e-4}
NOTHING = np.zeros(0, dtype=np.int64)


class Plain:
    """Transformers' own model with its whole vocabulary."""

    def __init__(
        self, architecture: Architecture, vocabulary_rows: int, dtype: torch.dtype, device: Any
    ) -> None:
        torch.manual_seed(0)
        config = llama_config(replace(architecture, vocab_rows=vocabulary_rows))
        config.dtype = dtype
        with torch.device(device):
            self.model = LlamaForCausalLM(config).to(dtype).requires_grad_(False).eval()
        # Rows of the initial scale give logits without contrast; the rest of the vocabulary costs time alone.
        self.model.model.embed_tokens.weight.mul_(5)
        self.model.tie_weights()

    def windows(self, cell: Cell, edit: Replacement, geometry: Geometry) -> Iterator[torch.Tensor]:
        """Token ids (1, T) of the reference window and of the edited one."""
        start = geometry.window(cell.index, StrandView(cell.contig)).start
        bases = cell.contig.fetch(start, start + geometry.window_bp + K)
        for text in (bases, bases[: edit.start - start] + edit.alt + bases[edit.end - start :]):
            ids = np.concatenate([[0], Vocabulary(0).encode(text[: K * WINDOW_TOK])]).astype(np.int64)
            yield torch.from_numpy(ids)[None].to(self.model.device)

    @torch.inference_mode()
    def score(self, cell: Cell, edit: Replacement, options: PassOptions) -> float:
        """delta_ll of a substitution, from two passes with logits and hidden states of every token."""
        hidden, codes = [], []
        for ids in self.windows(cell, edit, options.geometry):
            out = self.model(ids, output_hidden_states=True)
            codes.append(ids[0, 1:].cpu().numpy() - Vocabulary(0).sixmer_start)
            # The logits that were computed are bf16; those that are checked are of the same rows in fp32.
            hidden.append(out.hidden_states[-1][0])
        first = int(np.flatnonzero(codes[0] != codes[1])[0])
        places = np.arange(first, first + options.ll_tok)
        six = slice(Vocabulary(0).sixmer_start, Vocabulary(0).sixmer_start + N_SIXMERS)
        head_VD = self.model.lm_head.weight[six].float()
        sums = []
        for h_TD, codes_T in zip(hidden, codes, strict=True):
            logp = (
                torch.log_softmax(h_TD[places].float() @ head_VD.T, dim=-1).cpu().numpy().astype(np.float64)
            )
            sums.append(logp[np.arange(len(places)), codes_T[places]].sum())
        return float(sums[1] - sums[0])

    def ours(self, architecture: Architecture, state_layer: int) -> TorchBackend:
        """Our backend on the same tensors."""
        tensors = {
            name: t.detach() for name, t in self.model.state_dict().items() if name != "lm_head.weight"
        }
        rows = slice(0, architecture.vocab_rows)
        tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][rows].clone()
        if not architecture.tied:
            tensors["lm_head.weight"] = self.model.lm_head.weight.detach()[rows].clone()
        return TorchBackend(architecture, tensors, state_layer)


def isolated_cells(cells: list[Cell], geometry: Geometry) -> list[Cell]:
    """One substitution a cell, nearest to places spread evenly over a cell, so that trunks are of mean length."""
    found = []
    for i, cell in enumerate(cells):
        place = cell.index * geometry.cell_bp + geometry.cell_bp * (i + 0.5) / len(cells)
        edits = [e for e in cell.edits if e.net == 0]
        found.append(replace(cell, edits=[min(edits, key=lambda e: abs(e.start - place))]))
    return found


def compare(
    plain: Plain, ours: TorchBackend, cells: list[Cell], options: PassOptions, pairs: int, tolerance: float
) -> dict[str, Any]:
    """Time a workload against the plain way."""
    n_variants, n_tok = sum(len(cell.edits) for cell in cells), 0
    first = next((cell, edit) for cell in cells for edit in cell.edits if edit.net == 0)

    def candidate() -> float:
        nonlocal n_tok
        n_tok = sum(score_cell(ours, c.contig, c.index, c.edits, options).n_tok for c in cells)
        return n_variants

    def baseline() -> float:
        plain.score(*first, options)
        return 1

    def check() -> None:
        expected = plain.score(*first, options)
        cell, edit = first
        found = score_cell(ours, cell.contig, cell.index, [edit], options).values["delta_ll"][0]
        assert abs(found - expected) <= tolerance * max(1.0, abs(expected)), (found, expected)

    timing = paired(baseline, candidate, check=check, pairs=pairs, warm_up=False)
    return {
        **timing.summary(),
        "variants": n_variants,
        "cells": len(cells),
        "tokens_per_variant": n_tok / n_variants,
        "token_ratio": 2 * (WINDOW_TOK + 1) * n_variants / n_tok,
    }


def full_window(plain: Plain, ours: TorchBackend, pairs: int) -> dict[str, Any]:
    """One full window: Transformers' LlamaModel against ours, the final norm on every row included."""
    ids = np.random.default_rng(0).integers(3, 3 + N_SIXMERS, WINDOW_TOK + 1).astype(np.int32)
    ids[0] = 0
    tensor = torch.from_numpy(ids.astype(np.int64))[None].to(plain.model.device)

    @torch.inference_mode()
    def baseline() -> float:
        plain.model.model(tensor, use_cache=False)
        return 1

    def candidate() -> float:
        ours.open(Trunk(ids, np.arange(len(ids)), NOTHING, full_depth=True, keep=False))
        return 1

    return paired(baseline, candidate, check=lambda: None, pairs=pairs).summary()


def trunk_rate(
    ours: TorchBackend, a: Architecture, dtype: torch.dtype, device: Any, pairs: int
) -> dict[str, Any]:
    """Operations a second of a mean trunk over those of its matrix products alone."""
    n_tok = 1_033
    ids = np.full(n_tok, 5, dtype=np.int32)
    shapes = [
        shape
        for name, shape in tensor_shapes(a).items()
        if name.startswith("model.layers.0.") and len(shape) == 2
    ]
    linear = 2 * n_tok * sum(o * i for o, i in shapes)
    # Queries times keys and weights times values, under the diagonal.
    attention = 2 * 2 * a.n_heads * a.head_dim * n_tok * (n_tok + 1) // 2

    def trunk() -> float:
        ours.open(Trunk(ids, NOTHING, NOTHING, full_depth=True))
        if device.type == "cuda":
            torch.cuda.synchronize()
        return a.n_layers * (linear + attention)

    results: dict[str, Any] = {"tokens": n_tok, "pairs": pairs}
    for name, kind in {"same_dtype": dtype, "fp32": torch.float32}.items():
        products = [
            tuple(torch.randn(rows, i, dtype=kind, device=device) for rows in (n_tok, o)) for o, i in shapes
        ]

        @torch.inference_mode()
        def matmul(products: list[Any] = products) -> float:
            for x, w in products:
                torch.nn.functional.linear(x, w)
            if device.type == "cuda":
                torch.cuda.synchronize()
            return linear

        timing = paired(matmul, trunk, check=lambda: None, pairs=pairs)
        results[name] = {
            "share_of_matmul_rate": spread(timing.ratios),
            "matmul_gflop_per_s": 1e-9 / float(np.median(timing.baseline_s)),
            "trunk_gflop_per_s": 1e-9 / float(np.median(timing.candidate_s)),
        }
    return results


MEASURE = """
import sys, time, torch
from genolewm_encoder.carbon import CarbonStateEncoder
def kib(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":"))
torch.zeros(1)
open("/proc/self/clear_refs", "w").write("5")
before, started = kib("VmRSS"), time.perf_counter()
encoder = CarbonStateEncoder(sys.argv[1], "c" * 40, dtype=sys.argv[2], device="cpu")
kept = sum(p.numel() * p.element_size() for p in encoder.parameters())
print(kept, (kib("VmHWM") - before) * 1024, time.perf_counter() - started)
"""


def loading(a: Architecture, state_layer: int, dtype: str) -> dict[str, Any]:
    """Peak memory and seconds of loading a file of Carbon's layout to the state layer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        header: dict[str, Any] = {}
        offset = 0
        for name, (rows, *rest) in tensor_shapes(a).items():
            shape = [CARBON_VOCABULARY.n_rows if rows == a.vocab_rows else rows, *rest]
            end = offset + 2 * int(np.prod(shape))
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
            offset = end
        text = json.dumps(header).encode()
        rng = np.random.default_rng(0)
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for entry in header.values():
                n = int(np.prod(entry["shape"]))
                values = rng.integers(0x3C00, 0x3D00, n, dtype=np.uint16)
                file.write(values.tobytes())
        manifest = Manifest(
            name="random",
            version="c" * 40,
            architecture=a,
            contract=Contract(state_layer=state_layer),
            weights=(digest_file(path),),
            vocabulary=CARBON_VOCABULARY,
            demonstration=False,
            training={},
            default_heads={
                "substitution": "displacement",
                "indel_in_phase": "displacement",
                "indel_out_of_phase": "delta_ll",
            },
        )
        write_manifest(Path(folder), manifest)
        n_bytes = path.stat().st_size
        answer = subprocess.run(
            [sys.executable, "-c", MEASURE, folder, dtype], capture_output=True, text=True, check=True
        )
    kept, peak, seconds = map(float, answer.stdout.split())
    return {
        "file_bytes": n_bytes,
        "kept_bytes": kept,
        "peak_bytes": peak,
        "peak_over_kept": peak / kept,
        "seconds": seconds,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=["mini", "carbon-500m"], default="carbon-500m")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bf16")
    parser.add_argument("--data", type=Path, help="folder with reference/ and benchmark/")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--cells", type=int, default=6, help="cells of the personal and isolated workloads")
    arguments = parser.parse_args()
    architecture, dtype, device = ARCHITECTURES[arguments.shape], DTYPES[arguments.dtype], default_device()
    state_layer = STATE_LAYERS.get(arguments.shape, architecture.n_layers - 2)
    options = PassOptions(geometry=Geometry())
    plain = Plain(architecture, FULL_VOCABULARY.get(arguments.shape, architecture.vocab_rows), dtype, device)
    ours = plain.ours(architecture, state_layer)
    cells = personal_cells(options.geometry)
    some = cells[:: max(1, len(cells) // arguments.cells)][: arguments.cells]
    emulated = time.perf_counter()
    plain.score(some[0], next(e for e in some[0].edits if e.net == 0), options)
    emulated = time.perf_counter() - emulated
    widen_products(plain.model)
    workloads = {
        "isolated": isolated_cells(some, options.geometry),
        "personal": some,
        "saturation": [saturated_cell(cells, arguments.data, options.geometry)],
    }
    results = {}
    for name, work in workloads.items():
        results[name] = compare(plain, ours, work, options, arguments.pairs, TOLERANCE[arguments.dtype])
        print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
    document: dict[str, Any] = {
        "shape": arguments.shape,
        "dtype": arguments.dtype,
        "device": str(device),
        "saturation": "BRCA1" if arguments.data else "demo slice",
        "emulated_s": emulated,
        "ratios": {name: result["ratio"]["median"] for name, result in results.items()},
        "workloads": results,
        "window": full_window(plain, ours, max(3, arguments.pairs)),
        "trunk": trunk_rate(ours, architecture, dtype, device, max(3, arguments.pairs)),
    }
    if device.type == "cuda":
        document["peak_cuda_bytes"] = torch.cuda.max_memory_allocated()
    del plain, ours
    document["loading"] = loading(architecture, state_layer, arguments.dtype)
    name = "encoder" if (arguments.shape, arguments.dtype) == ("carbon-500m", "bf16") else None
    publish(name or f"encoder-{arguments.shape}-{arguments.dtype}", document)


if __name__ == "__main__":
    main()
