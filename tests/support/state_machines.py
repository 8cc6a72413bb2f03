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
    """Run this number of examples, the same ones each time. UNION_EXAMPLES=N in the environment runs N of them if it is fewer,
    and else N random ones, of which the first failure is shown as it was found.
    """
    count = int(os.environ.get("UNION_EXAMPLES", str(examples)))
    is_fixed = count <= examples
    run_examples(machine, count, derandomize=is_fixed, shrinks=is_fixed)


def run_examples(
    machine: type[RuleBasedStateMachine],
    examples: int,
    *,
    steps: int = 40,
    derandomize: bool = False,
    shrinks: bool = True,
) -> None:
    """Run this number of examples, each of at most `steps` steps, without a time limit. `derandomize`: the same ones
    each time. `shrinks`: look for a shorter example of a failure.
    """
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=derandomize,
            phases=[phase for phase in Phase if shrinks or phase is not Phase.shrink],
        ),
    )
