"""`hpc pull`: an image as one file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, GrammarError, Parsed, Text
from rootless.cli.progress import counter_on, progress_on
from rootless.errors import UsageError
from rootless.hpc.names import Source, parse_source

_FORCE = Flag(("force", "F"), "Replace a file that exists")
_COMPRESSIONS = ("gzip", "zstd", "lz4", "xz")
_COMPRESSION = Text(
    ("compression",),
    "Compression of the file: gzip (default), zstd, lz4 or xz",
    "NAME",
    choices=_COMPRESSIONS,
)
_PLATFORM = Text(
    ("platform",),
    "Choose this platform where an image has several (e.g. linux/arm64)",
    "OS/ARCH[/VARIANT]",
)
_QUIET = Flag(("quiet", "q"), "Suppress the pull output")
_SIF = (".sif", ".simg")
_SQUASHFS = (".sqfs", ".squashfs", ".sqsh")


def pull(parsed: Parsed, settings: Settings) -> int:
    """Pull an image unless it is here, and write it to a file."""
    image, file = _arguments(parsed.arguments)
    source = parse_source(image, lambda _: False)
    if source.path:
        raise UsageError(
            f"{image} is a file or directory and no image",
            hint=f"rootless hpc build {file} {image}",
        )
    return _write(parsed, settings, source, file)


def build(parsed: Parsed, settings: Settings) -> int:
    """As `pull`, with the arguments of `apptainer build`; of a directory or an image file too."""
    file, image = parsed.arguments
    if not file.endswith((*_SIF, *_SQUASHFS)) and image.endswith((*_SIF, *_SQUASHFS)):
        file, image = image, file
    if image.endswith(".def") or image == "-":
        raise UsageError(
            f"{image}: definition files are not read",
            hint=f"write a Dockerfile: rootless build -t NAME . && rootless hpc build {file} NAME",
        )
    return _write(parsed, settings, parse_source(image, os.path.exists), file)


def _write(parsed: Parsed, settings: Settings, source: Source, file: str) -> int:
    is_sif = file.endswith(_SIF)
    if not is_sif and not file.endswith(_SQUASHFS):
        raise UsageError(f"{file}: unknown kind of file", hint="name it FILE.sif or FILE.sqfs")
    compression = parsed[_COMPRESSION] or "gzip"
    if compression not in _COMPRESSIONS:
        raise UsageError(f"--compression {compression}: use {', '.join(_COMPRESSIONS)}")
    quiet, replace, path = parsed[_QUIET], parsed[_FORCE], Path(os.path.abspath(file))
    engine = engine_of(settings)
    platform = None
    if parsed[_PLATFORM]:
        from rootless.oci.platform import parse_platform

        platform = parse_platform(parsed[_PLATFORM] or "")
    if source.archive:
        from rootless.cli.hpc.run import loaded

        source = Source(name=loaded(engine, source.archive))
    with counter_on("Writing", sys.stderr, total=0, quiet=quiet) as moved:
        if source.path:
            engine.write_files(
                Path(source.path),
                path,
                sif=is_sif,
                compression=compression,
                replace=replace,
                moved=moved,
            )
        else:
            engine.write_image_file(
                source.name,
                path,
                sif=is_sif,
                platform=platform,
                compression=compression,
                replace=replace,
                progress=None if quiet else lambda: progress_on(sys.stderr),
                moved=moved,
            )
    print(file)
    return 0


def _arguments(arguments: tuple[str, ...]) -> tuple[str, str]:
    """The image and the file. Apptainer has the file first, and makes its name of the image's without one."""
    if len(arguments) == 1:
        (image,) = arguments
        name = image.rpartition("/")[2].replace(":", "_")
        return image, f"{name if '_' in name else f'{name}_latest'}.sif"
    first, second = arguments
    if second.endswith((*_SIF, *_SQUASHFS)) or "://" in first:
        return first, second
    if first.endswith((*_SIF, *_SQUASHFS)) or "://" in second:
        return second, first
    raise GrammarError(f"neither {first} nor {second} is FILE.sif or FILE.sqfs", exit_status=1)


PULL = Command(
    "pull",
    "Write an image to one file",
    "IMAGE FILE.sif|FILE.sqfs",
    (_COMPRESSION, _FORCE, _PLATFORM, _QUIET),
    pull,
    least=1,
    most=2,
    operand="image",
    description="""Pull an image, unless it is here, and write it to one file: squashfs, or SIF, which is squashfs with a header.
Nothing is unpacked. hpc run, Apptainer and Charliecloud read the file in place.

As with apptainer, the file may come first, and without one its name is made of the image's: NAME_TAG.sif.""",
)
BUILD = Command(
    "build",
    "Write an image to one file",
    "FILE.sif|FILE.sqfs IMAGE|DIRECTORY",
    (_COMPRESSION, _FORCE, _PLATFORM, _QUIET),
    build,
    least=2,
    most=2,
    description="""Write an image to one file, as hpc pull does. IMAGE is the name of one, also as docker://NAME, an archive as
docker-archive:FILE, oci-archive:FILE or oci:DIR, or a SIF or squashfs file. DIRECTORY holds a root file system; the
caller's files in it are root's in the file. Definition files of Apptainer are not read.""",
)
