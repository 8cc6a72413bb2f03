"""Quotes, escapes and variables. The outcomes are those of BuildKit's word expansion."""

from itertools import product

import pytest

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.syntax.words import (
    Rules,
    expand_with,
    heredoc_words,
    split,
    unquoted_word,
)
from tests.support.words import expand, expand_words

VARIABLES = {"HERE": "/srv", "TOOL": "make", "CITY": "Zürich", "NONE": ""}
NUMBERS = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "999", "001")
SPECIAL = ("@", "*", "#", "?", "-", "$", "!", "0")

# `_` stands for letters, ASCII ones or others.
QUOTING = [
    ("_", "_"),
    ("_'in'_", "_in_"),
    ("_\\'in", "_'in"),
    ("_\\tout", "_tout"),
    ('"_\\tout"', "_\\tout"),
    ('"_\\\\tout"', "_\\tout"),
    ("'_\\tout'", "_\\tout"),
    ("_\\", "_"),
    ("_\\\\", "_\\"),
    ('"_\'in"', "_'in"),
    ("'_\\'", "_\\"),
    ("'_\\in'", "_\\in"),
    ("'_\\\\in'", "_\\\\in"),
    ("\"''\"", "''"),
    ("'\"_\"'", '"_"'),
    ("$.", "$."),
    ("_$1x", "_x"),
    ("_$.x", "_$.x"),
    ("_$here.", "_."),
    ("_$HERE", "_/srv"),
    ("_\\$HERE", "_$HERE"),
    ("_\\\\$HERE", "_\\/srv"),
    ('"_\\$HERE"', "_$HERE"),
    ('"_\\\\$HERE"', "_\\/srv"),
    ("'_\\$HERE'", "_\\$HERE"),
    ("\\${}", "${}"),
    ("_\\${}out", "_${}out"),
    ("_${no}", "_"),
    ("_${no}out", "_out"),
    ("_${HERE}", "_/srv"),
    ("_${no:-or}out", "_orout"),
    ("_${HERE:-or}out", "_/srvout"),
    ("_${no:-$HERE}out", "_/srvout"),
    ("_${no:-${HERE:-or}}out", "_/srvout"),
    ("_${no:-${none:-or}}out", "_orout"),
    ("_${HERE?}", "_/srv"),
    ("_${HERE:?}", "_/srv"),
    ("_${NONE?}", "_"),
    ("_${no:+${HERE}}out", "_out"),
    ("_${HERE:+${no}}out", "_out"),
    ("_${HERE:+${TOOL}}out", "_makeout"),
    ("_${no:+word}out", "_out"),
    ("_${HERE:+word}out", "_wordout"),
    ("_${HERE:+${HERE}:}out", "_/srv:out"),
    ("_${no:-\\$HERE:}out", "_$HERE:out"),
    ("_${no:-\\${HERE}out}z", "_${HEREout}z"),
    ("'_${no}'", "_${no}"),
    ('"_${HERE}"', "_/srv"),
    ("\"_'$HERE'\"", "_'/srv'"),
    ('"$HERE"', "/srv"),
    ("'$HERE'", "$HERE"),
    ("'\\$HERE'", "\\$HERE"),
    ("_$CITY", "_Zürich"),
    ("${no}}", "}"),
    ("${no:-or}}", "or}"),
    ("${no:-or}", "or"),
    ("${no:-${none:-or}}", "or"),
    ("${no:-or {x}", "or {x"),
]
REFUSED = [
    "_'in",
    "_\\\\'in",
    '"_',
    '"_\\"',
    "'_",
    "${}",
    "${}_",
    "_${}",
    "_${}_",
    "_${.}",
    "_${no:or}",
    "_${no?}",
    "_${no:?}",
    "_${NONE:?}",
    "_${HERE",
    "_${HERE:=or}_",
    "${{no}",
    "${no",
    "${{no:-or}",
    "${no:-or",
    "${no:-or ${none}",
    "${:}",
    "${:-or}",
    "${:+or}",
    "_${",
    "_${HERE:",
    "_${HERE#",
    "_${HERE@Q}",
]


@pytest.mark.parametrize("letters", ["he", "größe", "한국"])
@pytest.mark.parametrize(("source", "result"), QUOTING)
def test_text_is_expanded(source, result, letters):
    assert expand(source.replace("_", letters), VARIABLES) == result.replace("_", letters)


@pytest.mark.parametrize("letters", ["he", "größe"])
@pytest.mark.parametrize("source", REFUSED)
def test_text_without_meaning_is_refused(source, letters):
    with pytest.raises(DockerfileError, match=r"failed to process"):
        expand(source.replace("_", letters), VARIABLES)


