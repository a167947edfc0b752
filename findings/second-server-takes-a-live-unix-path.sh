#!/usr/bin/env bash
# What happens when a second server is started on the UNIX path of one that runs?
#
# On a TCP port the second is refused: the address is in use. A good guess: on a UNIX path too, since the file of the first
# is there and somebody listens on it.
#
# Seen (Linux 6, Python 3.11): of seven servers only granian refuses. The others remove the running server's file without
# asking whether anybody listens, and bind anew: the first goes on running and nobody reaches it any more. With gunicorn,
# the first then removes the second's file when it ends, so that neither is reached.
#
#     uvicorn 0.54.0      takes the path; when the first has ended the second is reached
#     hypercorn 0.18.0    takes the path; when the first has ended the second is reached
#     aiohttp 3.14.5      takes the path; when the first has ended the second is reached
#     waitress 3.0.2      takes the path; when the first has ended the second is reached
#     sanic 25.12.1       takes the path; when the first has ended the second is reached
#     gunicorn 27.0.1     takes the path; when the first has ended the file is gone, and the second runs unreached
#     granian 2.8.9       the second is refused
#
# Exit code 0: as seen; 1: something has changed.

set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q uvicorn==0.54.0 waitress==3.0.2 hypercorn==0.18.0 aiohttp==3.14.5 granian==2.8.9 \
    gunicorn==27.0.1 sanic==25.12.1
cd "$work"

cat >app.py <<'PY'
from sanic import Sanic, text

sanic = Sanic("demo")


@sanic.get("/")
async def handle(request):
    return text("ok")


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})


def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
PY
cat >look.py <<'PY'
import os, signal, socket, subprocess, sys, time

BIN = os.path.join(os.path.dirname(sys.executable), "")
AIOHTTP = "from aiohttp import web; import sys; web.run_app(web.Application(), path=sys.argv[1], print=None)"
TAKEN, REMOVED, REFUSED = "taken, second reached", "taken, then removed", "refused"
SERVERS = {
    "uvicorn": ([BIN + "uvicorn", "app:asgi", "--log-level", "critical", "--uds", "PATH"], TAKEN),
    "hypercorn": ([BIN + "hypercorn", "app:asgi", "-b", "unix:PATH"], TAKEN),
    "aiohttp": ([sys.executable, "-c", AIOHTTP, "PATH"], TAKEN),
    "waitress": ([BIN + "waitress-serve", "--unix-socket=PATH", "app:wsgi"], TAKEN),
    "sanic": ([BIN + "sanic", "app:sanic", "--single-process", "--no-motd", "--unix", "PATH"], TAKEN),
    "gunicorn": ([BIN + "gunicorn", "-b", "unix:PATH", "app:wsgi"], REMOVED),
    "granian": ([BIN + "granian", "--interface", "asgi", "app:asgi", "--uds", "PATH"], REFUSED),
}


def reached(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(2)
        try:
            sock.connect(path)
        except OSError:
            return False
        return True


def file_of(path):
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def wait_for(fact, seconds=20.0):
    until = time.monotonic() + seconds
    while not fact() and time.monotonic() < until:
        time.sleep(0.05)


def look(name, command):
    path = os.path.abspath(f"{name}.sock")

    def start():
        words = [word.replace("PATH", path) for word in command]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    servers = [start()]
    try:
        wait_for(lambda: reached(path))
        first_file = file_of(path)
        servers.append(start())
        first, second = servers
        wait_for(lambda: second.poll() is not None or file_of(path) not in (first_file, None) and reached(path))
        if second.poll() is not None:
            return REFUSED
        first.send_signal(signal.SIGTERM)
        first.wait(30)
        assert second.poll() is None
        return TAKEN if reached(path) else REMOVED
    finally:
        for server in servers:
            try:
                os.killpg(server.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            server.wait()


changed = False
for name, (command, expected) in SERVERS.items():
    seen = look(name, command)
    changed |= seen != expected
    print(f"{name:10} {seen}{'' if seen == expected else f'  CHANGED, it was: {expected}'}")
sys.exit(changed)
PY
"$work/v/bin/python" look.py
