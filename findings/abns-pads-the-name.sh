#!/usr/bin/env bash
# Who can find HAProxy's abstract socket?
#
# An abstract UNIX address (Linux) is its name's bytes, as many as the caller says: padding counts. systemd (`@name`), curl
# (`--abstract-unix-socket`), socat (`ABSTRACT-CONNECT`) and Python (`"\0name"`) say just as many as the name has.
#
# A good guess: what HAProxy binds with `abns@name` is found by them under `name`.
#
# Seen: HAProxy 2.6.12 fills the address up to its whole 108 bytes with NULs, so that none of the three finds it. Who pads
# alike does: Python with 108 bytes, socat with `unix-tightsocklen=0`. (HAProxy from 3.1 on has `abnsz@` beside it.)
#
#     python  name alone: ConnectionRefusedError     name and 102 NULs: connected
#     curl    exit code 7 (could not connect)
#     socat   refused; with unix-tightsocklen=0 connected
#
# Needs Debian 12 on amd64 or arm64. Exit code 0: as seen; 1: something has changed.

set -euo pipefail
work=$(mktemp -d)
trap 'kill "${haproxy:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
apt-get download -qq -o APT::Sandbox::User=root haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4 \
    socat=1.7.4.4-2
for package in *.deb; do dpkg-deb -x "$package" root; done
name=finding-$$
cat >haproxy.cfg <<CFG
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
frontend front
    bind abns@$name
    http-request return status 200 content-type text/plain string ok
CFG
LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/usr/sbin/haproxy -db -f haproxy.cfg &
haproxy=$!
for _ in $(seq 100); do
    grep -q "@$name" /proc/net/unix && break
    sleep 0.1
done

bad=0
# expect WHAT SEEN WANTED
expect() {
    printf '%-42s %s\n' "$1" "$2"
    [[ $2 == "$3" ]] || { echo "  CHANGED: it was $3"; bad=1; }
}
try_python() {
    python3 - "$1" "$2" <<'PY'
import socket, sys
address = b"\0" + sys.argv[1].encode()
if sys.argv[2] == "padded":
    address = address.ljust(108, b"\0")
with socket.socket(socket.AF_UNIX) as sock:
    try:
        sock.connect(address)
    except OSError as error:
        print(type(error).__name__)
    else:
        print("connected")
PY
}
expect "python, the name" "$(try_python "$name" exact)" ConnectionRefusedError
expect "python, padded to 108 bytes" "$(try_python "$name" padded)" connected
if command -v curl >/dev/null; then
    code=0
    curl -s -m 5 --abstract-unix-socket "$name" http://localhost/ >/dev/null || code=$?
    expect "curl --abstract-unix-socket, exit code" "$code" 7
fi
GET=$'GET / HTTP/1.0\r\n\r\n'
tight=$(printf '%s' "$GET" | root/usr/bin/socat -t 3 - "ABSTRACT-CONNECT:$name" 2>/dev/null | tail -n 1 || true)
expect "socat ABSTRACT-CONNECT" "${tight:-refused}" refused
padded=$(printf '%s' "$GET" | root/usr/bin/socat -t 3 - "ABSTRACT-CONNECT:$name,unix-tightsocklen=0" 2>/dev/null | tail -n 1)
expect "socat with unix-tightsocklen=0" "${padded:-refused}" ok
exit "$bad"
