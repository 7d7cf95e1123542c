"""Records streamed from the Hugging Face Hub by the library `datasets` (extra `hub`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from genolewm_core.errors import ConfigError, DeploymentError
from genolewm_data.corpus.records import CorpusRecord, layout_of, unreadable
from genolewm_data.parts import Share

__all__ = ["CARBON_CORPUS", "CARBON_CORPUS_REVISION", "HubSource"]

CARBON_CORPUS = "HuggingFaceBio/carbon-pretraining-corpus"
CARBON_CORPUS_REVISION = "cb4c13a78102933b3a6ac65734d326f7b431d9b7"

_AGAIN = "start the same run again, which goes on where it stopped, or read a copy with ParquetSource"


class HubSource:
    """The records of one config, streamed; a `RecordSource`.

    Units are files, since that is what `datasets` can begin at. Nothing is fetched before the first use, and
    nothing is kept on disk.

    Args:
        config: a key of `CONFIGS`.
        repo: repository of the Hub, or a folder laid out like one.
        revision: full commit of the repository.

    Raises:
        ConfigError: `config-invalid`, for a config that the corpus does not have; `revision-floating`.
    """

    def __init__(
        self, config: str, repo: str = CARBON_CORPUS, revision: str = CARBON_CORPUS_REVISION
    ) -> None:
        self._columns = layout_of(config).columns
        self.config = config
        self.repo = repo
        self.revision = revision
        self._dataset: Any = None
        if not re.fullmatch(r"[0-9a-f]{40}", revision):
            raise ConfigError(
                "revision-floating",
                "The corpus's revision names files that may change.",
                where="revision",
                expected="a full commit, 40 digits of 0-9 and a-f",
                found=revision[:50],
            )

    def __repr__(self) -> str:
        return f"HubSource({self.config!r}, {self.repo!r}, {self.revision!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (HubSource, (self.config, self.repo, self.revision))

    @property
    def identity(self) -> str:
        """Repository, commit and config."""
        return f"{self.repo}@{self.revision}/{self.config}"

    @property
    def n_units(self) -> int:
        """Files of the config.

        Raises:
            DeploymentError: `backend-missing`, when `datasets` is not installed.
            InputError: `corpus-unreadable`, when the repository or its config cannot be reached.
        """
        return int(self._load().num_shards)

    def records(
        self, unit: int, share: Share, row: int = 0, least_bp: int = 0
    ) -> Iterator[tuple[int, CorpusRecord | int]]:
        """See `RecordSource.records`; rows before `row` are fetched and thrown away."""
        dataset = self._load()
        try:
            one = dataset.shard(num_shards=dataset.num_shards, index=unit).skip(row)
            for at, values in enumerate(one, row):
                if at % share.every == share.at:
                    n_bp = len(values[self._columns[0]] or "")
                    yield at, n_bp if n_bp < least_bp else CorpusRecord.of_row(self.config, values)
        except Exception as error:
            # What `datasets` raises for a lost connection or a damaged file differs between its versions.
            raise unreadable(
                "Streaming the corpus has failed.",
                f"{self.identity}, file {unit}",
                "a Parquet file with " + ", ".join(self._columns),
                type(error).__name__,
                _AGAIN,
            ) from error

    def _load(self) -> Any:
        if self._dataset is not None:
            return self._dataset
        try:
            datasets = import_module("datasets")
        except ImportError as error:
            raise DeploymentError(
                "backend-missing",
                "The library datasets, which streams the corpus from the Hub, is not installed.",
                where="HubSource",
                expected="datasets",
                found=type(error).__name__,
                next_step="pip install 'genolewm-data[hub]', or read a copy of the corpus with ParquetSource",
            ) from error
        try:
            self._dataset = datasets.load_dataset(
                self.repo,
                self.config,
                split="train",
                streaming=True,
                revision=self.revision,
                columns=self._columns,
            )
        except Exception as error:
            raise unreadable(
                "The corpus cannot be opened on the Hub.",
                self.identity,
                "a repository that can be reached and has the config",
                type(error).__name__,
                _AGAIN,
            ) from error
        return self._dataset
