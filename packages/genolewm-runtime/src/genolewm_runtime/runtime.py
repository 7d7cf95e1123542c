"""The public class: open a model once, score variants and VCFs, encode windows (RFC-0010 section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.manifest import Contract, Manifest, ModelDirectory
from genolewm_core.errors import ConfigError, InputError
from genolewm_core.genome.annotation import Annotation
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import EditSpec, Variant
from genolewm_core.genome.vcf import row_of
from genolewm_core.scoring.backend import Trunk, load_backend
from genolewm_core.scoring.calibration import key_of
from genolewm_core.scoring.calibration_file import load_calibration
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.heads import HEADS
from genolewm_core.scoring.passes import PassOptions
from genolewm_core.scoring.sixmer import K, Vocabulary
from genolewm_runtime import guard
from genolewm_runtime.run import RunSummary, VcfRun, run_vcf
from genolewm_runtime.scoring import ScoredRow, score_rows

__all__ = ["GenoLeWMRuntime", "options_of"]


def options_of(
    contract: Contract,
    *,
    heads: Sequence[str] = HEADS,
    both_strands: bool | None = None,
    phases: int | None = None,
) -> PassOptions:
    """Pass options that keep a model's contract; strands and phases are the contract's unless given.

    A head named twice counts once.

    Raises:
        ConfigError: `config-invalid`, when a head or a number of phases is not offered.
    """
    return PassOptions(
        geometry=Geometry(contract.window_bp, contract.cell_bp),
        heads=tuple(dict.fromkeys(heads)),
        radius_tok=contract.radius_tok,
        ll_tok=contract.ll_tok,
        both_strands=contract.strands == "+-" if both_strands is None else both_strands,
        phases=contract.phases if phases is None else phases,
    )


class GenoLeWMRuntime:
    """A loaded model.

    Args:
        model_dir: folder with manifest.json.
        backend: "auto", "onnx", "torch" or the name of another installed backend.
        reference: indexed FASTA, a path or an open one; needed to score.
        annotation: GFF3 of transcripts on the reference's assembly; None leaves genes and regions out.
        options: what to compute; the model's contract by default.
        closed: install the network guard, which closes the network for this process for good. The command
            line always does. A program that must keep its own network open passes False and answers for it.

    Raises:
        DeploymentError: `guard-unavailable`, `backend-missing`, `graph-missing`.
        ProvenanceError: the model is not what its manifest says.
    """

    def __init__(
        self,
        model_dir: str | Path,
        *,
        backend: str = "auto",
        reference: str | Path | Reference | None = None,
        annotation: str | Path | None = None,
        options: PassOptions | None = None,
        closed: bool = True,
    ) -> None:
        if closed:
            guard.install()
        model = ModelDirectory.open(Path(model_dir))
        self._model = model
        self._backend = load_backend(backend, model)
        self._reference = Reference(reference) if isinstance(reference, str | Path) else reference
        self._options = options or options_of(model.manifest.contract)
        self._calibration = load_calibration(model, key_of(model, self._options, self._backend.name))
        self._annotation_path = None if annotation is None else Path(annotation)
        self._annotation: Annotation | None = None

    @property
    def model(self) -> ModelDirectory:
        """The model's folder."""
        return self._model

    @property
    def manifest(self) -> Manifest:
        """What the model says of itself."""
        return self._model.manifest

    def score_variant(self, variant: Variant | EditSpec) -> ScoredRow:
        """Score one variant, in any spelling.

        Returns:
            Its outcome; a variant that cannot be scored comes back as skipped or failed, with the reason.

        Raises:
            ConfigError: `config-invalid`, when no reference was given.
        """
        row = row_of(variant.chrom, variant.pos, variant.ref, variant.alt, self._need_reference())
        scored, _ = score_rows(
            [row],
            self._need_reference(),
            self._backend,
            self._options,
            self.manifest.default_heads,
            self._calibration,
            self._read_annotation(),
        )
        return scored[0]

    def score_vcf(
        self, vcf_path: str | Path, output_path: str | Path, *, jobs: int = 1, fresh: bool = False
    ) -> RunSummary:
        """Score every row of a VCF into a file, in the format of its name; see `genolewm_runtime.run.run_vcf`."""
        return run_vcf(
            VcfRun(
                vcf=Path(vcf_path),
                reference=self._need_reference().path,
                annotation=self._annotation_path,
                output=Path(output_path),
                model=self._model.path,
                options=self._options,
                backend=self._backend.name,
                jobs=jobs,
                fresh=fresh,
            ),
            loaded=self._backend,
        )

    def encode_window(self, window: str, edit_locus: int | None = None) -> npt.NDArray[np.float32]:
        """State of a window: unit norm, float32 (d_state,).

        Args:
            window: whole six-mers, at most the contract's window.
            edit_locus: 0-based base; the state is the mean over the span from its token on. None: the mean
                over all tokens, an untargeted state that must not be compared with a targeted one.

        Raises:
            InputError: `window-mismatch`, when the window's length or the locus does not fit.
        """
        n_tok = len(window) // K
        if not window or len(window) % K or len(window) > self._options.geometry.window_bp:
            raise InputError(
                "window-mismatch",
                "A window has a length that cannot be encoded.",
                expected=f"a multiple of 6 up to {self._options.geometry.window_bp} bases",
                found=f"{len(window)} bases",
            )
        if edit_locus is not None and not 0 <= edit_locus < len(window):
            raise InputError(
                "window-mismatch",
                "A locus lies outside its window.",
                expected=f"0 to {len(window) - 1}",
                found=str(edit_locus),
            )
        first = 0 if edit_locus is None else edit_locus // K
        last = n_tok if edit_locus is None else min(first + self._options.radius_tok + 1, n_tok)
        vocabulary = Vocabulary(0)
        ids = np.concatenate([[vocabulary.dna], vocabulary.encode(window[: K * last])]).astype(np.int32)
        trunk = Trunk(
            token_ids=ids,
            state_rows=np.arange(first + 1, last + 1),
            log_prob_rows=np.zeros(0, dtype=np.int64),
            full_depth=False,
            keep=False,
        )
        mean = self._backend.open(trunk).rows.states.astype(np.float64).mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)

    def _read_annotation(self) -> Annotation | None:
        if self._annotation is None and self._annotation_path is not None:
            self._annotation = Annotation.read(self._annotation_path, self._need_reference().contigs)
        return self._annotation

    def _need_reference(self) -> Reference:
        if self._reference is None:
            raise ConfigError(
                "config-invalid",
                "Scoring needs a reference FASTA.",
                where="GenoLeWMRuntime(reference=...)",
                next_step="give the indexed FASTA of the assembly that the variants are on",
            )
        return self._reference
