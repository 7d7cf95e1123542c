"""Which VCFs a cohort has, and what their outputs are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genolewm_core.errors import ConfigError, InputError

__all__ = ["Sample", "samples_of"]

_ENDINGS = (".vcf", ".vcf.gz", ".vcf.bgz")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,199}")


@dataclass(frozen=True, slots=True)
class Sample:
    """A VCF and the name that its output gets."""

    name: str
    vcf: Path


def samples_of(vcfs: Sequence[Path], samples: Path | None) -> tuple[Sample, ...]:
    """The cohort's VCFs, in the order in which they were named; those of a folder by name.

    Args:
        vcfs: files, and folders that hold files ending in .vcf, .vcf.gz or .vcf.bgz. A file's name without
            the ending is its sample's.
        samples: a list with a line for each VCF: a name, a tab, and a path, which counts from the list's
            folder. Empty lines and those that start with # say nothing.

    Raises:
        ConfigError: `config-invalid`: no VCF at all, a name that is no file name, or two VCFs of one name.
        InputError: `vcf-unreadable`: a folder or the list cannot be read.
    """
    found = [sample for path in vcfs for sample in _of_path(path)]
    if samples is not None:
        found.extend(_of_list(samples))
    if not found:
        raise ConfigError(
            "config-invalid",
            "There is no VCF to score.",
            expected="--vcf FILE, --vcf FOLDER, or --samples FILE",
        )
    _refuse_collisions(found)
    return tuple(found)


def _of_path(path: Path) -> Iterable[Sample]:
    if not path.is_dir():
        return [Sample(_checked(_stem(path.name), path), path)]
    try:
        inside = sorted(entry for entry in path.iterdir() if entry.name.lower().endswith(_ENDINGS))
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    visible = [entry for entry in inside if not entry.name.startswith(".") and entry.is_file()]
    if not visible:
        raise ConfigError(
            "config-invalid",
            "A folder holds no VCF.",
            where=str(path),
            expected=f"files ending in {', '.join(_ENDINGS)}",
        )
    return [Sample(_checked(_stem(entry.name), entry), entry) for entry in visible]


def _of_list(path: Path) -> Iterable[Sample]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or "not a text in UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, tab, vcf = line.rstrip("\r").partition("\t")
        if not tab or not vcf.strip() or "\t" in vcf:
            raise ConfigError(
                "config-invalid",
                "A line of the samples' list cannot be read.",
                where=f"{path}, line {number}",
                expected="a name, a tab, a path",
            )
        yield Sample(_checked(name.strip(), path, f", line {number}"), path.parent / vcf.strip())


def _stem(name: str) -> str:
    ending = next((end for end in sorted(_ENDINGS, key=len, reverse=True) if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]


def _checked(name: str, where: Path, line: str = "") -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "config-invalid",
            "A sample's name cannot be the name of a file.",
            where=f"{where}{line}",
            expected="letters, digits and the signs . _ + = -, at most 200, not starting with a sign",
            next_step="name the sample in a list: --samples FILE",
        )
    return name


def _refuse_collisions(samples: Sequence[Sample]) -> None:
    # Some file systems take upper and lower case for the same.
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name.casefold(), []).append(sample)
    doubled = [group for group in by_name.values() if len(group) > 1]
    if doubled:
        raise ConfigError(
            "config-invalid",
            "VCFs would have outputs of one name.",
            where=", ".join(str(sample.vcf) for sample in doubled[0]),
            expected="a name of its own for each VCF",
            found=f"{len(doubled)} names that more than one VCF has",
            next_step="give them other names in a list: --samples FILE",
        )


def _unreadable(path: Path, found: str | None) -> InputError:
    return InputError("vcf-unreadable", "The VCFs cannot be listed.", where=str(path), found=found)
