"""The Hub's addresses, and what it declares of the files of one commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

from genolewm_runtime.setup.digests import Digest
from genolewm_runtime.setup.transport import Transport, download_failed, plain_address

__all__ = ["DEFAULT_ENDPOINT", "file_url", "listing"]

DEFAULT_ENDPOINT = "https://huggingface.co"


def file_url(endpoint: str, repo: str, revision: str, name: str) -> str:
    """Address of a file of a commit."""
    return f"{endpoint}/{repo}/resolve/{revision}/{quote(name)}"


def listing(
    transport: Transport, endpoint: str, repo: str, revision: str
) -> Mapping[str, tuple[int, Digest]]:
    """Size and digest of every file of a commit, as the host declares them.

    Large files have the SHA-256 of their LFS pointer, small ones the id of their git blob.

    Raises:
        ResourceError: `setup-download-failed`.
    """
    url = f"{endpoint}/api/models/{repo}/revision/{revision}?blobs=true"
    host = plain_address(endpoint).split("//", 1)[-1].rstrip("/")
    try:
        raw = json.loads(transport.text(url))
        if raw["sha"] != revision:
            raise download_failed(url, f"the commit {revision}", "another commit")
        found = {}
        for entry in raw["siblings"]:
            name, n_bytes, lfs = entry["rfilename"], entry["size"], entry.get("lfs")
            if not isinstance(name, str) or type(n_bytes) is not int or n_bytes < 0:
                raise TypeError("a name or a size is of another kind")
            if lfs is not None:
                digest = Digest("sha256", lfs["sha256"], f"the host {host} (LFS)")
            else:
                digest = Digest("git-sha1", entry["blobId"], f"the host {host} (git blob id)")
            found[name] = (n_bytes, digest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise download_failed(url, "the Hub's description of a commit", type(error).__name__) from error
    return found
