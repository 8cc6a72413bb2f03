"""Programs that store passwords: docker-credential-NAME, with the verb as argument and the rest on
standard input (docker-credential-helpers, README: Development)."""

from __future__ import annotations

import json

from rootless.errors import RootlessError
from rootless.registry.authorization import Credentials
from rootless.registry.credentials import TOKEN_USER

_SECONDS = 60
_NOT_FOUND = "credentials not found in native keychain"


def _run(helper: str, verb: str, text: str) -> str | None:
    """The output of the helper; None if it has no such account."""
    import subprocess

    program = f"docker-credential-{helper}"
    if "/" in helper:
        raise RootlessError(f"{helper!r} is not the name of a credential helper")
    try:
        done = subprocess.run(
            [program, verb],
            input=text.encode(),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise RootlessError(
            f"the credential helper {program} is not installed",
            hint="install it, or remove it from credsStore and credHelpers in your configuration",
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RootlessError(f"the credential helper {program} cannot be used: {error}") from error
    out = done.stdout.decode(errors="replace").strip()
    if done.returncode == 0:
        return out
    said = out or done.stderr.decode(errors="replace").strip()
    if _NOT_FOUND in said:
        return None
    last = said.splitlines()[-1] if said else f"status {done.returncode}"
    raise RootlessError(f"the credential helper {program} failed: {last}")


def get(helper: str, server: str) -> Credentials | None:
    """The account for a server, or None."""
    out = _run(helper, "get", server)
    if out is None:
        return None
    try:
        document = json.loads(out)
        username, secret = str(document.get("Username", "")), str(document.get("Secret", ""))
    except (ValueError, AttributeError):
        raise RootlessError(f"the credential helper {helper} did not print a JSON object") from None
    if not secret:
        return None
    if username == TOKEN_USER:
        return Credentials(identity_token=secret)
    return Credentials(username, secret)


def store(helper: str, server: str, account: Credentials) -> None:
    """Store an account."""
    username, secret = account.username, account.password
    if account.identity_token:
        username, secret = TOKEN_USER, account.identity_token
    _run(helper, "store", json.dumps({"ServerURL": server, "Username": username, "Secret": secret}))


def erase(helper: str, server: str) -> bool:
    """Delete an account; returns whether there was one."""
    if get(helper, server) is None:
        return False
    _run(helper, "erase", server)
    return True
