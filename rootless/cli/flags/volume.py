"""-v: binds, volumes with a name, and volumes without one. Pure."""

from __future__ import annotations

from rootless.cli.flags.mount_paths import PROPAGATIONS, source_of, target_of
from rootless.errors import UsageError
from rootless.spec.options import Bind, Volume, VolumesFrom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Words that relabel for SELinux, of which there is nothing to do here, and that tell Docker Desktop how to
# cache.
_WITHOUT_EFFECT = frozenset({"rw", "z", "Z", "cached", "consistent", "delegated"})
_FLAGS = frozenset({"exec", "noexec", "dev", "nodev", "suid", "nosuid"})
# Podman's: overlay, chown, and owners that are shown otherwise.
_PODMANS = frozenset({"O", "U", "idmap"})
_EXCLUSIVE = (
    frozenset({"ro", "rw"}),
    frozenset({"z", "Z"}),
    frozenset({"nocopy"}),
    frozenset({"cached", "consistent", "delegated"}),
    PROPAGATIONS,
    frozenset({"exec", "noexec"}),
    frozenset({"dev", "nodev"}),
    frozenset({"suid", "nosuid"}),
)


def parse_volume(text: str, getcwd: Callable[[], str]) -> Bind | Volume:
    """[SOURCE:]TARGET[:OPTIONS]: a path of the host is bound, a name is a volume's, and without a source it
    is one that is made for the container. Raises UsageError.
    """
    if not text:
        raise UsageError("invalid empty volume spec")
    parts = text.split(":")
    if not all(parts):
        raise UsageError(f"invalid spec: {text}: empty section between colons")
    if len(parts) > 3:
        raise UsageError(f"invalid spec: {text}: too many colons")
    if len(parts) == 1:
        return Volume("", target_of(text, text))
    source, target = parts[0], target_of(parts[1], text)
    mode = parts[2] if len(parts) == 3 else ""
    words = mode.split(",") if mode else []
    if any(len(group.intersection(words)) > 1 for group in _EXCLUSIVE) or len(set(words)) < len(
        words
    ):
        raise UsageError(f"invalid mode: {mode}")
    if source.startswith(("/", "./", "../")) or source in {".", ".."}:
        return _bind(source_of(source, getcwd), target, words, text)
    return _volume(source, target, words, text)


def parse_volumes_from(text: str) -> VolumesFrom:
    """CONTAINER[:OPTIONS]. Raises UsageError."""
    container, _, mode = text.partition(":")
    if not text:
        raise UsageError("volumes-from specification cannot be an empty string")
    if not container:
        raise UsageError(f"malformed volumes-from specification: {text}")
    words = mode.split(",") if mode else []
    known = {"ro", "rw", "z", "Z", "nocopy"}
    if not known.issuperset(words) or any(len(g.intersection(words)) > 1 for g in _EXCLUSIVE):
        raise UsageError(f"invalid mode: {mode}")
    return VolumesFrom(container, mode)


def _bind(source: str, target: str, words: Sequence[str], text: str) -> Bind:
    bind = Bind(source, target, create=True)
    flags: list[str] = []
    for word in words:
        if word == "nocopy":
            raise _field_error(text, "bind", "VolumeOptions")
        if word in PROPAGATIONS:
            bind = bind._replace(propagation=word)
        elif word in {"bind", "rbind"}:
            bind = bind._replace(recursive=word == "rbind")
        elif word in _FLAGS:
            flags.append(word)
        elif word not in _WITHOUT_EFFECT | _PODMANS | {"ro"}:
            raise UsageError(f"invalid mode: {','.join(words)}")
    _check_podmans(words)
    return bind._replace(
        flags=tuple(flags),
        read_only="ro" in words,
        overlay="O" in words,
        chown="U" in words,
        idmap="idmap" in words,
    )


def _volume(name: str, target: str, words: Sequence[str], text: str) -> Volume:
    for word in words:
        if word in PROPAGATIONS:
            raise _field_error(text, "volume", "BindOptions")
        if word not in _WITHOUT_EFFECT | _FLAGS | {"ro", "nocopy", "U", "O"}:
            raise UsageError(f"invalid mode: {','.join(words)}")
    _check_podmans(words)
    return Volume(
        name,
        target,
        read_only="ro" in words,
        nocopy="nocopy" in words,
        mode=",".join(words),
        overlay="O" in words,
        chown="U" in words,
        flags=tuple(word for word in words if word in _FLAGS),
    )


def _check_podmans(words: Sequence[str]) -> None:
    if "O" in words and len(words) > 1:
        raise UsageError("can't use 'O' with other options")
    if {"U", "idmap"} <= set(words):
        raise UsageError("can't use 'U' with 'idmap': no file changes its owner on disk")


def _field_error(text: str, kind: str, field: str) -> UsageError:
    return UsageError(
        f"invalid volume specification: '{text}': invalid mount config for type \"{kind}\": "
        f"field {field} must not be specified"
    )
