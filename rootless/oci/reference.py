"""Image references: parses `debian`, `localhost:5000/team/app:1` or `x@sha256:…`. Pure.

The grammar and the normal form are those of github.com/distribution/reference, which Docker's
commands use:

    reference := name [ ":" tag ] [ "@" digest ]
    name      := [ domain "/" ] component *( "/" component )
    domain    := host [ ":" port ]         component := alphanumeric *( separator alphanumeric )

The first component is a domain if it has a dot or a colon, is `localhost`, or has an upper-case
letter; else the domain is docker.io, whose single-component names are in `library/`.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.oci.digest import is_hex
from unionfs.light_types import NamedTuple

DEFAULT_DOMAIN = "docker.io"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_MAX_PATH = 255

_DIGITS = "0123456789"
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_LETTERS = _LOWER + _LOWER.upper()
_HEX = _DIGITS + "abcdefABCDEF"
_MAX_TAG = 128


class Reference(NamedTuple):
    """A reference in normal form. `tag` and `digest` are None where it has none."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Domain and path: the repository."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as Docker shows it: without docker.io, and without library/ there."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        shown = self.path.removeprefix(_OFFICIAL)
        if "/" in shown:
            shown = self.path
        # docker.io/localhost/x and docker.io/a.b/x would be read as other registries' without the
        # domain.
        return shown if _split_domain(shown) == (self.domain, self.path) else self.name

    def __str__(self) -> str:
        return self.name + self._suffix()

    @property
    def familiar(self) -> str:
        """The reference as Docker shows it; parses to the same reference."""
        return self.familiar_name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag is not None else "") + (
            f"@{self.digest}" if self.digest is not None else ""
        )

    def with_default_tag(self) -> Reference:
        """With the tag `latest` if it has neither tag nor digest."""
        if self.tag is None and self.digest is None:
            return self._replace(tag="latest")
        return self


# By hand and not by regular expressions, because every start reads a reference, and importing `re`
# takes longer than the rest of it. `text.strip(characters)` is empty where there are no others.


def _is_component(text: str) -> bool:
    """Alphanumerics, separated by one dot, one or two underscores, or any number of hyphens."""
    rest = text.lstrip(_LOWER + _DIGITS)
    if rest == text:
        return False
    while rest:
        word = rest.lstrip("._-")
        separator = rest[: len(rest) - len(word)]
        if separator not in {".", "_", "__"} and separator.strip("-"):
            return False
        rest = word.lstrip(_LOWER + _DIGITS)
        if rest == word:
            return False
    return True


def _is_domain(text: str) -> bool:
    """Labels with dots between them, or an IPv6 address in brackets; then perhaps a port."""
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        if not bracket or not address or address.strip(_HEX + ":"):
            return False
        colon, port = port[:1], port[1:]
    else:
        host, colon, port = text.partition(":")
        if not all(_is_label(label) for label in host.split(".")):
            return False
    return colon == "" or (colon == ":" and port != "" and port.strip(_DIGITS) == "")


def _is_label(text: str) -> bool:
    return (
        text != ""
        and text.strip(_LETTERS + _DIGITS + "-") == ""
        and not text.startswith("-")
        and not text.endswith("-")
    )


def is_tag(text: str) -> bool:
    """Whether `text` can be a tag."""
    return (
        0 < len(text) <= _MAX_TAG
        and text.strip(_LETTERS + _DIGITS + "_.-") == ""
        and text[0] not in ".-"
    )


def _is_digest(text: str) -> bool:
    """A digest of any algorithm, whose name has components that begin with a letter."""
    algorithm, _, encoded = text.partition(":")
    for separator in "-_+":
        algorithm = algorithm.replace(separator, ".")
    return (
        len(encoded) >= 32
        and encoded.strip(_HEX) == ""
        and all(
            part != "" and part[0] in _LETTERS and part.strip(_LETTERS + _DIGITS) == ""
            for part in algorithm.split(".")
        )
    )


def _invalid(text: str, why: str = "") -> UsageError:
    return UsageError(
        f"invalid reference format: {text!r}" + (f": {why}" if why else ""),
        hint="a reference is [HOST[:PORT]/]NAME[:TAG][@sha256:…], in lower case",
    )


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or (
        "." not in first and ":" not in first and first != "localhost" and first.lower() == first
    ):
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = first, rest
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path


def parse_tag(text: str) -> Reference:
    """The name that a user gives an image: `latest` where the text has no tag. Raises UsageError for a
    digest, and for a name that could be taken for one (moby's refstore refuses it too)."""
    reference = parse_reference(text).with_default_tag()
    if reference.digest is not None:
        raise UsageError(f"refusing to create a tag with a digest reference: {text}")
    if reference.familiar_name == "sha256":
        raise UsageError(
            f"refusing to create an ambiguous tag using digest algorithm as name: {text}"
        )
    return reference


def parse_reference(text: str) -> Reference:
    """The reference that a user wrote, in normal form. No default tag is added. Raises
    UsageError."""
    if len(text) == 64 and is_hex(text):
        raise _invalid(text, "64 hexadecimal digits are an image id, not a name")
    rest, at, digest = text.partition("@")
    if at and not _is_digest(digest):
        raise _invalid(text, "the digest is malformed")
    if at and (digest.startswith("sha256:") and len(digest) != 71):
        raise _invalid(text, "a sha256 digest has 64 hexadecimal digits")
    # A colon before the last slash belongs to a port.
    name, colon, tag = rest, "", ""
    if (position := rest.rfind(":")) > rest.rfind("/"):
        name, colon, tag = rest[:position], ":", rest[position + 1 :]
    if colon and not is_tag(tag):
        raise _invalid(text, "the tag is malformed")
    domain, path = _split_domain(name)
    if path.lower() != path:
        raise _invalid(text, "repository name must be lowercase")
    if not _is_domain(domain) or not all(map(_is_component, path.split("/"))):
        raise _invalid(text)
    if len(path) > _MAX_PATH:
        raise _invalid(text, f"the repository name is longer than {_MAX_PATH} characters")
    return Reference(domain, path, tag if colon else None, digest if at else None)
