"""What usually causes each error, and what to do about it: the long answer of `geno-lewm errors CODE`.

An error's own `next_step` knows the case at hand; this is what can be said without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from genolewm_core.errors import (
    ConfigError,
    DeploymentError,
    EvaluationError,
    GenoLeWMError,
    InputError,
    InternalError,
    ProvenanceError,
    ResourceError,
    TrainingError,
)

__all__ = ["REMEDIES", "Remedy"]


@dataclass(frozen=True, slots=True)
class Remedy:
    """Causes of an error and ways out.

    Attributes:
        causes: the usual ones, the likeliest first; a sentence.
        todo: what to do, one or two sentences.
        kinds: the kinds of error that carry the code; they decide the exit code.
    """

    causes: str
    todo: str
    kinds: tuple[type[GenoLeWMError], ...] = (InputError,)


_REPORT = "Please report it: this is a mistake in the program."

REMEDIES: dict[str, Remedy] = {
    "allele-invalid": Remedy(
        "An ambiguous base such as N or R, a symbolic allele, or a hyphen for a deletion.",
        "Write the alleles with the letters A, C, G and T, and an insertion or deletion with the base before it.",
    ),
    "annotation-unreadable": Remedy(
        "The path is wrong, the file is no GFF3, or it was made for another assembly than the reference.",
        "Give the GFF3 of the reference's assembly, plain or compressed.",
    ),
    "artifact-digest": Remedy(
        "A download that was cut short, or a file that was changed after the model was published.",
        "Get the model again from where it was published; do not use this copy.",
        (ProvenanceError,),
    ),
    "artifact-path": Remedy(
        "A manifest that was written by hand, or a model directory put together with links.",
        "Get the model again from where it was published, and copy files instead of linking them.",
        (ProvenanceError,),
    ),
    "backend-missing": Remedy(
        "The extra that brings the compute library was not installed, or its name is misspelled.",
        "Install what the message names, or choose another with --backend.",
        (DeploymentError,),
    ),
    "bed-invalid": Remedy(
        "A BED of another assembly, positions counted from 1, or a file that is no BED.",
        "Correct the line that the message names: contig, start counted from 0, end not included, between tabs.",
    ),
    "cache-corrupt": Remedy(
        "A disk that fails, a copy that was cut short, or files that were renamed or changed.",
        "Put what is damaged into quarantine with geno-lewm cache DIR --repair, and run geno-lewm cache-windows again.",
        (ProvenanceError,),
    ),
    "cache-identity": Remedy(
        "Other weights, another way to compute states, or a folder whose files were written by hand.",
        "Compute the states anew with geno-lewm cache-windows; those of the other encoder stay where they are.",
        (ProvenanceError,),
    ),
    "cache-schema": Remedy(
        "The directory is shared with an installation that is newer.",
        "Update genolewm-encoder, or use another cache directory.",
        (ConfigError,),
    ),
    "calibration-invalid": Remedy(
        "The table was cut short, changed, or made by another version.",
        "Get the model again from where it was published, or make the table again with geno-lewm calibrate.",
        (ProvenanceError,),
    ),
    "cluster-unreachable": Remedy(
        "A wrong address, a cluster that has ended, or other versions of Ray and Python than the cluster has.",
        "Ask the cluster with: ray status --address ADDRESS, and install its versions of Ray and Python here.",
        (ResourceError,),
    ),
    "carbon-files-invalid": Remedy(
        "Files of another size or another model, files of two commits mixed, or a changed tokenizer.",
        "Get all files of one commit again, or choose the size of Carbon that they are of.",
        (ProvenanceError,),
    ),
    "command-unavailable": Remedy(
        "A package that adds a command is installed without something that it needs, or is of another version.",
        "Install the package again together with what it needs, or remove it; the other commands work as before.",
        (DeploymentError,),
    ),
    "config-invalid": Remedy(
        "A misspelled value, a number out of range, or two options that exclude each other.",
        "Compare the command with geno-lewm COMMAND --help.",
        (ConfigError,),
    ),
    "contig-unknown": Remedy(
        "A name in another style (chr1, 1, NC_000001.11), or a FASTA that has only some chromosomes.",
        "Look the names up in the FASTA's index (.fai), and use a FASTA that has the contig.",
    ),
    "corpus-unreadable": Remedy(
        "A wrong folder, a copy that was cut short, files of another config, or a lost connection to the Hub.",
        "Get the files that the message names again, or start the same run again if it streams.",
    ),
    "dataset-invalid": Remedy(
        "A file of the release was cut short, changed or left out, or a later version of GenoLeWM made it.",
        "Run geno-lewm dataset verify, which names every file that is wrong; copy those again, or build it again.",
        (InputError, ProvenanceError),
    ),
    "dtype-unsupported": Remedy(
        "The format fp16, in which Carbon's activations overflow, or one that is too coarse for what was asked for.",
        "Use bf16 for states and fp32 for scores, or the format that the message names.",
        (ConfigError,),
    ),
    "edit-invalid": Remedy(
        "An empty allele, equal alleles, or a position counted from 0.",
        "Count positions from 1, and give two different alleles that both have a base.",
    ),
    "edit-outside-window": Remedy(
        "A window that was cut around another place, or of another contig.",
        "Cut the window around the edit's locus.",
    ),
    "edit-overlap": Remedy(
        "Two alternate alleles of one record, or two records that change the same base.",
        "Apply them one at a time, or keep one of them.",
    ),
    "edit-unsupported": Remedy(
        "A long insertion or deletion.",
        "Leave this edit out: an edit may have 16 bases.",
    ),
    "encoder-identity-invalid": Remedy(
        "A file that was edited by hand, or one of the two copied without the other.",
        "Write encoder_hash.txt and config.json again from the encoder itself.",
        (ProvenanceError,),
    ),
    "graph-missing": Remedy(
        "The model is of an architecture that this version brings no graph for.",
        "Choose another backend with --backend, or update genolewm-runtime.",
        (DeploymentError,),
    ),
    "guard-unavailable": Remedy(
        "A system other than Linux on x86-64 or ARM, or a container that forbids seccomp.",
        "Run where the kernel allows seccomp, or accept the weaker guard with --allow-unenforced-guard; the receipt "
        "will say so.",
        (DeploymentError,),
    ),
    "holdout-leak": Remedy("A region of the training data overlaps the hold-out.", _REPORT, (InternalError,)),
    "holdouts-invalid": Remedy(
        "The file was edited by hand, cut short, or written by a later version of GenoLeWM.",
        "Make the hold-outs again from their sources, or take the file from where it was published.",
        (InputError,),
    ),
    "manifest-invalid": Remedy(
        "The path names no model directory, or a download was cut short.",
        "Give --model the directory that holds manifest.json, or get the model again.",
        (ProvenanceError,),
    ),
    "model-missing": Remedy(
        "The extra `mini` of genolewm-runtime was not installed.",
        "Name a model with --model, or run: pip install 'genolewm-runtime[mini]'",
        (DeploymentError,),
    ),
    "network-blocked": Remedy(
        "A library, a plug-in or a proxy setting tried to connect while a genome was being scored.",
        "Nothing was sent. Remove the plug-in, or report which library it was.",
        (DeploymentError,),
    ),
    "output-busy": Remedy(
        "The same command is running in another window, or on another machine that shares the folder.",
        "Wait for the other run, or choose another --output.",
        (ResourceError,),
    ),
    "output-exists": Remedy(
        "An earlier run wrote it.",
        "Choose another --output, or replace the file with --fresh.",
        (ConfigError, ResourceError),
    ),
    "output-format": Remedy(
        "A misspelled ending, or none.",
        "Give --output a name with one of the endings that the message lists.",
        (ConfigError,),
    ),
    "output-unwritable": Remedy(
        "The folder does not exist, is a file, is read-only, or the disk is full.",
        "Make the folder, free some space, or choose another --output; what was finished is kept.",
        (ResourceError,),
    ),
    "receipt-unreadable": Remedy(
        "The table was renamed or copied without its receipt, or the receipt was changed.",
        "Keep the two files together, or score the VCF again.",
    ),
    "reference-mismatch": Remedy(
        "The VCF was called on another assembly (GRCh37, GRCh38) than the FASTA is of, or names contigs otherwise.",
        "Use the FASTA that the VCF was called on; its header often names it.",
    ),
    "reference-unreadable": Remedy(
        "The path is wrong, the FASTA is compressed by gzip and not bgzip, or its index is older than the file.",
        "Make the index with samtools faidx, in a folder that can be written; recompress gzip with bgzip.",
    ),
    "release-mismatch": Remedy(
        "The file is of another release, was stripped of fields, or lies on another assembly than the other files.",
        "Give the release file as it was published, with the --release that it is of and a FASTA of its assembly.",
    ),
    "resume-conflict": Remedy(
        "A run with other inputs or options was interrupted and waits to be finished.",
        "Give that run's command again, drop it with --fresh, or choose another --output.",
        (ConfigError, InputError),
    ),
    "rows-lost": Remedy("Rows disappeared between scoring and writing.", _REPORT, (InternalError,)),
    "revision-floating": Remedy(
        "A branch such as main, a tag, or the short form of a commit.",
        "Give the full commit: 40 digits of 0-9 and a-f.",
        (ConfigError,),
    ),
    "scores-unreadable": Remedy(
        "The path is wrong, or the table was written by another program or cut short.",
        "Give a table that geno-lewm score wrote.",
    ),
    "setup-digest-unknown": Remedy(
        "Only the catalogue's own names were given, and no digest of their files is known to this version.",
        "Say whom you trust: --digests, --index or --trust-host; docs/setup.md compares them.",
        (ConfigError,),
    ),
    "setup-download-failed": Remedy(
        "No network, a proxy that is not set, a host that is down, a wrong address, or a file that a folder lacks.",
        "Run the same command again, which goes on where it stopped; or fetch the files elsewhere and give --from DIR.",
        (ResourceError, InputError),
    ),
    "setup-no-consent": Remedy(
        "The answer was no, or the command ran without a terminal and without --yes.",
        "Look at the plan with --dry-run, then give --yes.",
        (ConfigError,),
    ),
    "tensor-file-invalid": Remedy(
        "A download that was cut short, or a file of another format with this name.",
        "Get the file again from where it was published.",
        (InputError, ProvenanceError),
    ),
    "training-data-missing": Remedy(
        "A path of the training data is wrong, or the data has too few sequences for the options.",
        "Check the paths that the message names, or train on more sequence.",
        (TrainingError, InputError, EvaluationError, InternalError),
    ),
    "training-diverged": Remedy(
        "A learning rate that is too high for the model's size.",
        "Lower the learning rate and go on from the last checkpoint.",
        (TrainingError,),
    ),
    "variant-syntax": Remedy(
        "A missing part, another separator, or a position that is no number.",
        "Write the variant as chrom:pos:ref:alt, such as chr21:25118121:T:C.",
    ),
    "vcf-unreadable": Remedy(
        "A download that was cut short, another format (BCF, the export of a SNP array), or a damaged file.",
        "Get the file again, or convert it as the message says; docs/formats/vcf-outcomes.md lists what is accepted.",
    ),
    "vcf-unsorted": Remedy(
        "Files that were joined, or written by a program that does not sort.",
        "Sort it with: bcftools sort",
    ),
    "window-mismatch": Remedy(
        "The reference FASTA and the variants belong to different assemblies.",
        "Use the FASTA of the assembly that the variants are on.",
    ),
    "worker-ended": Remedy(
        "The system ended a process that used too much memory.",
        "Run the same command again with fewer --jobs; it goes on where it stopped.",
        (ResourceError,),
    ),
}
"""Every code of `genolewm_core.errors.CODES`, explained."""
