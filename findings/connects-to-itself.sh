#!/usr/bin/env bash
# Does a client notice that nobody listens?
#
# TCP has "simultaneous open": who connects to a free port of its own machine, and is given that same port as its source
# port, is connected to itself. It needs a target port in the ephemeral range (32768 to 60999 on Linux, where many
# services live: etcd, Kubernetes node ports, test servers), no listener, and one chance in 28,000 per try. Here the
# range is one port wide, in a network namespace of its own, so that the chance is one in one.
#
# A good guess: a client that gets back what it has sent raises a protocol error, and a health check says "down".
#
# Seen: redis-py 8.1.0 reads its command back as the reply, since RESP writes both in the same way:
#
#     get("x")      -> AttributeError: 'list' object has no attribute 'get' (of the greeting, at the first command only)
#     set("x", "1") -> False
#     exists("x")   -> [b'EXISTS', b'x']
#     incr("n")     -> [b'INCRBY', b'n', b'1']
#
# HAProxy 2.6.12 with `check` says of a server that does not exist: UP, L4OK.
#
# Needs the right to make a network namespace (root, or unprivileged user namespaces), and amd64 or arm64 Debian 12.
# Exit code 0: as seen; 1: something has changed.

set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
python3 -m venv v
v/bin/pip install -q redis==8.1.0
apt-get download -qq -o APT::Sandbox::User=root haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4
for package in *.deb; do dpkg-deb -x "$package" root; done

cat >haproxy.cfg <<CFG
global
    stats socket $work/admin
defaults
    mode tcp
    timeout client 5s
    timeout connect 5s
    timeout server 5s
listen front
    bind 127.0.0.1:2000
    server nobody 127.0.0.1:40000 check inter 200ms fall 1 rise 1
CFG
cat >look.py <<'PY'
import socket, subprocess, sys, time

import redis

haproxy = subprocess.Popen(["root/usr/sbin/haproxy", "-db", "-f", "haproxy.cfg"])
status = ""
try:
    until = time.monotonic() + 10
    while time.monotonic() < until and status not in ("UP,L4OK", "DOWN,L4CON"):
        time.sleep(0.5)
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect("admin")
            admin.sendall(b"show stat\n")
            lines = admin.makefile().read().splitlines()
        names = lines[0].lstrip("# ").split(",")
        row = next(line.split(",") for line in lines if line.startswith("front,nobody,"))
        fields = dict(zip(names, row))
        status = f"{fields['status']},{fields['check_status'].lstrip('* ')}"
finally:
    haproxy.kill()
    haproxy.wait()
print("haproxy:", status)

FIRST = """AttributeError("'list' object has no attribute 'get'")"""
EXPECTED = [FIRST, False, [b"EXISTS", b"x"], [b"INCRBY", b"n", b"1"]]
client = redis.Redis(port=40000, socket_timeout=3, retry=None)
asked = [lambda: client.get("x"), lambda: client.set("x", "1"), lambda: client.exists("x"), lambda: client.incr("n")]
seen = []
for ask in asked:
    try:
        seen.append(ask())
    except (redis.RedisError, AttributeError) as error:
        seen.append(repr(error))
print("redis-py:", seen)
client.close()
sys.exit(not (seen == EXPECTED and status == "UP,L4OK"))
PY
library=$(echo "$work"/root/usr/lib/*-linux-gnu)
unshare --map-root-user --net bash -euc "
    ip link set lo up
    echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range
    LD_LIBRARY_PATH=$library v/bin/python look.py"
