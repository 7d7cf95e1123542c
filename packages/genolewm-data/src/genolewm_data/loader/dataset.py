"""The training stream: batches of a release's training windows, the same whatever the number of workers."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache

from torch.utils.data import IterableDataset, get_worker_info

from genolewm_core.artifacts.manifest import canonical_json
from genolewm_core.errors import InputError
from genolewm_core.scoring.states import Encoding, ReferenceWindow
from genolewm_data.loader.batch import TrainingBatch
from genolewm_data.loader.columns import BuiltWindow, batch_of
from genolewm_data.loader.cursor import Cursor
from genolewm_data.loader.opened import Opened, OpensStates, Shares, this_worker
from genolewm_data.loader.order import WindowOrder
from genolewm_data.parts import check_at_least
from genolewm_data.release.release import Release
from genolewm_data.samplers import EditableWindow
from genolewm_data.tuples import TupleBuilder, TupleOptions, WindowRef

__all__ = ["GenoLeWMDataset"]


class GenoLeWMDataset(IterableDataset[TrainingBatch]):
    """Batches of training tuples. Give it to a `DataLoader` with `batch_size=None`, or iterate over it.

    The stream is one sequence of windows, epoch after epoch, each in an order of its own. Step s of a job of R ranks
    takes the s-th R·W windows of it, and rank r the r-th W of those; worker w of n makes steps w, w + n, and so on,
    which a `DataLoader` puts in order again. So batches depend on the release, the options, R and W, and on nothing
    else. A window's edits are drawn by its number: epoch times the number of windows, plus its place in the release.

    Nothing held out comes out: every window with a place is compared with the hold-outs, and every edit.

    Args:
        release: a built release.
        rank, world_size: of this process in the job.
        windows_per_batch: W.
        epochs: None for a stream without end. Otherwise what is left for the last step is shared out evenly, and a
            rank's last batch may be smaller or empty.
        options: of the tuples, instead of the release's own; its seed also decides the order.
        states: opens a source of reference states; called once in every worker, so it must survive pickling where
            workers are spawned.
        encoding: of the states.
        start: the cursor of the last batch that was used; the stream goes on behind it.

    Raises:
        ConfigError: `config-invalid`; `resume-conflict`, when the cursor is of another stream.
        InputError: `dataset-invalid`, `holdouts-invalid`; `training-data-missing`, when there are no training windows.
        InternalError: `holdout-leak`, while iterating. PyTorch passes errors of workers on as a RuntimeError with the
            same text.
    """

    def __init__(
        self,
        release: Release,
        *,
        rank: int = 0,
        world_size: int = 1,
        windows_per_batch: int = 32,
        epochs: int | None = None,
        options: TupleOptions | None = None,
        states: OpensStates | None = None,
        encoding: Encoding | None = None,
        start: Cursor | None = None,
    ) -> None:
        super().__init__()
        if epochs is not None:
            check_at_least("epochs", epochs, 1)
        self.options = options or release.options
        self._release, self._epochs = release, epochs
        self._shares = Shares(rank, world_size, windows_per_batch)
        self._opened = Opened(release, "train", self.options, states, encoding)
        self._group_first: list[int] = list(self._opened.windows().group_first)
        self.n_windows: int = self._group_first[-1]
        if not self.n_windows:
            raise InputError(
                "training-data-missing",
                "The release has no training windows.",
                where=str(release.folder),
                expected="at least one window of the split train",
                next_step="build a release of more sequence",
            )
        self._stream = _identity(release, self.options, self._shares, epochs)
        if start is not None:
            start.check(self._stream)
        self._start = 0 if start is None else start.step
        # Now, not in a worker: what is wrong with it is told at once, and forked workers share its tables.
        self._builder: TupleBuilder | None = release.builder(self.options)

    @property
    def n_steps(self) -> int | None:
        """Steps of the whole stream; None when it has no end."""
        if self._epochs is None:
            return None
        return -(-self._epochs * self.n_windows // (self._shares.world_size * self._shares.windows_per_batch))

    def __iter__(self) -> Iterator[TrainingBatch]:
        worker, n_workers = this_worker()
        if get_worker_info() is not None:
            # The hold-outs are many small objects that stay: the collector need not walk through them again and again.
            gc.freeze()
        step = self._start + worker
        orders = lru_cache(maxsize=2)(self._order)
        while self.n_steps is None or step < self.n_steps:
            numbers = [self._number(place, orders) for place in self._places(step)]
            built = [self._built(number) for number in numbers]
            yield batch_of(
                built,
                self.options.radius_tok,
                self._opened.states(),
                cursor=Cursor(self._stream, step + 1),
            )
            step += n_workers

    def _places(self, step: int) -> range:
        """Places of the stream that this rank takes in a step."""
        rank, world, width = self._shares.rank, self._shares.world_size, self._shares.windows_per_batch
        first = step * world * width
        if self._epochs is not None:
            left = self._epochs * self.n_windows - first
            if left < world * width:
                return range(first + left * rank // world, first + left * (rank + 1) // world)
        return range(first + rank * width, first + (rank + 1) * width)

    def _number(self, place: int, orders: Callable[[int], WindowOrder]) -> int:
        epoch, within = divmod(place, self.n_windows)
        return epoch * self.n_windows + orders(epoch)[within]

    def _order(self, epoch: int) -> WindowOrder:
        return WindowOrder(self._group_first, self.options.seed, epoch)

    def _built(self, number: int) -> BuiltWindow:
        if self._builder is None:
            self._builder = self._release.builder(self.options)
        window = self._opened.windows()[number % self.n_windows]
        if isinstance(window, ReferenceWindow) and self._builder.held_out is not None:
            self._builder.held_out.check(window.contig, window.start, window.end)
        opened, ref = EditableWindow.of(window, self._builder.margin_bp), WindowRef.of(window)
        return BuiltWindow(opened, ref, number, self._builder.build_in(opened, ref, number))

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_builder": None}


def _identity(release: Release, options: TupleOptions, shares: Shares, epochs: int | None) -> str:
    document = {
        # Behind a last step that was cut short there is no further one.
        "epochs": epochs,
        "release": release.manifest.digest,
        "options": asdict(options),
        "windows_per_batch": shares.windows_per_batch,
        "world_size": shares.world_size,
    }
    return hashlib.sha256(canonical_json(document)).hexdigest()
