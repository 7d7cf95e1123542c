"""The command: plan, consent, digests of every provenance, publication, and the names that work afterwards."""

import dataclasses
import gzip
import hashlib
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from genolewm_core.artifacts import installed
from genolewm_core.artifacts.carbon import RELEASES
from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.errors import GenoLeWMError, InputError
from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.reference import Reference
from genolewm_runtime.setup.install import check_assembly

COMMAND = Path(sys.executable).with_name("geno-lewm")
NAMES = ("carbon-500m", "carbon-3b")


def shown(path):
    return {child.name for child in path.iterdir()} if path.exists() else set()


def model_folder(ended, carbon, name="carbon-500m"):
    return ended.home / "models" / name / carbon.revisions[name]


@pytest.fixture
def sums(carbon, tmp_path):
    """A SHA256SUMS of an encoder, with some digests replaced."""

    def write(name="carbon-500m", drop=(), **other):
        text = carbon.sums(name, **other)
        path = tmp_path / "SHA256SUMS"
        path.write_text(
            "".join(line + "\n" for line in text.splitlines() if not line.endswith(tuple(drop) or "\0"))
        )
        return path

    return write


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["digests", "host", "index", "folder"])
def test_an_encoder_is_set_up(setup, carbon, sums, site, tmp_path, tree, name, way):
    revision = carbon.revisions[name]
    if way == "digests":
        options = ["--digests", sums(name)]
    elif way == "host":
        options = ["--trust-host"]
    elif way == "folder":
        options = ["--digests", sums(name), "--from", carbon.folder(name, tmp_path / "media")]
    else:
        files = [
            {"name": key, "n_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for key, data in carbon.files[name].items()
            if key != ".gitattributes"
        ]
        artefact = {"kind": "models", "name": name, "version": revision, "files": files}
        site.plain["/index.json"] = json.dumps({"schema_version": "1.0.0", "artefacts": [artefact]}).encode()
        options = ["--index", f"{site.url}/index.json"]
    ended = setup("--encoder", name, "--yes", *options)
    assert ended.error is None
    folder = model_folder(ended, carbon, name)
    expected = {key: data for key, data in carbon.files[name].items() if key != ".gitattributes"}
    assert {key: (folder / key).read_bytes() for key in expected} == expected
    assert shown(folder) == {*expected, "manifest.json", "setup.json"}
    manifest = ModelDirectory.open(folder).manifest
    assert (manifest.name, manifest.version) == (name, revision)
    assert [file.name for file in manifest.weights] == sorted(
        key for key in expected if key.endswith(".safetensors")
    )
    record = json.loads((folder / "setup.json").read_text())
    assert {file["name"]: file["sha256"] for file in record["files"]} == {
        key: hashlib.sha256(data).hexdigest() for key, data in expected.items()
    }
    voices = {file["vouched_by"].split(" (")[0].split(f":{site.url}")[0] for file in record["files"]}
    host = site.url.removeprefix("http://")
    assert (
        voices
        == {
            "digests": {"the list SHA256SUMS"},
            "folder": {"the list SHA256SUMS"},
            "host": {f"the host {host}"},
            "index": {f"the index {site.url}/index.json"},
        }[way]
    )
    assert installed.installed_model(name, ended.home) == folder
    assert not [path for path in tree(ended.home) if ".part" in path]
    if way == "folder":
        assert site.asked == []


@pytest.mark.parametrize(
    ("options", "code", "exit_code"),
    [
        (["--encoder", "500m", "--yes"], "setup-digest-unknown", 3),
        (["--reference", "GRCh38", "--yes"], "setup-digest-unknown", 3),
        (["--encoder", "8b", "--trust-host", "--yes"], "revision-floating", 3),
        (["--encoder", "500m", "--revision", "main", "--trust-host", "--yes"], "revision-floating", 3),
        (["--encoder", "500m", "--revision", "9796b75", "--trust-host", "--yes"], "revision-floating", 3),
        (["--encoder", "500m", "--revision", "a" * 40, "--trust-host", "--yes"], "setup-download-failed", 4),
        (["--encoder", "500m", "--trust-host"], "setup-no-consent", 3),
        (["--annotation", "--trust-host", "--yes"], "config-invalid", 3),
        (["--encoder", "500m", "--annotation", "--trust-host", "--yes"], "config-invalid", 3),
        (["--reference", "GRCh38", "--revision", "a" * 40, "--yes"], "config-invalid", 3),
        (["--trust-host"], "config-invalid", 3),
        (["--yes"], "config-invalid", 3),
        (["--encoder", "500m", "--dry-run", "--yes"], "config-invalid", 3),
        (["--encoder", "500m", "--from", "nowhere", "--yes"], "config-invalid", 3),
        (["--encoder", "500m", "--from", ".", "--endpoint", "http://x", "--yes"], "config-invalid", 3),
        (
            ["--encoder", "500m", "--from", ".", "--index", "https://x.invalid/i", "--yes"],
            "config-invalid",
            3,
        ),
        (["--encoder", "500m", "--from", ".", "--trust-host", "--yes"], "setup-digest-unknown", 3),
        (["--encoder", "500m", "--endpoint", "x", "--trust-host", "--yes"], "config-invalid", 3),
        (
            ["--encoder", "500m", "--endpoint", "http://mirror.invalid", "--trust-host", "--yes"],
            "config-invalid",
            3,
        ),
        (["--encoder", "500m", "--index", "http://mirror.invalid/i", "--yes"], "config-invalid", 3),
        (["--encoder", "500m", "--digests", "nowhere", "--yes"], "config-invalid", 3),
        (["--encoder", "500m", "--digests", ".", "--yes"], "config-invalid", 3),
        (["--encoder", "500m", "--index", "nowhere", "--yes"], "config-invalid", 3),
    ],
)
def test_what_is_refused_leaves_nothing(setup, options, code, exit_code):
    ended = setup(*options)
    assert (ended.error.code, ended.error.exit_code) == (code, exit_code)
    assert not ended.home.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n# nothing\n",
        "hello",
        "d41d8cd98f00b204e9800998ecf8427e  config.json\n",
        f"{'a' * 64} config.json\n",
        f"{'g' * 64}  config.json\n",
        f"{'a' * 64}  config.json\nrest\n",
    ],
)
def test_lists_that_are_none(setup, tmp_path, text):
    (tmp_path / "sums").write_text(text)
    ended = setup("--encoder", "500m", "--yes", "--digests", tmp_path / "sums")
    assert ended.error.code == "config-invalid"


