"""What holds for every reference."""

from hypothesis import assume, given
from hypothesis import strategies as st

from rootless.errors import UsageError
from rootless.oci.reference import parse_reference

COMPONENT = st.from_regex(r"\A[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}\Z")
DOMAIN = st.sampled_from(
    [
        "",
        "docker.io/",
        "index.docker.io/",
        "localhost/",
        "h:5000/",
        "a.b.c/",
        "[::1]/",
        "Up/",
        "library/",
    ]
)
TAG = st.from_regex(r"\A(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?\Z")
DIGEST = st.from_regex(r"\A(?:@sha256:[0-9a-f]{64})?\Z")
PATH = st.lists(COMPONENT, min_size=1, max_size=3).map("/".join)


def might_be_a_host(domain: str, path: str) -> bool:
    """Without a domain, a first component with a dot is taken for one, and no host has an underscore (reference.go,
    splitDockerDomain)."""
    first, _, rest = path.partition("/")
    return not domain and bool(rest) and "." in first and "_" in first


@given(DOMAIN, PATH, TAG, DIGEST)
def test_normal_and_familiar_forms_parse_to_the_same_reference(domain, path, tag, digest):
    assume(not might_be_a_host(domain, path))
    reference = parse_reference(domain + path + tag + digest)
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar) == reference
    assert len(reference.familiar) <= len(str(reference))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_any_text_is_a_reference_or_a_usage_error(text):
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(reference)) == reference


@given(st.text(alphabet="aB0.:/@_-[]", max_size=30))
def test_text_of_the_grammar_s_own_characters_is_stable(text):
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert str(parse_reference(str(reference))) == str(reference)
    assert parse_reference(reference.familiar) == reference
