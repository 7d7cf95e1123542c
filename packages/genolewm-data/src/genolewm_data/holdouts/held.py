"""The hold-outs: which windows and which edits training never sees.

A `HeldOut` answers for one assembly and is small enough to be pickled to every worker. `Holdouts` has one for each
assembly and is what is written to a file, with a digest that names it in reports and model cards.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.manifest import canonical_json
from genolewm_core.errors import ConfigError, InputError, InternalError
from genolewm_core.genome.variant import RelEdit, Variant
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.holdouts.intervals import Intervals, chromosome
from genolewm_data.holdouts.keys import edit_key, key_of, parts

__all__ = ["SCHEMA_VERSION", "WHOLE_CONTIG", "HeldOut", "Holdouts"]

SCHEMA_VERSION = "1.0.0"

WHOLE_CONTIG = (0, 1 << 30)
"""Longer than any chromosome, so that the whole of one is an ordinary interval."""

Block = tuple[Variant, ...]


@dataclass(frozen=True)
class HeldOut:
    """What is held out on one assembly. Contigs may be named in any of the usual spellings.

    Attributes:
        assembly: GRCh37 or GRCh38.
        regions: name of a hold-out to its bases. A chromosome that is held out as a whole takes its `_alt`, `_fix`
            and `_random` scaffolds with it.
        variants: name of a hold-out to the keys of its variants; see `genolewm_data.holdouts.keys`.
        blocks: name of a hold-out to its haplotype blocks: keys that some chromosome copy carries together.
    """

    assembly: str
    regions: Mapping[str, Intervals] = field(default_factory=dict)
    variants: Mapping[str, frozenset[Variant]] = field(default_factory=dict)
    blocks: Mapping[str, frozenset[Block]] = field(default_factory=dict)
    _blocks_of: dict[Variant, list[tuple[str, Block]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[Variant, list[tuple[str, Block]]] = {}
        for name, block in self._together():
            for key in block:
                index.setdefault(key, []).append((name, block))
        object.__setattr__(self, "_blocks_of", index)

    def _together(self) -> Iterator[tuple[str, Block]]:
        """The blocks, and every variant that substitutes several bases as a block of its single ones."""
        for name, blocks in self.blocks.items():
            for block in blocks:
                yield name, block
        for name, held in self.variants.items():
            for key in held:
                _, *singles = parts(key)
                if len(singles) > 1:
                    yield name, tuple(singles)

    @property
    def block_keys(self) -> Iterable[Variant]:
        """Every variant that is held out together with others, each once."""
        return self._blocks_of.keys()

    def touches(self, contig: str, start: int, end: int) -> bool:
        """Whether some base of [start, end), 0-based half-open, is held out."""
        return bool(self.touched(contig, start, end))

    def touched(self, contig: str, start: int, end: int) -> tuple[str, ...]:
        """Names of the hold-outs that have bases of [start, end)."""
        name = chromosome(contig)
        parent = name.split("_", 1)[0] if name.endswith(("_alt", "_fix", "_random")) else None
        return tuple(
            hold
            for hold, bases in self.regions.items()
            if bases.touches(name, start, end) or (parent is not None and WHOLE_CONTIG in bases.on(parent))
        )

    def holds(self, variant: Variant) -> bool:
        """Whether a normalised variant may not be trained on; see `holding`."""
        return bool(self.holding(variant))

    def holding(self, variant: Variant) -> tuple[str, ...]:
        """Names of the hold-outs that a normalised variant lies in, or is one of.

        A substitution of several bases is held out with each of its single ones, and with any two that are held
        out together.
        """
        keys = tuple(parts(key_of(variant)))
        names = self.touched(variant.chrom, variant.start, variant.end) + tuple(
            name for name, held in self.variants.items() if any(key in held for key in keys)
        )
        together = self.holding_together([variant]) if len(keys) > 1 else ()
        return names + tuple(name for name in together if name not in names)

    def holds_edit(self, window: ReferenceWindow, edit: RelEdit) -> bool:
        """Whether an edit of a window may not be trained on, however it is spelled.

        True also where that cannot be told, because a repeat runs from the edit out of the window.
        """
        key = edit_key(window, edit)
        return key is None or self.holds(key)

    def holds_together(self, variants: Sequence[Variant]) -> bool:
        """Whether normalised variants may not be trained on as one haplotype; see `holding_together`."""
        return any(map(self.holds, variants)) or bool(self.holding_together(variants))

    def holding_together(self, variants: Sequence[Variant]) -> tuple[str, ...]:
        """Names of the hold-outs one of whose blocks has two or more of these normalised variants.

        A held-out substitution of several bases is a block of its single ones.
        """
        shared: Counter[tuple[str, Block]] = Counter()
        for key in {part for variant in variants for part in parts(key_of(variant))}:
            shared.update(self._blocks_of.get(key, ()))
        return tuple(sorted({name for (name, _), count in shared.items() if count > 1}))

    def check(self, contig: str, start: int, end: int) -> None:
        """Refuse a stretch that is about to be trained on.

        Raises:
            InternalError: `holdout-leak`, when some base of it is held out.
        """
        names = self.touched(contig, start, end)
        if names:
            raise InternalError(
                "holdout-leak",
                "Held-out sequence was about to be trained on.",
                where=f"{self.assembly} {contig}:{start}-{end}",
                expected="no base that is held out",
                found=f"bases of {', '.join(names)}",
                next_step="drop windows that touch a hold-out before they are used",
            )


@dataclass(frozen=True)
class Holdouts:
    """What is held out, on every assembly.

    Attributes:
        assemblies: assembly to what is held out on it.
        genes: names of the held-out genes, sorted.
        sources: name of each file that decided, to the SHA-256 of its bytes.
    """

    assemblies: Mapping[str, HeldOut]
    genes: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def on(self, assembly: str) -> HeldOut:
        """What is held out on one assembly.

        Raises:
            ConfigError: `config-invalid`, when nothing is known about it; that is never the same as nothing held out.
        """
        if assembly not in self.assemblies:
            raise ConfigError(
                "config-invalid",
                "The hold-outs say nothing about this assembly.",
                where="assembly",
                expected=" or ".join(self.assemblies),
                found=assembly,
                next_step="use a reference of one of these assemblies, or make the hold-outs for this one",
            )
        return self.assemblies[assembly]

    def with_variants(self, name: str, keys: Mapping[str, Iterable[Variant]]) -> Holdouts:
        """With a further hold-out of variants, given as keys on each assembly that has some."""
        grown = {
            assembly: replace(
                self.on(assembly), variants={**self.on(assembly).variants, name: frozenset(held)}
            )
            for assembly, held in keys.items()
        }
        return replace(self, assemblies={**self.assemblies, **grown})

    def with_blocks(self, name: str, blocks: Mapping[str, Iterable[Block]]) -> Holdouts:
        """With a further hold-out of haplotype blocks, each a tuple of two or more keys."""
        grown = {
            assembly: replace(self.on(assembly), blocks={**self.on(assembly).blocks, name: frozenset(held)})
            for assembly, held in blocks.items()
        }
        return replace(self, assemblies={**self.assemblies, **grown})

    @cached_property
    def digest(self) -> str:
        """`sha256:` and 64 hexadecimal digits over everything that is held out and the sources."""
        return f"sha256:{hashlib.sha256(canonical_json(self._document())).hexdigest()}"

    def write(self, path: Path) -> None:
        """Write as JSON, atomically; equal hold-outs give equal bytes.

        Raises:
            ResourceError: `output-unwritable`.
        """
        write_atomic(path, canonical_json({**self._document(), "digest": self.digest}) + b"\n")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Holdouts:
        """Read what `write` wrote.

        Raises:
            InputError: `holdouts-invalid`, when the file is missing, damaged, changed or of a later version.
        """
        path = Path(path)
        try:
            raw = json.loads(path.read_bytes())
            version, stated = raw["schema_version"], raw["digest"]
            assemblies = {name: _parsed(name, held) for name, held in raw["assemblies"].items()}
            holdouts = cls(assemblies, tuple(raw["genes"]), dict(raw["sources"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise _invalid(path, f"hold-outs of version {SCHEMA_VERSION}", type(error).__name__) from None
        if version != SCHEMA_VERSION:
            raise _invalid(path, f"hold-outs of version {SCHEMA_VERSION}", f"version {version}")
        if stated != holdouts.digest:
            raise _invalid(path, f"contents of {stated}", holdouts.digest)
        return holdouts

    def _document(self) -> dict[str, object]:
        return {
            "schema_version": SCHEMA_VERSION,
            "assemblies": {name: _document(held) for name, held in self.assemblies.items()},
            "genes": list(self.genes),
            "sources": dict(self.sources),
        }


def _document(held: HeldOut) -> dict[str, object]:
    return {
        "regions": {
            name: {contig: [list(span) for span in spans] for contig, spans in bases.by_contig.items()}
            for name, bases in held.regions.items()
        },
        "variants": {
            name: [str(v) for v in sorted(keys, key=_order)] for name, keys in held.variants.items()
        },
        "blocks": {
            name: [
                [str(v) for v in block] for block in sorted(blocks, key=lambda block: [*map(_order, block)])
            ]
            for name, blocks in held.blocks.items()
        },
    }


def _order(variant: Variant) -> tuple[str, int, str, str]:
    """As variants are ordered, without a call for each comparison."""
    return (variant.chrom, variant.pos, variant.ref, variant.alt)


def _parsed(assembly: str, raw: Any) -> HeldOut:
    """One assembly's part of a parsed file; whatever is not as `_document` writes it raises."""
    return HeldOut(
        assembly,
        {
            name: Intervals.of({c: [(int(a), int(b)) for a, b in spans] for c, spans in by_contig.items()})
            for name, by_contig in raw["regions"].items()
        },
        {name: frozenset(map(Variant.parse, keys)) for name, keys in raw["variants"].items()},
        {
            name: frozenset(tuple(map(Variant.parse, block)) for block in blocks)
            for name, blocks in raw["blocks"].items()
        },
    )


def _invalid(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        "holdouts-invalid",
        "The file of hold-outs cannot be used.",
        where=str(path),
        expected=expected,
        found=found,
        next_step="make the hold-outs again, or take the file from where it was published",
    )
