"""Options that contradict each other are refused, wherever they came from."""

from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.spec.check_options import check_options
from rootless.spec.options import ContainerOptions, NamespaceModes

HOST_UTS = NamespaceModes(uts=False)


@pytest.mark.parametrize(
    "options",
    [
        ContainerOptions(image="i", hostname="name", namespaces=HOST_UTS),
        ContainerOptions(image="i", domainname="example.org", namespaces=HOST_UTS),
    ],
)
def test_name_for_the_hosts_uts_namespace_is_refused(options: ContainerOptions) -> None:
    with pytest.raises(UsageError, match="the UTS mode"):
        check_options(options)
    check_options(options._replace(namespaces=NamespaceModes()))
