"""`manifest create`, `annotate`, `push`, `inspect` and `rm`: one name for several platforms."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed, Text, Texts
from rootless.cli.output import as_json
from rootless.cli.shared_options import (
    AUTHFILE,
    CREDS,
    REGISTRY_OPTIONS,
    TLS_VERIFY,
    remote_options,
)
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.registry.remote import RemoteOptions

_AMEND = Flag(("amend", "a"), "Amend an existing manifest list")
_INSECURE = Flag(
    ("insecure",), "Allow communication with an insecure registry (like --tls-verify=false)"
)
_ARCH = Text(("arch",), "Set architecture", "ARCH")
_OS = Text(("os",), "Set operating system", "OS")
_VARIANT = Text(("variant",), "Set architecture variant", "VARIANT")
_OS_VERSION = Text(("os-version",), "Set operating system version", "VERSION")
_OS_FEATURES = Texts(("os-features",), "Set operating system feature", "FEATURE")
_PURGE = Flag(("purge", "p"), "Remove the local manifest list after push")
_VERBOSE = Flag(("verbose", "v"), "Output additional info including layers and platform")


def create(parsed: Parsed, settings: Settings) -> int:
    """Make a list of images that are at registries."""
    name, *images = parsed.arguments
    listed = engine_of(settings).manifest_lists.create(
        name, images, amend=parsed[_AMEND], options=_options(parsed)
    )
    print(f"Created manifest list {listed.name.familiar}")
    return 0


def annotate(parsed: Parsed, settings: Settings) -> int:
    """Set the platform of an image in a list."""
    from rootless.images.manifest_lists import PlatformChanges

    name, image = parsed.arguments
    changes = PlatformChanges(
        os=parsed[_OS],
        architecture=parsed[_ARCH],
        variant=parsed[_VARIANT],
        os_version=parsed[_OS_VERSION],
        os_features=parsed[_OS_FEATURES],
    )
    engine_of(settings).manifest_lists.annotate(name, image, changes)
    return 0


def push(parsed: Parsed, settings: Settings) -> int:
    """Send a list to its registry and print its digest."""
    digest = engine_of(settings).manifest_lists.push(
        parsed.arguments[0],
        purge=parsed[_PURGE],
        options=_options(parsed),
        pushed=lambda each: print(f"Pushed ref {each} with digest: {each.digest}"),
    )
    print(digest)
    return 0


def inspect(parsed: Parsed, settings: Settings) -> int:
    """Print a list, or a manifest at a registry."""
    *within, name = parsed.arguments
    document = engine_of(settings).manifest_lists.inspect(
        name,
        within=within[0] if within else None,
        verbose=parsed[_VERBOSE],
        options=_options(parsed),
    )
    print(as_json(document))
    return 0


def remove(parsed: Parsed, settings: Settings) -> int:
    """Remove lists; an error is printed for each that does not exist, and the status is 1."""
    engine = engine_of(settings)
    status = 0
    for name in parsed.arguments:
        try:
            engine.manifest_lists.remove(name)
        except RootlessError as error:
            status = 1
            print(error.message, file=sys.stderr)
    return status


def _options(parsed: Parsed) -> RemoteOptions:
    return remote_options(
        tls_verify=False if parsed[_INSECURE] else parsed[TLS_VERIFY],
        creds=parsed[CREDS],
        authfile=parsed[AUTHFILE],
    )


MANIFEST_CREATE = Command(
    "create",
    "Create a local manifest list for annotating and pushing to a registry",
    "MANIFEST_LIST MANIFEST [MANIFEST...]",
    (_AMEND, _INSECURE, *REGISTRY_OPTIONS),
    create,
    least=2,
)
MANIFEST_ANNOTATE = Command(
    "annotate",
    "Set the platform of an image in a manifest list",
    "MANIFEST_LIST MANIFEST",
    (_ARCH, _OS, _VARIANT, _OS_VERSION, _OS_FEATURES),
    annotate,
    least=2,
    most=2,
)
MANIFEST_PUSH = Command(
    "push",
    "Push a manifest list to a repository",
    "MANIFEST_LIST",
    (_PURGE, _INSECURE, *REGISTRY_OPTIONS),
    push,
    least=1,
    most=1,
)
MANIFEST_INSPECT = Command(
    "inspect",
    "Display an image manifest, or manifest list",
    "[MANIFEST_LIST] MANIFEST",
    (_VERBOSE, _INSECURE, *REGISTRY_OPTIONS),
    inspect,
    least=1,
    most=2,
)
MANIFEST_RM = Command(
    "rm",
    "Delete one or more manifest lists from local storage",
    "MANIFEST_LIST [MANIFEST_LIST...]",
    (),
    remove,
    least=1,
)
