"""A stream of corpus windows: several configs in a fixed mix, in parts, which can be left and gone on with."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from genolewm_core.errors import ConfigError, InputError
from genolewm_data.corpus.account import ConfigAccount, CorpusState, Cursor
from genolewm_data.corpus.records import CARBON_MIX, CorpusRecord, RecordSource
from genolewm_data.corpus.windows import CorpusWindow, Slice, WindowRule, refusal
from genolewm_data.parts import Part, Touches, check_resumed, shuffled

__all__ = ["AtEnd", "CorpusReader", "CorpusStream"]

AtEnd = Literal["stop", "continue", "repeat"]


class CorpusStream:
    """What is read, and in which mix. Can be pickled; holds no open file.

    Windows of the configs alternate so that after any number of them each config has its share, to within a few
    windows (Sainte-Laguë's rule, which needs no random number). Units of a config are read in an order that
    `seed` and the pass decide, records of a unit as they lie.

    Args:
        sources: one for each config of `mix`.
        rule: the windows of a record.
        mix: config to its share in windows; whole numbers of any sum.
        subset: which records to read; None for all.
        seed: of the order and of where windows start.
        at_end: when a config has no more windows: `stop`, so that the mix holds; `continue` with the others, so
            that every window is given once; `repeat` that config in another order and with other starts.
        held_out: records whose locus touches it are left out. It is asked with RefSeq accessions,
            and does not see records of configs that have no loci.

    Raises:
        ConfigError: `config-invalid`, when the sources are not those of the mix, or a share is below 1.
    """

    def __init__(
        self,
        sources: Sequence[RecordSource],
        *,
        rule: WindowRule | None = None,
        mix: Mapping[str, int] = CARBON_MIX,
        subset: Slice | None = None,
        seed: int = 0,
        at_end: AtEnd = "stop",
        held_out: Touches | None = None,
    ) -> None:
        given = [source.config for source in sources]
        if sorted(given) != sorted(mix) or min(mix.values(), default=0) < 1:
            raise ConfigError(
                "config-invalid",
                "The sources are not those of the mix.",
                where="sources and mix",
                expected="one source for each config of the mix, and shares from 1 up",
                found=f"sources {', '.join(given)}; mix {', '.join(f'{k}={v}' for k, v in mix.items())}",
                next_step="give a mix of the configs that you have",
            )
        self.sources = {source.config: source for source in sources}
        self.rule = rule or WindowRule()
        self.mix = dict(mix)
        self.subset = subset
        self.seed = seed
        self.at_end = at_end
        self.held_out = held_out

    def reader(self, part: Part | None = None, state: CorpusState | None = None) -> CorpusReader:
        """Read one part, from the start or from a state.

        Raises:
            ConfigError: `resume-conflict`, when the state is of another stream or another part.
            InputError, DeploymentError: see the sources.
        """
        return CorpusReader(self, part or Part(), state)

    def __iter__(self) -> CorpusReader:
        return self.reader()

    def identity(self, part: Part) -> str:
        """Digest of all that decides which windows a part has, but for `held_out`."""
        sources = [(config, source.identity) for config, source in sorted(self.sources.items())]
        mix = sorted(self.mix.items())
        text = repr((sources, self.rule, mix, self.subset, self.seed, self.at_end, part))
        return hashlib.sha256(text.encode()).hexdigest()


class CorpusReader(Iterator[CorpusWindow]):
    """The windows of one part, in order. Made by `CorpusStream.reader`.

    Raises, while it is read:
        InputError: `corpus-unreadable`; `training-data-missing`, when a config has no window at all in a pass,
            unless the stream goes on with the others.
    """

    def __init__(self, stream: CorpusStream, part: Part, state: CorpusState | None) -> None:
        self._identity = stream.identity(part)
        if state is not None:
            check_resumed(state.stream, self._identity, "sources")
        self._stop = stream.at_end != "continue"
        self._ended: str | None = None
        self._lanes = {
            config: _Lane(
                stream,
                config,
                part,
                state.cursors[config] if state else Cursor(),
                state.accounts[config] if state else ConfigAccount(),
            )
            for config in stream.mix
        }
        # Shares as steps: a config with twice the share takes half the step.
        common = math.lcm(*stream.mix.values())
        self._steps = {config: common // share for config, share in stream.mix.items()}
        self._live = {config: lane.windows() for config, lane in self._lanes.items()}

    def __next__(self) -> CorpusWindow:
        while self._live:
            config = min(
                self._live, key=lambda name: (2 * self._lanes[name].counts["windows"] + 1) * self._steps[name]
            )
            window = next(self._live[config], None)
            if window is not None:
                return window
            del self._live[config]
            if self._stop:
                self._ended = config
                self._live.clear()
        raise StopIteration

    @property
    def ended(self) -> str | None:
        """The config that had no more windows, with which the others have stopped; None before, and without `stop`."""
        return self._ended

    @property
    def state(self) -> CorpusState:
        """The state behind the window that was given last."""
        cursors = {config: lane.cursor for config, lane in self._lanes.items()}
        return CorpusState(self._identity, cursors, self.accounts)

    @property
    def accounts(self) -> dict[str, ConfigAccount]:
        """Config to what was read of it so far, earlier runs included."""
        return {config: ConfigAccount(**lane.counts) for config, lane in self._lanes.items()}

    @property
    def shares(self) -> dict[str, float]:
        """Config to its share of the windows given so far; 0 for all before the first."""
        counts = {config: lane.counts["windows"] for config, lane in self._lanes.items()}
        return {config: count / max(1, sum(counts.values())) for config, count in counts.items()}


class _Lane:
    """The windows of one config that one part has."""

    def __init__(
        self, stream: CorpusStream, config: str, part: Part, cursor: Cursor, account: ConfigAccount
    ) -> None:
        # Numbers of their own, since most rows are short and only move `row`.
        self._passes, self._position, self._row, self._window, self._given = cursor
        self.counts: Counter[str] = Counter(
            {name: getattr(account, name) for name in ConfigAccount.__dataclass_fields__}
        )
        self._stream = stream
        self._source = stream.sources[config]
        self._part = part

    @property
    def cursor(self) -> Cursor:
        """Where this is; agrees with `counts` at every yield, and when reading has failed."""
        return Cursor(self._passes, self._position, self._row, self._window, self._given)

    def windows(self) -> Iterator[CorpusWindow]:
        """All that are left."""
        while self._passes == 0 or self._stream.at_end == "repeat":
            yield from self._pass()
            if self._given == 0 and self._stream.at_end != "continue":
                raise self._without_windows()
            self._passes, self._position, self._given = self._passes + 1, 0, 0

    def _pass(self) -> Iterator[CorpusWindow]:
        key = f"{self._stream.seed}:{self._source.config}:{self._passes}"
        n_units = self._source.n_units
        order = shuffled(n_units, key)
        shares = self._part.shares(n_units)
        while self._position < len(shares):
            share = shares[self._position]
            unit = int(order[share.place])
            for row, record in self._source.records(unit, share, self._row, self._stream.rule.least_bp):
                self._row = row
                if isinstance(record, int):
                    self.counts["records"] += 1
                    self.counts["short" if record else "empty"] += 1
                else:
                    yield from self._of_record(record, key)
                self._row, self._window = row + 1, 0
            self._position, self._row = self._position + 1, 0

    def _of_record(self, record: CorpusRecord, key: str) -> Iterator[CorpusWindow]:
        rule, counts, begin = self._stream.rule, self.counts, self._window
        if begin == 0:
            counts["records"] += 1
        sequence = record.sequence.upper()
        if len(sequence) < rule.least_bp:  # letters of several bytes count as one
            counts["short"] += 1
            return
        if self._held_out(record):
            counts["held_out"] += 1
            return
        name = record.record_id
        if self._stream.subset is not None and name not in self._stream.subset:
            counts["outside_slice"] += 1
            return
        starts = rule.starts(len(sequence), f"{key}:{name}")[begin:]
        for number, (start, reason) in enumerate(
            zip(starts, refusal(sequence, starts, rule), strict=True), begin + 1
        ):
            self._window = number
            if reason is not None:
                counts[reason] += 1
                continue
            counts["windows"] += 1
            self._given += 1
            yield CorpusWindow(record.config, name, start, sequence[start : start + rule.window_bp])

    def _held_out(self, record: CorpusRecord) -> bool:
        if self._stream.held_out is None or record.locus is None:
            return False
        accession, start, end = record.locus
        # One base wider: the card does not say whether starts count from 0 or from 1.
        return self._stream.held_out.touches(accession, max(0, start - 1), end + 1)

    def _without_windows(self) -> InputError:
        return InputError(
            "training-data-missing",
            "A config of the corpus has no window.",
            where=f"{self._source.config}, part {self._part.index + 1} of {self._part.count}",
            expected=f"a record of {self._stream.rule.least_bp:,} bases or more",
            found=", ".join(f"{name} {count:,}" for name, count in self.counts.items() if count)
            or "no records",
            next_step="take shorter windows, fewer parts, a larger slice, or another mix",
        )
