"""Answers a registry's challenge: anonymously, with a token, or with name and password. Pure.

The chain, as Docker's: the first request goes out with nothing. A registry that refuses names what
it takes; `answer_to` chooses. Bearer: a token for the wanted scopes is asked of the realm, with the
account's password or identity token if there is one and anonymously if not (distribution,
spec/auth/token.md and oauth.md). Basic: only where the registry takes nothing else and there is an
account.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

from rootless.registry.challenge import Challenge
from rootless.registry.failures import DeniedError, RegistryError

CLIENT_ID = "rootless"
_SHORTEST_LIFE = 60
_MARGIN = 5


class Credentials(NamedTuple):
    """One account. `identity_token` is what an OAuth login left in place of a password;
    `registry_token` is a bearer token to be used as it is."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, …)"

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()


class BasicAnswer(NamedTuple):
    """Send name and password with every request."""

    credentials: Credentials


class BearerAnswer(NamedTuple):
    """Ask `realm` for a token."""

    realm: str
    service: str
    scopes: frozenset[str]


class TokenRequest(NamedTuple):
    """The request that gets a token. `form` is None for a GET."""

    url: str
    authorization: str | None
    form: bytes | None


class Token(NamedTuple):
    """`expires` is on the clock that `read_token` was given."""

    text: str
    expires: float

    @property
    def header(self) -> str:
        """The value of an Authorization header."""
        return f"Bearer {self.text}"

    def __repr__(self) -> str:
        return f"Token(…, expires={self.expires})"


def pull_scope(repository: str) -> str:
    """The scope that reading a repository needs."""
    return f"repository:{repository}:pull"


def push_scope(repository: str) -> str:
    """The scope that writing to a repository needs."""
    return f"repository:{repository}:pull,push"


def answer_to(
    challenges: Sequence[Challenge], credentials: Credentials | None, scopes: frozenset[str]
) -> BasicAnswer | BearerAnswer | None:
    """The answer to a challenge; None if no credentials fit it."""
    for challenge in challenges:
        if challenge.scheme == "bearer" and (realm := challenge.parameters.get("realm")):
            asked = challenge.parameters.get("scope", "").split()
            return BearerAnswer(
                realm, challenge.parameters.get("service", ""), scopes | frozenset(asked)
            )
    if any(each.scheme == "basic" for each in challenges) and credentials and credentials.username:
        return BasicAnswer(credentials)
    return None


def check_realm(realm: str, registry: str, *, plain_allowed: bool) -> None:
    """A password goes to a realm only over TLS, unless the registry itself is used without.

    Raises DeniedError.
    """
    scheme = urlsplit(realm).scheme
    if scheme == "https" or (scheme == "http" and plain_allowed):
        return
    raise DeniedError(f"the registry {registry} sends clients to {realm} for tokens: refused")


def token_request(answer: BearerAnswer, credentials: Credentials | None) -> TokenRequest:
    """A POST with the identity token if there is one (oauth.md), else a GET (token.md)."""
    scopes = sorted(answer.scopes)
    if credentials is not None and credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": credentials.identity_token,
            "service": answer.service,
            "client_id": CLIENT_ID,
            "scope": " ".join(scopes),
        }
        return TokenRequest(answer.realm, None, urlencode(form).encode())
    query = [("service", answer.service)] if answer.service else []
    query += [("scope", scope) for scope in scopes]
    authorization = None
    if credentials is not None and credentials.username:
        query.append(("account", credentials.username))
        authorization = credentials.basic
    parts = urlsplit(answer.realm)
    joined = "&".join(part for part in (parts.query, urlencode(query)) if part)
    return TokenRequest(urlunsplit(parts._replace(query=joined)), authorization, None)


def read_token(body: bytes, now: float, realm: str) -> Token:
    """The token of a realm's answer. Raises RegistryError."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    document = document if isinstance(document, Mapping) else {}
    text = document.get("token") or document.get("access_token")
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        raise RegistryError(f"{realm} did not return a token")
    life = document.get("expires_in")
    # token.md: 60 seconds if it does not say, and clients may rely on 60.
    seconds = max(life, _SHORTEST_LIFE) if isinstance(life, int) else _SHORTEST_LIFE
    return Token(text, now + seconds - _MARGIN)
