"""HTTP for the only commands that have a network: redirects, proxies, timeouts and what can be tried again.

Proxies come from the environment, as curl takes them. A token goes to the endpoint that it is for and to no
other host. A redirect from https to http is refused.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2

from genolewm_core import __version__
from genolewm_core.errors import ConfigError, ResourceError

__all__ = ["Cut", "Patience", "Transport", "download_failed", "is_private", "origin", "plain_address"]

_T = TypeVar("_T")

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_HOPS = 10
_WORTH_ANOTHER_TRY = (408, 429, 500, 502, 503, 504)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LONGEST_WAIT_S = 60.0
_MOST_TEXT_BYTES = 20_000_000


class Cut(Exception):
    """Something that may go better the next time.

    Attributes:
        where: address, without its query.
        found: what happened, in words.
        wait_s: how long the host asked to wait; None when it did not.
    """

    def __init__(self, where: str, found: str, wait_s: float | None = None) -> None:
        super().__init__(found)
        self.where, self.found, self.wait_s = where, found, wait_s


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an answer, and between attempts that brought nothing new.

    Attributes:
        delays_s: seconds before each further attempt; their number is that of the attempts.
        silence_s: seconds without a byte after which a connection counts as cut.
    """

    delays_s: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    silence_s: float = 30.0


class Transport:
    """One client for all requests of a setup; close it after use.

    Args:
        token: for `token_url`'s origin only, and only where nobody on the way can read it.
        token_url: the endpoint that the token is for.
        on_wait: told what happened and for how many seconds is waited, before each further attempt.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        token_url: str = "",
        patience: Patience | None = None,
        on_wait: Callable[[str, float], None] = lambda found, seconds: None,
    ) -> None:
        self.patience = patience or Patience()
        self._on_wait = on_wait
        self._token = token
        self._token_origin = origin(token_url) if token_url else ""
        try:
            self._client = httpx2.Client(
                follow_redirects=False,
                timeout=httpx2.Timeout(self.patience.silence_s),
                # Bytes as they are stored: a compressed transfer has neither ranges nor the file's digest.
                headers={"User-Agent": f"geno-lewm/{__version__}", "Accept-Encoding": "identity"},
            )
        except (httpx2.InvalidURL, ValueError, ImportError, OSError) as error:
            raise ConfigError(
                "config-invalid",
                "The environment's settings for proxies or certificates cannot be used.",
                where="HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR",
                found=type(error).__name__,
            ) from error

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    @contextmanager
    def open(
        self, url: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
    ) -> Iterator[httpx2.Response]:
        """The response behind all redirects, with status 200, 206 or 416; its body is not yet read.

        Raises:
            Cut: the connection broke, or the host asks to try later.
            ResourceError: `setup-download-failed`, for any other answer.
        """
        seen = []
        while True:
            seen.append(url)
            request = self._client.build_request(method, url, headers=self._headers(url, headers or {}))
            with _cuts(url):
                response = self._client.send(request, stream=True)
            try:
                # A file's size, as the Hub tells it before it redirects to a host that may allow no HEAD.
                told = method == "HEAD" and "X-Linked-Size" in response.headers
                if told or response.status_code not in _REDIRECTS:
                    _check_status(response, url, told)
                    with _cuts(url):
                        yield response
                    return
                url = _next(response, url, seen)
            finally:
                response.close()

    def text(self, url: str) -> str:
        """A small document, tried again as patience has it.

        Raises:
            ResourceError: `setup-download-failed`.
        """

        def attempt() -> str:
            with self.open(url) as response:
                data = b""
                for chunk in response.iter_raw():
                    data += chunk
                    if len(data) > _MOST_TEXT_BYTES:
                        raise download_failed(url, "a small document", f"over {_MOST_TEXT_BYTES} bytes")
            try:
                return data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise download_failed(url, "text in UTF-8", "other bytes") from error

        return self._again(attempt)

    def n_bytes(self, url: str) -> int | None:
        """Size of a file as the host says it, or None when it does not.

        Raises:
            ResourceError: `setup-download-failed`.
        """

        def attempt() -> int | None:
            with self.open(url, method="HEAD") as response:
                size = response.headers.get("X-Linked-Size") or response.headers.get("Content-Length") or ""
                return int(size) if size.isdecimal() else None

        return self._again(attempt)

    def _again(self, attempt: Callable[[], _T]) -> _T:
        delays_s = list(self.patience.delays_s)
        while True:
            try:
                return attempt()
            except Cut as cut:
                self.wait(cut, delays_s)

    def wait(self, cut: Cut, delays_s: list[float]) -> None:
        """Wait before the next attempt, for the first of the delays, which is taken off, or as the host asks.

        Raises:
            ResourceError: `setup-download-failed`, when no delay is left.
        """
        if not delays_s:
            raise _gave_up(cut) from cut
        delay_s = delays_s.pop(0)
        seconds = delay_s if cut.wait_s is None else min(max(cut.wait_s, 0.0), _LONGEST_WAIT_S)
        self._on_wait(cut.found, seconds)
        time.sleep(seconds)

    def _headers(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        if self._token and origin(url) == self._token_origin and is_private(url):
            return {**headers, "Authorization": f"Bearer {self._token}"}
        return dict(headers)


def origin(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{parts.port or {'https': 443}.get(parts.scheme, 80)}"


def is_private(url: str) -> bool:
    """Whether nobody on the way can read or change what is sent: https, or this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in _LOOPBACK


