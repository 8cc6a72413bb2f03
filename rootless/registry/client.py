"""One repository at one registry: requests with authorization, redirects and retries.

The order for each request: the answer of the last challenge, if there was one, is sent along; a
refusal (401) is answered once, by `authorization.answer_to`, and once more if a token has grown old;
redirects are followed for reading, credentials staying with their origin; failures that may pass are
tried again by `retrying`. A body that breaks off is handled by its reader.

The scheme: https with verified certificates, unless the registry is one that may be insecure
(registries.conf, --tls-verify=false, or on loopback with no certificates of its own filed, as Docker
has it): then https without verification, then http, whichever answers.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx
import trio

from rootless.errors import IntegrityError, InvalidDocumentError
from rootless.oci import media_types
from rootless.oci.digest import is_digest, sha256_digest
from rootless.oci.document import MAX_DOCUMENT_SIZE, parse_object, strings
from rootless.oci.reference import is_tag
from rootless.registry import redirects
from rootless.registry.authorization import (
    BasicAnswer,
    BearerAnswer,
    Credentials,
    Token,
    answer_to,
    check_realm,
    pull_scope,
    read_token,
    token_request,
)
from rootless.registry.certificates import certificates_for
from rootless.registry.challenge import parse_challenges
from rootless.registry.failures import (
    DeniedError,
    RegistryError,
    UnreachableError,
    problems_of,
)
from rootless.registry.proxies import is_loopback
from rootless.registry.registries_conf import Endpoint
from rootless.registry.responses import (
    closing,
    next_link,
    read_bounded,
    read_refusal,
    refusal_error,
)
from rootless.registry.retrying import TEMPORARY_STATUSES, Attempts, Policy, retry_after
from rootless.registry.transport import Content, Transport, TransportFailure

ACCEPTED = ", ".join(sorted(media_types.INDEXES | media_types.MANIFESTS))
_MOST_PAGES = 10_000


class Document(NamedTuple):
    """A manifest or index as the registry gave it, verified."""

    data: bytes
    media_type: str
    digest: str


class RepositoryClient:
    """Requests about one repository. `credentials` is called when they are first asked for.

    One task or many may use it at once; it holds no connection of its own.
    """

    def __init__(
        self,
        transport: Transport,
        endpoint: Endpoint,
        credentials: Callable[[], Credentials | None],
        *,
        tls_verify: bool | None = None,
        policy: Policy | None = None,
    ) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._credentials = credentials
        self._policy = policy or Policy()
        self._insecure = _may_be_insecure(transport, endpoint, tls_verify)
        self._base: str | None = None
        self._finding = trio.Lock()
        self._asking = trio.Lock()
        self._answer: BasicAnswer | BearerAnswer | None = None
        self._tokens: dict[frozenset[str], Token] = {}

    @property
    def host(self) -> str:
        return self._endpoint.host

    @property
    def repository(self) -> str:
        return self._endpoint.repository

    def new_attempts(self, policy: Policy | None = None) -> Attempts:
        """A count of failures for an operation of several requests."""
        return Attempts(policy or self._policy, random.random)

    # What a registry has.

    async def manifest(self, reference: str) -> Document:
        """The manifest or index of a tag or digest. Raises UnknownError, IntegrityError, DeniedError,
        UnreachableError, InvalidDocumentError."""
        what = f"manifest {self.host}/{self.repository}:{reference}"
        path = f"manifests/{reference}"
        data, headers = await self.read(path, MAX_DOCUMENT_SIZE, what, {"Accept": ACCEPTED})
        digest = sha256_digest(data)
        for wanted in (reference, headers.get("Docker-Content-Digest") or ""):
            if is_digest(wanted):
                algorithm, _, expected = wanted.partition(":")
                found = hashlib.new(algorithm, data).hexdigest()
                if found != expected:
                    raise IntegrityError(f"{what} does not match its digest: {found}, not {wanted}")
        media_type = headers.get("Content-Type", "").partition(";")[0].strip()
        return Document(data, media_type, digest)

    async def document(self, digest: str, size: int, what: str) -> bytes:
        """A small blob, verified."""
        if size > MAX_DOCUMENT_SIZE:
            raise InvalidDocumentError(f"{what} is too large: {size} bytes")
        data, _ = await self.read(f"blobs/{digest}", size, what)
        if len(data) != size or sha256_digest(data) != digest:
            raise IntegrityError(
                f"{what} does not match its descriptor: {sha256_digest(data)} of {len(data)} bytes "
                f"instead of {digest} of {size}"
            )
        return data

    async def tags(self) -> tuple[str, ...]:
        """Every tag, page by page (distribution-spec, Listing Tags)."""
        found: list[str] = []
        url = await self.url("tags/list")
        pages: list[str] = []
        while True:
            what = f"tags of {self.host}/{self.repository}"
            data, headers = await self.read(url, MAX_DOCUMENT_SIZE, what)
            for tag in strings(parse_object(data, what), "tags", what):
                # It goes into URLs, into the store, and onto a terminal.
                if not is_tag(tag):
                    raise InvalidDocumentError(f"{what}: {tag!r} is not a tag")
                found.append(tag)
            link = next_link(headers.get("Link"))
            if link is None:
                return tuple(dict.fromkeys(found))
            pages.append(url)
            target = str(httpx.URL(url).join(link))
            if target in pages or len(pages) >= _MOST_PAGES:
                raise RegistryError(f"{what}: the pages of the list link to each other in a loop")
            if redirects.origin_of(target) != redirects.origin_of(url):
                raise RegistryError(
                    f"{what}: the next page of the list is at another registry: refused"
                )
            url = target

    async def check(self) -> None:
        """Check that the registry answers and accepts the credentials. Raises DeniedError otherwise."""
        async with self.request("GET", f"{await self.base()}/v2/", scopes=frozenset()):
            return

    # Requests.

    async def url(self, path: str) -> str:
        """The URL of something in this repository."""
        return f"{await self.base()}/v2/{self.repository}/{path}"

    async def read(
        self, path: str, limit: int, what: str, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, httpx.Headers]:
        """A whole body of at most `limit` bytes. Raises InvalidDocumentError for a longer one."""
        attempts = self.new_attempts()
        while True:
            try:
                async with self.request(
                    "GET", path, headers=headers, attempts=attempts
                ) as response:
                    return await read_bounded(response, limit, what), response.headers
            except TransportFailure as failure:
                await self.pause(attempts, failure)

    async def pause(self, attempts: Attempts, failure: TransportFailure) -> None:
        """Wait before another try. Raises UnreachableError if there is to be none."""
        delay = attempts.delay() if failure.temporary else None
        if delay is None:
            raise unreachable(failure) from failure
        await trio.sleep(delay)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Callable[[], Content] | None = None,
        accept: frozenset[int] = frozenset({200}),
        scopes: frozenset[str] | None = None,
        attempts: Attempts | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """A request and its answer, whose status is one of `accept`. `path` is within the repository,
        or a whole URL. `content` makes the body, anew for each try.

        Raises UnknownError, DeniedError, RegistryError, UnreachableError; within the block, while the
        body is read, TransportFailure.
        """
        url = path if "://" in path else await self.url(path)
        wanted = frozenset({pull_scope(self.repository)}) if scopes is None else scopes
        response = await self._answered(
            method,
            url,
            dict(headers or {}),
            content,
            accept=accept,
            scopes=wanted,
            attempts=attempts or self.new_attempts(),
        )
        try:
            yield response
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await response.aclose()

    async def _answered(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        content: Callable[[], Content] | None,
        *,
        accept: frozenset[int],
        scopes: frozenset[str],
        attempts: Attempts,
    ) -> httpx.Response:
        refused = 0
        while True:
            own = redirects.keeps_credentials(url, await self.base())
            authorization = await self._authorization(scopes) if own else None
            try:
                response = await self._follow(method, url, headers, authorization, content)
            except TransportFailure as failure:
                await self.pause(attempts, failure)
                continue
            if response.status_code in accept:
                return response
            data = await read_refusal(response)
            if response.status_code == 401 and own and refused < 2:
                refused += 1
                if await self._challenged(response, scopes, authorization):
                    continue
            if response.status_code in TEMPORARY_STATUSES:
                asked = retry_after(response.headers.get("Retry-After"), time.time())
                delay = attempts.delay(asked)
                if delay is not None:
                    await trio.sleep(delay)
                    continue
            raise refusal_error(response, data, self.host, self.repository)

    async def _follow(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        authorization: str | None,
        content: Callable[[], Content] | None,
    ) -> httpx.Response:
        """One request, and those that it is redirected to."""
        start = url
        seen: tuple[str, ...] = ()
        while True:
            sent = dict(headers)
            if authorization is not None and redirects.keeps_credentials(start, url):
                sent["Authorization"] = authorization
            verify = not (self._insecure and _same_host(url, start))
            made = content() if content is not None else None
            response = await self._transport.send(method, url, sent, made, verify=verify)
            if response.status_code not in redirects.STATUSES or method not in ("GET", "HEAD"):
                return response
            location = response.headers.get("Location")
            await response.aclose()
            target = redirects.next_url(url, location, seen)
            seen = (*seen, url)
            url = target

    # Authorization.

    async def _authorization(self, scopes: frozenset[str]) -> str | None:
        """The Authorization header, if the registry has sent a challenge before."""
        if isinstance(self._answer, BasicAnswer):
            return self._answer.credentials.basic
        if self._answer is None:
            return None
        async with self._asking:
            token = self._tokens.get(scopes)
            if token is None or token.expires <= trio.current_time():
                token = await self._fetch_token(self._answer._replace(scopes=scopes))
                self._tokens[scopes] = token
            return token.header

    async def _challenged(
        self, response: httpx.Response, scopes: frozenset[str], sent: str | None
    ) -> bool:
        """Take up the challenge to a request that brought `sent`; whether it is worth asking again.
        Many tasks may be refused at once: the first does the work."""
        challenges = parse_challenges(response.headers.get_list("WWW-Authenticate"))
        answer = answer_to(challenges, self._credentials(), scopes)
        if answer is None:
            return False
        if isinstance(answer, BasicAnswer):
            self._answer = answer
            return sent != answer.credentials.basic
        async with self._asking:
            self._answer = answer
            token = self._tokens.get(scopes)
            if token is None or token.header == sent:
                self._tokens[scopes] = await self._fetch_token(answer)
        return True

    async def _fetch_token(self, answer: BearerAnswer) -> Token:
        credentials = self._credentials()
        if credentials is not None and credentials.registry_token:
            return Token(credentials.registry_token, float("inf"))
        plain = self._insecure and (await self.base()).startswith("http:")
        check_realm(answer.realm, self.host, plain_allowed=plain)
        wanted = token_request(answer, credentials)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if wanted.form else {}
        method = "POST" if wanted.form is not None else "GET"
        attempts = self.new_attempts()
        while True:
            try:
                response = await self._follow(
                    method, wanted.url, headers, wanted.authorization, lambda: wanted.form
                )
                async with closing(response):
                    if response.status_code == 200:
                        data = await read_bounded(response, MAX_DOCUMENT_SIZE, "a token")
                        return read_token(data, trio.current_time(), answer.realm)
                    data = await read_refusal(response)
            except TransportFailure as failure:
                await self.pause(attempts, failure)
                continue
            if response.status_code in TEMPORARY_STATUSES:
                asked = retry_after(response.headers.get("Retry-After"), time.time())
                if (delay := attempts.delay(asked)) is not None:
                    await trio.sleep(delay)
                    continue
            if response.status_code in (401, 403):
                raise DeniedError("unauthorized: incorrect username or password")
            said = problems_of(response.status_code, data)[0]
            raise RegistryError(f"cannot get a token from {answer.realm}: {said}")

    # Where the registry is.

    async def base(self) -> str:
        """Scheme and host; an insecure registry is asked which it speaks. Raises UnreachableError."""
        async with self._finding:
            if self._base is None:
                self._base = await self._find_base()
            return self._base

    async def _find_base(self) -> str:
        secure = f"https://{self.host}"
        if not self._insecure:
            return secure
        try:
            response = await self._transport.send("GET", f"{secure}/v2/", {}, verify=False)
            await response.aclose()
        except TransportFailure:
            # Servers of plain HTTP say so in many ways: some answer, some hang up, some never answer,
            # and a proxy may refuse to connect. If no server is there, the next request fails.
            return f"http://{self.host}"
        return secure


def unreachable(failure: TransportFailure) -> UnreachableError:
    """The error for a user."""
    hint = "is the registry's name right? without a network, rootless load and rootless import bring images in"
    if failure.handshake:
        hint = (
            "put the authority's certificate in ~/.config/containers/certs.d/HOST:PORT/ca.crt, "
            "or use --tls-verify=false"
        )
    return UnreachableError(failure.text, hint=hint)


def _may_be_insecure(transport: Transport, endpoint: Endpoint, tls_verify: bool | None) -> bool:
    if tls_verify is not None:
        return not tls_verify
    if endpoint.insecure:
        return True
    host = httpx.URL(f"//{endpoint.host}").host
    return is_loopback(host) and certificates_for(transport.env, endpoint.host) is None


def _same_host(url: str, other: str) -> bool:
    return redirects.origin_of(url)[1:] == redirects.origin_of(other)[1:]
