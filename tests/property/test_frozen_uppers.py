"""A union whose upper is frozen now and then, against a plain directory: it goes on as if nothing had happened, and what
was frozen stays as it was at that time.

The operations, and the comparison after each, are those of `test_union_model`. After each operation the newest frozen
state, and at the end all of them, are held against a copy of the plain directory that was made when they were frozen:
opened as a union of their own, and by going back to them.
"""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from tests.property.test_union_model import CALLER, NAMES, UnionMachine, paths
from tests.support.state_machines import run_fixed_examples, variants
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.directory.chain import UpperChain
from unionfs.directory.frozen import FrozenUpper, discard_tree, restore_state
from unionfs.model import ROOT_NODE
from unionfs.ownership import Ownership
from unionfs.union import Union, UnionOptions


class FreezingMachine(UnionMachine):
    def __init__(self) -> None:
        self.frozen: list[int] = []
        """The numbers of the frozen uppers below the present one, oldest first."""
        self.chains: dict[int, list[int]] = {}
        """By the number of each frozen state: the uppers that it is made of."""
        super().__init__()

    def place(self, number: int) -> bytes:
        return os.path.join(self.top, b"frozen%d" % number)

    def plain_place(self, number: int) -> bytes:
        """Of the copy of the plain directory."""
        return os.path.join(self.plain, b"frozen%d" % number)

    def chain(self, numbers: list[int]) -> UpperChain | None:
        layers = [
            FrozenUpper(
                self.place(each) + b"/upper",
                self.place(each) + b"/work",
                base_owner=CALLER[:2],
                ownership=self.ownership,
            )
            for each in numbers
        ]
        return UpperChain(layers) if layers else None

    def options(self) -> UnionOptions:
        return super().options()._replace(frozen=self.chain(self.frozen))

    @rule()
    def freeze(self) -> None:
        number = len(self.chains)
        place = self.place(number)
        os.mkdir(place)
        os.mkdir(self.plain_place(number))

        def move() -> tuple[bytes, bytes]:
            upper = os.path.join(self.top, b"upper")
            os.rename(upper, place + b"/upper")
            os.mkdir(upper)
            return place + b"/upper", upper

        self.union.freeze(place + b"/work", move)
        self.frozen.append(number)
        self.chains[number] = list(self.frozen)
        self.copy_model(self.plain, self.plain_place(number))

    @rule(choice=st.integers(0, 30), new=paths)
    def move_directory(self, choice: int, new: tuple[bytes, ...]) -> None:
        """One that is there, to another place, between two frozen states: its parts lie in several uppers."""
        found = []
        for where, directories, _ in os.walk(self.model):
            found += [os.path.join(where, each) for each in directories]
        if not found:
            return
        names = os.path.relpath(sorted(found)[choice % len(found)], self.model).split(b"/")
        self.freeze()
        self.create((*names, NAMES[choice % len(NAMES)]), 0o600, b"new")
        self.freeze()
        self.rename(tuple(names), new, 0)

    @staticmethod
    def copy_model(source: bytes, target: bytes) -> None:
        names = [os.path.join(source, name) for name in (b"model", b"hidden-link")]
        subprocess.run([b"cp", b"-a", *names, target], check=True)

    @rule(choice=st.integers(0, 9))
    def roll_back(self, choice: int) -> None:
        if not self.chains:
            return
        number = choice % len(self.chains)
        for _, fd in self.handles:
            os.close(fd)
        self.handles.clear()
        self.union.destroy()
        upper, work = (os.path.join(self.top, name) for name in (b"upper", b"work"))
        for path in (upper, work):
            discard_tree(path)
            os.mkdir(path)
        restore_state(self.place(number) + b"/work", work)
        self.frozen = list(self.chains[number])
        self.union = self.mount()
        self.union.take_root()
        for name in (b"model", b"hidden-link"):
            subprocess.run([b"rm", b"-rf", os.path.join(self.plain, name)], check=True)
        self.copy_model(self.plain_place(number), self.plain)
        self.numbers = {}

    def check_frozen(self, number: int) -> None:
        """The state, with a new upper of its own, is what the plain directory was."""
        top = os.path.join(self.place(number), b"branch")
        os.mkdir(top)
        os.mkdir(top + b"/work")
        restore_state(self.place(number) + b"/work", top + b"/work")
        upper = DirectoryUpper(
            top + b"/upper", top + b"/work", ownership=self.ownership, base_owner=CALLER[:2]
        )
        ours = self.union
        self.union = Union(
            [DirectoryLayer(path) for path in self.lowers],
            upper,
            UnionOptions(
                defers_metadata=self.defers_metadata, frozen=self.chain(self.chains[number])
            ),
        )
        try:
            self.compare(ROOT_NODE, self.plain_place(number) + b"/model", {})
        finally:
            self.union.destroy()
            self.union = ours
            discard_tree(top)

    @invariant()
    def newest_is_as_it_was(self) -> None:
        if self.chains:
            self.check_frozen(len(self.chains) - 1)

    def teardown(self) -> None:
        try:
            for number in self.chains:
                self.check_frozen(number)
        finally:
            super().teardown()


MACHINES = variants(
    FreezingMachine, is_indexed=True, ownership=Ownership.REAL, defers_metadata=True
)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_union_whose_upper_is_frozen_is_a_plain_directory(machine: type[FreezingMachine]) -> None:
    run_fixed_examples(machine, 10)
