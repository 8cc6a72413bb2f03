"""The keys of steps: equal keys, equal results. Pure.

A key is a digest of the parent's key, of the instruction with all that bears on it, and of the content
of what it copies. Times, secrets and predefined arguments have no part in it.
"""

from __future__ import annotations

import hashlib

from rootless.oci.document import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT = "2"
"""Changed when a step of the same inputs would give another layer than before."""


def step_key(parent: str, kind: str, inputs: Mapping[str, object]) -> str:
    """64 hex digits. `inputs` are values that JSON has."""
    document = {"format": _FORMAT, "parent": parent, "kind": kind, "inputs": dict(inputs)}
    return hashlib.sha256(encode(document)).hexdigest()


def files_key(text: str) -> str:
    """The key of a tree that no step has made: of an image by its ChainID, or of nothing."""
    return hashlib.sha256(f"{_FORMAT} files {text}".encode()).hexdigest()
