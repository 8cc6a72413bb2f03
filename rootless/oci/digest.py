"""Digests: `algorithm:hex`, as the OCI image specification (descriptor.md, Digests) has them. Pure.

Only sha256 is computed here: it is what every registry and tool writes. A sha512 digest is read and
carried, never taken for verified.
"""

from __future__ import annotations

import sys

_REGISTERED = {"sha256": 64, "sha512": 128}


def is_hex(text: str) -> bool:
    """Whether `text` is of lower-case hexadecimal digits, one or more."""
    # Not a regular expression: `re` takes longer to import than everything that a start asks here.
    return text != "" and text.strip("0123456789abcdef") == ""


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of a registered algorithm in its canonical (lower case) form."""
    algorithm, colon, encoded = text.partition(":")
    return bool(colon) and _REGISTERED.get(algorithm) == len(encoded) and is_hex(encoded)


def check_sha256(text: object, what: str) -> str:
    """`text` if it is a sha256 digest. Raises InvalidDocumentError naming `what`."""
    if not isinstance(text, str) or not text.startswith("sha256:") or not is_digest(text):
        from rootless.errors import InvalidDocumentError  # a rank of many does without it

        raise InvalidDocumentError(f"{what}: {text!r} is not a sha256 digest")
    return text


def sha256_digest(data: bytes) -> str:
    """The digest of a document."""
    # hashlib loads OpenSSL, which takes longer than all else on the way from a name to an image;
    # for a few kilobytes the interpreter's own code is as good (random.py in the library does the
    # same).
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256  # type: ignore[import-not-found]
        else:
            from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256
    return f"sha256:{sha256(data).hexdigest()}"


def hex_of(digest: str) -> str:
    """The part after the algorithm: the name of the blob's file."""
    return digest.partition(":")[2]


def chain_id(diff_ids: tuple[str, ...]) -> str:
    """The ChainID of a stack of layers, bottom first (image-spec config.md, Layer ChainID).

    Raises ValueError for no layers: an empty stack has no chain.
    """
    if not diff_ids:
        raise ValueError("no layers")
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = sha256_digest(f"{chain} {diff_id}".encode())
    return chain
