"""--change: one Dockerfile instruction applied to an image's config, by import and commit. Pure.

Which instructions there are and how each is written: Docker's reference of `docker import` and of
the Dockerfile.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable

from rootless.errors import UsageError
from rootless.oci.document import Json

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


def apply_change(config: Json, change: str) -> Json:
    """The config after an instruction. Raises UsageError for one that does not exist or is
    malformed."""
    word, _, rest = change.strip().partition(" ")
    rest = rest.strip()
    apply = _INSTRUCTIONS.get(word.upper())
    if apply is None:
        raise UsageError(
            f"{word[:40].upper()!r} is not a valid change command",
            hint="one of " + ", ".join(_INSTRUCTIONS),
        )
    if not rest:
        raise UsageError(f"--change: {word.upper()} needs an argument")
    return {**config, **apply(config, rest)}


def _json_words(text: str) -> list[str] | None:
    """The exec form, or None where the text is not a JSON array of strings and hence shell form (as
    in Docker)."""
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return words if isinstance(words, list) and all(isinstance(w, str) for w in words) else None


def _command(text: str) -> list[str]:
    words = _json_words(text)
    return ["/bin/sh", "-c", text] if words is None else words


def _words(text: str) -> list[str]:
    """Words with quotes and backslashes taken off, as the Dockerfile parser does for ENV and
    LABEL."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    inside = False
    characters = iter(text)
    for character in characters:
        if quote:
            if character == quote:
                quote = ""
            elif character == "\\" and quote == '"':
                following = next(characters, "")
                word.append(following if following in '"\\$' else "\\" + following)
            else:
                word.append(character)
        elif character in "'\"":
            quote, inside = character, True
        elif character == "\\":
            word.append(next(characters, ""))
            inside = True
        elif character.isspace():
            if inside:
                words.append("".join(word))
            word, inside = [], False
        else:
            word.append(character)
            inside = True
    if quote:
        raise UsageError(f"--change: unterminated quote in {text!r}")
    if inside:
        words.append("".join(word))
    return words


def _pairs(text: str, instruction: str) -> list[tuple[str, str]]:
    """`a=b c=d`, or the old form `a b c`, whose value is the rest of the line."""
    if "=" not in text.split(None, 1)[0]:
        name, _, value = text.partition(" ")
        if not value.strip():
            raise UsageError(f"--change: {instruction} must have two arguments")
        return [(name, value.strip())]
    pairs = []
    for word in _words(text):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(f"--change: cannot find = in {word!r} of {instruction}")
        pairs.append((name, value))
    return pairs


def _list_of(config: Json, name: str) -> list[str]:
    value = config.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []


def _map_of(config: Json, name: str) -> Json:
    value = config.get(name)
    return dict(value) if isinstance(value, dict) else {}


def _env(config: Json, text: str) -> Json:
    env = _list_of(config, "Env")
    for name, value in _pairs(text, "ENV"):
        env = [each for each in env if each.partition("=")[0] != name]
        env.append(f"{name}={value}")
    return {"Env": env}


def _expose(config: Json, text: str) -> Json:
    ports = _map_of(config, "ExposedPorts")
    for word in text.split():
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if match is None or not 1 <= first <= last <= 65535:
            raise UsageError(f"--change: invalid port {word!r} in EXPOSE")
        for port in range(first, last + 1):
            ports[f"{port}/{(match[3] or 'tcp').lower()}"] = {}
    return {"ExposedPorts": ports}


def _label(config: Json, text: str) -> Json:
    return {"Labels": {**_map_of(config, "Labels"), **dict(_pairs(text, "LABEL"))}}


def _onbuild(config: Json, text: str) -> Json:
    trigger = text.split(None, 1)[0].upper()
    if trigger in ("ONBUILD", "FROM", "MAINTAINER"):
        raise UsageError(f"--change: {trigger} is not allowed as an ONBUILD trigger")
    return {"OnBuild": [*_list_of(config, "OnBuild"), text]}


def _volume(config: Json, text: str) -> Json:
    paths = _json_words(text)
    volumes = _map_of(config, "Volumes")
    for path in text.split() if paths is None else paths:
        if not path.strip():
            raise UsageError("--change: VOLUME specified can not be an empty string")
        volumes[path] = {}
    return {"Volumes": volumes}


def _workdir(config: Json, text: str) -> Json:
    current = config.get("WorkingDir")
    base = current if isinstance(current, str) and current else "/"
    return {"WorkingDir": posixpath.normpath(posixpath.join("/", base, _joined(text)))}


def _joined(text: str) -> str:
    return " ".join(_words(text))


def _entrypoint(config: Json, text: str) -> Json:
    # As in a Dockerfile, the arguments of another entrypoint are not this one's; a CMD given after
    # it counts.
    del config
    return {"Entrypoint": _command(text), "Cmd": None}


_INSTRUCTIONS: dict[str, Callable[[Json, str], Json]] = {
    "CMD": lambda _, text: {"Cmd": _command(text)},
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": lambda _, text: {"StopSignal": _joined(text)},
    "USER": lambda _, text: {"User": _joined(text)},
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