@pytest.mark.parametrize("name", [*NUMBERS, *SPECIAL])
def test_parameters_of_a_shell_are_not_set(name):
    assert expand(f"${name}", {}) == ""
    assert expand(f"${{{name}}}", {}) == ""
    assert expand(f"${{{name}:+word}}", {}) == ""
    assert expand(f"${{{name}:-word}}", {}) == "word"


@pytest.mark.parametrize("name", [*NUMBERS, "@"])
def test_parameter_of_a_shell_ends_where_its_name_does(name):
    assert expand(f"${name}aaa", {}) == "aaa"
    assert expand(f"${{{name}}}aaa", {}) == "aaa"
    assert expand(f"${{{name}:+word}}aaa", {}) == "aaa"
    assert expand(f"${{{name}:-word}}aaa", {}) == "wordaaa"


def test_special_parameter_has_one_letter():
    assert expand("$@@@", {}) == "@@"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("one", ["one"]),
        ("one${gap}two", ["oneab", "cdtwo"]),
        ('one"${gap}"two', ["oneab  cdtwo"]),
        ('one "${gap}"two', ["one", "ab  cdtwo"]),
        ("one${lead}two", ["one", "ab", "ctwo"]),
        ('one"${lead}" two', ["one  ab c", "two"]),
        ('one"${lead}"', ["one  ab c"]),
        ("one${trail}", ["oneab", "c"]),
        ("one${trail}two", ["oneab", "c", "two"]),
        ('one"${trail}"two', ["oneab c   two"]),
        ('on"e${trail}"', ["oneab c   "]),
        ('one" two  "', ["one two  "]),
        ("one two     ", ["one", "two"]),
        ("one\\ two", ["one two"]),
        ('one\\" two', ['one"', "two"]),
        ('one"\\\\two"', ["one\\two"]),
        ('one"\\two"', ["one\\two"]),
        ("one'\\\\two'", ["one\\\\two"]),
        ("one'\\two'", ["one\\two"]),
        ("one'$two'", ["one$two"]),
        ("one${set}two", ["onesettwo"]),
        ("one${unset}two", ["onetwo"]),
        ("  ''  \"\" ", []),
    ],
)
def test_text_is_split_after_its_variables_are_replaced(source, words):
    variables = {"set": "set", "gap": "ab  cd", "lead": "  ab c", "trail": "ab c   "}
    assert list(expand_words(source, variables)) == words


def test_words_without_end_are_refused():
    with pytest.raises(DockerfileError):
        expand_words('one" two', {})


PATTERNS = [
    ("${v#a}", "aab", "ab"),
    ("${v#*}", "aab", "aab"),
    ("${v##*}", "aab", ""),
    ("${v#*a}", "xaab", "ab"),
    ("${v##*a}", "xaab", "b"),
    ("${v##*a*b}", "xaabab!", "!"),
    ("${v#*x*y}", "xxyy", "y"),
    ("${v#}", "xy", "xy"),
    ("${v##}", "xy", "xy"),
    ("${v%}", "xy", "xy"),
    ("${v#?\\?}", "???y", "?y"),
    ("${v%.*}", "a.tar.gz", "a.tar"),
    ("${v%%.*}", "a.tar.gz", "a"),
    ("${v##*/}", "/a/b/c", "c"),
    ("${v%/*}", "/a/b/c", "/a/b"),
    ("${v%%\\**}", "xx**", "xx"),
    ("${v%%\\**\\*}", "a***yy*", "a"),
    ("${v%??}", "abc", "a"),
    ("${v#z}", "abc", "abc"),
    ("${v%z}", "abc", "abc"),
    ("${v#$p}", "ppq", "pq"),
    ("${v#'a b'}", "a b c", " c"),
    ("${v#()[]{\\}^$.\\*\\?|\\\\}", "()[]{}^$.*?|\\x", "x"),
    ("${v/a/X}", "banana", "bXnana"),
    ("${v//a/X}", "banana", "bXnXnX"),
    ("${v//a/}", "banana", "bnn"),
    ("${v/?/X}", "ban", "Xan"),
    ("${v//?/X}", "ban", "XXX"),
    ("${v/*/X}", "ban", "X"),
    ("${v//*/X}", "ban", "X"),
    ("${v/n*n/X}", "banana", "baXa"),
    ("${v/\\*\\//X}", "/a*/*/b", "/aX*/b"),
    ("${v//\\//\\/}", "/tmp/x", "\\/tmp\\/x"),
    ("${v/a/$p$p}", "banana", "bppnana"),
    ("${v/$none/X}", "ban", "Xban"),
    ("${v//$none/X}", "ban", "XbXaXnX"),
    ("${v///}", "xxyy", "xxyy"),
    ("${v#*b}", "a\nb", "a\nb"),
    ("${v/a?b/X}", "a\nb", "a\nb"),
    ("${v//x*y/-}", "x1\nx2y\nx3y", "x1\n-\n-"),
]


