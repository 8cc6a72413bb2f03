"""--cap-add, --cap-drop, --security-opt, --privileged, --chown."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.runtime.extensions import ChownMode
from rootless.spec.options import DEFAULT_CAPABILITIES, SecurityOptions
from rootless.syscalls.capabilities import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def parse_security(
    options: Sequence[str], cap_add: Sequence[str], cap_drop: Sequence[str], *, privileged: bool
) -> SecurityOptions:
    """All of it.

    Raises:
        UsageError: an unknown option or capability.
    """
    seccomp, no_new, all_paths = None, False, False
    mask: list[str] = []
    unmask: list[str] = []
    labels: list[str] = []
    for option in options:
        key, value = _split(option)
        if key == "no-new-privileges":
            no_new = _truth(value, option)
        elif key == "seccomp":
            seccomp = None if value == "builtin" else value
        elif key == "mask":
            mask += _paths(value, option)
        elif key == "unmask" and value.upper() == "ALL":
            all_paths = True
        elif key == "unmask":
            unmask += _paths(value, option)
        elif key == "systempaths" and value == "unconfined":
            all_paths = True
        elif key == "label":
            labels.append(value)
        elif key != "apparmor" or value != "unconfined":
            raise UsageError(
                f"invalid --security-opt {option!r}",
                hint="use seccomp=, no-new-privileges, mask=, unmask=, "
                "systempaths=unconfined, label= and apparmor=unconfined",
            )
    if privileged:
        return SecurityOptions(
            frozenset(NAMES) - _capabilities(cap_drop, "CapDrop"),
            seccomp or "unconfined",
            no_new,
            tuple(mask),
            tuple(unmask),
            unmask_all=True,
            labels=tuple(labels) or ("disable",),
        )
    return SecurityOptions(
        tweaked(cap_add, cap_drop),
        seccomp,
        no_new,
        tuple(mask),
        tuple(unmask),
        all_paths,
        tuple(labels),
    )


def parse_chown(text: str, where: str) -> ChownMode:
    """The mode of this name; `where` names the option or the key of a file. Raises UsageError."""
    try:
        return ChownMode(text)
    except ValueError:
        raise UsageError(
            f"invalid value {text!r} for {where}", hint="use record, pretend or refuse"
        ) from None


def _split(option: str) -> tuple[str, str]:
    """Docker takes `key=value` and, from old times, `key:value`."""
    if option == "no-new-privileges":
        return option, "true"
    separator = "=" if "=" in option else ":"
    key, found, value = option.partition(separator)
    if not found or not value:
        raise UsageError(f"invalid --security-opt {option!r}", hint="use KEY=VALUE")
    return key, value


def _truth(value: str, option: str) -> bool:
    if value in {"true", "1"}:
        return True
    if value in {"false", "0"}:
        return False
    raise UsageError(f"invalid --security-opt {option!r}: {value!r} is not true or false")


def _paths(value: str, option: str) -> list[str]:
    paths = value.split(":")
    if not all(path.startswith("/") for path in paths):
        raise UsageError(f"invalid --security-opt {option!r}: paths must be absolute")
    return paths


def _capabilities(names: Sequence[str], flag: str) -> frozenset[str]:
    result = set()
    for name in names:
        short = name.upper().removeprefix("CAP_")
        if short == "ALL":
            return frozenset(NAMES)
        if short not in NAMES:
            raise UsageError(f'invalid {flag}: unknown capability: "CAP_{short}"')
        result.add(short)
    return frozenset(result)


def tweaked(add: Sequence[str], drop: Sequence[str]) -> frozenset[str]:
    """Docker's rule: --cap-add ALL takes all but what is dropped, --cap-drop ALL leaves only
    what is added."""
    added, dropped = _capabilities(add, "CapAdd"), _capabilities(drop, "CapDrop")
    if _has_all(add):
        return added - (frozenset() if _has_all(drop) else dropped)
    if _has_all(drop):
        return added
    return (DEFAULT_CAPABILITIES - dropped) | added


def _has_all(names: Sequence[str]) -> bool:
    return any(name.upper() in {"ALL", "CAP_ALL"} for name in names)
