"""--restart. Pure."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.spec.options import RestartName, RestartPolicy


def parse_restart(text: str) -> RestartPolicy:
    """`no`, `always`, `unless-stopped`, `on-failure` or `on-failure:MAXIMUM`. Raises UsageError in
    docker's words.
    """
    name, colon, number = text.partition(":")
    maximum = 0
    if colon and not name:
        raise UsageError("invalid restart policy format: no policy provided before colon")
    if number:
        try:
            maximum = int(number, 10)
        except ValueError:
            raise UsageError(
                "invalid restart policy format: maximum retry count must be an integer"
            ) from None
    try:
        policy = RestartName(name or "no")
    except ValueError:
        raise UsageError(
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', "
            "'on-failure', or 'unless-stopped'"
        ) from None
    if maximum and policy is not RestartName.ON_FAILURE:
        raise UsageError(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    if maximum < 0:
        raise UsageError("invalid restart policy: maximum retry count cannot be negative")
    return RestartPolicy(policy, maximum)
