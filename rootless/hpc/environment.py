"""The environment of a container of `hpc`, by Apptainer's rules. Pure.

A variable of the image wins over the caller's; PATH and the search path of libraries are always the image's.
APPTAINERENV_NAME (SINGULARITYENV_NAME) and --env set NAME in the container, whatever the image has.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIXES = ("SINGULARITYENV_", "APPTAINERENV_")
"""The later one wins."""
_PATHS = frozenset({"PATH", "LD_LIBRARY_PATH"})
_OWN = frozenset({"HOME", "PWD", "OLDPWD", "_"})
_ALWAYS = frozenset(
    {
        "ALL_PROXY",
        "FTP_PROXY",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "TERM",
        "all_proxy",
        "ftp_proxy",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    }
)
"""Passed on with --cleanenv too."""


class CallerVariables(NamedTuple):
    """`passed` are those of the caller, over which the image's win; `set` are those that win over the image's. `before`
    and `after` are directories for the image's PATH."""

    passed: Mapping[str, str]
    set: Mapping[str, str]
    before: str = ""
    after: str = ""


def caller_variables(
    environ: Mapping[str, str], options: Mapping[str, str], *, clean: bool
) -> CallerVariables:
    """The variables for a container; with `clean` hardly any of the caller's. `options` are those of --env and
    --env-file."""
    passed = {
        name: value
        for name, value in environ.items()
        if name not in _PATHS | _OWN
        and not name.startswith((*_PREFIXES, "APPTAINER_", "SINGULARITY_"))
        and (not clean or name in _ALWAYS)
    }
    if clean:
        passed["LANG"] = "C"
    given = {
        name.removeprefix(prefix): value
        for prefix in _PREFIXES
        for name, value in environ.items()
        if name.startswith(prefix) and name != prefix
    }
    given.update(options)
    before, after = given.pop("PREPEND_PATH", ""), given.pop("APPEND_PATH", "")
    return CallerVariables(passed, given, before, after)


def option_variable(environ: Mapping[str, str], *names: str) -> str | None:
    """The value of an option by its variables APPTAINER_NAME or SINGULARITY_NAME, the first that is set."""
    for name in names:
        for prefix in ("APPTAINER_", "SINGULARITY_"):
            if (value := environ.get(f"{prefix}{name}")) is not None:
                return value
    return None