def _entry(**changes):
    file = {"name": "config.json", "n_bytes": 1, "sha256": "a" * 64, **changes.pop("file", {})}
    return {"kind": "models", "name": "carbon-500m", "version": "b" * 40, "files": [file], **changes}


@pytest.mark.parametrize(
    "raw",
    [
        "{",
        [],
        {"schema_version": "2.0.0", "artefacts": []},
        {"schema_version": "1.0.0"},
        {"schema_version": "1.0.0", "artefacts": [7]},
        *(
            {"schema_version": "1.0.0", "artefacts": [_entry(**changes)]}
            for changes in (
                {"version": "../.."},
                {"version": ""},
                {"version": 7},
                {"base_url": 7},
                {"files": {}},
                {"name": 7},
                {"file": {"name": "../x"}},
                {"file": {"name": ".hidden"}},
                {"file": {"n_bytes": True}},
                {"file": {"n_bytes": -1}},
                {"file": {"sha256": "a" * 63}},
                {"file": {"sha256": "A" * 64}},
                {"file": {"sha256": None}},
            )
        ),
    ],
)
def test_indexes_that_are_none(setup, tmp_path, raw):
    (tmp_path / "index.json").write_text(raw if isinstance(raw, str) else json.dumps(raw))
    ended = setup("--encoder", "500m", "--yes", "--index", tmp_path / "index.json")
    assert ended.error.code == "config-invalid"
    assert ended.error.found != "config-invalid"


