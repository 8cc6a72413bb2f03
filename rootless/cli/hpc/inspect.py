"""`hpc inspect` and `hpc run-help`: what an image says of itself."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from rootless.cli.context import Settings, engine_of
from rootless.cli.escape import escaped
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.hpc.options import APP
from rootless.cli.output import as_json, in_a_line
from rootless.hpc.metadata import (
    ALL,
    ENVIRONMENT,
    LABELS,
    ImageReader,
    apps_of,
    attributes_of,
    document_of,
    text_of,
)
from rootless.hpc.names import parse_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_ALL = Flag(("all",), "Show everything, as JSON")
_JSON = Flag(("json", "j"), "Print JSON")
_LIST_APPS = Flag(("list-apps",), "List the apps of the image (SCIF)")
_PARTS = {
    Flag(("deffile", "d"), "Show the definition file that the image was built from"): "deffile",
    Flag(("environment", "e"), "Show the scripts that set variables"): ENVIRONMENT,
    Flag(("helpfile", "H"), "Show the help of the image"): "helpfile",
    Flag(("labels", "l"), "Show the labels (default)"): LABELS,
    Flag(("runscript", "r"), "Show what run executes"): "runscript",
    Flag(("startscript", "s"), "Show what an instance executes"): "startscript",
    Flag(("test", "t"), "Show the test of the image"): "test",
}


def inspect(parsed: Parsed, settings: Settings) -> int:
    """Print the labels of an image, or what is asked for."""
    is_all = parsed[_ALL]
    app = "" if is_all else parsed[APP] or ""
    wanted = ALL if is_all else [part for option, part in _PARTS.items() if parsed[option]]
    if not wanted and not parsed[_LIST_APPS]:
        wanted = [LABELS]
    with _opened(parsed.arguments[0], settings) as image:
        own = {} if app else attributes_of(image, wanted)
        names = apps_of(image) if is_all or parsed[_LIST_APPS] or app else []
        if app:
            names = [name for name in names if name == app]
        of_apps = {
            name: attributes_of(image, wanted if is_all or app else (), name) for name in names
        }
    if is_all or parsed[_JSON]:
        print(as_json(document_of(own, of_apps), "\t"))
        return 0
    if parsed[_LIST_APPS]:
        print(*map(in_a_line, names), sep="\n", end="\n" if names else "")
    _show(text_of(of_apps.get(app, {}) if app else own))
    return 0


def run_help(parsed: Parsed, settings: Settings) -> int:
    """Print the help of an image or of one of its apps."""
    with _opened(parsed.arguments[0], settings) as image:
        found = attributes_of(image, ("helpfile",), parsed[APP] or "")
    _show(found.get("helpfile", "No help sections were defined for this image") + "\n")
    return 0


def _show(text: str) -> None:
    """As it is in the image; on a terminal without what would control that."""
    if sys.stdout.isatty():
        text = "\t".join(map(escaped, text.split("\t")))
    print(text, end="")


@contextmanager
def _opened(text: str, settings: Settings) -> Iterator[ImageReader]:
    engine = engine_of(settings)
    source = parse_source(text, os.path.exists)
    if source.archive:
        from rootless.cli.hpc.run import loaded

        source = source._replace(name=loaded(engine, source.archive))
    with engine.image_files(source.name, source.path) as files:
        yield ImageReader(files.text, files.names)


_DESCRIPTION = """IMAGE is the name of an image that is here; a file: SIF or squashfs, or an archive as docker-archive:FILE;
or a directory."""

INSPECT = Command(
    "inspect",
    "Show the labels of an image, its scripts and its apps",
    "IMAGE",
    (_ALL, APP, _JSON, _LIST_APPS, *_PARTS),
    inspect,
    least=1,
    most=1,
    operand="image",
    description=f"Show what an image says of itself: its labels, or what the options name.\n\n{_DESCRIPTION}\n"
    "An image without scripts of Apptainer's is shown with those that hpc pull gives it.",
)
RUN_HELP = Command(
    "run-help",
    "Show the help of an image",
    "IMAGE",
    (APP,),
    run_help,
    least=1,
    most=1,
    operand="image",
    description=f"Show the help that an image or one of its apps has.\n\n{_DESCRIPTION}",
)
