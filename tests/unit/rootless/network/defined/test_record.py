"""Records of defined networks that are damaged."""

from __future__ import annotations

import json

import pytest

from rootless.errors import InvalidDocumentError
from rootless.network.defined.record import NetworkRecord, Subnet, decode, encode

NETWORK = NetworkRecord(
    id="1" * 64,
    name="nx",
    created="",
    subnets=(Subnet("10.1.0.0/24", reserved={"router": "10.1.0.9"}),),
)


@pytest.mark.parametrize("reserved", ["x", 5, [], None, {"router": 5}, {"router": "x"}])
def test_reserved_addresses_of_the_wrong_type_are_an_error_of_the_document(reserved):
    assert decode(encode(NETWORK), "nx.json") == NETWORK
    document = json.loads(encode(NETWORK))
    document["subnets"][0]["reserved"] = reserved
    with pytest.raises(InvalidDocumentError, match=r"nx\.json is damaged"):
        decode(json.dumps(document).encode(), "nx.json")