def test_an_index_of_another_revision_is_refused(setup, tmp_path):
    index = {"schema_version": "1.0.0", "artefacts": [_entry()]}
    (tmp_path / "index.json").write_text(json.dumps(index))
    ended = setup("--encoder", "500m", "--yes", "--index", tmp_path / "index.json", "--revision", "c" * 40)
    assert (ended.error.code, ended.error.expected) == ("config-invalid", "b" * 40)


def test_a_wrong_digest_of_the_users_stops_at_that_file(setup, carbon, sums, site, tree):
    ended = setup("--encoder", "500m", "--yes", "--digests", sums(**{"model.safetensors": "0" * 64}))
    assert ended.error.code == "artifact-digest"
    assert "0" * 64 in ended.error.expected
    assert hashlib.sha256(carbon.files["carbon-500m"]["model.safetensors"]).hexdigest() in ended.error.found
    assert list(installed.installed(ended.home)) == []
    assert not [path for path in tree(ended.home) if path.endswith(("model.safetensors", ".part"))]
    before = len(site.gets("/resolve/"))
    assert setup("--encoder", "500m", "--yes", "--digests", sums()).error is None
    assert len(site.gets("/resolve/")) == before + 1, "files that were right are not fetched again"


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.py", "model.safetensors"])
def test_a_list_that_lacks_a_file_names_it(setup, sums, missing):
    ended = setup("--encoder", "500m", "--yes", "--digests", sums(drop=[f"/{missing}"]))
    assert ended.error.code == "setup-digest-unknown"
    assert missing in ended.error.where


@pytest.mark.parametrize("missing", ["model-00001-of-00002.safetensors", "model.safetensors.index.json"])
def test_a_list_that_lacks_a_shard_names_it(setup, sums, missing):
    ended = setup("--encoder", "3b", "--yes", "--digests", sums("carbon-3b", drop=[f"/{missing}"]))
    assert ended.error.code == "setup-digest-unknown"
    assert ended.error.where == f"carbon-3b: {missing}"


def test_names_that_stand_twice_with_two_digests_count_for_none(setup, sums):
    path = sums()
    path.write_text(path.read_text() + f"{'0' * 64}  other/config.json\n")
    ended = setup("--encoder", "500m", "--yes", "--digests", path)
    assert (ended.error.code, ended.error.where) == ("setup-digest-unknown", "carbon-500m: config.json")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_media_that_lack_a_file_name_it(setup, carbon, sums, tmp_path, missing):
    folder = carbon.folder("carbon-500m", tmp_path / "media")
    (folder / missing).unlink()
    ended = setup("--encoder", "500m", "--yes", "--digests", sums(), "--from", folder)
    assert (ended.error.code, ended.error.exit_code) == ("setup-download-failed", 2)
    assert ended.error.where == str(folder / missing)
    assert not ended.home.exists()


def test_files_that_are_promised_and_no_carbon_are_refused(setup, carbon, site, tree):
    repo = site.repos[RELEASES["carbon-500m"].repo, carbon.revisions["carbon-500m"]]
    repo["tokenizer.py"] = b'BASES = ["A", "C", "G", "T"]\n'
    ended = setup("--encoder", "500m", "--yes", "--trust-host")
    assert ended.error.code == "carbon-files-invalid"
    assert tree(ended.home) == [".setup.lock"]
    repo["tokenizer.py"] = carbon.files["carbon-500m"]["tokenizer.py"]
    assert setup("--encoder", "500m", "--yes", "--trust-host").error is None


@pytest.mark.parametrize(
    "answer",
    [
        b"no",
        b"[]",
        b"{}",
        b'{"sha": "main", "siblings": []}',
        b'{"sha": "REVISION", "siblings": [{}]}',
        b"\xff",
    ],
)
def test_descriptions_that_are_none(setup, carbon, site, answer):
    revision = carbon.revisions["carbon-500m"]
    site.plain["/there"] = answer.replace(b"REVISION", revision.encode())
    site.trouble.location["/api/models"] = "/there"
    ended = setup("--encoder", "500m", "--yes", "--trust-host")
    assert ended.error.code == "setup-download-failed"


