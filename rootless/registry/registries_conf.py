"""containers' registries.conf: the candidates for a name, its mirrors, and whether each is trusted. Pure.

containers-registries.conf(5), version 2. Not honoured: version 1; `short-name-mode`, which asks
the user (here the order of the list decides); `credential-helpers` (Docker's config.json has its own).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rootless.errors import InvalidDocumentError, UsageError
from rootless.oci.document import as_object, optional, string_map, strings
from rootless.oci.reference import DEFAULT_DOMAIN, Reference, parse_reference

_DOCKER_HUB = "registry-1.docker.io"
_AFTER_PREFIX = ("/", ":", "@", "")


class Mirror(NamedTuple):
    """A registry that is asked before another."""

    location: str
    insecure: bool
    by_digest: bool
    by_tag: bool


class RegistryRule(NamedTuple):
    """One [[registry]] table."""

    prefix: str
    location: str
    insecure: bool
    blocked: bool
    mirrors: tuple[Mirror, ...]


class RegistriesConf(NamedTuple):
    """The merged configuration."""

    rules: tuple[RegistryRule, ...] = ()
    search: tuple[str, ...] | None = None
    """None if no file says; the default is Docker's."""
    aliases: Mapping[str, str] = {}


class Endpoint(NamedTuple):
    """A host, as written in a URL, and the repository there."""

    host: str
    repository: str
    insecure: bool
    configured: str
    """Host and repository under which credentials and certificates are filed."""


def read_registries_conf(document: Mapping[str, object], what: str) -> RegistriesConf:
    """One file, parsed as TOML. Raises InvalidDocumentError."""
    table = dict(document)
    if "registries" in table:
        raise InvalidDocumentError(
            f"{what} is in the old version 1 format", hint="rewrite it as version 2 ([[registry]])"
        )
    rules = tuple(
        _rule(as_object(each, f"{what}: registry"), f"{what}: registry")
        for each in optional(table, "registry", list, what) or []
    )
    name = "unqualified-search-registries"
    return RegistriesConf(
        rules,
        strings(table, name, what) if name in table else None,
        string_map(table, "aliases", what),
    )


def _rule(table: dict[str, object], what: str) -> RegistryRule:
    location = optional(table, "location", str, what) or ""
    prefix = optional(table, "prefix", str, what) or location
    if not prefix or (not location and not prefix.startswith("*.")):
        raise InvalidDocumentError(f"{what}: location is missing")
    only_digests = optional(table, "mirror-by-digest-only", bool, what) or False
    mirrors = []
    for each in optional(table, "mirror", list, what) or []:
        mirror = as_object(each, f"{what}: mirror")
        use = optional(mirror, "pull-from-mirror", str, what) or (
            "digest-only" if only_digests else "all"
        )
        if use not in ("all", "digest-only", "tag-only"):
            raise InvalidDocumentError(f"{what}: pull-from-mirror is {use!r}")
        mirrors.append(
            Mirror(
                (optional(mirror, "location", str, what) or "").rstrip("/"),
                optional(mirror, "insecure", bool, what) or False,
                use != "tag-only",
                use != "digest-only",
            )
        )
    return RegistryRule(
        prefix.rstrip("/"),
        location.rstrip("/"),
        optional(table, "insecure", bool, what) or False,
        optional(table, "blocked", bool, what) or False,
        tuple(mirrors),
    )


def merged(files: Sequence[RegistriesConf]) -> RegistriesConf:
    """Several files, later ones over earlier ones: a rule replaces that of the same prefix."""
    rules: dict[str, RegistryRule] = {}
    aliases: dict[str, str] = {}
    search: tuple[str, ...] | None = None
    for each in files:
        rules.update({rule.prefix: rule for rule in each.rules})
        aliases.update(each.aliases)
        search = each.search if each.search is not None else search
    # An empty alias takes one of an earlier file away.
    return RegistriesConf(tuple(rules.values()), search, {k: v for k, v in aliases.items() if v})


def rule_for(conf: RegistriesConf, reference: Reference) -> RegistryRule | None:
    """The rule with the longest prefix that fits."""
    fitting = [rule for rule in conf.rules if _fits(rule.prefix, reference)]
    return max(fitting, key=lambda rule: len(rule.prefix), default=None)


def _fits(prefix: str, reference: Reference) -> bool:
    if prefix.startswith("*."):
        suffix, slash, rest = prefix[1:].partition("/")
        host = reference.domain.partition(":")[0] if ":" not in suffix else reference.domain
        return host.endswith(suffix) and (not slash or _starts(rest, reference.path))
    return _starts(prefix, str(reference))


def _starts(prefix: str, text: str) -> bool:
    return text.startswith(prefix) and text[len(prefix) : len(prefix) + 1] in _AFTER_PREFIX


def endpoints(
    conf: RegistriesConf, reference: Reference, *, mirrors: bool = True
) -> tuple[Endpoint, ...]:
    """The endpoints of a reference, in order; mirrors are for reading only. Raises UsageError if
    it is blocked."""
    rule = rule_for(conf, reference)
    if rule is None:
        return (_endpoint(reference.domain, reference.path, insecure=False),)
    if rule.blocked:
        raise UsageError(
            f"registry {rule.prefix} is blocked in registries.conf, so {reference.familiar} is not "
            "reached"
        )
    found = [
        _relocated(rule.prefix, mirror.location, reference, mirror.insecure)
        for mirror in (rule.mirrors if mirrors else ())
        if (mirror.by_tag if reference.digest is None else mirror.by_digest)
    ]
    location = rule.location or reference.domain
    found.append(_relocated(rule.prefix, location, reference, rule.insecure))
    return tuple(found)


def _relocated(prefix: str, location: str, reference: Reference, insecure: bool) -> Endpoint:
    if prefix.startswith("*."):
        # The matched host gives way to the location, whatever it was (containers-registries.conf).
        tail = prefix.partition("/")[2]
        rest = reference.path[len(tail) :].lstrip("/")
    else:
        rest = reference.name[len(prefix) :].lstrip("/")
    whole = f"{location}/{rest}" if rest else location
    host, _, path = whole.partition("/")
    return _endpoint(host, path, insecure=insecure)


def _endpoint(host: str, path: str, *, insecure: bool) -> Endpoint:
    address = _DOCKER_HUB if host == DEFAULT_DOMAIN else host
    if host == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return Endpoint(address, path, insecure, f"{host}/{path}")


def candidates(conf: RegistriesConf, text: str) -> tuple[Reference, ...]:
    """The candidates for a name, best first: an alias, else each registry to search, else Docker's normal form. A
    name that says its registry means itself. Raises UsageError.
    """
    reference = parse_reference(text)
    first = text.partition("/")[0]
    short = reference.domain == DEFAULT_DOMAIN and (
        "/" not in text or first not in (DEFAULT_DOMAIN, "index.docker.io")
    )
    if not short:
        return (reference,)
    name = text.partition("@")[0]
    if name.rfind(":") > name.rfind("/"):
        name = name[: name.rfind(":")]
    if alias := conf.aliases.get(name):
        return (parse_reference(alias)._replace(tag=reference.tag, digest=reference.digest),)
    if conf.search is None:
        return (reference,)
    return tuple(
        parse_reference(f"{registry}/{name}")._replace(tag=reference.tag, digest=reference.digest)
        for registry in conf.search
    ) or (reference,)
