"""Git repositories as build contexts and as sources of ADD, by the program git of the host."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rootless.build.errors import BuildError
from unionfs.light_types import NamedTuple

_SECONDS = 600
_SCP_LIKE = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:.+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


class GitSource(NamedTuple):
    """A repository, a branch, tag or commit of it (empty for its default branch), and a directory in it."""

    url: str
    reference: str = ""
    directory: str = ""


def git_source(text: str) -> GitSource | None:
    """What names a repository: `git://`, `ssh://`, `git@host:path`, `https://….git` or `github.com/…`, with
    `#REFERENCE:DIRECTORY`. None for anything else."""
    url, _, fragment = text.partition("#")
    if url.startswith("github.com/"):
        url = f"https://{url}"
    elif not (
        url.startswith(("git://", "ssh://"))
        or (url.startswith(("http://", "https://")) and url.endswith(".git"))
        or _SCP_LIKE.fullmatch(url)
    ):
        return None
    reference, _, directory = fragment.partition(":")
    return GitSource(url, reference, os.path.normpath(f"/{directory}").strip("/"))


def clone(source: GitSource, directory: Path, *, keep_git: bool, checksum: str = "") -> Path:
    """Check out a repository below an empty directory; returns the directory that was asked for. `checksum` is
    the beginning of the commit that it must be. Raises BuildError."""
    import shutil

    if shutil.which("git") is None:
        raise BuildError(f"cannot fetch {source.url}: git is not installed")
    _git(directory, "init", "-q")
    _git(directory, "remote", "add", "origin", "--", source.url)
    wanted = source.reference or "HEAD"
    commit = _fetch(directory, wanted)
    if checksum and not commit.startswith(checksum):
        raise BuildError(f"expected checksum to match {checksum}, got {commit}")
    _git(directory, "-c", "advice.detachedHead=false", "checkout", "-q", commit)
    _git(directory, "submodule", "update", "-q", "--init", "--recursive", "--depth", "1")
    if not keep_git:
        shutil.rmtree(directory / ".git")
    found = directory / source.directory
    if not found.is_dir() or not found.resolve().is_relative_to(directory.resolve()):
        raise BuildError(f"subdir {source.directory} is not in {source.url}")
    return found


def _fetch(directory: Path, wanted: str) -> str:
    """Fetch a branch, tag or commit; returns the commit. Raises BuildError."""
    # A server that only serves files cannot leave the history out.
    for depth in (("--depth", "1"), ()):
        try:
            _git(directory, "fetch", "-q", *depth, "--", "origin", wanted)
            return _git(directory, "rev-parse", "FETCH_HEAD^{commit}").strip()
        except BuildError:
            if not depth and _COMMIT.fullmatch(wanted) is None:
                raise
    # Nor need it give a commit that no name leads to.
    _git(directory, "fetch", "-q", "--tags", "--", "origin", "+refs/heads/*:refs/heads-there/*")
    return _git(directory, "rev-parse", f"{wanted}^{{commit}}").strip()


def _git(directory: Path, *words: str) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    import subprocess

    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *words],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"git {words[0]} did not end in {_SECONDS} seconds") from error
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()
        raise BuildError(f"failed to fetch remote: git {words[0]}: {reason[-1] if reason else ''}")
    return done.stdout
