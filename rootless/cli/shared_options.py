"""The options that several commands share, and their values."""

from __future__ import annotations

import sys

from rootless.cli.escape import escaped
from rootless.cli.grammar import (
    Flag,
    GrammarError,
    Number,
    OnFlag,
    Parsed,
    Text,
    Texts,
    Toggle,
    spelling,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from rootless.oci.platform import Platform
    from rootless.registry.remote import RemoteOptions

_FORMAT_HELP = "Format output as json or using a Go template"

FORMAT = Text(("format", "f"), _FORMAT_HELP, "FORMAT", choices=("json",))
LONG_FORMAT = Text(("format",), _FORMAT_HELP, "FORMAT", choices=("json",))
"""For commands where -f is another option."""
LIST_FORMAT = Text(
    ("format",),
    "Format output as json, as 'table TEMPLATE' or using a Go template",
    "FORMAT",
    choices=("json", "table"),
)
QUIET_IDS = Flag(("quiet", "q"), "Only display IDs")
QUIET_PROGRESS = Flag(("quiet", "q"), "Suppress verbose output")
NO_TRUNC = Flag(("no-trunc",), "Don't truncate output")
NO_HEADING = Flag(("noheading",), "Do not print headers")
SIZE = Flag(("size", "s"), "Display total file sizes")
NO_PROMPT = Flag(("force", "f"), "Do not prompt for confirmation")
PRUNE_FILTER = Texts(
    ("filter",),
    "Provide filter values: until=<time>, label=<key>[=<value>], label!=<key>[=<value>]",
    "FILTER",
)
PLATFORM = Text(
    ("platform",),
    "Choose this platform where an image has several (e.g. linux/arm64)",
    "OS/ARCH[/VARIANT]",
)
CHANGE = Texts(("change", "c"), "Apply Dockerfile instruction to the created image", "INSTRUCTION")
DISABLE_CONTENT_TRUST = OnFlag(
    ("disable-content-trust",), "Skip image verification (default true)", hidden=True
)
OUTPUT = Text(("output", "o"), "Write to a file, instead of STDOUT", "FILE")
TLS_VERIFY = Toggle(
    ("tls-verify",),
    "Require HTTPS and verify certificates; --tls-verify=false also allows HTTP "
    "(default: as registries.conf says)",
)
CREDS = Text(("creds",), "Use these credentials and no others", "USER:PASSWORD")
AUTHFILE = Text(("authfile",), "Read and write credentials in this file only", "FILE")
REGISTRY_OPTIONS = (TLS_VERIFY, CREDS, AUTHFILE)
LIMIT = Number(("limit",), "Maximum number of tags to print", "NUMBER")


def output_of(parsed: Parsed, *, is_file: bool = True) -> Path | int:
    """Where --output writes to: a path, or the descriptor of standard output.

    Raises UsageError for a terminal, a path whose directory does not exist, and, if a file is to be
    written, a directory.
    """
    from pathlib import Path

    from rootless.errors import UsageError

    text = parsed[OUTPUT]
    if not text:
        if sys.stdout.isatty():
            raise UsageError(
                "cowardly refusing to save to a terminal", hint="use -o FILE, or redirect"
            )
        return 1
    path = Path(text)
    if is_file and path.is_dir():
        raise UsageError(f"invalid output path {text}: cannot write to a directory")
    if not path.parent.is_dir():
        raise UsageError(f"invalid output path: stat {path.parent}: no such file or directory")
    return path


def platform_of(parsed: Parsed) -> Platform | None:
    """The platform of --platform. Raises UsageError."""
    text = parsed[PLATFORM]
    if text is None:
        return None
    from rootless.oci.platform import parse_platform

    return parse_platform(text)


def filter_pairs(parsed: Parsed, option: Texts) -> list[tuple[str, str]]:
    """The names and values of --filter NAME=VALUE; an empty text is none. Raises GrammarError."""
    pairs = []
    for text in filter(None, parsed[option]):
        key, equals, value = text.partition("=")
        if not equals:
            raise GrammarError(
                f'invalid argument "{text}" for "{spelling(option)}" flag: '
                "bad format of filter (expected name=value)"
            )
        pairs.append((key.strip().lower(), value.strip()))
    return pairs


def remote_options(
    *, tls_verify: bool | None = None, creds: str | None = None, authfile: str | None = None
) -> RemoteOptions:
    """How to reach a registry. Raises UsageError for malformed credentials."""
    from rootless.registry.remote import RemoteOptions, parse_credentials

    return RemoteOptions(
        tls_verify=tls_verify,
        authfile=authfile,
        credentials=None if creds is None else parse_credentials(creds),
    )


def registry_options_of(parsed: Parsed) -> RemoteOptions:
    """The values of REGISTRY_OPTIONS. Raises UsageError."""
    return remote_options(
        tls_verify=parsed[TLS_VERIFY], creds=parsed[CREDS], authfile=parsed[AUTHFILE]
    )


def pairs_of(parsed: Parsed, option: Texts) -> dict[str, str]:
    """NAME=VALUE or NAME, given several times: the last value of each name. Raises GrammarError, for labels in docker's
    words."""
    pairs = {}
    for text in parsed[option]:
        name, _, value = text.partition("=")
        if not name:
            reason = "no name before ="
            if option.long == "label":
                reason = f"invalid label '{escaped(text)}': empty name"
            raise GrammarError(
                f'invalid argument "{escaped(text)}" for "--{option.long}" flag: {reason}'
            )
        pairs[name] = value
    return pairs
