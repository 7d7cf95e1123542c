"""Work for test_jobs.py, in a module of its own because worker processes import it by name."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from genolewm_core.errors import InputError


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)


@dataclass(frozen=True)
class Squares:
    """Squares numbers, and notes every attempt in a file; some numbers have faults.

    3 kills its worker at the first attempt, 5 at every one, 6 and 7 raise, 8 waits.
    """

    folder: Path

    def start(self, seat):
        (self.folder / f"start-{seat.number}-{os.getpid()}").touch()
        thread = threading.get_ident()

        def square(number):
            if threading.get_ident() != thread:
                raise RuntimeError("called in another thread than started in")
            note = self.folder / f"task-{number}"
            with note.open("a") as file:
                file.write("x")
            if number == 5 or (number == 3 and note.stat().st_size == 1):
                kill_itself()
            if number == 6:
                raise ValueError("chr1:1737913:A:T")
            if number == 7:
                raise InputError("vcf-unreadable", "The VCF cannot be read.", where="a.vcf")
            if number == 8:
                time.sleep(60)
            return number * number

        return square

    def attempts(self, number):
        note = self.folder / f"task-{number}"
        return note.stat().st_size if note.exists() else 0

    def starts(self):
        return len(list(self.folder.glob("start-*")))


@dataclass(frozen=True)
class NeverStarts:
    how: str

    def start(self, seat):
        if self.how == "killed":
            kill_itself()
        raise InputError("reference-unreadable", "The reference cannot be read.", where="r.fa")


@dataclass(frozen=True)
class Interrupted:
    """Raises a Ctrl-C in the parent while its workers are busy."""

    parent: int

    def start(self, seat):
        def wait(_):
            if seat.number == 0:
                time.sleep(0.3)
                os.kill(self.parent, signal.SIGINT)
            time.sleep(60)

        return wait
