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
