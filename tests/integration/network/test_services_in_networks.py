"""nginx, PostgreSQL and Redis in networks, as their users run them: found by name, over IPv4 and IPv6, from other containers
and through published ports.
"""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.networked import network_in, store_with
from tests.support.rootless import Rootless
from tests.support.traffic import ROOT
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns"),
    pytest.mark.slow,
]

GATEWAY = "10.77.0.1"
FETCH = r"""
import socket, sys, urllib.request
family = {"4": socket.AF_INET, "6": socket.AF_INET6}[sys.argv[1]]
address = socket.getaddrinfo(sys.argv[2], 80, family)[0][4][0]
request = urllib.request.Request(f"http://{'[' + address + ']' if family == socket.AF_INET6 else address}{sys.argv[3]}")
request.add_header("Host", sys.argv[2])
print(urllib.request.urlopen(request, timeout=60).read().decode(), end="")
"""
APPLICATION = r"""
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.headers['X-Real-IP']} asked for {self.path}\n".encode())

http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
NGINX = """
daemon off; pid /tmp/nginx.pid; error_log stderr; events {}
http {
    access_log off;
    server {
        listen 80; listen [::]:80;
        root /srv/site;
        location /app/ {
            resolver GATEWAY ipv6=off;
            set $application app;
            proxy_pass http://$application:8000;
            proxy_set_header X-Real-IP $remote_addr;
        }
    }
}
""".replace("GATEWAY", GATEWAY)
POSTGRES = """
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
mkdir -p /tmp/pg && chown postgres /tmp/pg
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
[ -e /tmp/pg/data ] || as "$bin/initdb" -N -A trust -D /tmp/pg/data >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
echo "host all all 10.77.0.0/24 trust" >> /tmp/pg/data/pg_hba.conf
echo "host all all fd00:77::/64 trust" >> /tmp/pg/data/pg_hba.conf
exec setpriv --reuid=postgres --regid=postgres --clear-groups "$bin/postgres" -F -D /tmp/pg/data -k /tmp -h '*'
"""


@pytest.fixture(scope="module")
def engine(services_image: Path) -> Iterator[Rootless]:
    with store_with(services_image, "services") as engine:
        yield engine


@pytest.fixture
def services(engine: Rootless) -> Iterator[Rootless]:
    with network_in(engine):
        yield engine


def start(engine: Rootless, name: str, *arguments: str) -> None:
    engine("run", "-d", "--name", name, "--network", "net", *arguments).ok()


def run(engine: Rootless, *arguments: str) -> str:
    return engine("run", "--rm", "--network", "net", *arguments).ok().stdout


def published(engine: Rootless, name: str) -> list[str]:
    """ADDRESS:PORT of each published port."""
    lines = engine("port", name).ok().stdout.splitlines()
    return [line.partition(" -> ")[2] for line in lines]


def test_nginx_serves_and_passes_requests_on(services: Rootless, tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(NGINX)
    (tmp_path / "site").mkdir()
    page = "".join(f"line {number}\n" for number in range(200_000))
    (tmp_path / "site/index.html").write_text(page)
    for each in (tmp_path, tmp_path / "site"):
        each.chmod(0o755)
    volumes = ("-v", f"{tmp_path}/nginx.conf:/etc/nginx/nginx.conf:ro")
    volumes += ("-v", f"{tmp_path}/site:/srv/site:ro")
    start(services, "app", *ROOT, "python3", "-c", APPLICATION)
    ports = ("-p", "127.0.0.1::80", "-p", "[::1]::80")
    start(services, "web", *volumes, *ports, "services", "nginx")
    addresses = published(services, "web")
    assert len(addresses) == 2

    def fetched(address: str, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    wait_until(lambda: fetched(addresses[0], "/"))
    wait_until(lambda: fetched(addresses[0], "/app/"))
    for address, client in zip(addresses, (GATEWAY, "fd00:77::1"), strict=True):
        assert fetched(address, "/") == page
        assert fetched(address, "/app/x") == f"{client} asked for /app/x\n"
        if shutil.which("curl"):
            command = ["curl", "-sSfg", "--max-time", "20", f"http://{address}/app/curl"]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
            assert done.stdout == f"{client} asked for /app/curl\n"
    for family, client in (("4", "10.77.0.4"), ("6", "fd00:77::4")):
        assert run(services, *ROOT, "python3", "-c", FETCH, family, "web", "/") == page
        shown = run(services, *ROOT, "python3", "-c", FETCH, family, "web", "/app/y")
        assert shown == f"{client} asked for /app/y\n"
        if shutil.which("curl"):
            command_line = (
                "curl",
                f"-{family}",
                "-sSf",
                "--max-time",
                "20",
                "http://web.net/app/z",
            )
            assert run(services, *ROOT, *command_line) == f"{client} asked for /app/z\n"


@pytest.mark.needs("subuid")
def test_postgres_is_used_by_name_and_through_a_port(services: Rootless) -> None:
    start(services, "db", "-p", "127.0.0.1::5432", "services", "sh", "-c", POSTGRES)
    local = ("psql", "-h", "/tmp", "-U", "postgres", "-qtAc")
    wait_until(lambda: services("exec", "db", *local, "select 1").status == 0)

    def sql(text: str, host: str = "db") -> str:
        psql = ("psql", "-h", host, "-U", "postgres", "-qtAc", text)
        return run(services, "services", *psql).strip()

    sql("create table t (a int, b text)")
    sql("insert into t select n, repeat('x', 1000) from generate_series(1, 20000) n")
    assert sql("select count(*), sum(a), sum(length(b)) from t") == "20000|200010000|20000000"
    assert sql("select inet_client_addr()", "10.77.0.2") == "10.77.0.3"
    assert sql("select inet_client_addr()", "fd00:77::2") == "fd00:77::3"
    rows = run(services, "services", "psql", "-h", "db", "-U", "postgres", "-qtAc", "table t")
    assert len(rows) == sum(len(f"{number}|\n") + 1000 for number in range(1, 20001))
    if shutil.which("psql"):
        host, _, port = published(services, "db")[0].rpartition(":")
        command = ["psql", "-h", host, "-p", port, "-U", "postgres", "-qtAc"]
        command.append("select inet_client_addr()")
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.strip() == GATEWAY


def test_redis_replicates_and_goes_on_after_a_restart(services: Rootless) -> None:
    server = ("services", "redis-server", "--protected-mode", "no", "--bind", "*", "-::*")
    server += ("--dir", "/tmp", "--appendonly", "yes", "--repl-diskless-sync-delay", "0")
    start(services, "primary", *server)
    start(services, "replica", *server, "--replicaof", "primary", "6379")

    def redis(host: str, *words: str) -> str:
        return services("exec", host, "redis-cli", *words).stdout.strip()

    def is_linked() -> bool:
        return "master_link_status:up" in redis("replica", "info", "replication")

    wait_until(is_linked)
    fill = "for i = 1, 10000 do redis.call('set', 'key' .. i, string.rep('v', 1000)) end"
    services("exec", "primary", "redis-cli", "eval", fill, "0").ok()
    wait_until(lambda: redis("replica", "dbsize") == "10000")
    assert redis("primary", "wait", "1", "10000") == "1"
    # Another client finds both by name.
    client = ("services", "redis-cli", "-h", "replica", "get", "key10000")
    assert run(services, *client) == "v" * 1000 + "\n"
    shown = redis("primary", "info", "replication")
    assert "ip=fd00:77::3,port=6379,state=online" in shown
    # The replica comes back to its primary, also where that has another address now.
    services("stop", "primary").ok()
    start(services, "between", *ROOT, "sleep", "1000")
    services("start", "primary").ok()
    wait_until(is_linked)
    services("exec", "primary", "redis-cli", "set", "after", "restart").ok()
    wait_until(lambda: redis("replica", "get", "after") == "restart")
