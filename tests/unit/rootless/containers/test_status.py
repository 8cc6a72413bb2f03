"""The tables of a container's life: every status and every verb has its row."""

import pytest

from rootless.containers.status import (
    ALIVE,
    MONITORED,
    NOTHING_TO_DO,
    REFUSED,
    TRANSITIONS,
    Status,
    Verb,
    check_transition,
    check_verb,
    has_nothing_to_do,
)
from rootless.errors import ConflictError, UsageError


def test_every_status_and_every_verb_has_a_row():
    assert set(TRANSITIONS) == set(Status)
    assert set(REFUSED) == set(Verb)
    assert ALIVE < MONITORED


@pytest.mark.parametrize("old", list(Status))
@pytest.mark.parametrize("new", list(Status))
def test_only_moves_of_the_table_are_legal(old, new):
    if new in TRANSITIONS[old]:
        check_transition("web", old, new)
    else:
        with pytest.raises(UsageError, match=f"is {old.value} and cannot become {new.value}"):
            check_transition("web", old, new)


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("status", list(Status))
def test_verb_is_refused_with_a_whole_message_or_allowed(verb, status):
    words = {"container_id": "ID", "name": "web", "error": "its record is damaged"}
    if status in REFUSED[verb]:
        with pytest.raises(ConflictError) as caught:
            check_verb(verb, status, **words)
        assert "{" not in caught.value.message
        assert not has_nothing_to_do(verb, status)
    else:
        check_verb(verb, status, **words)


def test_verb_without_an_effect_is_never_refused():
    for verb, statuses in NOTHING_TO_DO.items():
        assert not statuses & set(REFUSED[verb])


_MARKED = "container is marked for removal and cannot be"
DOCKERS_DEAD = {
    Verb.START: f"{_MARKED} started",
    Verb.STOP: None,
    Verb.RESTART: f"Cannot restart container web: {_MARKED} started",
    Verb.KILL: "cannot kill container: web: container ID is not running",
    Verb.PAUSE: "container ID is not running",
    Verb.UNPAUSE: "Container ID is not paused",
    Verb.ATTACH: "you cannot attach to a stopped container, start it first",
    Verb.EXEC: "container ID is not running",
    Verb.TOP: "container ID is not running",
    Verb.LOGS: "can not get logs from container which is dead or marked for removal",
    Verb.UPDATE: f'Cannot update container ID: {_MARKED} "update"',
}
"""What Docker 28.5 answered of a container whose files could not be removed. Its `rm` tries again, and so it does here."""


DOCKERS_PAUSED = {
    Verb.START: "cannot start a paused container, try unpause instead",
    Verb.STOP: None,
    Verb.RESTART: None,
    Verb.KILL: None,
    Verb.PAUSE: "Container ID is already paused",
    Verb.UNPAUSE: None,
    Verb.REMOVE: 'cannot remove container "web": container is paused and must be unpaused first',
    Verb.EXEC: "Container web is paused, unpause the container before exec",
    Verb.TOP: None,
    Verb.LOGS: None,
    Verb.UPDATE: None,
}
"""What Docker 28.5 answered of a paused container; None: it did it."""


@pytest.mark.parametrize(
    ("status", "verb", "expected"),
    [
        *((Status.REMOVING, verb, answer) for verb, answer in DOCKERS_DEAD.items()),
        *((Status.PAUSED, verb, answer) for verb, answer in DOCKERS_PAUSED.items()),
    ],
)
def test_answer_is_dockers(status, verb, expected):
    words = {"container_id": "ID", "name": "web", "error": ""}
    if expected is None:
        check_verb(verb, status, **words)
        return
    with pytest.raises(ConflictError) as caught:
        check_verb(verb, status, **words)
    assert caught.value.message.lower() == expected.lower()
