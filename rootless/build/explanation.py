"""Why a step was not found in the cache: what of its inputs is another than the last time. Pure."""

from __future__ import annotations

from rootless.light_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.store.build_cache import CachedStep

_WORDS = {
    "words": "the command",
    "script": "the here-document",
    "arguments": "the build arguments in effect",
    "user": "the user",
    "directory": "the working directory",
    "network": "the network mode",
    "security": "the security mode",
    "hosts": "the entries of --add-host",
    "mounts": "the mounts or what is mounted",
    "content": "the content of the sources",
    "destination": "the destination",
    "owner": "--chown",
    "mode": "--chmod",
    "path": "the path",
}
PARENT, PLACE = "parent", "place"
"""Names of recorded inputs: the key of the parent, and which step of which Dockerfile it is."""


def recorded(inputs: Mapping[str, object], parent: str, place: str) -> dict[str, str]:
    """The inputs of a step as its record keeps them: lists and maps as JSON."""
    texts = {
        name: value if isinstance(value, str) else dumps(value).decode()
        for name, value in inputs.items()
    }
    return {**texts, PARENT: parent, PLACE: place}


def explain(inputs: Mapping[str, str], steps: Iterable[CachedStep]) -> str:
    """Why a step with these recorded inputs has to be done, by the latest one at its place; `steps` come in the
    order of their last use."""
    earlier = next((each for each in steps if each.inputs.get(PLACE) == inputs[PLACE]), None)
    if earlier is None:
        return "it was not done before"
    changed = [name for name in inputs if inputs[name] != earlier.inputs.get(name, "")]
    reasons = [_WORDS[name] for name in changed if name in _WORDS]
    if "environment" in changed:
        reasons.append(_variables(inputs["environment"], earlier.inputs.get("environment", "{}")))
    if PARENT in changed and not reasons:
        return "a step before it was done again"
    if not reasons:
        return "its layer was removed"
    return f"changed: {', '.join(reasons)}"


def _variables(now: str, before: str) -> str:
    try:
        mine, theirs = loads(now.encode()), loads(before.encode())
    except ValueError:
        return "the environment"
    names = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
    return f"the variable{'s' if len(names) > 1 else ''} {', '.join(names)}"
