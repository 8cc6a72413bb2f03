"""Which subordinate ids an account can use."""

import pytest

from rootless.runtime.account import is_mapped
from rootless.runtime.idmap import Subordinate

HOST = "         0          0 4294967295\n"
CONTAINER = "         0     100000       1001\n      1001       1001          1\n      1002     101001      64535\n"


@pytest.mark.parametrize(
    ("id_map", "start", "answer"),
    [(HOST, 100000, True), (CONTAINER, 100000, False), (CONTAINER, 2000, True)],
)
def test_ids_are_usable_where_the_namespace_has_them(id_map, start, answer):
    assert is_mapped(Subordinate(start, 1000), id_map) is answer