def plain_address(url: str) -> str:
    """An address without what may be secret in it: user, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    return f"{parts.scheme}://{host}{parts.path}"


def download_failed(url: str, expected: str, found: str, next_step: str | None = None) -> ResourceError:
    """The error for a file that cannot be had."""
    return ResourceError(
        "setup-download-failed",
        "A file could not be fetched.",
        where=plain_address(url),
        expected=expected,
        found=found,
        next_step=next_step
        or "check the address, or fetch the files elsewhere and give them with --from DIR",
    )


def _gave_up(cut: Cut) -> ResourceError:
    return ResourceError(
        "setup-download-failed",
        "A file could not be fetched, however often it was tried.",
        where=cut.where,
        found=cut.found,
        next_step="run the same command again: it goes on where it stopped; without a network, fetch the files "
        "elsewhere and give them with --from DIR",
    )


@contextmanager
def _cuts(url: str) -> Iterator[None]:
    try:
        yield
    except httpx2.InvalidURL as error:
        raise download_failed(url, "an address of http or https", "another") from error
    except httpx2.UnsupportedProtocol as error:
        raise download_failed(url, "an address of http or https", "another") from error
    except (httpx2.TransportError, httpx2.StreamError) as error:
        kind = type(error).__name__
        raise Cut(plain_address(url), f"{kind}: {error}" if str(error) else kind) from error


def _check_status(response: httpx2.Response, url: str, told: bool) -> None:
    status = response.status_code
    if status in (200, 206, 416) or (told and status in _REDIRECTS):
        return
    # Not the host's own phrase, which may hold anything.
    found = f"HTTP {status} {httpx2.codes.get_reason_phrase(status)}".strip()
    if status in _WORTH_ANOTHER_TRY:
        asked = response.headers.get("Retry-After", "")
        raise Cut(plain_address(url), found, float(asked) if asked.isdecimal() else None)
    next_step = None
    if status in (401, 403):
        next_step = "the host wants to know who asks: put a token of yours into the variable HF_TOKEN"
    raise download_failed(url, "HTTP 200", found, next_step)


def _next(response: httpx2.Response, url: str, seen: list[str]) -> str:
    target = response.headers.get("Location", "")
    following = ""
    # What has no meaning as an address is refused below.
    with contextlib.suppress(httpx2.InvalidURL):
        following = str(httpx2.URL(url).join(target)) if target else ""
    if urlsplit(following).scheme not in ("http", "https"):
        raise download_failed(url, "a redirect to an address", "a redirect to nowhere")
    if url.startswith("https:") and not following.startswith("https:"):
        raise download_failed(url, "a redirect that stays encrypted", "a redirect from https to http")
    if following in seen or len(seen) >= _MOST_HOPS:
        raise download_failed(url, f"at most {_MOST_HOPS} redirects, and no circle", f"{len(seen)} redirects")
    return following
