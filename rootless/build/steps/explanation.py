"""Explains why a step was not found in the cache: which of its inputs differs from the last time. Pure."""

from __future__ import annotations

from rootless.light_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rootless.store.build_cache import CachedStep

_WORDS = {
    "words": "the command",
    "script": "the here-document",
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


def earlier_step(inputs: Mapping[str, str], steps: Iterable[CachedStep]) -> CachedStep | None:
    """The latest step at the place of the one with these recorded inputs; `steps` come in the order of their last
    use."""
    return next((each for each in steps if each.inputs.get(PLACE) == inputs[PLACE]), None)


def explain(inputs: Mapping[str, str], earlier: CachedStep | None, before: str) -> str:
    """Why a step with these recorded inputs has to be done, by the earlier one at its place. `before`: the last step
    of the stage that was done; empty if none was."""
    if earlier is None:
        return "it was not done before"
    changed = [name for name in inputs if inputs[name] != earlier.inputs.get(name, "")]
    reasons = [_WORDS[name] for name in changed if name in _WORDS]
    # The environment has the values of arguments too.
    arguments = _changed(_arguments, "arguments", inputs, earlier.inputs)
    variables = _changed(_variables, "environment", inputs, earlier.inputs) - arguments
    for what, names in (("build argument", arguments), ("variable", variables)):
        if names:
            reasons.append(f"the {what}{'s' if len(names) > 1 else ''} {', '.join(sorted(names))}")
    if PARENT in changed and not reasons:
        return (
            f"a step before it was done: {before}" if before else "what it begins with has changed"
        )
    if not reasons:
        return "its layer was removed"
    return f"changed: {', '.join(reasons)}"


def _changed(
    values: Callable[[str], Mapping[str, object]],
    name: str,
    now: Mapping[str, str],
    before: Mapping[str, str],
) -> set[str]:
    """The names whose values differ in two forms of a recorded input."""
    mine, theirs = values(now.get(name, "")), values(before.get(name, ""))
    return {each for each in {*mine, *theirs} if mine.get(each) != theirs.get(each)}


def _variables(text: str) -> Mapping[str, object]:
    try:
        found = loads(text.encode())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _arguments(text: str) -> Mapping[str, object]:
    try:
        found = loads(text.encode())
    except ValueError:
        return {}
    return dict(str(each).partition("=")[::2] for each in found)
