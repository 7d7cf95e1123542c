"""The page: one HTML file that needs nothing from outside, and may load nothing.

Its content security policy allows the one script and the one style that are in it, by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.page import check_page
from genolewm_core.errors import ConfigError
from genolewm_runtime.display import BANNER
from genolewm_runtime.report.account import account_of
from genolewm_runtime.report.chromosomes import UNITS, ideogram_of
from genolewm_runtime.report.distribution import HEIGHT, WIDTH, histograms_of
from genolewm_runtime.report.embedded import embed
from genolewm_runtime.report.facts import facts_of
from genolewm_runtime.report.reading import Scores, read_scores, visible
from genolewm_runtime.report.standing import HIGH, with_standing
from genolewm_runtime.report.words import class_words, confidence_words

__all__ = ["MAX_ROWS", "Written", "render", "report_path", "write_report"]

MAX_ROWS = 200_000
"""Scored rows that go into the page's table unless told otherwise."""

_N_WITHOUT_SCRIPT = 50


@dataclass(frozen=True, slots=True)
class Written:
    """A finished page: where it lies, its rows, and the scored rows it leaves out."""

    path: Path
    n_rows: int
    n_left_out: int


def report_path(scores: Path) -> Path:
    """Where the page of a table goes: `scores.parquet` has `scores.html`."""
    return scores.with_suffix(".html")


def write_report(
    scores: Path, output: Path | None = None, *, max_rows: int = MAX_ROWS, fresh: bool = False
) -> Written:
    """Write the page about a score table.

    Args:
        scores: output of a run.
        output: the page; `report_path(scores)` when None.
        max_rows: most rows of the page's table; the highest stay.
        fresh: replace an existing file.

    Raises:
        InputError: `scores-unreadable`, `receipt-unreadable`.
        ConfigError: `output-exists`, `output-format`, `config-invalid`.
        ResourceError: `output-unwritable`.
    """
    target = report_path(scores) if output is None else output
    check_page(target, fresh=fresh)
    if max_rows < 1:
        raise ConfigError(
            "config-invalid",
            "The table needs a row.",
            where="--rows",
            expected="1 or more",
            found=str(max_rows),
        )
    read = read_scores(scores)
    page, n_rows, n_left_out = _render(read, max_rows)
    write_atomic(target, page.encode("utf-8"))
    return Written(target, n_rows, n_left_out)


def render(scores: Scores, *, max_rows: int = MAX_ROWS) -> str:
    """The page as text; the same table gives the same page."""
    return _render(scores, max_rows)[0]


def _render(scores: Scores, max_rows: int) -> tuple[str, int, int]:
    calibrated = scores.has("sigma_calibrated")
    scored = with_standing(scores.table, calibrated=calibrated)
    embedded = embed(scored, max_rows)
    style = _text("report.css").replace('"@banner@"', json.dumps(BANNER, ensure_ascii=False))
    script = _text("report.js")
    environment = Environment(
        loader=PackageLoader("genolewm_runtime.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    environment.filters["percent"] = _percent
    environment.filters["short"] = lambda number: "" if number is None else f"{number:.4g}"
    environment.filters["class_words"] = class_words
    page = environment.get_template("report.html.j2").render(
        banner=BANNER,
        name=scores.name,
        receipt=scores.receipt is not None,
        demonstration=scores.receipt is not None and scores.receipt["demonstration"],
        model=visible(str((scores.receipt or {}).get("model_name", "This model"))),
        facts=() if scores.receipt is None else facts_of(scores.receipt),
        account=account_of(scores.table),
        calibrated=calibrated,
        columns={name: scores.has(name) for name in ("gene", "consequence", "ensemble", "confidence")},
        n_without_percentile=int(scored["sigma_calibrated"].null_count()) if calibrated else 0,
        n_high=int(scored["high"].sum()),
        high=HIGH,
        histograms=histograms_of(scored),
        chart={"width": WIDTH, "height": HEIGHT},
        ideogram=ideogram_of(scored),
        units=UNITS,
        embedded=embedded,
        top=_top(scored, calibrated=calibrated),
        style=Markup(style),
        script=Markup(script),
        style_digest=_digest(style),
        script_digest=_digest(script),
        data=Markup(_json(embedded.data)),
    )
    return page, embedded.n_rows, embedded.n_left_out


def _top(scored: pl.DataFrame, *, calibrated: bool) -> list[dict[str, Any]]:
    """Rows of the table that is shown without JavaScript; without percentiles, of the largest class alone."""
    if not calibrated and len(scored):
        classes = scored["edit_class"].value_counts().sort("count", "edit_class", descending=[True, False])
        scored = scored.filter(pl.col("edit_class") == classes["edit_class"][0])
    top = scored.sort("standing", descending=True, maintain_order=True).head(_N_WITHOUT_SCRIPT)
    return [
        {**row, "confidence": confidence_words(row["confidence"], row["low_confidence"])}
        for row in top.iter_rows(named=True)
    ]


def _percent(share: float | None) -> str:
    """A share as a percentile, rounded down, so that nothing below 100 reads as 100."""
    if share is None:
        return ""
    digits = 2 if share >= HIGH else 1
    scale = 10**digits
    return f"{int(share * 100 * scale + 1e-6) / scale:.{digits}f}"


def _json(data: Any) -> str:
    """JSON that no HTML parser can leave: `<`, `>` and `&` only occur inside strings, where they are escaped."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _text(name: str) -> str:
    return (files("genolewm_runtime.report") / "templates" / name).read_text(encoding="utf-8")
