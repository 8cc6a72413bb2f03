"""Services as root of their image and as their own user: started detached, used through exec, restarted, backed up,
and moved with their volume to an account without subordinate ids, and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.command import Result
from tests.support.other_account import OtherAccount
from tests.support.rootless import Rootless, remove_tree, short_directory
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.needs("userns", "fuse", "subuid"), pytest.mark.slow]

Engine = Callable[..., Result]

POSTGRES = """
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
become=
if [ $(id -u) = 0 ]; then
    chown -R postgres:postgres /data
    become="setpriv --reuid=postgres --regid=postgres --clear-groups"
fi
[ -e /data/pg ] || $become "$bin/initdb" -D /data/pg >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
exec $become "$bin/postgres" -D /data/pg -k /tmp
"""
REDIS = "exec redis-server --dir /data --appendonly yes --port 0 --unixsocket /tmp/redis.sock"
NGINX = """
cat > /tmp/nginx.conf <<'END'
daemon off; pid /tmp/nginx.pid; error_log stderr; events {}
http { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
    uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; server { listen unix:/tmp/http.sock; root /data; } }
END
exec nginx -c /tmp/nginx.conf
"""
GET = """perl -MIO::Socket::UNIX -e '
    my $s = IO::Socket::UNIX->new("/tmp/http.sock") or exit 1;
    print $s "GET /page HTTP/1.0\\r\\n\\r\\n"; my @lines = <$s>; print $lines[-1]'
"""
PSQL = "psql -h /tmp -U postgres -qtAc"
CLI = "redis-cli -s /tmp/redis.sock"


class Service(NamedTuple):
    """Scripts of a shell: what serves, what writes once, and what reads, with what that prints. `user` is the image's."""

    user: str
    serve: str
    write: str
    read: str
    shown: str


SERVICES = {
    "postgres": Service(
        "postgres",
        POSTGRES,
        f"{PSQL} 'create table t as select generate_series(1, 1000) a'",
        f"{PSQL} 'select sum(a) from t'",
        "500500\n",
    ),
    "redis": Service("redis", REDIS, f"{CLI} set key value", f"{CLI} get key", "value\n"),
    "nginx": Service("www-data", NGINX, "echo page > /data/page", GET, "page\n"),
}


@pytest.fixture(scope="module")
def accounts(services_image: Path) -> Iterator[tuple[Rootless, OtherAccount]]:
    """This account and one without subordinate ids, each with a store that has the image."""
    directory = short_directory()
    here, there = Rootless(directory / "data", directory / "run"), OtherAccount()
    try:
        for engine in (here, there):
            engine("import", services_image, "services", timeout=300).ok()
        yield here, there
    finally:
        there.end()
        here.remove_containers()
        remove_tree(directory)


def start(engine: Engine, service: Service, user: tuple[str, ...]) -> None:
    engine(
        *("run", "-d", "--name", "srv", "--network", "none", *user, "-v", "data:/data"),
        *("services", "sh", "-c", service.serve),
    ).ok()


def wait_for(engine: Engine, service: Service, *, written: bool = True) -> None:
    """Until it answers; before anything is written, whatever it answers."""
    probe = service.read if written else service.read.replace("sum(a) from t", "1")

    def answers() -> bool:
        done = engine("exec", "srv", "sh", "-c", probe)
        return done.stdout == service.shown if written else done.status == 0 and done.stdout != ""

    wait_until(answers)


def moved(source: Engine, target: Engine, archive: Path) -> None:
    """Stop the service and give its volume to another account."""
    source("stop", "-t", "30", "srv").ok()
    source("volume", "export", "-o", archive, "data").ok()
    source("rm", "srv").ok()
    source("volume", "rm", "data").ok()
    target("volume", "create", "data").ok()
    target("volume", "import", "data", archive).ok()


@pytest.mark.parametrize("own", [False, True], ids=["root", "own-user"])
@pytest.mark.parametrize("name", SERVICES)
def test_service_is_moved_to_another_account_and_back(accounts, name: str, own: bool) -> None:
    here, there = accounts
    service = SERVICES[name]
    directory = short_directory()
    directory.chmod(0o777)
    archive, back = directory / "there.tar", directory / "back.tar"
    ids = here("run", "--rm", "services", "sh", "-c", f"id -u {service.user}; id -g {service.user}")
    uid, gid = ids.ok().stdout.split()
    several = ("-u", service.user) if own else ()
    # PostgreSQL does not run as root; with one id it is its own user from the start.
    as_user = own or name == "postgres"
    only = ("--userns", f"keep-id:uid={uid},gid={gid}") if as_user else ()
    try:
        if own:
            give = ("-v", "data:/data", "services", "chown", f"{uid}:{gid}", "/data")
            here("run", "--rm", *give).ok()
        start(here, service, several)
        wait_for(here, service, written=False)
        here("exec", "srv", "sh", "-c", service.write).ok()
        here("restart", "-t", "30", "srv").ok()
        wait_for(here, service)
        here("cp", "srv:/data", directory / "backup").ok()
        assert any((directory / "backup").iterdir())
        moved(here, there, archive)
        start(there, service, only)
        wait_for(there, service)
        there("restart", "-t", "30", "srv").ok()
        wait_for(there, service)
        moved(there, here, back)
        start(here, service, several)
        wait_for(here, service)
    finally:
        for engine in (here, there):
            engine("rm", "-f", "srv")
            engine("volume", "rm", "-f", "data")
        remove_tree(directory)