def test_a_dry_run_shows_all_and_touches_nothing(setup, carbon, sums, site):
    for options in (["--trust-host"], ["--digests", sums()]):
        ended = setup("--encoder", "500m", "--dry-run", *options)
        assert ended.error is None
        assert not ended.home.exists()
        files = carbon.files["carbon-500m"]
        total = sum(len(data) for name, data in files.items() if name != ".gitattributes")
        for part in (
            carbon.revisions["carbon-500m"],
            f"{site.url}/HuggingFaceBio/Carbon-500M",
            str(model_folder(ended, carbon)),
            hashlib.sha256(files["model.safetensors"]).hexdigest(),
            f"{total / 1e6:.2f} MB in 7 files",
            "free",
        ):
            assert part in ended.stdout
    assert not site.gets("/resolve/")


def test_what_is_there_is_listed(setup, carbon):
    nothing = setup().stdout
    assert "nothing yet" in nothing
    assert "never fetched by us" in nothing
    ended = setup("--encoder", "500m", "--trust-host", "--yes")
    assert f"set {installed.HOME_VARIABLE}={ended.home}" in ended.stderr
    assert f"--model carbon-500m@{carbon.revisions['carbon-500m']}" in setup().stdout


def test_again_is_verified_and_not_fetched(setup, carbon, site, sums):
    first = setup("--encoder", "500m", "--trust-host", "--yes")
    n_asked = len(site.asked)
    again = setup("--encoder", "500m", "--yes")
    assert again.error is None
    assert "set up already" in again.stdout
    assert len(site.asked) == n_asked
    other = setup("--encoder", "500m", "--yes", "--digests", sums(**{"config.json": "0" * 64}))
    assert other.error.code == "artifact-digest"
    manifest = model_folder(first, carbon) / "manifest.json"
    before = manifest.read_bytes()
    manifest.unlink()
    assert setup("--encoder", "500m", "--yes").error is None
    assert manifest.read_bytes() == before
    weights = model_folder(first, carbon) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert setup("--encoder", "500m", "--yes").error.code == "artifact-digest"
    weights.unlink()
    assert setup("--encoder", "500m", "--yes").error.found == "no such file"


def test_revisions_lie_side_by_side_and_the_last_set_up_has_the_name(setup, carbon, site):
    older, newer = carbon.revisions["carbon-500m"], "b" * 40
    repo = RELEASES["carbon-500m"].repo
    site.repos[repo, newer] = {**site.repos[repo, older], "model.safetensors": b"newer"}

    def means(name="carbon-500m"):
        return installed.installed_model(name, home).name

    home = setup("--encoder", "500m", "--trust-host", "--yes").home
    setup("--encoder", "500m", "--revision", newer, "--trust-host", "--yes")
    assert means() == newer
    assert means(f"carbon-500m@{older[:7]}") == older
    setup("--encoder", "500m", "--yes")
    assert means() == older
    with pytest.raises(GenoLeWMError, match="not set up"):
        means("carbon-500m@ffff")


def test_a_reference_and_its_genes_are_set_up(setup, release_index, genome, site, tree):
    ended = setup("--reference", "grch38", "--annotation", "--yes", "--index", release_index())
    assert ended.error is None
    assert "test-1 (without chromosomes 1, 2, " in ended.stdout
    fasta = installed.installed_reference("GRCh38", ended.home)
    genes = installed.installed_annotation("GRCh38", ended.home)
    with gzip.open(fasta.with_name("unpacked"), "w"), Reference(fasta) as reference:
        assert reference.contigs.assembly == "GRCh38"
    assert (
        hashlib.sha256(fasta.read_bytes()).hexdigest()
        == hashlib.sha256(gzip.decompress(genome.fasta_gz["GRCh38"])).hexdigest()
    )
    assert genes.read_bytes() == genome.genes_gz["GRCh38"]
    fasta.with_name("unpacked").unlink()
    assert tree(ended.home) == [
        ".setup.lock",
        "annotations/GRCh38/test-1/g.gff3.gz",
        "annotations/GRCh38/test-1/setup.json",
        "references/GRCh38/test-1/reference.fa",
        "references/GRCh38/test-1/reference.fa.fai",
        "references/GRCh38/test-1/setup.json",
    ]
    n_asked = len(site.asked)
    again = setup("--reference", "GRCh38", "--annotation", "--yes", "--index", release_index())
    assert (again.error, len(site.asked)) == (None, n_asked)


