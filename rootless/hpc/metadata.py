"""What an image says of itself in the files that Apptainer keeps in /.singularity.d and /scif/apps, and how
`apptainer inspect` shows it. Pure.
"""

from __future__ import annotations

import json
import re

from rootless.errors import InvalidDocumentError
from rootless.hpc.image_scripts import APPS, SCRIPTS
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any

LABELS, ENVIRONMENT = "labels", "environment"
_FILES = {
    "deffile": "Singularity",
    "runscript": "runscript",
    "startscript": "startscript",
    "test": "test",
    "helpfile": "runscript.help",
}
"""In the order of the text."""
ALL = (ENVIRONMENT, LABELS, "runscript", "test", "helpfile", "deffile", "startscript")
"""In the order of the document."""
_SHOWN_SCRIPT = re.compile(r"10-docker2singularity\.sh|9[0-9]-environment\.sh")
"""Of the scripts of the environment; the others are the same in all images."""


class ImageReader(NamedTuple):
    """`text` gives a file or None, `names` what is in a directory; both take absolute paths."""

    text: Callable[[str], str | None]
    names: Callable[[str], Sequence[str]]


def apps_of(image: ImageReader) -> list[str]:
    return sorted(image.names(APPS))


def attributes_of(image: ImageReader, wanted: Collection[str], app: str = "") -> dict[str, Any]:
    """Those of ALL that are wanted and that the image, or one of its apps, has. Raises InvalidDocumentError."""
    directory = f"{APPS}/{app}/scif" if app else SCRIPTS
    found: dict[str, Any] = {}
    for name in ALL:
        if name not in wanted:
            continue
        if name == ENVIRONMENT:
            value: Any = _environment(image, f"{directory}/env")
        elif name == LABELS:
            value = _labels(image, f"{directory}/labels.json")
        else:
            value = (image.text(f"{directory}/{_FILES[name]}") or "").rstrip("\n")
        if value:
            found[name] = value
    return found


def _environment(image: ImageReader, directory: str) -> dict[str, str]:
    names = filter(_SHOWN_SCRIPT.fullmatch, sorted(image.names(directory)))
    texts = {f"{directory}/{name}": image.text(f"{directory}/{name}") or "" for name in names}
    return {path: text.rstrip("\n") for path, text in texts.items() if text}


def _labels(image: ImageReader, path: str) -> dict[str, str]:
    text = image.text(path)
    if not text:
        return {}
    try:
        labels = json.loads(text)
    except ValueError as error:
        raise InvalidDocumentError(f"{path} of the image is not JSON: {error}") from None
    if not isinstance(labels, dict):
        raise InvalidDocumentError(f"{path} of the image is not an object of JSON")
    return {name: str(labels[name]) for name in sorted(labels)}


def document_of(attributes: Mapping[str, Any], apps: Mapping[str, Any]) -> dict[str, Any]:
    """As `apptainer inspect --json` prints it."""
    shown = {**({"apps": apps} if apps else {}), **attributes}
    return {"data": {"attributes": shown}, "type": "container"}


def text_of(attributes: Mapping[str, Any]) -> str:
    """As `apptainer inspect` prints it: the files, and the labels last."""
    parts = [f"{attributes[name]}\n" for name in _FILES if name in attributes]
    scripts = attributes.get(ENVIRONMENT, {})
    parts += [f"=== {path} ===\n{text}\n\n" for path, text in scripts.items()]
    parts += [f"{name}: {value}\n" for name, value in attributes.get(LABELS, {}).items()]
    return "".join(parts)
