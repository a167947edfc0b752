#!/usr/bin/env bash
# Does a reader that waits on a stream get every entry that is added to it?
#
# XREAD with BLOCK waits for entries behind an id. A good guess: each XADD that gives an id back wakes the readers that
# wait, with that entry; and a reply names no stream without an entry.
#
# Seen, with redis 7.0.15 (Debian 12): Redis looks at the stream for those that wait when the command is over, and as
# the stream is then.
#
#     XADD s MAXLEN 0 * n 1                    -> an id, and the reader gets [["s", []]]: a stream without an entry
#     a script with three XADD s MAXLEN 1      -> the reader gets the third alone; nothing says that two were before it
#     the same three as commands of their own  -> the reader gets the first at once
#
# So a reader that takes the reply's first entry of each stream for granted fails on the first; and where a stream is
# kept short, a script or a transaction that adds several entries loses those for the readers that are the quickest. What
# helps is to number the entries, since ids have holes anyway.
# Source: the server's own replies.
#
# Needs amd64 Debian 12. Exit code 0: as seen; 1: something has changed.

set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
python3 -m venv v
v/bin/pip install -q redis==8.1.0
apt-get download -qq -o APT::Sandbox::User=root redis-tools=5:7.0.15-1~deb12u10 libjemalloc2=5.3.0-1 liblzf1=3.6-3
for package in *.deb; do dpkg-deb -x "$package" root; done

cat >look.py <<'PY'
import glob, os, subprocess, sys, threading, time

import redis

libraries = {os.path.dirname(path) for path in glob.glob("root/usr/lib/**/*.so*", recursive=True)}
server = subprocess.Popen(
    ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", ""],
    executable="root/usr/bin/redis-check-rdb",
    env={**os.environ, "LD_LIBRARY_PATH": ":".join(map(os.path.abspath, libraries))},
    stdout=subprocess.DEVNULL,
)
try:
    until = time.monotonic() + 10
    while not os.path.exists("redis.sock") and time.monotonic() < until:
        time.sleep(0.05)
    ours = redis.Redis(unix_socket_path="redis.sock", decode_responses=True)

    def heard(add):
        """What a reader gets that waits while `add` is done."""
        found = []
        theirs = redis.Redis(unix_socket_path="redis.sock", decode_responses=True, protocol=2)
        theirs.response_callbacks.clear()  # as Redis says it
        wait = ("XREAD", "BLOCK", 5000, "STREAMS", "s", "$")
        reader = threading.Thread(target=lambda: found.extend(theirs.execute_command(*wait)))
        reader.start()
        until = time.monotonic() + 5
        while ours.info("clients")["blocked_clients"] == 0 and time.monotonic() < until:
            time.sleep(0.01)
        add()
        reader.join()
        return [[name, [fields[1] for _, fields in entries]] for name, entries in found]

    script = "for n = 1, 3 do redis.call('XADD', 's', 'MAXLEN', 1, '*', 'n', n) end"
    seen = [
        heard(lambda: ours.execute_command("XADD", "s", "MAXLEN", 0, "*", "n", 1)),
        heard(lambda: ours.eval(script, 0)),
        heard(lambda: [ours.execute_command("XADD", "s", "MAXLEN", 1, "*", "n", n) for n in (1, 2, 3)]),
    ]
    print(ours.info("server")["redis_version"], seen)
    sys.exit(seen != [[["s", []]], [["s", ["3"]]], [["s", ["1"]]]])
finally:
    server.terminate()
    server.wait()
PY
v/bin/python look.py
