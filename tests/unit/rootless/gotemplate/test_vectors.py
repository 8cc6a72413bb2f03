"""Go templates: what they print and what they complain about, as text/template does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.gotemplate import Struct, TemplateError, parse

DATA = {
    "Name": "web",
    "Empty": "",
    "Zero": 0,
    "Three": 3,
    "Half": 0.5,
    "Yes": True,
    "No": False,
    "Null": None,
    "List": ["a", "b", "c"],
    "Numbers": [3, 4, 5],
    "None": [],
    "Map": {"two": 2, "one": 1},
    "Deep": {"State": {"Running": True, "Pid": 42, "Health": None}},
    "Ports": {"80/tcp": [{"HostPort": "8080"}], "443/tcp": None},
    "Label": lambda key: {"a.b": "value"}.get(key, ""),
    "Add": lambda *numbers: sum(numbers),
    "Greeting": lambda: "hello",
    "Struct": Struct("types.State", {"Status": "running", "Pid": 7, "Method": lambda: "called"}),
}


def render(text, data=DATA, **options):
    return parse(text).render(data, **options)


VECTORS = [
    # text, trimming, comments
    ("", ""),
    ("plain } text", "plain } text"),
    ("a{{.Name}}b", "awebb"),
    ("a \n {{- .Name -}} \t b", "awebb"),
    ("a {{/* a note */}} b", "a  b"),
    ("a {{- /* a note */ -}} b", "ab"),
    ("{{3 -}} x", "3x"),
    ("{{- -3 }}", "-3"),
    ("{{.Name\n}}", "web"),
    # constants
    ("{{1}} {{-7}} {{0x10}} {{0b11}} {{017}} {{1_000}}", "1 -7 16 3 15 1000"),
    ("{{1.5}} {{1e3}} {{1e21}} {{.5}} {{1.0}} {{1e-7}}", "1.5 1000 1e+21 0.5 1 1e-07"),
    ("{{'a'}} {{'\\n'}}", "97 10"),
    ('{{"a\\tb\\"\\u00e9\\x41"}}', 'a\tb"éA'),
    ("{{`raw\\n`}}", "raw\\n"),
    ("{{true}} {{false}}", "true false"),
    # fields
    ("{{.}}", "5", 5),
    ("{{.Deep.State.Pid}}", "42"),
    ("{{.Missing}}", "<no value>"),
    ("{{.Missing.Deeper}}", "<no value>"),
    ("{{.Null}}", "<no value>"),
    ("{{$.Name}}", "web"),
    ("{{(index .Ports \"80/tcp\")}}", "[map[HostPort:8080]]"),
    ("{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080"),
    ("{{.Label \"a.b\"}}", "value"),
    ("{{\"a.b\" | .Label}}", "value"),
    ("{{.Greeting}}", "hello"),
    ("{{.Add 1 2 3}} {{3 | .Add 1}}", "6 4"),
    ("{{.Struct.Status}} {{.Struct.Method}}", "running called"),
    # printing
    ("{{.List}} {{.None}} {{.Map}}", "[a b c] [] map[one:1 two:2]"),
    ("{{.Deep.State}}", "map[Health:<nil> Pid:42 Running:true]"),
    ("{{.Struct}}", "{running 7}"),
    ("{{.Half}} {{.Yes}} {{.Zero}}", "0.5 true 0"),
    # variables
    ("{{$x := 1}}{{$x}}", "1"),
    ("{{$x := 1}}{{$x = 2}}{{$x}}", "2"),
    ("{{$x := .Deep}}{{$x.State.Pid}}", "42"),
    ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
    ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
    ("{{with $x := 5}}{{$x}}{{end}}", "5"),
    ("{{$é := 1}}{{$é}}", "1"),
    # if, with
    ("{{if .Yes}}a{{else}}b{{end}}", "a"),
    ("{{if .No}}a{{else}}b{{end}}", "b"),
    ("{{if .Empty}}a{{else if .Zero}}b{{else if .Three}}c{{else}}d{{end}}", "c"),
    ("{{if .Null}}a{{end}}{{if .None}}b{{end}}{{if .Missing}}c{{end}}", ""),
    ("{{if .Map}}a{{end}}{{if .Half}}b{{end}}{{if 0.0}}c{{end}}", "ab"),
    ("{{if .Struct}}a{{end}}", "a"),
    ("{{with .Name}}{{.}}{{else}}none{{end}}", "web"),
    ("{{with .Empty}}{{.}}{{else}}none of {{.Name}}{{end}}", "none of web"),
    ("{{with .Deep}}{{with .State}}{{.Pid}}{{end}}{{end}}", "42"),
    ("{{with $x := .Name}}{{with $y := $x}}{{$x}}{{$y}}{{end}}{{end}}", "webweb"),
    # range
    ("{{range .List}}{{.}},{{end}}", "a,b,c,"),
    ("{{range $i, $e := .List}}{{$i}}{{$e}} {{end}}", "0a 1b 2c "),
    ("{{range $e := .List}}{{$e}}{{end}}", "abc"),
    ("{{range $k, $v := .Map}}{{$k}}={{$v}};{{end}}", "one=1;two=2;"),
    ("{{range .Map}}{{.}}{{end}}", "12"),
    ("{{range .None}}a{{else}}nothing{{end}}", "nothing"),
    ("{{range .Missing}}a{{else}}nothing{{end}}", "nothing"),
    ("{{range .Null}}a{{else}}nothing{{end}}", "nothing"),
    ("{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"),
    ("{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"),
    ("{{$i := 0}}{{$e := \"\"}}{{range $i, $e = .List}}{{end}}{{$i}}{{$e}}", "2c"),
    ("{{range .List}}{{$.Name}}{{end}}", "webwebweb"),
    ("{{range $p, $c := .Ports}}{{$p}}{{with $c}}->{{(index . 0).HostPort}}{{end}} {{end}}",
     "443/tcp 80/tcp->8080 "),
    # templates
    ('{{define "x"}}<{{.}}>{{end}}{{template "x" .Name}}', "<web>"),
    ('{{define "x"}}<{{.}}>{{end}}{{template "x"}}', "<<no value>>"),
    ('{{block "x" .Three}}[{{.}}]{{end}}', "[3]"),
    ('{{define "x"}}{{$.Name}}{{end}}{{template "x" .}}', "web"),
    # pipelines
    ("{{.Name | printf \"%s-%s\" \"a\"}}", "a-web"),
    ("{{printf \"%d\" (len .List)}}", "3"),
    ("{{(.Deep).State.Pid}}", "42"),
    ("{{len (slice .Name 1)}}", "2"),
    # logic
    ("{{and .Yes .Three}} {{and .Yes .Zero .Missing}} {{or .Zero .Name}} {{or .Zero .Empty}}|",
     "3 0 web |"),
    ("{{or .Yes (index .List 99)}}", "true"),
    ("{{and .No (index .List 99)}}", "false"),
    ("{{not .Yes}} {{not .Missing}}", "false true"),
    ("{{.No | or .Three}}", "3"),
    # comparison
    ("{{eq 1 1}} {{eq 1 2}} {{eq 3 1 2 3}} {{ne .Name \"x\"}}", "true false true true"),
    ("{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2 2}} {{lt \"a\" \"b\"}} {{lt 1.5 2.5}}",
     "true true false true true true"),
    ("{{eq .Yes true}} {{eq .Name \"web\"}}", "true true"),
    # functions of Go
    ("{{len .List}} {{len .Map}} {{len \"é\"}}", "3 2 2"),
    ("{{index .List 1}} {{index .Map \"two\"}} {{index .Map \"no\"}}", "b 2 <no value>"),
    ("{{index .Deep \"State\" \"Pid\"}}", "42"),
    ("{{slice .List 1}} {{slice .List 1 2}} {{slice .Name 0 2}}", "[b c] [b] we"),
    ("{{print 1 2 \"a\" 3 \"b\"}} {{println 1 \"a\"}}", "1 2a3b 1 a\n"),
    ("{{html \"<a href='x'>&\\\"\"}}", "&lt;a href=&#39;x&#39;&gt;&amp;&#34;"),
    ("{{js \"it'd <b>\\n\"}}", "it\\'d \\u003Cb\\u003E\\u000A"),
    ("{{urlquery \"a b&c/d\"}}", "a+b%26c%2Fd"),
    ("{{printf \"%v %q %5d|%-5s|%05.1f|%x\" true \"a\\n\" 42 \"ab\" 3.14159 255}}",
     'true "a\\n"    42|ab   |003.1|ff'),
    ("{{printf \"%d\" \"a\"}}", "%!d(string=a)"),
    ("{{printf \"%d %d\" 1}}", "1 %!d(MISSING)"),
    ("{{printf \"%d\" 1 2}}", "1%!(EXTRA int=2)"),
    ("{{printf \"%s\" 1}} {{printf \"100%%\"}} {{printf \"%\"}}", "%!s(int=1) 100% %!(NOVERB)"),
    ("{{printf \"%s %v\" .List .Null}}", "[a b c] <nil>"),
    ("{{printf \"%T %T %T\" 1 \"a\" .List}}", "int string []interface {}"),
    ("{{printf \"%t %c %U %+d %6.2f|%*d\" true 65 65 5 2.5 4 7}}", "true A U+0041 +5   2.50|   7"),
    ("{{call .Add 1 2}}", "3"),
    ("{{1e16}} {{12345678901234567890.5}} {{1.5e-9}} {{-0.25}}", "10000000000000000 12345678901234567000 1.5e-09 -0.25"),
    ("{{.X}}{{with .}}a{{end}}", "<no value>", None),
    ("{{printf `%d %d` (1) (len (slice .List 1))}}", "1 2"),
    # functions of Docker
    ("{{json .Deep.State}}", '{"Running":true,"Pid":42,"Health":null}'),
    ("{{json .List}} {{json .Name}} {{json .Missing}} {{json .Half}}", '["a","b","c"] "web" null 0.5'),
    ("{{json \"<é\\n\\u2028>\"}}", '"<é\\n\\u2028>"'),
    ("{{json .Struct}}", '{"Status":"running","Pid":7}'),
    ("{{join .List \", \"}}", "a, b, c"),
    ("{{split \"a:b\" \":\"}}", "[a b]"),
    ("{{title \"hello big world\"}} {{upper \"a\"}} {{lower \"A\"}}", "Hello Big World A a"),
    ("{{pad \"x\" 1 2}}|{{pad \"\" 1 2}}|", " x  ||"),
    ("{{truncate \"hello\" 3}} {{truncate \"hi\" 9}}", "hel hi"),
    # what people type
    ("{{range .List}}{{println .}}{{end}}", "a\nb\nc\n"),
    ("{{.Name}}\\t{{.Three}}", "web\\t3"),
    ("{{if and .Yes (eq .Name \"web\") (gt .Three 2)}}yes{{end}}", "yes"),
    ("{{with index .Ports \"80/tcp\"}}{{range .}}{{.HostPort}}{{end}}{{end}}", "8080"),
]  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector[0])
def test_template_prints_what_go_prints(vector):
    text, expected, *data = vector
    assert render(text, *(data or [DATA])) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{", "template: :1: unclosed action"),
        ("{{.Name", "template: :1: unclosed action"),
        ("a\n{{.Name", "template: :2: unclosed action"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{else}}", "template: :1: unexpected {{else}}"),
        ("{{if .X}}", "template: :1: unexpected EOF"),
        ("{{if}}a{{end}}", "template: :1: missing value for if"),
        ("{{}}", "template: :1: missing value for command"),
        ("{{nope .X}}", 'template: :1: function "nope" not defined'),
        ("{{$x}}", 'template: :1: undefined variable "$x"'),
        ("{{$x = 1}}", 'template: :1: undefined variable "$x"'),
        ("{{if true}}{{$x := 1}}{{end}}{{$x}}", 'template: :1: undefined variable "$x"'),
        ("{{(.X}}", "template: :1: unclosed left paren"),
        ("{{.X)}}", "template: :1: unexpected right paren"),
        ('{{"abc}}', "template: :1: unterminated quoted string"),
        ("{{`abc}}", "template: :1: unterminated raw quoted string"),
        ("{{'ab'}}", "template: :1: malformed character constant: 'ab'"),
        ("{{/* x }}", "template: :1: unclosed comment"),
        ("{{/* x */ y}}", "template: :1: comment ends before closing delimiter"),
        ("{{3x}}", 'template: :1: bad number syntax: "3x"'),
        ("{{break}}", "template: :1: {{break}} outside {{range}}"),
        ("{{.X | 5}}", "template: :1: non executable command in pipeline stage 2"),
        ("{{.X |}}", "template: :1: missing value for command"),
        ("{{1.E}}", 'template: :1: bad number syntax: "1.E"'),
        ("{{true.X}}", 'template: :1: unexpected . after term "true"'),
        ("{{range $a, $b, $c := .X}}{{end}}", "template: :1: too many declarations in range"),
        ("{{$a, $b := .X}}", "template: :1: too many declarations in command"),
        ("{{if .X}}a{{else}}b{{else}}c{{end}}", "template: :1: expected end; found {{else}}"),
        ("{{template}}", 'template: :1: unexpected "}}" in template clause'),
        ("{{define \"a\"}}1{{end}}{{define \"a\"}}2{{end}}",
         'template: :1: multiple definition of template "a"'),
        ("{{#}}", "template: :1: unrecognized character in action: U+0023 '#'"),
    ],
)  # fmt: skip
def test_broken_template_is_refused_with_the_line(text, message):
    with pytest.raises(TemplateError) as caught:
        parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{.Name.X}}", "template: :1:7: executing \"\" at <.Name.X>: can't evaluate field X in type string"),
        ("{{.Null.X}}", 'template: :1:7: executing "" at <.Null.X>: nil pointer evaluating interface {}.X'),
        ("{{.Struct.Nope}}", "executing \"\" at <.Struct.Nope>: can't evaluate field Nope in type types.State"),
        ("{{.Three 1}}", "executing \"\" at <.Three>: Three is not a method but has arguments"),
        ("{{index .List 5}}", 'executing "" at <index .List 5>: error calling index: index out of range: 5'),
        ("{{index .Three 5}}", "error calling index: can't index item of type int"),
        ("{{len .Three}}", "error calling len: len of type int"),
        ("{{eq 1 \"a\"}}", "error calling eq: incompatible types for comparison: int and string"),
        ("{{eq 1}}", "error calling eq: missing argument for comparison"),
        ("{{lt true false}}", "error calling lt: invalid type for comparison"),
        ("{{join .Name}}", "wrong number of args for join: want 2 got 1"),
        ("{{eq}}", "wrong number of args for eq: want at least 1 got 0"),
        ("{{range .Three}}{{end}}", "range can't iterate over 3"),
        ("{{nil}}", "nil is not a command"),
        ("{{1 2}}", "can't give argument to non-function 1"),
        ("{{template \"nope\"}}", 'template "nope" not defined'),
        ("{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}", "exceeded maximum template depth"),
        ("\n\n {{.Name.X}}", 'template: :3:8: executing ""'),
        ("{{define \"in\"}}{{.Name.X}}{{end}}{{template \"in\" .}}", 'executing "in" at <.Name.X>'),
        ("{{(1) 2}}", "can't give argument to non-function"),
        ("{{call .Name}}", "error calling call: non-function web of type string"),
    ],
)  # fmt: skip
def test_failing_evaluation_names_the_place(text, message):
    with pytest.raises(TemplateError) as caught:
        render(text)
    assert message in str(caught.value)


def test_missing_key_may_be_an_error():
    with pytest.raises(TemplateError, match='map has no entry for key "Nope"'):
        render("{{.Nope}}", missing_key="error")


def test_functions_of_the_caller_are_known():
    template = parse("{{shout .Name}}", functions={"shout": lambda text: f"{text}!"})
    assert template.render(DATA) == "web!"


@given(st.text(alphabet="{}.-$|()\"`' \nabifend:=/*0", max_size=40))
def test_any_text_is_a_template_or_an_error(text):
    try:
        template = parse(text)
        template.render(DATA)
    except TemplateError:
        pass


@given(st.text())
def test_text_without_delimiters_is_itself(text):
    if "{{" not in text:
        assert render(text) == text
