"""What calibration tables measured, as the Markdown of docs/calibration.md."""

from __future__ import annotations

from collections.abc import Sequence

from genolewm_core.scoring.calibration import CalibrationTable

__all__ = ["BEGIN", "END", "measured_markdown", "with_measured"]

BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
_COLUMNS = ("sigma_calibrated", "ensemble")


def measured_markdown(tables: Sequence[CalibrationTable]) -> str:
    """Counts, and how uniform the percentiles of held-back variants are, for each backend's table."""
    lines = [
        "## How uniform it is",
        "",
        (
            "Percentiles of the embedded model for common variants that were held back, against the uniform "
            "distribution: Kolmogorov-Smirnov statistic (0 is perfect; chance alone gives about 0.87 divided by the "
            "square root of the number of variants)."
        ),
        "",
        "| backend | edit class | null | buckets | score | held back | KS |",
        "|---|---|---|---|---|---|---|",
    ]
    for table in tables:
        for edit_class, columns in table.about["held_back"].items():
            root = table.buckets[f"{edit_class}|*|*|*|*"]
            null = f"{root.n_rows:,} common" if root.n_rows else f"{root.n_synthetic:,} synthetic"
            buckets = sum(name.startswith(f"{edit_class}|") for name in table.buckets)
            lines += [
                f"| {table.key.backend} | `{edit_class}` | {null} | {buckets} | `{name}` "
                f"| {columns[name]['n']:,} | {columns[name]['ks']:.3f} |"
                for name in _COLUMNS
                if name in columns
            ]
    lines += [
        "",
        (
            "The harder question is whether one stretch of the genome calibrates another. Each contig against a "
            "table of the other's variants:"
        ),
        "",
        "| backend | variants of | edit class | variants | KS of `sigma_calibrated` |",
        "|---|---|---|---|---|",
    ]
    for table in tables:
        for contig, classes in table.about["across_contigs"].items():
            lines += [
                f"| {table.key.backend} | {contig} | `{edit_class}` | {columns['sigma_calibrated']['n']:,} "
                f"| {columns['sigma_calibrated']['ks']:.3f} |"
                for edit_class, columns in classes.items()
                if "sigma_calibrated" in columns
            ]
    return "\n".join(lines) + "\n"


def with_measured(page: str, tables: Sequence[CalibrationTable]) -> str:
    """The page with its measured part written anew."""
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}{measured_markdown(tables)}{END}{tail}"
