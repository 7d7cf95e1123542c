"""Nothing of a personal file leaves it but into the output: canaries are planted, every error is forced, and every
byte that was written elsewhere is searched.

What may hold personal data: the output table, the folder `.NAME.parts` beside it while a run is unfinished, and
the result that `--variant` prints. Everything else may not: stdout, stderr (of native libraries too), the log, the
receipt, temporary and crash files, and whatever else appears in the working folder, in TMPDIR and in HOME.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path

import pysam
import pytest

from genolewm_core.artifacts.manifest import digest_file
from genolewm_core.errors import CODES
from genolewm_core.genome.alleles import reverse_complement
from genolewm_runtime.receipt import receipt_path

# All cases run in the first test's fixture: a minute, and half an hour on a machine that is busy many times over.
pytestmark = pytest.mark.timeout(3_600)

MODEL = Path(str(files("genolewm_mini"))) / "model"
COMMAND = Path(sys.executable).with_name("geno-lewm")

INSERTED = "GATTACAGGCATTCGACCTAGTGC"
POS = 1_737_913
SAMPLE, CONTIG, INFO, RSID = "CANARYSAMPLE", "CANARYCTG", "CANARYINFO", "rs987654321"
VARIANT = f"chr1:{POS}:A:A{INSERTED}"

_HALVES = (INSERTED[:12], INSERTED[12:])
NEEDLES = [
    *(text.encode() for half in _HALVES for text in (half, reverse_complement(half))),
    *(str(pos).encode() for pos in range(POS - 2, POS + 3)),
    *(text.upper().encode() for text in (SAMPLE, CONTIG, INFO, RSID)),
]

UNREACHABLE = {
    "allele-invalid": "raised by EditSpec, which only library calls make",
    "cache-corrupt": "cache only",
    "cache-identity": "cache only",
    "cache-schema": "cache only",
    "bed-invalid": "raised for a BED of regions, which score does not read",
    "cluster-unreachable": "commands with --cluster only",
    "carbon-files-invalid": "setup only",
    "command-unavailable": "an installed command that cannot be loaded",
    "contig-unknown": "a contig that the reference lacks is skipped, row by row",
    "corpus-unreadable": "reads of the training corpus only",
    "dtype-unsupported": "the encoder only",
    "edit-invalid": "raised by EditSpec",
    "edit-outside-window": "raised by EditSpec.relative_to",
    "edit-overlap": "raised when a library call applies several edits",
    "edit-unsupported": "raised by EditSpec",
    "encoder-identity-invalid": "the cache only",
    "holdout-leak": "training and calibration only",
    "dataset-invalid": "training data only",
    "holdouts-invalid": "training data only",
    "receipt-unreadable": "report only",
    "release-mismatch": "prepare only, of public release files",
    "revision-floating": "setup and the encoder only",
    "scores-unreadable": "report only",
    "setup-digest-unknown": "setup only",
    "setup-download-failed": "setup only",
    "setup-no-consent": "setup only",
    "training-data-missing": "training only",
    "training-diverged": "training only",
    "window-mismatch": "encode_window and edits of a library call",
}
"""Codes that `score` cannot end with, whatever its input; each with the reason."""

PLUG_IN = f'''
import os, signal, socket, threading, time

CANARY = "{VARIANT} of {SAMPLE} on {CONTIG}"


class Backend:
    d_state = 256

    def __init__(self, name, act):
        self.name, self._act = name, act

    def open(self, trunk):
        self._act()
        raise ValueError(CANARY) from KeyError(CANARY)


def thread():
    def run():
        raise ValueError(CANARY)
    started = threading.Thread(target=run)
    started.start()
    started.join()


class Late:
    def __del__(self):
        raise ValueError(CANARY)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)


ACTS = {{
    "raising": lambda: None,
    "starting": thread,
    "finalizing": lambda: Late() and None,
    "interrupting": interrupt,
    "connecting": lambda: socket.socket(socket.AF_INET),
    "aborting": os.abort,
}}


def factory(name):
    return lambda model, threads=None: Backend(name, ACTS[name])


def unloadable(model, threads=None):
    raise ValueError(CANARY)


globals().update({{name: factory(name) for name in ACTS}})
'''

# One process imports everything once; each case is a fork of it, a process with streams of its own.
DRIVER = """
import json, os, signal, socket, sys


