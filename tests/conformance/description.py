"""What an image is, as text that two builders can be compared by: the layers above the base, the config, the history."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from tests.conformance.cases import CONTEXT_TIME

BASE_TIME = 1_700_000_000
"""The modification time of every file of the base image, in seconds."""

_TIMES = {CONTEXT_TIME: "source", BASE_TIME: "base"}
_FIRST_NEW = 1_750_000_000
_TYPES = {
    tarfile.REGTYPE: "-",
    tarfile.AREGTYPE: "-",
    tarfile.DIRTYPE: "d",
    tarfile.SYMTYPE: "l",
    tarfile.LNKTYPE: "-",
    tarfile.FIFOTYPE: "p",
    tarfile.CHRTYPE: "c",
    tarfile.BLKTYPE: "b",
}
_SHOWN = 60


def describe(archive: Path, base: tuple[str, ...] = ()) -> dict[str, Any]:
    """Describe the only image of a docker archive without the layers `base`, diffIDs, that it starts with."""
    with tarfile.open(archive) as saved:
        [manifest] = json.load(_file(saved, "manifest.json"))
        config = json.load(_file(saved, manifest["Config"]))
        above = tuple(config["rootfs"].get("diff_ids") or ())[: len(base)] == base
        skipped = len(base) if above else 0
        layers = [
            describe_layer(_file(saved, name).read()) for name in manifest["Layers"][skipped:]
        ]
    fields = {
        key: value for key, value in config["config"].items() if value not in (None, False, "", [])
    }
    described: dict[str, Any] = {
        "layers": layers,
        "config": dict(sorted(fields.items())),
        "history": [_history(each) for each in (config.get("history") or [])[skipped:]],
    }
    if config.get("author"):
        described["author"] = config["author"]
    if (config["os"], config["architecture"]) != ("linux", "amd64"):
        described["platform"] = f"{config['os']}/{config['architecture']}"
    return described


def diff_ids(archive: Path) -> tuple[str, ...]:
    """The diffIDs of the only image of a docker archive."""
    with tarfile.open(archive) as saved:
        [manifest] = json.load(_file(saved, "manifest.json"))
        return tuple(json.load(_file(saved, manifest["Config"]))["rootfs"]["diff_ids"])


def _file(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    assert file is not None, name
    return file


def _history(entry: dict[str, Any]) -> str:
    """The text of an entry, after `0 ` for one without a layer and `1 ` for one with a layer."""
    return f"{0 if entry.get('empty_layer') else 1} {entry.get('created_by', '')}"


def describe_layer(data: bytes) -> list[str]:
    """A line for each member of a layer, by name. Of several names of a file the first has the data, and the others
    refer to it; a name that is there twice is an error."""
    with tarfile.open(fileobj=io.BytesIO(data)) as layer:
        members = {each.name.removeprefix("./").rstrip("/") or "/": each for each in layer}
        names: dict[str, list[str]] = {}
        for name, each in members.items():
            target = each.linkname.removeprefix("./") if each.islnk() else name
            names.setdefault(target, []).append(name)
        first = {name: min(group) for group in names.values() for name in group}
        lines = []
        for name in sorted(members):
            each = members[name]
            if first[name] != name:
                lines.append(f"{name} = {first[name]}")
                continue
            if "/.wh." in f"/{name}":
                lines.append(f"{name} whiteout")
                continue
            if each.islnk():  # the data stand at the name that comes later in the order of names
                each = members[each.linkname.removeprefix("./")]
            lines.append(f"{name} {_line(each, layer)}{_count(len(names[_target(each, name)]))}")
        return lines


def _target(entry: tarfile.TarInfo, name: str) -> str:
    return entry.name.removeprefix("./").rstrip("/") or name


def _count(links: int) -> str:
    return f" links={links}" if links > 1 else ""


def _line(entry: tarfile.TarInfo, layer: tarfile.TarFile) -> str:
    kind = _TYPES[entry.type]
    text = f"{kind}{entry.mode & 0o7777:04o} {entry.uid}:{entry.gid} {_time(entry)}"
    if entry.issym():
        text += f" -> {entry.linkname}"
    elif entry.isreg():
        text += f" {_content(_file(layer, entry.name).read() if entry.size else b'')}"
    elif kind in "cb":
        text += f" {entry.devmajor}:{entry.devminor}"
    for key, value in sorted(entry.pax_headers.items()):
        if key.startswith("SCHILY.xattr."):
            text += f" {key.removeprefix('SCHILY.xattr.')}={value!r}"
    return text


def _time(entry: tarfile.TarInfo) -> str:
    seconds = int(entry.mtime)
    return "new" if seconds >= _FIRST_NEW else _TIMES.get(seconds, str(seconds))


def _content(data: bytes) -> str:
    if len(data) <= _SHOWN and data.isascii():
        return json.dumps(data.decode())
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()[:12]}"
