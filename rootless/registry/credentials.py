"""Accounts as Docker's config.json and containers' auth.json hold them. Pure.

Both are `{"auths": {KEY: {"auth": base64("USER:PASSWORD"), "identitytoken": …}}, "credHelpers": {HOST:
NAME}, "credsStore": NAME}`. Docker's keys are hosts (or the URL of Docker Hub's old API); containers'
may go on with a path, of which the longest that fits counts (containers-auth.json(5)). Unknown
fields are kept when a file is written.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from rootless.errors import InvalidDocumentError
from rootless.oci.document import Json, as_object, optional, string_map
from rootless.registry.authorization import Credentials

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
TOKEN_USER = "<token>"  # what a helper gives as user name when its secret is an identity token


class CredentialFile(NamedTuple):
    """One file, read; `what` names it in errors."""

    what: str
    document: Json

    def helper_for(self, host: str) -> str | None:
        """The name of the helper program that keeps this registry's account, if one does."""
        helpers = string_map(self.document, "credHelpers", self.what)
        for key in helper_keys(host):
            if name := helpers.get(key):
                return name
        return optional(self.document, "credsStore", str, self.what) or None


def helper_keys(host: str) -> tuple[str, ...]:
    """The keys of a registry at helpers, Docker's first."""
    if host in _DOCKER_HUB:
        return (DOCKER_HUB_KEY, "docker.io", "index.docker.io")
    return (host,)


def stored_key(host: str) -> str:
    """The key under which an account is written."""
    return DOCKER_HUB_KEY if host in _DOCKER_HUB else host


def host_of_key(key: str) -> str:
    """The host, or host and path, that a key of `auths` is for."""
    text = key.removeprefix("https://").removeprefix("http://")
    host, slash, path = text.partition("/")
    if host in _DOCKER_HUB:
        host = "docker.io"
    # Older versions of Docker wrote whole URLs of the registry's API.
    if path.rstrip("/") in ("", "v1", "v2"):
        return host
    return f"{host}{slash}{path.rstrip('/')}"


def account_in(file: CredentialFile, name: str) -> Credentials | None:
    """The account for `HOST[/REPOSITORY]` that the file itself holds. Raises InvalidDocumentError."""
    auths = optional(file.document, "auths", dict, file.what) or {}
    by_host = {host_of_key(key): value for key, value in reversed(auths.items())}
    wanted = host_of_key(name.partition("/")[0])
    _, slash, path = name.partition("/")
    key = f"{wanted}{slash}{path}"
    while True:
        if key in by_host:
            found = read_account(by_host[key], f"{file.what}: auths of {key}")
            if found is not None:
                return found
        if "/" not in key:
            return None
        key = key.rpartition("/")[0]


def read_account(value: object, what: str) -> Credentials | None:
    """One member of `auths`; None for an empty one, which stands for an account that a helper keeps."""
    entry = as_object(value, what)
    identity = optional(entry, "identitytoken", str, what) or ""
    registry = optional(entry, "registrytoken", str, what) or ""
    username = optional(entry, "username", str, what) or ""
    password = optional(entry, "password", str, what) or ""
    if auth := optional(entry, "auth", str, what):
        try:
            text = base64.b64decode(auth, validate=True).decode()
        except (binascii.Error, ValueError):
            raise InvalidDocumentError(f"{what}: auth is not base64 of USER:PASSWORD") from None
        username, colon, password = text.partition(":")
        if not colon:
            raise InvalidDocumentError(f"{what}: auth is not base64 of USER:PASSWORD")
        # Docker pads with NUL what it wrote long ago.
        password = password.strip("\0")
    if not (username or identity or registry):
        return None
    return Credentials(username, password, identity, registry)


def with_account(document: Json, key: str, account: Credentials | None) -> Json:
    """The document with an account set; None leaves an empty entry, as Docker does where a helper
    keeps it."""
    auths = dict(as_object(document.get("auths") or {}, "auths"))
    entry: Json = {}
    if account is not None:
        if account.username:
            pair = f"{account.username}:{account.password}".encode()
            entry["auth"] = base64.b64encode(pair).decode()
        if account.identity_token:
            entry["identitytoken"] = account.identity_token
    auths[key] = entry
    return {**document, "auths": auths}


def without_account(document: Json, host: str) -> tuple[Json, bool]:
    """The document without a registry's account, under whatever key, and whether there was one."""
    auths = as_object(document.get("auths") or {}, "auths")
    kept = {key: value for key, value in auths.items() if host_of_key(key) != host_of_key(host)}
    return {**document, "auths": kept}, len(kept) != len(auths)
