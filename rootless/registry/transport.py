"""HTTP for registries: streamed bodies, TLS by registry, proxies, a timeout on every wait.

One httpx client for each way out (TLS settings and proxy); connections are kept and shared by
everything that a pull or push does. httpx follows no redirect, decodes nothing, and reads nothing
from the environment here: each of these is decided in modules of its own.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Self

import httpx

from rootless.registry.certificates import certificates_for, tls_context
from rootless.registry.configuration import ClientEnv
from rootless.registry.proxies import proxy_for
from rootless.registry.redirects import origin_of

if TYPE_CHECKING:
    from types import TracebackType

Content = bytes | httpx.AsyncByteStream | None


class Timing(NamedTuple):
    """Seconds."""

    connect: float = 15.0
    silence: float = 60.0
    """Without a byte, or with hardly any: see `slow_bytes`."""
    slow_bytes: int = 1024
    """A body of which less comes in `silence` seconds is given up and asked for again."""


class TransportFailure(Exception):  # noqa: N818 - it is caught and turned into an error, or a retry
    """No answer, or an incomplete one. `temporary`: a retry may succeed."""

    def __init__(self, text: str, *, temporary: bool, handshake: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.temporary = temporary
        self.handshake = handshake


class Transport:
    """Connections to any host. Use as an asynchronous context manager."""

    def __init__(self, env: ClientEnv, timing: Timing) -> None:
        self.env = env
        self.timing = timing
        self._clients: dict[tuple[str, bool, str | None], httpx.AsyncClient] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import trio

        # Connections of a cancelled operation are closed too; nothing is sent that could hang.
        with trio.CancelScope(shield=True), trio.move_on_after(1):
            for client in self._clients.values():
                await client.aclose()

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Content = None,
        *,
        verify: bool = True,
    ) -> httpx.Response:
        """One request and the head of its answer; the caller reads the body with `read_body` and closes
        the response. Raises TransportFailure."""
        try:
            client = self._client(url, verify=verify)
            request = client.build_request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **headers},
                content=content if isinstance(content, bytes) else None,
            )
            if isinstance(content, httpx.AsyncByteStream):
                # Handed over as content it would be wrapped in a generator, which a failure leaves
                # in the middle.
                request.stream = content
            return await client.send(request, stream=True, follow_redirects=False)
        except httpx.InvalidURL as error:
            raise TransportFailure(f"{url}: {error}", temporary=False) from None
        except httpx.HTTPError as error:
            raise failure_of(error, url) from error

    def _client(self, url: str, *, verify: bool) -> httpx.AsyncClient:
        scheme, host, port = origin_of(url)
        proxy = proxy_for(url, self.env.environ)
        if scheme == "http":
            key: tuple[str, bool, str | None] = ("", False, proxy)
        else:
            key = (f"{host}:{port}", verify, proxy)
        if key not in self._clients:
            certificates = None
            if scheme == "https":
                certificates = certificates_for(self.env, f"{host}:{port}")
                if certificates is None and port == 443:
                    certificates = certificates_for(self.env, host)
            self._clients[key] = httpx.AsyncClient(
                # A bare context where there is no TLS: loading the machine's authorities takes time.
                verify=tls_context(certificates, verify=verify),
                proxy=proxy,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(self.timing.silence, connect=self.timing.connect, pool=None),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
                headers={"User-Agent": "rootless"},
            )
        return self._clients[key]


async def read_body(response: httpx.Response, take: Callable[[bytes], None]) -> None:
    """Give each piece of a body, as it is on the wire, to `take`. Raises TransportFailure, and what
    `take` raises.

    The streams of httpx are generators within generators; left in the middle they are cleaned up
    when the collector comes by. A cancellation unwinds them all at once, so that is how a body is
    left.
    """
    import trio

    refusal: Exception | None = None
    with trio.CancelScope() as scope:
        try:
            async for piece in response.aiter_raw():
                if refusal is None:
                    try:
                        take(piece)
                    except Exception as error:  # noqa: BLE001 - raised again below
                        refusal = error
                        scope.cancel()
        except httpx.HTTPError as error:
            if refusal is None:
                raise failure_of(error, str(response.request.url)) from error
    if refusal is not None:
        raise refusal


def failure_of(error: httpx.HTTPError, url: str) -> TransportFailure:
    """The message of a failure, and whether it is temporary."""
    origin = "{}://{}".format(*origin_of(url)[:2])
    port = origin_of(url)[2]
    where = f"{origin}:{port}"
    cause = _cause(error)
    if isinstance(error, httpx.TimeoutException):
        return TransportFailure(f"{where} does not answer: timed out", temporary=True)
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message
        return TransportFailure(
            f"{where}: tls: failed to verify certificate: {why}", temporary=False, handshake=True
        )
    if isinstance(cause, ssl.SSLError):
        why = cause.reason or str(cause)
        if why in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
            why = "server gave HTTP response to HTTPS client"
        return TransportFailure(f"{where}: tls: {why}", temporary=False, handshake=True)
    if isinstance(cause, ConnectionRefusedError):
        return TransportFailure(f"{where}: connection refused", temporary=False)
    if isinstance(error, httpx.ProxyError):
        return TransportFailure(f"{where}: proxy: {error}", temporary=False)
    if isinstance(error, httpx.ConnectError):
        handshake = url.startswith("https:") and not isinstance(cause, OSError)
        text = f"{where}: {_words(cause)}"
        return TransportFailure(text, temporary=not _unknown_name(cause), handshake=handshake)
    return TransportFailure(
        f"{where}: {str(error) or type(error).__name__}",
        temporary=True,
        handshake=isinstance(error, httpx.RemoteProtocolError) and url.startswith("https:"),
    )


def _cause(error: BaseException) -> BaseException:
    """The innermost cause: httpx, httpcore and trio each wrap it once."""
    seen = 0
    while seen < 10:
        inner = error.__cause__ or error.__context__
        if isinstance(inner, BaseExceptionGroup):
            inner = inner.exceptions[0]
        if inner is None:
            return error
        error, seen = inner, seen + 1
    return error


def _unknown_name(cause: BaseException) -> bool:
    import socket

    return isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN


def _words(cause: BaseException) -> str:
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return str(text).lower()