def test_a_host_that_publishes_md5_can_be_trusted_for_it(setup, genome, site, monkeypatch):
    from genolewm_runtime.setup import catalogue

    data = genome.fasta_gz["GRCh38"]
    entry = catalogue.reference("GRCh38")
    here = catalogue.FileEntry(
        entry.name, entry.version, f"{site.url}/release_47", entry.file, entry.md5_list, None
    )
    monkeypatch.setattr(catalogue, "reference", lambda assembly: here)
    site.plain[f"/release_47/{entry.file}"] = data
    for md5, code in (("0" * 32, "artifact-digest"), (hashlib.md5(data).hexdigest(), None)):
        site.plain["/release_47/MD5SUMS"] = f"{md5}  {entry.file}\n".encode()
        ended = setup("--reference", "GRCh38", "--trust-host", "--yes")
        assert getattr(ended.error, "code", None) == code
    (there,) = installed.installed(ended.home)
    (file,) = there.record["files"]
    assert file["vouched_by"] == f"the host {site.url.removeprefix('http://')} (MD5SUMS)"
    assert file["sha256"] == hashlib.sha256(data).hexdigest()


def test_digests_of_the_catalogue_count_where_it_has_them(setup, carbon, genome, site, monkeypatch):
    from genolewm_runtime.setup import catalogue

    known = {key: hashlib.sha256(data).hexdigest() for key, data in carbon.files["carbon-500m"].items()}
    entry = dataclasses.replace(catalogue.encoder("carbon-500m"), sha256=known)
    monkeypatch.setattr(catalogue, "encoder", lambda name: entry)
    data = genome.fasta_gz["GRCh38"]
    url, value = f"{site.url}/release_47", hashlib.sha256(data).hexdigest()
    file = dataclasses.replace(catalogue.reference("GRCh38"), base_url=url, sha256=value)
    monkeypatch.setattr(catalogue, "reference", lambda assembly: file)
    site.plain[f"/release_47/{file.file}"] = data
    other = setup("--encoder", "500m", "--revision", "b" * 40, "--yes", home="other")
    assert other.error.code == "setup-digest-unknown"
    ended = setup("--encoder", "500m", "--reference", "GRCh38", "--yes")
    assert ended.error is None
    files = [file for each in installed.installed(ended.home) for file in each.record["files"]]
    assert {file["vouched_by"] for file in files} == {"the catalogue of genolewm-runtime"}
    assert len(files) == 8


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"fasta": "GRCh37"}, "reference-unreadable"),
        ({"fasta": b">chr1\nACGT\n"}, "reference-unreadable"),
        ({"fasta": b">decoy\nACGT\n"}, "reference-unreadable"),
        ({"fasta": b"BAM\1"}, "reference-unreadable"),
        ({"fasta": gzip.compress(b">chr21\nACGT\n")[:-6]}, "reference-unreadable"),
        ({"genes": b"no"}, "annotation-unreadable"),
        ({"genes": "GRCh37"}, "annotation-unreadable"),
        ({"name": "setup.json"}, "config-invalid"),
        ({"name": "reference.fa"}, "config-invalid"),
    ],
)
def test_promised_bytes_that_are_something_else(setup, release_index, genome, tree, changes, code):
    if isinstance(changes.get("fasta"), str):
        changes = {"fasta": genome.fasta_gz[changes["fasta"]]}
    if isinstance(changes.get("genes"), str):
        changes = {"genes": genome.genes_gz[changes["genes"]]}
    ended = setup("--reference", "GRCh38", "--annotation", "--yes", "--index", release_index(**changes))
    assert ended.error.code == code
    there = {each.kind for each in installed.installed(ended.home)}
    assert there == ({"references"} if "genes" in changes else set())
    assert not [path for path in tree(ended.home) if "partial" in path]


