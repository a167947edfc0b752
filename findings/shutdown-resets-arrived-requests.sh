#!/usr/bin/env bash
# Does a graceful shutdown answer the requests that arrived before the signal?
#
# Each server has answered once on a kept-alive connection. Then it is suspended; a second whole request arrives on that
# connection, and a first one on a new connection; then comes SIGTERM, and the server goes on. Both requests are older
# than the signal, whole, and in the kernel. A good guess: both are answered (nginx 1.22 and HAProxy 2.6 do).
#
# Seen (Python 3.11, Linux 6, five tries each):
#
#     waitress 3.0.2            kept-alive RESET             new RESET
#     cheroot 11.1.2            kept-alive EOF or RESET      new RESET
#     granian 2.8.9             kept-alive answered          new answered
#     gunicorn 27.0.1 gthread   kept-alive answered          new answered
#
# (uvicorn 0.54.0 resets or answers both, by chance: it is not tried here.)
#
# cheroot is stopped by its `stop()`, which its documentation gives for that; the others by their own SIGTERM.
# Exit code 0: as seen; 1: something has changed.

set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q waitress==3.0.2 cheroot==11.1.2 \
    granian==2.8.9 gunicorn==27.0.1
cd "$work"

cat >app.py <<'PY'
async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
PY
cat >with_cheroot.py <<'PY'
import signal, sys
from cheroot.wsgi import Server
from app import wsgi

server = Server(("127.0.0.1", int(sys.argv[1])), wsgi)


def end(number, frame):
    raise SystemExit


signal.signal(signal.SIGTERM, end)
try:
    server.start()
except SystemExit:
    server.stop()
PY
cat >with_waitress.py <<'PY'
import sys
from waitress import serve
from app import wsgi

serve(wsgi, host="127.0.0.1", port=int(sys.argv[1]), _quiet=True)
PY
cat >look.py <<'PY'
import os, signal, socket, subprocess, sys, time

BIN = os.path.join(os.path.dirname(sys.executable), "")
#: The command, and what may become of the request on the kept-alive connection and of the one on the new.
SERVERS = {
    "waitress": ([sys.executable, "with_waitress.py"], {"RESET"}, {"RESET"}),
    "cheroot": ([sys.executable, "with_cheroot.py"], {"EOF", "RESET"}, {"RESET"}),
    "granian": ([BIN + "granian", "--interface", "asgi", "--no-log", "app:asgi", "--port"], {"answered"}, {"answered"}),
    "gunicorn": ([BIN + "gunicorn", "-k", "gthread", "--threads", "2", "app:wsgi", "-b"], {"answered"}, {"answered"}),
}
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
TRIES = 5


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def connect(port, patience=20.0):
    until = time.monotonic() + patience
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port), 5)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            sock.settimeout(20)
            return sock


def outcome(sock):
    read = b""
    try:
        while not read.endswith(b"ok"):
            piece = sock.recv(65536)
            if not piece:
                return "EOF"
            read += piece
    except ConnectionResetError:
        return "RESET"
    except TimeoutError:
        return "SILENT"
    return "answered"


def family(pid):
    """The server's processes: it leads a session of its own."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid:
            found.append(int(name))
    return found


def attempt(command):
    port = free_port()
    where = f"127.0.0.1:{port}" if command[-1] == "-b" else str(port)
    server = subprocess.Popen(
        [*command, where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        kept = connect(port)
        kept.sendall(GET)
        assert outcome(kept) == "answered"
        processes = family(server.pid)
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        kept.sendall(GET)
        new = connect(port)
        new.sendall(GET)
        time.sleep(0.2)
        os.kill(server.pid, signal.SIGTERM)
        for process in processes:
            os.kill(process, signal.SIGCONT)
        return outcome(kept), outcome(new)
    finally:
        for process in family(server.pid):
            os.kill(process, signal.SIGKILL)
        server.wait()


changed = False
for name, (command, kept_expected, new_expected) in SERVERS.items():
    kept, new = (set(outcomes) for outcomes in zip(*(attempt(command) for _ in range(TRIES))))
    as_before = kept <= kept_expected and new <= new_expected
    changed |= not as_before
    print(f"{name:10} kept-alive {'/'.join(sorted(kept)):16} new {'/'.join(sorted(new)):10}{'' if as_before else ' CHANGED'}")
sys.exit(changed)
PY
"$work/v/bin/python" look.py
