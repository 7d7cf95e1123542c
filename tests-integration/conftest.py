"""A small world on which a run takes a moment, and a server that runs the command on it many times."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam
import pytest

from genolewm_core.artifacts.architectures import ARCHITECTURES
from genolewm_core.artifacts.manifest import Contract
from genolewm_core.testing.conformance import random_model
from genolewm_core.testing.models import write_model

HERE = Path(__file__).parent / "runs"
MINI = ARCHITECTURES["mini"]
CONTRACT = Contract(window_bp=6_144, cell_bp=1_200, state_layer=4, radius_tok=3, ll_tok=4)
N_CONTIGS = 8
CONTIG_BP = 360  # short, and with it every pass: what is tested is what happens between the shards


@dataclass(frozen=True)
class SmallWorld:
    """Paths of a model, a reference and a VCF whose records lie in eight cells."""

    model: Path
    reference: Path
    vcf: Path

    def argv(self, output, *more, vcf=None):
        """The command's arguments for a run to an output."""
        paths = ["--vcf", vcf or self.vcf, "--reference", self.reference, "--model", self.model]
        return ["score", *map(str, [*paths, "--output", output]), "--no-progress", "--backend", "onnx", *more]


@pytest.fixture(scope="session")
def small_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(11)
    reference = folder / "reference.fa"
    contigs = {f"chr{n + 1}": "".join(rng.choice(list("ACGT"), size=CONTIG_BP)) for n in range(N_CONTIGS)}
    reference.write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    pysam.faidx(str(reference))
    lines = ["##fileformat=VCFv4.2\n"]
    lines += [f"##contig=<ID={name},length={CONTIG_BP}>\n" for name in contigs]
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    for name, bases in contigs.items():
        for pos in (150, 290):
            ref = bases[pos - 1]
            lines.append(f"{name}\t{pos}\t.\t{ref}\t{'ACGT'['TACG'.index(ref)]},<DEL>\t.\t.\tDP={pos % 7}\n")
    vcf = folder / "in.vcf"
    vcf.write_text("".join(lines))
    return SmallWorld(
        write_model(folder / "model", MINI, random_model(MINI, seed=5), CONTRACT).path, reference, vcf
    )


class Server:
    """Runs the command in forks of one process; see runs/fork_server.py."""

    def __init__(self, library=None):
        environment = {key: value for key, value in os.environ.items() if key != "CI"}
        if library is not None:
            environment |= {"LD_PRELOAD": str(library), "FAULTY_FILES": str(library)}
        self._process = subprocess.Popen(
            [sys.executable, HERE / "fork_server.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, argv, **request):
        """One run; the answer's fields as the server's page tells."""
        request["argv"] = list(map(str, argv))
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    @staticmethod
    def published(folder):
        """Names and bytes of what a run left, without the receipt's time."""
        found = {}
        for path in folder.iterdir():
            found[path.name] = path.read_bytes()
            if path.name.endswith(".receipt.json"):
                receipt = json.loads(found[path.name])
                assert receipt.pop("timestamp")
                found[path.name] = receipt
        return found

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=60)


@pytest.fixture(scope="session")
def server():
    running = Server()
    yield running
    running.close()


@pytest.fixture(scope="session")
def faulty_server(tmp_path_factory):
    """A server whose runs can be made to fail at a file operation."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("faults are injected by a library that a C compiler (cc) makes, on Linux")
    library = tmp_path_factory.mktemp("faulty") / "faulty_files.so"
    subprocess.run(
        [
            compiler,
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Werror",
            "-o",
            library,
            HERE / "faulty_files.c",
            "-ldl",
        ],
        check=True,
    )
    running = Server(library)
    yield running
    running.close()
