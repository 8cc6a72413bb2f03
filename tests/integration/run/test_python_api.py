"""The Python API beyond the programs of docs/api.md: cancellation, errors, and callers with several threads."""

import functools
import json
import os
import threading
import time

import pytest
import trio
import trio.testing

from rootless import AsyncEngine, ContainerOptions, Engine, EventFilters, ExecOptions, LogRequest
from rootless.errors import CommandNotFoundError, ConflictError, NotFoundError
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

FOREVER = ("sleep", "1000")


@pytest.fixture
def engine(rootless):
    """An engine over the store of the fixture `rootless`."""
    return Engine(environ=rootless.env)


@pytest.fixture
def aio(engine):
    return AsyncEngine(engine)


def of(*command, name=None, **fields):
    return ContainerOptions(rootfs="/", name=name, command=command, **fields)


def test_exec_of_a_caller_with_threads(engine):
    engine.run_detached(of(*FOREVER, name="web"))
    found = []
    threads = [
        threading.Thread(
            target=lambda n=n: found.append(
                engine.exec_captured("web", ExecOptions(command=("cat",)), b"x" * n).stdout
            )
        )
        for n in (1, 100_000, 1_000_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, found)) == [1, 100_000, 1_000_000]


def test_exec_has_the_options_it_was_given(engine):
    engine.run_detached(of(*FOREVER, name="web"))
    options = ExecOptions(
        command=("sh", "-c", "echo $A; pwd; exit 3"), variables=(("A", "b"),), workdir="/tmp"
    )
    assert engine.exec_captured("web", options) == (3, b"b\n/tmp\n", b"")


@pytest.mark.parametrize(
    ("name", "command", "error"),
    [
        ("web", ("/nonexist",), CommandNotFoundError),
        ("none", ("true",), NotFoundError),
        ("created", ("true",), ConflictError),
    ],
)
async def test_error_of_exec_is_raised(engine, aio, name, command, error):
    engine.run_detached(of(*FOREVER, name="web"))
    engine.create(of("true", name="created"))
    with pytest.raises(error) as caught:
        engine.exec_captured(name, ExecOptions(command=command))
    with pytest.raises(error) as awaited:
        await aio.exec(name, ExecOptions(command=command))
    assert awaited.value.message == caught.value.message


def test_captured_run_is_kept_or_removed(engine):
    assert engine.run_captured(of("echo", "x", name="kept")).stdout == b"x\n"
    assert engine.run_captured(of("echo", "x", name="gone", remove=True)).stdout == b"x\n"
    assert [each.name for each in engine.containers()] == ["kept"]


async def test_cancelled_run_leaves_no_container(engine, aio):
    with trio.move_on_after(60) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(aio.run, of(*FOREVER, name="web", remove=True))
            async with aio.events(EventFilters(actions=("start",)), since=0) as events:
                async for _ in events:
                    break
            nursery.cancel_scope.cancel()
    assert not scope.cancelled_caught
    assert engine.containers() == []


async def test_cancelled_run_of_a_container_that_stays_ends_it(engine, aio):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(aio.run, of(*FOREVER, name="web"))
        async with aio.events(EventFilters(actions=("start",)), since=0) as events:
            async for _ in events:
                break
        nursery.cancel_scope.cancel()
    (record,) = engine.containers()
    assert (record.status.value, record.exit_code) == ("exited", 137)


async def test_many_runs_at_once(aio):
    found = {}

    async def run(number):
        done = await aio.run(of("echo", str(number), remove=True))
        found[number] = done.stdout

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(run, number)
    assert found == {number: b"%d\n" % number for number in range(6)}


async def test_followed_log_can_be_cancelled_and_leaves_no_thread(engine, aio):
    engine.run_detached(of("sh", "-c", "echo begun; exec sleep 1000", name="web"))
    async with aio.logs("web", LogRequest(follow=True)) as pieces:
        assert await anext(pieces) == (1, b"begun\n")
    with trio.move_on_after(0.3) as scope:
        async with aio.logs("web", LogRequest(follow=True, tail=0)) as pieces:
            await anext(pieces)
    assert scope.cancelled_caught
    idle = functools.partial(engine.inspect_container, "web")
    assert (await trio.to_thread.run_sync(idle))["State"]["Running"]


async def test_log_of_no_container_is_an_error(aio):
    with pytest.raises(BaseExceptionGroup) as caught:
        async with aio.logs("none") as pieces:
            await anext(pieces)
    assert caught.group_contains(NotFoundError)


async def test_wait_sees_the_end_and_a_killed_monitor(rootless, engine, aio):
    engine.run_detached(of("sh", "-c", "sleep 0.2; exit 5", name="short"))
    assert await aio.wait("short") == 5
    assert await aio.wait("short") == 5
    record = engine.run_detached(of(*FOREVER, name="web"))
    path = rootless.data / "rootless/containers" / record.id / "container.json"
    async with trio.open_nursery() as nursery:
        found = []

        async def wait():
            found.append(await aio.wait("web"))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked(0.1)
        monitor = json.loads(path.read_text())["monitor_pid"]
        os.kill(monitor, 9)
    assert found == [137]


async def test_events_end_at_their_time(aio):
    until = time.time_ns() + 200_000_000
    async with aio.events(since=0, until=until) as events:
        assert [event async for event in events] == []
    assert time.time_ns() >= until


def test_container_of_the_api_is_one_of_the_command_line(rootless, engine):
    engine.run_detached(of(*FOREVER, name="web"))
    wait_until(lambda: rootless("ps", "-q").ok().stdout != "")
    assert rootless("exec", "web", "echo", "hi").ok().stdout == "hi\n"
