"""What a crash may say: the type of an error and its places in the code, never its message."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from traceback import walk_tb

__all__ = ["masked", "places", "withhold_messages"]

_PLACES_KEPT = 6

_VARIANT_LIKE = re.compile(
    r"[^\s'\"(]+:[0-9][0-9,]*:[A-Za-z*.<][^\s'\")]*"  # chrom:pos:ref:alt
    r"|(?<![\w/.])(?:chr)?(?:[0-9]{1,2}|X|Y|MT?):(?:g\.)?[0-9][0-9,]{2,}[^\s'\")]*"  # a place
    r"|(?<![\w/.])[A-Z]{2}_?[0-9]{6,}(?:\.[0-9]+)?:[^\s'\")]+"  # HGVS
    r"|(?<![\w/.])rs[0-9]{3,}"
)


_EXAMPLE = "chr17:43044295:G:A"  # in error messages of this program


def masked(text: str) -> str:
    """Text for a terminal, without what was typed in a wrong place and looks like a variant."""
    typed = any(_EXAMPLE in argument for argument in sys.argv[1:])
    return _VARIANT_LIKE.sub(
        lambda found: found[0] if found[0] == _EXAMPLE and not typed else "(withheld)", text
    )


def places(error: BaseException) -> list[str]:
    """Where in the code an error came from, innermost last: file of the package, line, function.

    Files are named from their package on: a full path can hold a person's name.
    """
    found = []
    for frame, line in walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename).name
        package = str(frame.f_globals.get("__package__") or "").replace(".", "/")
        found.append(f"{package}/{file}:{line} in {frame.f_code.co_name}".lstrip("/"))
    return found[-_PLACES_KEPT:]


def withhold_messages() -> None:
    """Keep what may hold personal data out of crash reports of this process and its children.

    Python prints the message of an exception that ends a thread or a finalizer; here only its type and places
    are printed. No core file is written, because it would hold all memory.
    """
    threading.excepthook = lambda args: _report(args.exc_value, "ended a thread")
    sys.unraisablehook = lambda args: _report(args.exc_value, "was ignored")
    sys.excepthook = lambda kind, value, trace: _report(value, "ended the process")
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    except (ImportError, OSError, ValueError):
        return


def _report(error: BaseException | None, what: str) -> None:
    if error is None or isinstance(error, SystemExit) or sys.stderr is None:
        return
    lines = [f"geno-lewm: {type(error).__name__} {what}; its text is withheld because it may hold your data"]
    print(*lines, *(f"  {place}" for place in places(error)), sep="\n", file=sys.stderr, flush=True)  # noqa: T201
