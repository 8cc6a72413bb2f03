"""What holds for every Dockerfile, every text with variables and every list of patterns."""

import functools
import itertools
import subprocess

from hypothesis import assume, given
from hypothesis import strategies as st

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.ignore import IgnorePatterns
from rootless.dockerfile.suggestions import suggestion
from rootless.dockerfile.syntax.parser import parse
from rootless.dockerfile.syntax.words import split
from tests.support.words import expand, expand_words

WORDS = st.text(alphabet="abc $'\"\\`{}:-+?#%/*<=\t\n é", max_size=30)
VARIABLES = st.dictionaries(st.sampled_from(["a", "b", "é"]), st.text(max_size=6), max_size=3)
PLAIN = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="$'\"\\"), max_size=30)


@given(WORDS, VARIABLES, st.sampled_from(["\\", "`"]))
def test_any_text_expands_or_is_refused(text, variables, escape):
    try:
        expanded = expand(text, variables, escape)
    except DockerfileError:
        return
    words = expand_words(text, variables, escape)
    assert "".join("".join(words).split()) == "".join(expanded.split())


@given(PLAIN)
def test_text_without_marks_is_itself(text):
    assert expand(text, {}) == text
    assert expand_words(text, {}) == tuple(split(text))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_quoted_text_is_itself(text):
    assume("'" not in text)
    assert expand(f"'{text}'", {}) == text
    assert split(f"'{text}' '{text}'") == [f"'{text}'"] * 2
    escaped = "".join(f"\\{letter}" if letter in '"$\\' else letter for letter in text)
    assert expand(f'"{escaped}"', {}) == text


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=20))
def test_value_of_a_variable_is_not_read_again(value):
    assert expand("<$v>${v}${n:-$v}", {"v": value}) == f"<{value}>{value}{value}"


def test_patterns_do_what_bash_does():
    """Every pattern of up to three letters, on texts of up to four."""
    patterns = ["".join(p) for n in (1, 2, 3) for p in itertools.product("ab*?", repeat=n)]
    texts = ["".join(t) for n in range(5) for t in itertools.product("ab", repeat=n)]
    forms = ["${v#%s}", "${v##%s}", "${v%%%s}", "${v%%%%%s}", "${v/%s/X}", "${v//%s/X}"]
    # bash finds no match of `*` at the end of a text that it has matched, and none in an empty one.
    cases = [(form % pattern, text) for form in forms for pattern in patterns for text in texts]
    cases = [
        (source, text)
        for source, text in cases
        if "/" not in source or (text and source.split("/")[-2].strip("*"))
    ]
    script = "".join(f"v={text}; printf '%s\\n' \"{source}\"\n" for source, text in cases)
    done = subprocess.run(
        ["bash"], input=script, capture_output=True, text=True, check=True, timeout=120
    )
    found = done.stdout.split("\n")[:-1]
    assert len(found) == len(cases)
    for (source, text), expected in zip(cases, found, strict=True):
        assert expand(source, {"v": text}) == expected, (source, text)


INSTRUCTIONS = st.lists(
    st.sampled_from(
        ["RUN make", "ENV a=1 b='x y'", "COPY --chown=1 a b", 'CMD ["a", "b"]', "LABEL x y  z"]
    ),
    min_size=1,
    max_size=4,
)


@given(INSTRUCTIONS, st.data())
def test_instruction_may_be_split_between_any_letters(instructions, data):
    whole = parse("FROM scratch\n" + "\n".join(instructions)).stages[0].instructions
    lines = []
    for instruction in instructions:
        cut = data.draw(st.integers(1, len(instruction) - 1))
        between = data.draw(st.sampled_from(["", "# comment\n", "\n", "  # c\n\n"]))
        end = data.draw(st.sampled_from(["\n", "\r\n", " \t\n"]))
        # White space before a letter is kept, that at the start of an instruction is not.
        lines.append(f"  {instruction[:cut]}\\{end}{between}{instruction[cut:]}")
    text = "FROM scratch\n" + "\n".join(lines)
    split_up = parse(text).stages[0].instructions
    assert [each[1:] for each in split_up] == [each[1:] for each in whole]
    assert [each.source.text for each in split_up] == [each.source.text for each in whole]


@given(st.text(alphabet="FROMRUNCPYENV abc=\\\n#<>E'\"$[]-", max_size=120))
def test_any_text_is_a_dockerfile_or_refused(text):
    try:
        dockerfile = parse(f"FROM scratch\n{text}")
    except DockerfileError as error:
        assert error.exit_status == 1  # noqa: PT017 - most texts are refused
        return
    assert dockerfile.stages


NAMES = st.lists(st.sampled_from(["a", "b", "ab", "ba", "aab"]), min_size=1, max_size=4)
PARTS = st.sampled_from(["a", "b", "*", "?", "[ab]", "[^a]", "\\a"])
PATTERN_NAME = st.one_of(st.lists(PARTS, min_size=1, max_size=4).map("".join), st.just("**"))
PATTERNS = st.lists(
    st.lists(PATTERN_NAME, min_size=1, max_size=4).map("/".join), min_size=1, max_size=1
)


def _may_match(pattern, path):
    """Whether a pattern matches a path, by trying every way."""

    @functools.cache
    def rest(i, j):
        if i == len(pattern):
            return j == len(path)
        if pattern.startswith("**", i):
            following = i + 2 + (pattern[i + 2 : i + 3] == "/")
            if following == len(pattern):
                return True
            starts = [j] + [k + 1 for k in range(j, len(path)) if path[k] == "/"]
            return any(rest(following, start) for start in starts)
        if pattern[i] == "*":
            end = path.find("/", j)
            end = len(path) if end < 0 else end
            return any(rest(i + 1, k) for k in range(j, end + 1))
        if j == len(path):
            return False
        if pattern[i] == "[":
            end = pattern.index("]", i)
            inside = path[j] in pattern[i + 1 : end].lstrip("^")
            fits = path[j] != "/" and inside != (pattern[i + 1] == "^")
            return fits and rest(end + 1, j + 1)
        escaped = pattern[i] == "\\"
        fits = path[j] != "/" if pattern[i] == "?" else path[j] == pattern[i + escaped]
        return fits and rest(i + 1 + escaped, j + 1)

    return rest(0, 0)


@given(PATTERNS, NAMES)
def test_pattern_matches_what_trying_every_way_finds(patterns, names):
    pattern = patterns[0]
    # A run of three stars or more is read as a `**` and what is left, one that ends a name as a suffix.
    assume("***" not in pattern)
    assume(all("**" not in name or name == "**" for name in pattern.split("/")))
    expected = any(
        _may_match(pattern, "/".join(names[:count])) for count in range(1, len(names) + 1)
    )
    assert IgnorePatterns([pattern]).ignores("/".join(names)) is expected


@given(st.text(alphabet="abcd", max_size=6), st.lists(st.text(alphabet="abcd", max_size=6)))
def test_suggestion_is_near_or_nothing(word, options):
    found = suggestion(word, options)
    assert found == "" or (found in options and found != word)
    assert word not in options or found == ""