def test_the_assembly_is_known_by_all_of_its_chromosomes():
    lengths = {
        "GRCh38": {"chr1": 248_956_422, "chr2": 242_193_529, "chrUn_x": 7, "chrM": 16_569},
        "GRCh37": {"1": 249_250_621, "2": 243_199_373, "MT": 16_569},
    }
    for assembly, table in lengths.items():
        missing = check_assembly(ContigTable(table), assembly)
        assert missing == [*(str(n) for n in range(3, 23)), "X", "Y"]
        other = next(name for name in lengths if name != assembly)
        with pytest.raises(InputError, match="another assembly"):
            check_assembly(ContigTable(table), other)
    mixed = {"chr1": 248_956_422, "chr2": 243_199_373}
    for assembly in lengths:
        with pytest.raises(InputError, match="another assembly"):
            check_assembly(ContigTable(mixed), assembly)


def test_a_disk_without_room_is_told_before_anything_is_fetched(setup, release_index, site):
    ended = setup("--reference", "GRCh38", "--yes", "--index", release_index(n_bytes=10**18))
    assert (ended.error.code, ended.error.exit_code) == ("output-unwritable", 4)
    assert ended.error.expected == f"{5 * 10**18:,} free bytes"
    assert site.asked == []
    assert not ended.home.exists()


