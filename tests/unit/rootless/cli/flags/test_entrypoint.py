"""--entrypoint with one word or with several."""

import pytest

from rootless.cli.flags.entrypoint import parse_entrypoint
from rootless.errors import UsageError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('["/bin/echo", "one two"]', ["/bin/echo", "one two"]),
        ('["sh"]', ["sh"]),
        ("[", ["["]),
        ("[1]", ["[1]"]),
        ('["a"', ['["a"']),
    ],
)
def test_array_of_strings_is_words_and_the_rest_a_program(text, words):
    assert parse_entrypoint(text) == words


@pytest.mark.parametrize("text", ["[]", '[""]', '["", "x"]'])
def test_array_without_a_program_is_refused(text):
    with pytest.raises(UsageError, match="names no program"):
        parse_entrypoint(text)