def prepare(what):
    if what == "open socket":
        globals()["kept"] = socket.socket()
    if what == "no embedded model":
        sys.modules["genolewm_mini"] = None
    if what == "lost row":
        import genolewm_runtime.run as run
        true = run.stage_table
        run.stage_table = lambda shards, target, staging, rows: true(shards, target, staging, rows + 1)


def child(case):
    os.chdir(case["cwd"])
    os.environ.update(case["environment"])
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(case[name], flags), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.alarm(300)
    prepare(case["prepare"])
    from genolewm_core.umbrella import main
    sys.argv = ["geno-lewm", *case["arguments"]]
    try:
        main()
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(ended.code or 0))


if __name__ == "__main__":
    import onnxruntime, polars, rich, pysam
    import genolewm_core.genome.annotation
    import genolewm_runtime.commands, genolewm_runtime.display, genolewm_runtime.run, genolewm_runtime.runtime
    codes = {}
    for case in json.load(sys.stdin):
        pid = os.fork()
        if pid == 0:
            try:
                child(case)
            finally:
                os._exit(99)
        codes[case["name"]] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    json.dump(codes, sys.stdout)
"""


@dataclass(frozen=True)
class Case:
    """A way to run `score`.

    Attributes:
        code: the error that must come out; None for none.
        exit_code: of the process.
        arguments: over the usual ones; a value of None takes an option away.
        files: name -> content of input files in the case's folder.
        prepare: what to do in the process before.
        logged: whether the log was opened before the end.
        alone: run as the console script, which worker processes need.
    """

    code: str | None
    exit_code: int
    arguments: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    prepare: str = ""
    logged: bool = True
    alone: bool = False


class World:
    """A reference with bases around the canary's place, and VCFs about a person."""

    def __init__(self, folder):
        self.folder = folder
        self.reference = folder / "reference.fa"
        bases = (INSERTED[::2] + "ACGGTTCAAGCTA") * 400
        start = POS - 6_000
        text = ("N" * start + bases + "N" * 2_000_000)[:2_000_000]
        self.base = text[POS - 1]
        self.bases = text
        lines = (text[i : i + 100] for i in range(0, len(text), 100))
        self.reference.write_text(">chr1\n" + "\n".join(lines) + "\n")
        pysam.faidx(str(self.reference))
        self.plug_ins = folder / "plug-ins"
        about = self.plug_ins / "canary_plug_in-1.dist-info"
        about.mkdir(parents=True)
        (self.plug_ins / "canary_plug_in.py").write_text(PLUG_IN)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: canary-plug-in\nVersion: 1\n")
        names = ("raising", "starting", "finalizing", "interrupting", "connecting", "aborting", "unloadable")
        points = "\n".join(f"canary-{name} = canary_plug_in:{name}" for name in names)
        (about / "entry_points.txt").write_text(f"[genolewm.backends]\n{points}\n")

    def record(self, offset=0, ref=None, alt=None, chrom="chr1"):
        pos = POS + offset
        ref = ref or self.bases[pos - 1]
        return f"{chrom}\t{pos}\t{RSID}\t{ref}\t{alt or ref + INSERTED}\t9\tPASS\t{INFO}=1\tGT\t0|1"

    def vcf(self, *records):
        columns = "CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT"
        head = [
            "##fileformat=VCFv4.2",
            f'##INFO=<ID={INFO},Number=1,Type=Integer,Description="{INFO}">',
            f"##contig=<ID={CONTIG}>",
            f"#{columns}\t{SAMPLE}",
        ]
        return "\n".join([*head, *records]) + "\n"

    def usual(self):
        wrong = "ACGT"[("ACGT".index(self.bases[POS + 1]) + 1) % 4]
        return self.vcf(
            self.record(),
            self.record(1, alt="<DEL>"),
            self.record(2, ref=wrong, alt=f"{wrong}{INSERTED}"),
            self.record(0, ref="A", chrom=CONTIG),
        )

    def model(self, name, *, bend=lambda manifest: None, weights=None):
        """A copy of the embedded model with something wrong."""
        folder = self.folder / name
        folder.mkdir()
        for path in MODEL.iterdir():
            if path.is_file():
                shutil.copy(path, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        if weights is not None:
            (folder / manifest["weights"][0]["name"]).write_bytes(weights)
        bend(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def model_with(self, name, part, content):
        """A copy of the embedded model in which one file is replaced, and the manifest agrees with it."""
        scratch = self.folder / f"{name}.part"
        scratch.write_bytes(content)
        digest = digest_file(scratch)

        file_name = "model.safetensors" if part == "weights" else f"{part}.json"
        entry = {**asdict(digest), "name": file_name}

        def bend(manifest):
            manifest[part] = [entry] if part == "weights" else entry

        folder = self.model(name, bend=bend)
        (folder / file_name).write_bytes(content)
        return folder


def _vcf(text, code="vcf-unreadable", **arguments):
    return Case(code, 2, arguments, {"in.vcf": text})


def _model(make, code, exit_code=8):
    return Case(code, exit_code, {"--model": make})


def _plug_in(name, code, exit_code, **arguments):
    return Case(code, exit_code, {"--backend": f"canary-{name}", **arguments}, alone="--jobs" in arguments)


def _flipped():
    data = bytearray(
        (MODEL / json.loads((MODEL / "manifest.json").read_text())["weights"][0]["name"]).read_bytes()
    )
    data[-1] ^= 1
    return bytes(data)


def _gzip(world):
    return gzip.compress(world.usual().encode())


def _unlike(world):
    wrong = {"A": "T", "T": "A", "C": "G", "G": "C"}
    return world.vcf(*(world.record(i, ref=wrong[world.bases[POS + i - 1]], alt="AC") for i in range(60)))


# A value that is a function is called with the world.
CASES = {
    "every kind of row": Case(None, 2),
    "every kind of row, to parquet": Case(None, 2, {"--output": "out.parquet"}),
    "one variant that cannot be read": Case(
        "variant-syntax", 2, {"--variant": f"{VARIANT}N{SAMPLE}", "--vcf": None, "--output": None}
    ),
    "a variant as an argument": Case(None, 3, {VARIANT: True}, logged=False),
    "a variant as an option": Case(None, 3, {f"--{VARIANT}": True}, logged=False),
    "a variant as a number": Case(None, 3, {"--jobs": VARIANT}, logged=False),
    "a variant as a head": Case("config-invalid", 3, {"--heads": VARIANT}),
    "a variant as a backend": Case("backend-missing", 7, {"--backend": VARIANT}),
    "a variant as a file": Case("vcf-unreadable", 2, {"--vcf": VARIANT}),
    "a variant as an output": Case("output-format", 3, {"--output": VARIANT}),
    "no such backend": Case("backend-missing", 7, {"--backend": "abacus"}),
    "no jobs": Case("config-invalid", 3, {"--jobs": "0"}),
    "a VCF as the log": Case("config-invalid", 3, {"--log-file": "in.vcf"}, logged=False),
    "no folder for the log": Case("output-unwritable", 4, {"--log-file": "no/x.log"}, logged=False),
    "no folder": Case("output-unwritable", 4, {"--output": "no/out.tsv"}),
    "an output": Case("output-exists", 3, {}, {"out.tsv": f"{VARIANT}\n"}),
    "no format": Case("output-format", 3, {"--output": "out.xyz"}),
    "a run in the way": Case("resume-conflict", 3, prepare="another run"),
    "a run at work": Case("output-busy", 4, prepare="a lock"),
    "lost rows": Case("rows-lost", 9, prepare="lost row"),
    "an open socket": Case("guard-unavailable", 7, prepare="open socket"),
    "no model": Case("model-missing", 7, {"--model": None}, prepare="no embedded model"),
    "an empty model": _model(lambda w: w.folder, "manifest-invalid"),
    "a bit of the model": _model(lambda w: w.model("flipped", weights=_flipped()), "artifact-digest"),
    "a model elsewhere": _model(
        lambda w: w.model("elsewhere", bend=lambda m: m["weights"][0].update(name="../x")), "artifact-path"
    ),
    "a model of garbage": _model(
        lambda w: w.model_with("garbage", "weights", VARIANT.encode() * 9), "tensor-file-invalid"
    ),
    "a calibration of garbage": _model(
        lambda w: w.model_with("uncalibrated", "calibration", VARIANT.encode()), "calibration-invalid"
    ),
    "a model of another shape": _model(
        lambda w: w.model("shape", bend=lambda m: m["architecture"].update(rms_norm_eps=1e-3)),
        "graph-missing",
        7,
    ),
    "no reference": Case("reference-unreadable", 2, {"--reference": "no.fa"}),
    "a VCF as the reference": Case("reference-unreadable", 2, {"--reference": "in.vcf"}),
    "a damaged index": Case(
        "reference-unreadable",
        2,
        {"--reference": "r.fa"},
        {"r.fa": f">chr1\n{INSERTED}\n", "r.fa.fai": f"{CONTIG}\t{POS}\tx\n"},
    ),
    "a VCF as the annotation": Case("annotation-unreadable", 2, {"--annotation": "in.vcf"}),
    "another assembly": _vcf(_unlike, "reference-mismatch"),
    "other contigs": _vcf(lambda w: w.vcf(w.record(ref="A", chrom=CONTIG)), "reference-mismatch"),
    "out of order": _vcf(
        lambda w: w.vcf(w.record(9), w.record()), "vcf-unsorted", **{"--output": "out.vcf.gz"}
    ),
    "no VCF": _vcf(f"{VARIANT}\t{SAMPLE}\n"),
    "a header that ends": _vcf(f"##fileformat=VCFv4.2\n##{SAMPLE}={VARIANT}\n{VARIANT}\n"),
    "odd columns": _vcf(f"##fileformat=VCFv4.2\n#CHROM\t{SAMPLE}\t{VARIANT}\n"),
    "a cut record": _vcf(lambda w: w.vcf(w.record(), f"chr1\t{POS}\t{RSID}\tA")),
    "no position": _vcf(lambda w: w.vcf(f"chr1\t{VARIANT}\t{RSID}\tA\tA{INSERTED}\t.\t.\t{INFO}")),
    "a cut gzip": _vcf(lambda w: _gzip(w)[:-12]),
    "a damaged gzip": _vcf(lambda w: _gzip(w)[:60] + b"\xff\xfe\xfd" + _gzip(w)[63:]),
    "cut standard input": Case(
        "vcf-unreadable", 2, {"--vcf": "-"}, {"stdin": lambda w: w.usual().rsplit("\t", 7)[0]}
    ),
    "an unexpected error": _plug_in("raising", None, 9),
    "an unexpected error in a thread": _plug_in("starting", None, 9),
    "an unexpected error in a finalizer": _plug_in("finalizing", None, 9),
    "an unexpected error of loading": _plug_in("unloadable", None, 9),
    "an interrupt": _plug_in("interrupting", None, 130),
    "a connection": _plug_in("connecting", "network-blocked", 7),
    "a crash": _plug_in("aborting", None, -6),
    "an unexpected error in a worker": _plug_in("raising", None, 9, **{"--jobs": "2"}),
    "an unexpected error of loading in a worker": _plug_in("unloadable", None, 9, **{"--jobs": "2"}),
    "a crash of a worker": _plug_in("aborting", "worker-ended", 4, **{"--jobs": "2"}),
}


@dataclass(frozen=True)
class Ended:
    """What a case left behind."""

    case: Case
    exit_code: int
    folder: Path
    inputs: frozenset

    def text(self, name):
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def written(self):
        """Every file that was written, but for those that may hold personal data."""
        output = self.folder / "work" / (self.case.arguments.get("--output", "out.tsv") or "none")
        parts = output.with_name(f".{output.name}.parts")
        for path in self.folder.rglob("*"):
            if path.is_file() and path not in self.inputs and path != output and parts not in path.parents:
                yield path


def arguments_of(case, world):
    usual = {
        "--vcf": "in.vcf",
        "--reference": world.reference,
        "--model": MODEL,
        "--output": "out.tsv",
        "--no-progress": True,
        "--log-level": "debug",
        "--log-file": "run.log",
    }
    given = {**usual, **case.arguments}
    found = ["score"]
    for name, value in given.items():
        value = value(world) if callable(value) else value
        if value is not None:
            found += [name] if value is True else [name, str(value)]
    return found


def lay_out(name, case, world, folder):
    """Folders and files of a case, and what the driver needs to know."""
    work = folder / "work"
    for part in ("work", "tmp", "home"):
        (folder / part).mkdir(parents=True)
    for file, content in {"in.vcf": world.usual(), "stdin": "", **case.files}.items():
        content = content(world) if callable(content) else content
        content = content if isinstance(content, bytes) else content.encode()
        (work / file).write_bytes(content)
    if case.prepare in ("another run", "a lock"):
        parts = work / ".out.tsv.parts"
        parts.mkdir()
        if case.prepare == "another run":
            (parts / "run.json").write_text(json.dumps({"fingerprint": "other", "replace": False}))
    return {
        "name": name,
        "cwd": str(work),
        "prepare": case.prepare,
        "arguments": arguments_of(case, world),
        "environment": {
            **{key: str(folder / "tmp") for key in ("TMPDIR", "TEMP", "TMP")},
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "home"),
            "PYTHONPATH": str(world.plug_ins),
        },
        "stdin": str(work / "stdin"),
        "stdout": str(folder / "stdout"),
        "stderr": str(folder / "stderr"),
    }


def run_alone(plan):
    """The console script in a process of its own, for workers."""
    with (
        open(plan["stdin"]) as stdin,
        open(plan["stdout"], "w") as stdout,
        open(plan["stderr"], "w") as stderr,
    ):
        return subprocess.run(
            [COMMAND, *plan["arguments"]],
            cwd=plan["cwd"],
            env={**os.environ, **plan["environment"]},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            timeout=600,
            check=False,
        ).returncode


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """All cases, run."""
    import fcntl

    folder = tmp_path_factory.mktemp("canaries")
    world = World(folder)
    table = CASES
    where = {name: folder / f"case-{i}" for i, name in enumerate(table)}
    plans = {name: lay_out(name, case, world, where[name]) for name, case in table.items()}
    inputs = {name: frozenset(p for p in where[name].rglob("*") if p.is_file()) for name in table}
    locks = [
        os.open(where[name] / "work" / ".out.tsv.parts", os.O_RDONLY)
        for name, case in table.items()
        if case.prepare == "a lock"
    ]
    for lock in locks:
        fcntl.flock(lock, fcntl.LOCK_EX)
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    forked = [plans[name] for name, case in table.items() if not case.alone]
    answer = subprocess.run(
        [sys.executable, driver],
        input=json.dumps(forked),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(world.plug_ins)},
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    codes = json.loads(answer.stdout)
    codes.update({name: run_alone(plans[name]) for name, case in table.items() if case.alone})
    for lock in locks:
        os.close(lock)
    return {name: Ended(table[name], codes[name], where[name], inputs[name]) for name in table}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_canary_is_found_outside_the_output(name, ends):
    end = ends[name]
    assert end.exit_code == end.case.exit_code, end.text("stderr")
    if end.case.code is not None:
        assert f"[{end.case.code}]" in end.text("stderr")
    for path in end.written():
        content = path.read_bytes().upper()
        found = [needle for needle in NEEDLES if needle in content]
        assert not found, (path, found)
        assert not any(needle in str(path.name).upper().encode() for needle in NEEDLES)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_log_names_the_end_and_holds_declared_events_only(name, ends):
    end = ends[name]
    if not end.case.logged:
        assert not (end.folder / "work" / "run.log").exists()
        return
    records = [json.loads(line) for line in end.text("work/run.log").splitlines()]
    events = {record["event"]: record["fields"] for record in records}
    assert records[0]["event"] == "started"
    if end.case.exit_code < 0:
        return  # aborted
    assert events["ended"]["exit_code"] == end.case.exit_code
    if end.case.code is not None:
        assert events["failed"]["code"] == end.case.code
    elif end.case.exit_code == 9:
        assert events["failed_unexpectedly"]["kind"] == "ValueError"
        assert events["failed_unexpectedly"]["places"]
    elif end.case.exit_code == 130:
        assert "interrupted" in events


@pytest.mark.slow
def test_temporary_folders_stay_empty(ends):
    for name, end in ends.items():
        left = [path for part in ("tmp", "home") for path in (end.folder / part).rglob("*")]
        assert not left, name


@pytest.mark.slow
def test_the_canaries_can_be_found_where_they_may_be(ends):
    """Without this, a needle that is never written anywhere would prove nothing."""
    end = ends["every kind of row"]
    table = (end.folder / "work" / "out.tsv").read_bytes().upper()
    assert all(needle in table for needle in (INSERTED.encode(), str(POS).encode(), CONTIG.encode()))
    receipt = json.loads(receipt_path(end.folder / "work" / "out.tsv").read_text())
    assert receipt["rows"] == {"failed": 1, "scored": 1, "skipped": 2}
    assert sum(1 for _ in end.written()) == 4  # stdout, stderr, log, receipt
    assert all(needle in (end.folder / "work" / "in.vcf").read_bytes().upper() for needle in NEEDLES[-4:])


@pytest.mark.slow
def test_threads_and_finalizers_are_heard_of(ends):
    assert "ended a thread" in ends["an unexpected error in a thread"].text("stderr")
    assert "was ignored" in ends["an unexpected error in a finalizer"].text("stderr")


def test_every_code_is_forced_or_said_to_be_out_of_reach():
    forced = {case.code for case in CASES.values() if case.code}
    assert forced & set(UNREACHABLE) == set()
    assert forced | set(UNREACHABLE) == set(CODES)
