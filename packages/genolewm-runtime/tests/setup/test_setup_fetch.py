"""One file over a bad network: it arrives whole and right, or not at all."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from genolewm_core.errors import ConfigError, ProvenanceError, ResourceError
from genolewm_runtime.setup.digests import Digest
from genolewm_runtime.setup.fetch import download, verified
from genolewm_runtime.setup.plan import PlannedFile
from genolewm_runtime.setup.transport import Patience, Transport, origin

DATA = bytes(range(256)) * 2_000
N_BYTES = len(DATA)
OTHER = DATA[::-1]
ALGORITHMS = ("sha256", "md5", "git-sha1")


def digest_of(data, algorithm="sha256"):
    import hashlib

    prefix = b"blob %d\0" % len(data) if algorithm == "git-sha1" else b""
    value = hashlib.new(algorithm.removeprefix("git-"), prefix + data).hexdigest()
    return Digest(algorithm, value, "the test")


@pytest.fixture
def fetch(site, quick, tmp_path):
    """Downloads /f, which the site has, and returns the bytes; keyword arguments change the plan."""
    site.plain["/f"] = DATA

    def run(*, n_bytes=N_BYTES, algorithm="sha256", path="/f", url=None, token=None):
        file = PlannedFile("f", url or site.url + path, n_bytes, digest_of(DATA, algorithm))
        with Transport(patience=quick, token=token, token_url=site.url) as transport:
            return download(file, tmp_path, transport, lambda n: None)

    return run


def failure(call, kind, code):
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code
    return caught.value


def ranges(site):
    return [each.headers.get("Range") for each in site.gets("/f")]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("no_length", [False, True])
def test_a_file_arrives_whole(fetch, site, tmp_path, algorithm, no_length):
    site.trouble.no_length = no_length
    fetched = fetch(algorithm=algorithm)
    assert fetched.path.read_bytes() == DATA
    assert fetched.sha256 == digest_of(DATA).value
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    # A host that compresses what it sends has other bytes and other ranges than the file.
    assert {each.headers["Accept-Encoding"] for each in site.asked} == {"identity"}


@pytest.mark.parametrize(
    "cuts", [[0], [1], [100_000], [511_999], [100_000, 50_000, 1], [0, 0, 0], [70_000] * 7]
)
def test_after_a_cut_only_the_rest_is_asked_for(fetch, site, cuts):
    site.trouble.cut["/f"] = list(cuts)
    assert fetch().path.read_bytes() == DATA
    there, expected = 0, [None]
    for cut in cuts:
        there += cut
        expected.append(f"bytes={there}-" if there else None)
    assert ranges(site) == expected
    assert all("If-Range" in each.headers for each in site.gets("/f") if "Range" in each.headers)


def test_attempts_that_bring_nothing_new_come_to_an_end_and_keep_what_there_is(fetch, site, tmp_path):
    site.trouble.cut["/f"] = [1_000, 0, 0, 0]
    error = failure(fetch, ResourceError, "setup-download-failed")
    assert "RemoteProtocolError" in error.found
    assert (tmp_path / "f.part").read_bytes() == DATA[:1_000]
    assert fetch().path.read_bytes() == DATA
    assert ranges(site)[-1] == "bytes=1000-"


@pytest.mark.parametrize(
    ("served", "n_bytes"),
    [(OTHER, len(DATA)), (OTHER, None), (DATA[:-1], len(DATA)), (DATA + b"x", len(DATA)), (DATA[:-1], None)],
    ids=["same size", "size unknown", "too short", "too long", "too short, size unknown"],
)
def test_wrong_bytes_are_not_kept(fetch, site, tmp_path, served, n_bytes):
    site.plain["/f"] = served
    error = failure(lambda: fetch(n_bytes=n_bytes), ProvenanceError, "artifact-digest")
    assert digest_of(DATA).value in error.expected
    assert (digest_of(served).value in error.found) or f"{len(served)} bytes" in error.found
    assert list(tmp_path.iterdir()) == []


def test_wrong_bytes_of_an_earlier_attempt_are_fetched_anew(fetch, site, tmp_path):
    site.trouble.cut["/f"] = [1_000, 0, 0, 0]
    failure(fetch, ResourceError, "setup-download-failed")
    (tmp_path / "f.part").write_bytes(OTHER[:1_000])
    assert fetch().path.read_bytes() == DATA
    assert ranges(site)[-2:] == ["bytes=1000-", None]


@pytest.mark.parametrize("damage", ["note", "longer", "no part"])
def test_a_part_that_cannot_be_gone_on_with_starts_anew(fetch, site, tmp_path, damage):
    site.trouble.cut["/f"] = [1_000, 0, 0, 0]
    failure(fetch, ResourceError, "setup-download-failed")
    if damage == "note":
        (tmp_path / "f.part.json").write_text("{")
    elif damage == "longer":
        (tmp_path / "f.part").write_bytes(DATA + b"x")
    else:
        (tmp_path / "f.part").unlink()
    assert fetch().path.read_bytes() == DATA
    assert ranges(site)[-1] is None


def test_a_whole_part_is_accepted_without_another_request_for_it(fetch, site, tmp_path):
    site.trouble.cut["/f"] = [1_000, 0, 0, 0]
    failure(fetch, ResourceError, "setup-download-failed")
    (tmp_path / "f.part").write_bytes(DATA)
    before = len(site.asked)
    assert fetch().path.read_bytes() == DATA
    assert len(site.asked) == before
    fetched = verified(PlannedFile("f", "-", len(DATA), digest_of(DATA)), tmp_path, lambda n: None)
    assert fetched is not None
    (tmp_path / "f").write_bytes(OTHER)
    assert verified(fetched.planned, tmp_path, lambda n: None) is None
    assert not (tmp_path / "f").exists()


def test_a_whole_part_of_unknown_size_is_known_by_its_digest(fetch, site, tmp_path):
    site.trouble.cut["/f"] = [1_000, 0, 0, 0]
    failure(lambda: fetch(n_bytes=None), ResourceError, "setup-download-failed")
    (tmp_path / "f.part").write_bytes(DATA)
    assert fetch(n_bytes=None).path.read_bytes() == DATA
    assert ranges(site)[-1] == f"bytes={len(DATA)}-"


def test_a_host_that_knows_no_ranges_sends_all_again(fetch, site):
    site.trouble.cut["/f"] = [1_000]
    site.trouble.ignore_range = True
    assert fetch().path.read_bytes() == DATA
    assert ranges(site) == [None, "bytes=1000-"]


def test_a_file_that_changed_between_two_attempts_is_not_mixed(fetch, site, tmp_path):
    site.plain["/f"] = OTHER
    site.trouble.cut["/f"] = [1_000, 0, 0, 0]
    failure(fetch, ResourceError, "setup-download-failed")
    site.plain["/f"] = DATA
    assert fetch().path.read_bytes() == DATA
    assert ranges(site)[-1] == "bytes=1000-"


def test_a_weak_validator_is_not_gone_on_with(fetch, site):
    site.trouble.weak_etags = True
    site.trouble.cut["/f"] = [1_000]
    assert fetch().path.read_bytes() == DATA
    assert ranges(site) == [None, None]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_refusal_is_tried_again(fetch, site, status):
    site.trouble.status["/f"] = [status, (status, {"Retry-After": "0"})]
    assert fetch().path.read_bytes() == DATA


def test_a_host_says_how_long_to_wait(site, tmp_path):
    site.plain["/f"] = DATA
    site.trouble.status["/f"] = [
        (429, {"Retry-After": "1"}),
        (503, {"Retry-After": "Fri, 21 Nov 2036 07:00:00 GMT"}),
    ]
    waited = []
    patience = Patience(delays_s=(0.25, 0.5))
    with Transport(patience=patience, on_wait=lambda found, s: waited.append((found[:8], s))) as transport:
        file = PlannedFile("f", f"{site.url}/f", len(DATA), digest_of(DATA))
        download(file, tmp_path, transport, lambda n: None)
    assert waited == [("HTTP 429", 1.0), ("HTTP 503", 0.5)]


@pytest.mark.parametrize(
    ("status", "n_requests", "hint"),
    [(401, 1, "HF_TOKEN"), (403, 1, "HF_TOKEN"), (404, 1, "--from"), (500, 4, "--from"), (429, 4, "--from")],
)
def test_a_lasting_refusal_is_told(fetch, site, tmp_path, status, n_requests, hint):
    site.trouble.status["/f"] = status
    error = failure(fetch, ResourceError, "setup-download-failed")
    assert f"HTTP {status}" in error.found
    assert hint in error.next_step
    assert len(site.asked) == n_requests
    assert list(tmp_path.iterdir()) == []


def test_a_silent_host_is_cut_off(site, tmp_path):
    site.plain["/f"] = DATA
    site.trouble.stall["/f"] = 1_000
    file = PlannedFile("f", f"{site.url}/f", len(DATA), digest_of(DATA))
    with Transport(patience=Patience(delays_s=(), silence_s=0.2)) as transport:
        error = failure(
            lambda: download(file, tmp_path, transport, lambda n: None),
            ResourceError,
            "setup-download-failed",
        )
    assert "ReadTimeout" in error.found
    assert (tmp_path / "f.part").read_bytes() == DATA[:1_000]


def test_a_host_that_is_not_there(fetch):
    error = failure(lambda: fetch(url="http://127.0.0.1:9/f"), ResourceError, "setup-download-failed")
    assert "ConnectError" in error.found
    error = failure(lambda: fetch(url="http://nowhere.invalid/f"), ResourceError, "setup-download-failed")
    assert error.where == "http://nowhere.invalid/f"


def test_redirects_are_followed_and_the_token_stays_at_home(fetch, site):
    site.trouble.location = {"/a": f"{site.url}/b", "/b": f"{site.cdn_url}/f?Signature=secret"}
    assert fetch(path="/a", token="hf_canary").path.read_bytes() == DATA
    sent = {each.path: each.headers.get("Authorization") for each in site.asked}
    assert sent == {"/a": "Bearer hf_canary", "/b": "Bearer hf_canary", "/f?Signature=secret": None}


def test_relative_redirects_and_cuts_behind_redirects(fetch, site):
    site.trouble.location = {"/a": "f?x=1"}
    site.trouble.cut["/f"] = [1_000]
    assert fetch(path="/a").path.read_bytes() == DATA
    assert ranges(site) == [None, "bytes=1000-"]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("{url}/a", "redirects"),
        ("/a", "redirects"),
        ("", "redirect to nowhere"),
        ("ftp://127.0.0.1/f", "redirect to nowhere"),
        ("file:///etc/passwd", "redirect to nowhere"),
        ("http://h:x/f", "redirect to nowhere"),
    ],
)
def test_redirects_that_lead_nowhere(fetch, site, target, says):
    site.trouble.location = {"/a": target.format(url=site.url)} if target else {}
    site.trouble.status = {} if target else {"/a": (302, {})}
    error = failure(lambda: fetch(path="/a"), ResourceError, "setup-download-failed")
    assert says in error.found


def test_an_endless_chain_of_redirects_ends(fetch, site):
    site.trouble.location = {f"/hop{n}": f"/hop{n + 1}" for n in range(30)} | {"/hop": "/hop0"}
    site.trouble.location = {f"/{n:02}/": f"/{n + 1:02}/" for n in range(30)}
    error = failure(lambda: fetch(path="/00/"), ResourceError, "setup-download-failed")
    assert error.found == "10 redirects"


def test_a_redirect_never_gives_encryption_up(tmp_path, quick):
    """The transport's client is asked over a stand-in for TLS: answers come from a function, nothing else differs."""
    asked = []

    def answer(request):
        asked.append(str(request.url))
        return httpx2.Response(302, headers={"Location": "http://127.0.0.1:9/f"})

    with Transport(patience=quick) as transport:
        transport._client = httpx2.Client(transport=httpx2.MockTransport(answer))
        error = failure(
            lambda: transport.text("https://example.invalid/f"), ResourceError, "setup-download-failed"
        )
    assert error.found == "a redirect from https to http"
    assert asked == ["https://example.invalid/f"]


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/f", "nothing", "http://", "http://127.0.0.1:99999/f"])
def test_addresses_that_are_none(fetch, address):
    failure(lambda: fetch(url=address), ResourceError, "setup-download-failed")


