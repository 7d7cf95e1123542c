"""Carbon as a frozen encoder of states: windows of DNA in, one vector each out (RFC-0002).

A state is the mean of rows, and a row is the hidden state after `state_layer` layers divided by its root mean
square. Carbon is causal, so one pass over a window gives the states of all its loci, and nothing behind the
last row that is read is run.

Letters of shapes: B windows, T tokens of a window with `<dna>`, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from genolewm_core.errors import ConfigError, InputError
from genolewm_core.scoring.sixmer import K, Vocabulary
from genolewm_encoder.attention_pool import AttentionPool
from genolewm_encoder.identity import EncoderIdentity, StateContract
from genolewm_encoder.loading import default_device, llama_model, stored_tensors
from genolewm_encoder.lora import LoRAConfig, add_adapter, load_adapter, lora_digest, save_adapter
from genolewm_encoder.pooling import Pool, PoolType, layer_of
from genolewm_encoder.revisions import open_revision

__all__ = ["CarbonStateEncoder"]

Dtype = Literal["bf16", "fp32"]
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
_VOCABULARY = Vocabulary(0)
_MAX_WINDOW_BP = 24_576
_TOKENS_AT_ONCE = 16_384
"""Tokens of one pass over several windows; more windows are run in several passes."""


class CarbonStateEncoder(torch.nn.Module):
    """The encoder, frozen but for an adapter or a learned pool.

    Args:
        model_id: a model directory, or the name of a Carbon that `geno-lewm setup` installed, such as
            "carbon-500m" or "HuggingFaceBio/Carbon-500M".
        revision: commit of the model's files, 40 hex digits; for a model that is no release of Carbon, the
            `model_id` of its manifest.
        dtype: of the layers, "bf16" or "fp32"; rows and states are fp32.
        state_layer: layers after which rows are read; -1 is the last, -2 the one before. None: as the model's
            manifest says.
        pool_type: "span_mean", "centered_mean", "global_mean" or "attention"; see `pooling.Pool`.
        pool_radius: in tokens.
        normalize: give states of unit length.
        lora_config: put an adapter on the top layers, which can then be trained.
        device: where it runs; None for the first GPU, else the CPU.
        threads: PyTorch's threads, a setting of the whole process; None leaves it alone.

    Raises:
        ConfigError: `revision-floating`, `dtype-unsupported`, `config-invalid`.
        DeploymentError: `model-missing`.
        ProvenanceError: the model is not what its manifest says.
    """

    def __init__(
        self,
        model_id: str | Path,
        revision: str,
        dtype: str = "bf16",
        state_layer: int | None = None,
        pool_type: PoolType = "span_mean",
        pool_radius: int = 8,
        normalize: bool = True,
        lora_config: LoRAConfig | None = None,
        *,
        device: str | torch.device | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        _check_dtype(dtype)
        self._pool = Pool(pool_type, pool_radius)
        directory = open_revision(model_id, revision)
        manifest = directory.manifest
        layer = manifest.contract.state_layer if state_layer is None else state_layer
        self._state_layer = layer_of(layer, manifest.architecture.n_layers)
        if threads is not None:
            torch.set_num_threads(threads)
        self.normalize = normalize
        self._manifest = manifest
        self._revision = revision
        self._dtype = dtype
        self._lora = lora_config
        place = _device(device)
        tensors = stored_tensors(directory, _DTYPES[dtype], place, n_layers=self._state_layer, head=False)
        self.model = llama_model(manifest.architecture, tensors)
        if lora_config is not None:
            add_adapter(self.model, lora_config)
        self.attention_pool = AttentionPool(self.d_state).to(place) if pool_type == "attention" else None
        self.eval()

    @property
    def d_state(self) -> int:
        """Width D of a state."""
        return self._manifest.architecture.d_model

    @property
    def state_layer(self) -> int:
        """Layers after which rows are read, counted from 1."""
        return self._state_layer

    @property
    def pool_type(self) -> PoolType:
        """How rows become a state."""
        return self._pool.kind

    @property
    def pool_radius(self) -> int:
        """In tokens."""
        return self._pool.radius

    @property
    def dtype(self) -> str:
        """Of the layers: "bf16" or "fp32"."""
        return self._dtype

    @property
    def identity(self) -> EncoderIdentity:
        """Names the weights, the tokenizer files and what a state means; hashes a trained adapter anew."""
        contract = StateContract(
            state_layer=self._state_layer,
            pool_type=self._pool.kind,
            pool_radius=self._pool.radius,
            dtype=self._dtype,
            lora_sha256=None if self._lora is None else lora_digest(self.model, self._lora),
            pool_sha256=None if self.attention_pool is None else self.attention_pool.digest(),
        )
        return EncoderIdentity.of(self._manifest, self._revision, contract)

    @property
    def encoder_hash(self) -> bytes:
        """SHA-256 over weights, tokenizer, pooling and contract, 32 bytes."""
        return self.identity.encoder_hash

    def center_tok(self, edit_locus: int | None) -> int:
        """Token of a locus in its window, without `<dna>`; -1 where the state is untargeted."""
        if edit_locus is None or not self._pool.targeted(edit_locus):
            return -1
        return edit_locus // K

    def encode(self, window: str, edit_locus: int | None = None) -> torch.Tensor:
        """State of one window, fp32 (D,).

        Args:
            window: bases, whole six-mers, at most 24,576; N makes an `<oov>` token.
            edit_locus: 0-based base of the window; None for the mean over all tokens, an untargeted state that
                must not be compared with a targeted one.

        Raises:
            InputError: `window-mismatch`.
        """
        return self.encode_batch([window], [edit_locus])[0]

    def encode_batch(
        self, windows: Sequence[str], edit_loci: Sequence[int | None] | None = None
    ) -> torch.Tensor:
        """States of several windows, fp32 (B, D), differentiable with respect to an adapter or learned pool.

        Windows of any lengths; those of one pass agree with each alone to the rounding of `dtype`.

        Raises:
            InputError: `window-mismatch`.
        """
        loci = [None] * len(windows) if edit_loci is None else list(edit_loci)
        if len(loci) != len(windows):
            raise _mismatch("Windows and loci differ in number.", f"{len(windows)} loci", f"{len(loci)}")
        states = self._pooled([(window, [locus]) for window, locus in zip(windows, loci, strict=True)])
        return torch.nn.functional.normalize(states, dim=1) if self.normalize else states

    def pool_loci(self, window: str, loci: Sequence[int | None]) -> npt.NDArray[np.float32]:
        """Raw pooled states of several loci of one window from one pass, float32 (len(loci), D), not normalised.

        Raises:
            InputError: `window-mismatch`.
        """
        with torch.no_grad():
            return np.asarray(self._pooled([(window, loci)]).cpu().numpy(), dtype=np.float32)

    def save_lora(self, directory: Path) -> None:
        """Write the adapter in peft's files.

        Raises:
            ConfigError: `config-invalid`, without an adapter.
            ResourceError: `output-unwritable`.
        """
        save_adapter(self.model, self._adapter(), directory)

    def load_lora(self, directory: Path) -> None:
        """Fill the adapter with one that `save_lora` wrote.

        Raises:
            ConfigError: `config-invalid`, without an adapter.
            ProvenanceError: `tensor-file-invalid`.
        """
        load_adapter(self.model, self._adapter(), directory)

    def _adapter(self) -> LoRAConfig:
        if self._lora is None:
            raise ConfigError(
                "config-invalid",
                "This encoder has no adapter.",
                where="lora_config",
                next_step="make it with lora_config=LoRAConfig()",
            )
        return self._lora

    def _pooled(self, tasks: Sequence[tuple[str, Sequence[int | None]]]) -> torch.Tensor:
        """Raw pooled states, one a locus, in order."""
        if self.model.dtype != _DTYPES[self._dtype]:
            # As by .half(): the identity would name other states than these.
            _check_dtype(str(self.model.dtype).removeprefix("torch."))
        prepared = [self._prepare(window, loci) for window, loci in tasks]
        states: list[torch.Tensor | None] = [None] * sum(len(loci) for _, loci in tasks)
        firsts = np.concatenate([[0], np.cumsum([len(loci) for _, loci in tasks])]).tolist()
        for batch in _batches([len(ids) for ids, _ in prepared]):
            rows = self._rows([prepared[i][0] for i in batch])
            for i, rows_TD in zip(batch, rows, strict=True):
                n_tok = len(tasks[i][0]) // K
                for j, centre in enumerate(prepared[i][1]):
                    states[firsts[i] + j] = self._state(rows_TD, n_tok, centre)
        found = [state for state in states if state is not None]
        return torch.stack(found) if found else torch.zeros((0, self.d_state))

    def _prepare(self, window: str, loci: Sequence[int | None]) -> tuple[torch.Tensor, list[int | None]]:
        """Token ids with `<dna>` as far as any state reads, and the centre of every state."""
        if not window.isascii():
            raise _mismatch("A window is no DNA.", "letters of bases", "other characters")
        if not window or len(window) % K or len(window) > _MAX_WINDOW_BP:
            expected = f"a multiple of 6 up to {_MAX_WINDOW_BP} bases"
            raise _mismatch("A window has a length that cannot be encoded.", expected, f"{len(window)} bases")
        centres: list[int | None] = []
        for locus in loci:
            whole = isinstance(locus, int | np.integer) and not isinstance(locus, bool)
            if locus is not None and not (whole and 0 <= locus < len(window)):
                expected = f"0 to {len(window) - 1}"
                raise _mismatch("A locus lies outside its window.", expected, str(locus))
            centres.append(None if locus is None else int(locus) // K)
        n_tok = len(window) // K
        end = max((self._pool.tokens(n_tok, centre)[1] for centre in centres), default=1)
        ids = np.concatenate([[_VOCABULARY.dna], _VOCABULARY.encode(window[: K * end])])
        return torch.from_numpy(ids.astype(np.int64)), centres

    def _rows(self, ids: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """fp32 rows of every token but `<dna>`; windows of one pass are filled up on the right, where no
        token that is read can see it."""
        device = self.model.embed_tokens.weight.device
        padded_BT = torch.nn.utils.rnn.pad_sequence(
            list(ids), batch_first=True, padding_value=_VOCABULARY.oov
        )
        h_BTD = self.model(input_ids=padded_BT.to(device), use_cache=False).last_hidden_state
        return [self._normed(h_TD[1 : len(own)]) for h_TD, own in zip(h_BTD, ids, strict=True)]

    def _normed(self, h_TD: torch.Tensor) -> torch.Tensor:
        h_TD = h_TD.float()
        eps = self._manifest.architecture.rms_norm_eps
        return h_TD * torch.rsqrt(h_TD.square().mean(dim=-1, keepdim=True) + eps)

    def _state(self, rows_TD: torch.Tensor, n_tok: int, centre: int | None) -> torch.Tensor:
        if self.attention_pool is not None and centre is not None:
            state: torch.Tensor = self.attention_pool(rows_TD, centre)
            return state
        first, end = self._pool.tokens(n_tok, centre)
        return rows_TD[first:end].mean(dim=0)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of windows to run together: of like lengths, so that little is filled up."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        # The first is the longest.
        if batch and (len(batch) + 1) * lengths[batch[0]] > _TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _check_dtype(dtype: str) -> None:
    if dtype not in _DTYPES:
        reason = (
            " Carbon's activations overflow fp16, which gives states that are wrong without any sign of it."
            if dtype in ("fp16", "float16")
            else ""
        )
        raise ConfigError(
            "dtype-unsupported",
            f"States are not offered in this format.{reason}",
            where="dtype",
            expected="bf16 or fp32",
            found=str(dtype),
        )


def _device(given: str | torch.device | None) -> torch.device:
    if given is None:
        return default_device()
    try:
        device = torch.device(given)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            "config-invalid",
            "The encoder cannot run on this device.",
            where="device",
            expected="cpu, or a device that PyTorch finds here",
            found=str(given),
        ) from error
    return device


def _mismatch(what: str, expected: str, found: str) -> InputError:
    return InputError("window-mismatch", what, expected=expected, found=found)