def test_setup_is_refused_behind_the_guard(tmp_path):
    program = (
        "from genolewm_runtime import guard; guard.install(allow_unenforced=True)\n"
        "from genolewm_runtime.setup.command import setup\n"
        "setup(['--home', 'x'], standalone_mode=False)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "[network-blocked]" in answer.stderr
    assert list(tmp_path.iterdir()) == []


class Running:
    """The command in a process of its own."""

    def __init__(self, site, home, *arguments, prepare=lambda: None, **popen):
        def start():
            # A shell that runs the tests in the background has told them to ignore it.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            prepare()

        environment = {**os.environ, "HF_ENDPOINT": site.url, "GENOLEWM_HOME": str(home)}
        self.process = subprocess.Popen(
            [COMMAND, "setup", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=start,
            **{"stdin": subprocess.DEVNULL, **popen},
        )

    def end(self):
        stdout, stderr = self.process.communicate(timeout=60)
        return self.process.returncode, stdout, stderr


ENCODER = ("--encoder", "carbon-500m", "--trust-host", "--yes")


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_killed_or_interrupted_it_goes_on_where_it_stopped(site, carbon, tmp_path, wait_for, ending):
    site.trouble.stall["/cdn/"] = [None, 200_000]
    running = Running(site, tmp_path / "home", *ENCODER)
    staging = tmp_path / "home" / "models" / "carbon-500m" / f".{carbon.revisions['carbon-500m']}.partial"
    part = staging / "model.safetensors.part"
    wait_for(lambda: part.exists() and part.stat().st_size == 200_000)

    busy = Running(site, tmp_path / "home", *ENCODER).end()
    assert busy[0] == 4
    assert "[output-busy]" in busy[2]

    running.process.send_signal(ending)
    code, _, stderr = running.end()
    if ending == signal.SIGINT:
        assert code == 130
        assert "run the same command again" in stderr
        assert "Traceback" not in stderr
    else:
        assert code == -signal.SIGKILL
    assert list(installed.installed(tmp_path / "home")) == []
    site.trouble.go_on.set()
    site.asked.clear()
    code, stdout, stderr = Running(site, tmp_path / "home", *ENCODER).end()
    assert code == 0, stderr
    assert "--model carbon-500m now means" in stdout
    (asked,) = site.gets("/cdn/")
    assert asked.headers["Range"] == "bytes=200000-"
    folder = installed.installed_model("carbon-500m", tmp_path / "home")
    data = carbon.files["carbon-500m"]["model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == data


def test_a_full_disk_is_told_and_made_good(site, carbon, tmp_path):
    """A limit on the size of files stands in for a full disk: a write in the middle of a file fails."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    site.repos[RELEASES["carbon-500m"].repo, carbon.revisions["carbon-500m"]].pop(".gitattributes")
    code, _, stderr = Running(site, tmp_path / "home", *ENCODER, prepare=limit).end()
    assert code == 4, stderr
    assert "[output-unwritable]" in stderr
    assert f"where: {tmp_path / 'home'}" in stderr
    assert "File too large" in stderr
    site.asked.clear()
    code, _, stderr = Running(site, tmp_path / "home", *ENCODER).end()
    assert code == 0, stderr
    assert any("Range" in each.headers for each in site.asked)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(setup, tmp_path):
    (tmp_path / "home").mkdir(mode=0o500)
    assert setup("--encoder", "500m", "--trust-host", "--yes").error.code == "output-unwritable"


def test_a_file_in_place_of_the_folder_is_told(setup, tmp_path):
    (tmp_path / "home").write_text("x")
    assert setup("--encoder", "500m", "--trust-host", "--yes").error.code == "output-unwritable"


@pytest.mark.parametrize(("answer", "code"), [("n\n", 3), ("y\n", 0)])
def test_at_a_terminal_it_asks(site, tmp_path, answer, code):
    leader, follower = pty.openpty()
    arguments = ["--encoder", "carbon-500m", "--trust-host"]
    running = Running(site, tmp_path / "home", *arguments, stdin=follower)
    os.write(leader, answer.encode())
    found, stdout, stderr = running.end()
    os.close(leader)
    os.close(follower)
    assert found == code, stderr
    assert "Go on?" in stderr
    assert "room:" in stdout
    assert (code == 3) == ("[setup-no-consent]" in stderr)
    assert (tmp_path / "home").exists() == (code == 0)


def test_names_take_the_place_of_paths(world, tmp_path):
    """A model, a reference and an annotation that lie where setup puts them are scored with by name."""
    home = tmp_path / "home"
    places = {"models": "tiny", "references": "tiny", "annotations": "tiny"}
    folders = {kind: home / kind / name / "1" for kind, name in places.items()}
    shutil.copytree(world.model, folders["models"])
    for kind in ("references", "annotations"):
        folders[kind].mkdir(parents=True)
    for file in (world.reference, Path(f"{world.reference}.fai")):
        shutil.copy(file, folders["references"])
    (folders["annotations"] / "g.gff3").write_text(
        "##gff-version 3\n"
        "chr1\tx\tgene\t1001\t1300\t.\t+\t.\tID=g;Name=GENE\n"
        "chr1\tx\tmRNA\t1001\t1300\t.\t+\t.\tID=t;Parent=g\n"
        "chr1\tx\texon\t1001\t1300\t.\t+\t.\tParent=t\n"
        "chr1\tx\tCDS\t1001\t1300\t.\t+\t0\tParent=t\n"
    )
    mains = {"models": "", "references": world.reference.name, "annotations": "g.gff3"}
    for kind, folder in folders.items():
        (folder / "setup.json").write_text(json.dumps({"main_file": mains[kind], "set_up_at": "2026"}))
    variant = f"chr1:1101:{world.bases[1100]}:{'ACGT'['CATG'.index(world.bases[1100])]}"
    if variant.split(":")[2] == variant.split(":")[3]:
        variant = variant[:-1] + "ACGT"["ACGT".index(variant[-1]) - 1]
    common = ["score", "--variant", variant, "--json", "--backend", "onnx"]
    answers = []
    for given in (
        ("tiny", "tiny", "tiny"),
        (world.model, world.reference, folders["annotations"] / "g.gff3"),
    ):
        options = [
            part
            for pair in zip(("--model", "--reference", "--annotation"), given, strict=True)
            for part in pair
        ]
        answer = subprocess.run(
            [COMMAND, *common, *map(str, options)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "GENOLEWM_HOME": str(home)},
        )
        assert answer.returncode == 0, answer.stderr
        answers.append(json.loads(answer.stdout))
    assert answers[0] == answers[1]
    assert answers[0]["gene"] == "GENE"