def test_a_token_does_not_travel_in_the_open():
    with Transport(token="hf_canary", token_url="http://mirror.invalid") as transport:
        assert "Authorization" not in transport._headers("http://mirror.invalid/f", {})
    with Transport(token="hf_canary", token_url="https://mirror.invalid") as transport:
        assert transport._headers("https://mirror.invalid/f", {}) == {"Authorization": "Bearer hf_canary"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://h/a", "https://H:443/b", True),
        ("http://h", "http://h:80/x", True),
        ("https://h", "http://h", False),
        ("https://h", "https://h.evil", False),
        ("https://h:8443", "https://h", False),
        ("https://h", "https://h@evil", False),
    ],
)
def test_origins(one, other, same):
    assert (origin(one) == origin(other)) is same


class ProxyHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        with httpx2.Client(trust_env=False) as client:
            answer = client.get(self.path, headers={"Accept-Encoding": "identity"})
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize("excepted", [False, True])
def test_proxies_of_the_environment_are_used(fetch, site, monkeypatch, excepted):
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), ProxyHandler)
    proxy.asked = []
    threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
    if excepted:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
    try:
        assert fetch().path.read_bytes() == DATA
    finally:
        proxy.shutdown()
        proxy.server_close()
    assert proxy.asked == ([] if excepted else [f"{site.url}/f"])


def test_a_proxy_that_is_no_address_is_told(monkeypatch, quick):
    monkeypatch.setenv("HTTPS_PROXY", "quic://x:y:z")
    failure(lambda: Transport(patience=quick), ConfigError, "config-invalid")


def test_sizes_are_asked_without_fetching(site, quick, carbon):
    name = "model.safetensors"
    url = f"{site.url}/HuggingFaceBio/Carbon-500M/resolve/{carbon.revisions['carbon-500m']}"
    with Transport(patience=quick) as transport:
        assert transport.n_bytes(f"{url}/{name}") == 300_000
        assert transport.n_bytes(f"{url}/config.json") == len(carbon.files["carbon-500m"]["config.json"])
    assert {each.method for each in site.asked} == {"HEAD"}
    assert not [each for each in site.asked if each.path.startswith("/cdn")]


def test_the_note_beside_a_part_has_no_secrets(fetch, site, tmp_path):
    site.trouble.cut["/f"] = [1_000, 0, 0, 0]
    failure(
        lambda: fetch(path="/f?Signature=secret", token="hf_canary"), ResourceError, "setup-download-failed"
    )
    note = json.loads((tmp_path / "f.part.json").read_text())
    assert set(note) == {"validator"}
