"""How the state machines of the property tests are varied and run."""

from __future__ import annotations

import os
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

_Machine = TypeVar("_Machine", bound=RuleBasedStateMachine)


def variants(machine: type[_Machine], **attributes: object) -> list[type[_Machine]]:
    """The machine, and for each attribute one that has it."""
    changed = [
        type(f"{machine.__name__} with {name}", (machine,), {name: value})
        for name, value in attributes.items()
    ]
    return [machine, *changed]


def run_fixed_examples(machine: type[RuleBasedStateMachine], examples: int) -> None:
    """Run this number of examples, the same ones each time. UNION_EXAMPLES=N in the environment runs N random ones, of which
    the first failure is shown as it was found.
    """
    count = int(os.environ.get("UNION_EXAMPLES", str(examples)))
    is_fixed = count == examples
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=count,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=is_fixed,
            phases=[phase for phase in Phase if is_fixed or phase is not Phase.shrink],
        ),
    )
