"""Plain words for what a score table says in codes."""

from __future__ import annotations

from genolewm_core.genome.vcf import FAILED_REASONS, SKIPPED_REASONS

__all__ = [
    "bucket_words",
    "class_words",
    "confidence_words",
    "consequence_words",
    "flag_words",
    "head_words",
    "option_words",
    "reason_words",
]

_REASONS = {
    **SKIPPED_REASONS,
    **FAILED_REASONS,
    "sixmer_unreadable": "The six letters around the change hold an N, or lie at the very end of the contig.",
    "score_undefined": "None of the scores that were asked for is defined for this kind of change.",
}
_CLASSES = {
    "substitution": "Substitutions",
    "indel_in_phase": "Insertions and deletions, length a multiple of 6",
    "indel_out_of_phase": "Insertions and deletions, other lengths",
}
_ONE_OF_CLASS = {
    "substitution": "substitutions",
    "indel_in_phase": "insertions and deletions whose length is a multiple of six",
    "indel_out_of_phase": "insertions and deletions whose length is not a multiple of six",
}
_HEADS = {
    "displacement": "displacement: how far the model's state moves (higher is more unusual)",
    "delta_ll": "delta_ll: how much less likely the model finds the sequence (lower is more unusual)",
    "marginal_llr": "marginal_llr: how much less likely the model finds the changed six letters "
    "(lower is more unusual)",
}
_CONSEQUENCES = {
    "missense": "replaces one amino acid of the protein by another",
    "synonymous": "inside the coding part of a gene, the protein stays the same",
    "nonsense": "ends the protein early",
    "stop_lost": "removes the end of the protein",
    "splice_site": "at the border of an exon, where the transcript is cut",
    "splice_region": "close to the border of an exon",
    "intron": "between the exons of a gene",
    "utr5": "in the transcript, before the coding part",
    "utr3": "in the transcript, after the coding part",
    "flank": "beside a gene",
    "cds_other": "in the coding part of a gene, another kind of change",
    "indel_frameshift": "shifts the reading frame of the protein",
    "indel_inframe": "adds or removes whole amino acids",
    "indel_intron": "insertion or deletion between the exons of a gene",
    "indel_splice_site": "insertion or deletion at the border of an exon",
    "indel_splice_region": "insertion or deletion close to the border of an exon",
    "indel_utr5": "insertion or deletion in the transcript, before the coding part",
    "indel_utr3": "insertion or deletion in the transcript, after the coding part",
    "indel_flank": "insertion or deletion beside a gene",
}
_FLAGS = {
    "n_in_span": "a base that is not known (N) lies in what the model read",
    "span_truncated": "the contig or the window ends inside what the model read",
}
_GC = {
    "low": "few G and C around it",
    "mid": "a middling share of G and C around it",
    "high": "many G and C around it",
}
_REPEATS = {"simple": "inside a short tandem repeat", "none": "outside short tandem repeats"}
_OPTIONS = {
    "both_strands": "Both strands averaged",
    "heads": "Scores computed",
    "ll_tok": "Six-mers that likelihoods are summed over",
    "phases": "Six-mer phases averaged",
    "radius_tok": "Six-mers of the span besides the first",
    "geometry.window_bp": "Window (bases)",
    "geometry.cell_bp": "Cell (bases)",
}


def reason_words(reason: str | None) -> str:
    """Why a row was not scored; a reason of another version comes back as it is."""
    return _REASONS.get(reason or "", "The table gives no reason." if reason is None else reason)


def class_words(edit_class: str) -> str:
    """Heading for a class of edits."""
    return _CLASSES.get(edit_class, edit_class)


def head_words(head: str | None) -> str:
    """What a raw score measures."""
    return _HEADS.get(head or "", head or "no score")


def consequence_words(consequence: str) -> str:
    """What a consequence means; empty for one of another version."""
    return _CONSEQUENCES.get(consequence, "")


def flag_words(flags: str) -> str:
    """A row's flags, spelled out."""
    return "; ".join(_FLAGS.get(flag, flag) for flag in flags.split(","))


def option_words(name: str) -> str:
    """Label of an option in the receipt."""
    return _OPTIONS.get(name, name)


def confidence_words(confidence: float | None, low: bool | None) -> str:
    """The confidence indicator: how many common variants stand behind a percentile."""
    if confidence is None:
        return ""
    if low:
        return "low"
    return "full" if confidence >= 1 else "medium"


def bucket_words(bucket_id: str) -> str:
    """What a variant was compared with, from its bucket; see docs/formats/scores.md.

    A bucket that cannot be told apart comes back as it is.
    """
    name = bucket_id.removeprefix("synthetic:")
    factors = name.split("|")
    if len(factors) != 5:
        return bucket_id
    edit_class, offset, region, gc, repeat = factors
    told = [
        f"with the change at the same place of the model's six-letter words (offset {offset})",
        f"in the same kind of region ({region.replace('_', ' ')})",
        f"with {_GC.get(gc, f'GC {gc}')}",
        _REPEATS.get(repeat, f"repeat {repeat}"),
    ]
    known = [text for text, factor in zip(told, factors[1:], strict=True) if factor != "*"]
    what = "made-up (synthetic)" if name != bucket_id else "common"
    text = ", ".join([f"{what} {_ONE_OF_CLASS.get(edit_class, edit_class)}", *known])
    if name != bucket_id:
        text += "; there were too few common variants of this kind to compare with"
    return text
