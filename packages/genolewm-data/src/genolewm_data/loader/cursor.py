"""Where a training stream stands: all that is needed to go on with it, on any number of workers."""

from __future__ import annotations

from dataclasses import dataclass

from genolewm_core.errors import ConfigError

__all__ = ["Cursor"]


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place behind a batch. Equal for all ranks; `dataclasses.asdict` gives what JSON can hold, `Cursor(**it)`
    brings it back.

    Attributes:
        stream: names the release, the options, the seed, the epochs and the sizes of batches and of the job.
        step: number of the next step, from 0.
    """

    stream: str
    step: int

    def check(self, stream: str) -> None:
        """Refuse to go on with another stream than the cursor's.

        Raises:
            ConfigError: `resume-conflict`.
        """
        if self.stream != stream or self.step < 0:
            raise ConfigError(
                "resume-conflict",
                "The cursor is of another training stream.",
                where="start",
                expected=stream[:16],
                found=f"{self.stream[:16]}, step {self.step}",
                next_step="go on with the same release, options, epochs, batch size and number of ranks, or start anew",
            )
