"""A Hub on this machine: its addresses, headers and descriptions of a commit, and everything that goes wrong.

`test_setup_hub.py` lets the Hub's own client fetch from it, so that what the other tests show is not shown of a
server that only they would understand.
"""

import gzip
import hashlib
import json
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from click.testing import CliRunner

from genolewm_core.artifacts.carbon import RELEASES
from genolewm_core.errors import GenoLeWMError
from genolewm_runtime.setup import catalogue
from genolewm_runtime.setup.transport import Patience

N_TEXT_TOKENS = 151_669
CHR21_BP = {"GRCh38": 46_709_983, "GRCh37": 48_129_895}


def git_blob_id(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@dataclass
class Trouble:
    """What a server does to requests whose path contains the key; a list is used up, one entry a request.

    Attributes:
        cut: bytes of the body after which the connection is dropped.
        status: answers in place of the file; a number or (number, headers).
        location: where requests are redirected to.
        stall: bytes of the body after which the server waits for `go_on`.
    """

    cut: dict = field(default_factory=dict)
    status: dict = field(default_factory=dict)
    location: dict = field(default_factory=dict)
    stall: dict = field(default_factory=dict)
    ignore_range: bool = False
    no_length: bool = False
    weak_etags: bool = False
    go_on: threading.Event = field(default_factory=threading.Event)

    @staticmethod
    def next(table, path):
        for part, values in table.items():
            if part in path:
                if not isinstance(values, list):
                    return values
                if values:
                    return values.pop(0)
        return None


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        site = self.server.site
        url = urlsplit(self.path)
        site.asked.append(Asked(self.command, self.path, dict(self.headers)))
        if answer := Trouble.next(site.trouble.status, url.path):
            number, headers = answer if isinstance(answer, tuple) else (answer, {})
            return self.answer(number, b"no\n", headers)
        if target := Trouble.next(site.trouble.location, url.path):
            return self.answer(302, b"", {"Location": target})
        parts = url.path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and parts[4:5] == ["revision"]:
            return self.describe("/".join(parts[2:4]), parts[5], parse_qs(url.query))
        if parts[0] == "api" and parts[1] == "resolve-cache":
            return self.small("/".join(parts[3:5]), parts[5], "/".join(parts[6:]))
        if len(parts) > 3 and parts[2] == "resolve":
            return self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        if parts[0] == "cdn":
            found = site.by_sha256(parts[1])
            return self.send_file(found, f'"{parts[1]}"') if found is not None else self.answer(404)
        found = site.plain.get(url.path)
        return self.answer(404) if found is None else self.send_file(found, f'"{sha256(found)[:16]}"')

    def describe(self, repo, revision, query):
        files = self.server.site.repos.get((repo, revision))
        if files is None:
            return self.answer(404)
        siblings = []
        for name, data in files.items():
            entry = {"rfilename": name}
            if query.get("blobs") == ["true"]:
                entry |= {"blobId": git_blob_id(data), "size": len(data)}
                if self.server.site.is_lfs(name):
                    entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        body = json.dumps({"id": repo, "sha": revision, "siblings": siblings}).encode()
        return self.answer(200, body, {"Content-Type": "application/json"})

    def resolve(self, repo, revision, name):
        site = self.server.site
        data = site.repos.get((repo, revision), {}).get(name)
        if data is None:
            return self.answer(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": revision})
        if not site.is_lfs(name):
            target = f"/api/resolve-cache/models/{repo}/{revision}/{name}"
            return self.answer(307, b"", {"Location": target, "X-Repo-Commit": revision})
        return self.answer(
            302,
            b"",
            {
                "Location": f"{site.cdn_url}/cdn/{sha256(data)}?Signature=secret",
                "X-Repo-Commit": revision,
                "X-Linked-Etag": f'"{sha256(data)}"',
                "X-Linked-Size": str(len(data)),
            },
        )

    def small(self, repo, revision, name):
        data = self.server.site.repos[repo, revision][name]
        self.send_file(data, f'"{git_blob_id(data)}"', {"X-Repo-Commit": revision})

    def send_file(self, data, etag, headers=None):
        trouble = self.server.site.trouble
        if trouble.weak_etags:
            etag = f"W/{etag}"
        headers = {"ETag": etag, "Accept-Ranges": "bytes", **(headers or {})}
        asked = self.headers.get("Range")
        if asked and not trouble.ignore_range and self.headers.get("If-Range", etag) == etag:
            first = int(asked.removeprefix("bytes=").split("-")[0])
            if first >= len(data):
                return self.answer(416, headers={"Content-Range": f"bytes */{len(data)}"})
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            return self.answer(206, data[first:], headers)
        return self.answer(200, data, headers)

    def answer(self, status, body=b"", headers=None):
        trouble = self.server.site.trouble
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if trouble.no_length and status == 200:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        is_file = status in (200, 206)
        cut = Trouble.next(trouble.cut, self.path) if is_file else None
        stall = Trouble.next(trouble.stall, self.path) if is_file else None
        if stall is not None:
            self.wfile.write(body[:stall])
            self.wfile.flush()
            trouble.go_on.wait(60)
            body = body[stall:]
        self.wfile.write(body if cut is None else body[:cut])
        self.wfile.flush()
        if cut is not None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that was killed


class Site:
    """A Hub and its CDN, which is another origin."""

    def __init__(self):
        self.repos = {}
        self.plain = {}
        self.asked = []
        self.trouble = Trouble()
        self._servers = [Server(("127.0.0.1", 0), Handler) for _ in range(2)]
        for server in self._servers:
            server.site = self
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.url, self.cdn_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    @staticmethod
    def is_lfs(name):
        return name.endswith((".safetensors", "tokenizer.json"))

    def by_sha256(self, value):
        files = (data for repo in self.repos.values() for data in repo.values())
        return next((data for data in files if sha256(data) == value), None)

    def gets(self, part):
        """Requests for files whose address has `part`."""
        return [each for each in self.asked if each.method == "GET" and part in each.path]

    def close(self):
        self.trouble.go_on.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    """No proxy, token or endpoint of the machine that runs the tests."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("HF_", "GENOLEWM_")):
            monkeypatch.delenv(name)


@pytest.fixture
def site(carbon):
    running = Site()
    for name, revision in carbon.revisions.items():
        running.repos[RELEASES[name].repo, revision] = dict(carbon.files[name])
    yield running
    running.close()


@pytest.fixture
def quick():
    """Patience without waiting."""
    return Patience(delays_s=(0.0, 0.0, 0.0), silence_s=10.0)


def config_of(name):
    a = RELEASES[name].architecture
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": a.d_model,
        "intermediate_size": a.d_ffn,
        "num_hidden_layers": a.n_layers,
        "num_attention_heads": a.n_heads,
        "num_key_value_heads": a.n_kv_heads,
        "head_dim": a.head_dim,
        "rms_norm_eps": a.rms_norm_eps,
        "rope_theta": a.rope_theta,
        "tie_word_embeddings": a.tied,
        "vocab_size": 155_776,
    }


@dataclass(frozen=True)
class Carbon:
    """Files under Carbon's names, with its configuration and few bytes of weights."""

    files: dict
    revisions: dict

    def sums(self, name, **other):
        """What sha256sum prints of the files, with some digests replaced."""
        files = self.files[name]
        return "".join(f"{other.get(key) or sha256(data)}  ./{key}\n" for key, data in files.items())

    def folder(self, name, path):
        path.mkdir(parents=True)
        for key, data in self.files[name].items():
            (path / key).write_bytes(data)
        return path


@pytest.fixture(scope="session")
def carbon():
    rng = np.random.default_rng(5)
    tokens = {f"t{number}": number for number in range(N_TEXT_TOKENS)}
    shared = {
        "dna_config.json": b'{"k": 6, "dna_start_id": 151669, "dna_vocab_size": 4107, "auto_dna_tags": false}\n',
        "tokenizer.py": b'BASES = ["A", "T", "C", "G"]\n',
        "tokenizer.json": json.dumps({"model": {"vocab": tokens}, "added_tokens": []}).encode(),
        "tokenizer_config.json": b"{}\n",
        "generation_config.json": b'{"eos_token_id": 151643}\n',
        ".gitattributes": b"*.safetensors filter=lfs\n",
    }
    files = {
        name: {"config.json": json.dumps(config_of(name)).encode(), **shared}
        for name in ("carbon-500m", "carbon-3b")
    }
    files["carbon-500m"]["model.safetensors"] = rng.bytes(300_000)
    shards = [f"model-{n:05}-of-00002.safetensors" for n in (1, 2)]
    weight_map = {f"model.layers.{n}.x": shard for n, shard in enumerate(shards)}
    files["carbon-3b"] |= {name: rng.bytes(50_000) for name in shards}
    files["carbon-3b"]["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    revisions = {name: catalogue.encoder(name).revision for name in files}
    return Carbon(files, revisions)


@dataclass(frozen=True)
class Genome:
    """A reference with one chromosome of the right length and one gene on it."""

    fasta_gz: dict
    genes_gz: dict


@pytest.fixture(scope="session")
def genome():
    fasta, genes = {}, {}
    for assembly, length in CHR21_BP.items():
        lines, rest = divmod(length, 60)
        text = b">chr21\n" + (b"N" * 60 + b"\n") * lines + b"N" * rest + b"\n"
        fasta[assembly] = gzip.compress(text, compresslevel=1, mtime=0)
        body = (
            f"##gff-version 3\n##sequence-region chr21 1 {length}\n"
            "chr21\tx\tgene\t1001\t1300\t.\t+\t.\tID=g;Name=GENE\n"
            "chr21\tx\tmRNA\t1001\t1300\t.\t+\t.\tID=t;Parent=g\n"
            "chr21\tx\texon\t1001\t1300\t.\t+\t.\tParent=t\n"
            "chr21\tx\tCDS\t1001\t1300\t.\t+\t0\tParent=t\n"
        )
        genes[assembly] = gzip.compress(body.encode(), mtime=0)
    return Genome(fasta, genes)


@pytest.fixture
def release_index(genome, site, tmp_path):
    """Writes a release index of a reference and its genes as the site serves them, and returns its path."""

    def write(assembly="GRCh38", fasta=None, genes=None, **changes):
        files = {"references": ("r.fa.gz", fasta or genome.fasta_gz[assembly])}
        files["annotations"] = ("g.gff3.gz", genes or genome.genes_gz[assembly])
        artefacts = []
        for kind, (name, data) in files.items():
            site.plain[f"/mirror/{name}"] = data
            entry = {"name": name, "n_bytes": len(data), "sha256": sha256(data)}
            artefacts.append(
                {
                    "kind": kind,
                    "name": assembly,
                    "version": "test-1",
                    "base_url": f"{site.url}/mirror",
                    "files": [{**entry, **changes}],
                }
            )
        path = tmp_path / "index.json"
        path.write_text(json.dumps({"schema_version": "1.0.0", "artefacts": artefacts}))
        return path

    return write


@pytest.fixture
def wait_for():
    """Waits until something holds."""

    def wait(holds, seconds=30.0):
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)

    return wait


@pytest.fixture
def tree():
    """Relative names of everything below a folder, hidden files included."""
    return lambda folder: sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*") if not path.is_dir()
    )


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    error: object
    stdout: str
    stderr: str
    home: Path


@pytest.fixture
def setup(tmp_path, site, monkeypatch):
    """Runs the command in this process against the site; `home` names a folder below the test's own."""
    from genolewm_runtime.setup.command import setup as command

    def run(*arguments, home="home", answer=None):
        place = tmp_path / home
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        given = [*map(str, arguments), "--home", str(place)]
        result = CliRunner().invoke(command, given, input=answer, standalone_mode=False)
        error = result.exception
        if error is not None and not isinstance(error, GenoLeWMError):
            raise error
        return Ended(error, result.stdout, result.stderr, place)

    return run
