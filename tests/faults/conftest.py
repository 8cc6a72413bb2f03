"""Faults are met by both sessions."""

import pytest

from tests.support import probes


@pytest.fixture(params=["device", "pyfuse3"])
def session(request) -> str:
    if request.param == "pyfuse3" and (reason := probes.lacking("pyfuse3")):
        pytest.skip(reason)
    return request.param
