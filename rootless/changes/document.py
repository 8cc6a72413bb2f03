"""The changes of a container as JSON by the schema changes.schema.json of the documentation. Pure.

A name is text if it is UTF-8; any other is given in base64 under a key that ends in `Bytes`, and as text with U+FFFD.
"""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from rootless.changes.change import Change, State


def as_document(
    container: str, mounts: Sequence[tuple[str, str]], changes: Sequence[Change]
) -> dict[str, Any]:
    """The document of `changes --json`. `container` is an id; `mounts` are target and source of each mount that is
    copied on write."""
    return {
        "format": 1,
        "container": container,
        "mounts": [
            {**_name("target", os.fsencode(target)), **_name("source", os.fsencode(source))}
            for target, source in mounts
        ],
        "changes": [_change(each) for each in changes if not each.is_bare],
    }


def _change(change: Change) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": change.kind.value, **_name("path", b"/" + change.path)}
    if change.source is not None:
        found |= _name("source", b"/" + change.source)
    if change.link is not None:
        found |= _name("link", b"/" + change.link)
    if change.aspects:
        found["aspects"] = [each.value for each in change.aspects]
    for key, state in (("before", change.before), ("after", change.after)):
        if state is not None:
            found[key] = _state(state)
    return found


def _state(state: State) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": state.file_type,
        "mode": f"{stat.S_IMODE(state.mode):04o}",
        "uid": state.uid,
        "gid": state.gid,
        "mtimeNs": state.mtime_ns,
    }
    if state.is_file:
        found |= {"size": state.size, "allocated": state.allocated, "links": state.nlink}
    if stat.S_ISLNK(state.mode):
        found |= _name("target", state.target)
    if state.xattrs:
        found["xattrs"] = {
            name.decode(errors="replace"): b64encode(value).decode()
            for name, value in sorted(state.xattrs.items())
        }
    return found


def _name(key: str, name: bytes) -> dict[str, str]:
    try:
        return {key: name.decode()}
    except UnicodeDecodeError:
        return {
            key: name.decode(errors="replace"),
            f"{key}Bytes": b64encode(name).decode(),
        }