@pytest.mark.parametrize(("source", "value", "result"), PATTERNS)
def test_pattern_removes_or_replaces(source, value, result):
    assert expand(source, {"v": value, "p": "p", "none": ""}) == result


@pytest.mark.parametrize(
    "source",
    ["${v:#a}", "${v:##a}", "${v:%a}", "${v:%%a}", "${v//a}", "${v//}", "${v#\\x}", "${v/\\x/y}"],
)
def test_pattern_without_meaning_is_refused(source):
    with pytest.raises(DockerfileError):
        expand(source, {"v": "abc"})


@pytest.mark.parametrize(
    ("modifier", "outcomes"),
    [
        # The values of a variable that is set, one that is empty and one that is not set.
        ("-word", ("set", "", "word")),
        (":-word", ("set", "word", "word")),
        ("+word", ("word", "word", "")),
        (":+word", ("word", "", "")),
        ("?word", ("set", "", None)),
        (":?word", ("set", None, None)),
        (":-", ("set", "", "")),
    ],
)
def test_modifier_depends_on_whether_a_variable_is_set(modifier, outcomes):
    variables = {"full": "set", "empty": ""}
    for name, outcome in zip(("full", "empty", "no"), outcomes, strict=True):
        if outcome is None:
            with pytest.raises(DockerfileError, match=f"{name}: word"):
                expand(f"${{{name}{modifier}}}", variables)
        else:
            assert expand(f"${{{name}{modifier}}}", variables) == outcome


def test_variables_that_were_looked_up_are_named():
    found = expand_with("${a-x} $b ${c:+$d} ${a}", {"a": "1", "d": "2"}, Rules())
    assert (found.text, found.used, found.missing) == ("1   1", ("a", "d"), ("b", "c"))


def test_message_of_a_required_variable_has_its_own_variables():
    with pytest.raises(DockerfileError, match="v: set it to 5"):
        expand("${v:?set it to $n}", {"n": "5"})


def test_escape_character_can_be_a_backtick():
    assert expand('C:\\x\\ `$x `` "`""', {"x": "1"}, "`") == 'C:\\x\\ $x ` "'
    assert split("a` b c", "`") == ["a` b", "c"]


def test_document_keeps_its_quotes():
    rules = Rules(ignores_quotes=True)
    found = expand_with("it's \"$x\" \\$x '$x'", {"x": "1"}, rules)
    assert found.text == "it's \"1\" $x '1'"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("RUN cat <<EOF", ("RUN", "cat", "<<EOF")),
        ("RUN cat << EOF 3<<-'B C' x", ("RUN", "cat", "<< EOF", "3<<-'B C'", "x")),
        ("RUN a<<EOF", ("RUN", "a<<EOF")),
        ("RUN $x${y:-<<EOF}", ("RUN", "$x${y:-<<EOF}")),
        ("RUN 'a", ()),
    ],
)
def test_here_documents_of_a_line_are_words(line, words):
    assert heredoc_words(line) == words


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("EOF", ("EOF", False)),
        ("'EOF'", ("EOF", True)),
        ('"E"OF', ("EOF", True)),
        ("E\\OF", ("EOF", False)),
        ("A B", None),
        ("''", None),
    ],
)
def test_quotes_of_one_word_are_seen(text, word):
    assert unquoted_word(text) == word


def test_splitting_keeps_quotes_and_escapes():
    assert split("a 'b c'  d\\ e \"f \\\" g\" 'h\\' i\\") == [
        "a",
        "'b c'",
        "d\\ e",
        '"f \\" g"',
        "'h\\'",
        "i",
    ]


def test_levels_are_counted():
    assert expand("${a:-" * 100 + "x" + "}" * 100, {}) == "x"
    with pytest.raises(DockerfileError, match="more than 100 levels"):
        expand("${a:-" * 101 + "x" + "}" * 101, {})


@pytest.mark.parametrize("modifier", ["#", "##", "%", "%%", "/", "//"])
def test_pattern_with_many_stars_takes_linear_time(modifier):
    pattern = "*a" * 200 + "b"
    source = f"${{v{modifier}{pattern}{'/x' if modifier[0] == '/' else ''}}}"
    value = "a" * 20_000
    assert expand(source, {"v": value}) == value


def test_every_pair_of_quotes_and_variables_is_read():
    pieces = ["a", "'b c'", '"$v"', "$v", "\\$", "${v:-x}", "${n:-y}", " "]
    for combination in product(pieces, repeat=3):
        assert isinstance(expand("".join(combination), {"v": "1"}), str)
