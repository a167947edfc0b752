"""Does Wireshark itself understand the protocol with our dissector?

With the real `tshark`: on captures exported from a trace, and on traffic really captured on the
loopback interface. Skipped where tshark is missing, or may not capture.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from study.pcap import pcap
from study.trace import CONNECTION, SYSCALL, encode, head, load
from tests.support.wire import message

TSHARK = shutil.which("tshark")
SCRIPT = Path(__file__).resolve().parents[2] / "study" / "multiconn.lua"

pytestmark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")

PORT = 65432


def exported(path: Path, *calls: tuple[str, bytes]) -> Path:
    raw = head("server", 1000.0, "test")
    raw += encode(0, CONNECTION, "1", {"step": 1, "local": f"127.0.0.1:{PORT}", "peer": "127.0.0.1:50000"})
    for number, (direction, data) in enumerate(calls, 1):
        call = {"step": 1, "call": "recv", "direction": direction, "result": len(data), "bytes": data.hex()}
        raw += encode(number, SYSCALL, "1", call)
    path.write_bytes(b"".join(pcap(load(io.BytesIO(raw)))))
    return path


def tshark(*arguments: str | Path) -> str:
    assert TSHARK is not None
    done = subprocess.run(
        [TSHARK, "-X", f"lua_script:{SCRIPT}", *map(str, arguments)], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    assert "Lua Error" not in done.stdout
    return done.stdout


def fields(path: Path, *names: str, port: int = PORT) -> list[list[str]]:
    wanted = [word for name in names for word in ("-e", f"multiconn.{name}")]
    port_is_ours = ("-d", f"tcp.port=={port},multiconn")
    out = tshark("-r", path, *port_is_ours, "-Y", "multiconn", "-T", "fields", "-E", "aggregator=;", *wanted)
    return [line.split("\t") for line in out.splitlines()]


def test_the_fields_of_a_request_and_of_an_error_reply(tmp_path):
    ask = message(
        b'{"action": "nope \\u00e9", "value": [1]}', id="a-1", connection="keep-alive", **{"deadline-ms": 5000}
    )
    error = {"result": "Error", "error": {"code": "unknown-action", "message": "invalid action 'nope'."}}
    reply = message(json.dumps(error).encode(), id=7, connection="close")
    path = exported(tmp_path / "a.pcap", ("in", ask), ("out", reply))
    names = ["content_type", "content_encoding", "id", "connection", "deadline_ms"]
    names += ["action", "error.code", "error.message"]
    assert fields(path, *names) == [
        ["text/json", "utf-8", "a-1", "keep-alive", "5000", "nope é", "", ""],
        ["text/json", "utf-8", "7", "close", "", "", "unknown-action", "invalid action 'nope'."],
    ]
    shown = tshark("-r", path, "-z", "expert", "-q")
    assert "Error reply: unknown-action" in shown
    assert "The last message of this side" in shown


def test_a_message_is_put_together_from_its_segments_and_segments_hold_several(tmp_path):
    first, second = message(b'{"action": "search", "value": "x"}'), message(b"\0" * 9, **{"content-type": "binary/x"})
    stream = first + second + first
    cuts = [stream[i : i + 37] for i in range(0, len(stream), 37)]
    path = exported(tmp_path / "b.pcap", *[("in", cut) for cut in cuts], ("in", first + second))
    found = [entry for line in fields(path, "content_type") for entry in line[0].split(";")]
    assert found == ["text/json", "binary/x", "text/json", "text/json", "binary/x"]


def test_what_is_no_header_is_an_expert_note_and_no_error_of_ours(tmp_path):
    http = b"GET / HTTP/1.1\r\n" + b"x" * 20_000
    for number, raw in enumerate([b"\0\0", http, message(b"")[:2] + b"[" * 200, b"\0\x02[]"]):
        path = exported(tmp_path / f"{number}.pcap", ("in", raw))
        out = tshark("-r", path, "-V")
        assert "multiconn message protocol" in out
        assert "No header that says" in out or "The header is empty" in out


def test_real_traffic_captured_on_loopback(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("capturing needs root here")
    path = tmp_path / "live.pcapng"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert TSHARK is not None
        capture = subprocess.Popen(
            [TSHARK, "-i", "lo", "-f", f"tcp port {port}", "-w", str(path)], stderr=subprocess.PIPE, text=True
        )
        try:
            assert capture.stderr is not None
            line = ""
            while "Capturing on" not in line:
                line = capture.stderr.readline()
                if not line:
                    pytest.skip("tshark may not capture here")
            with socket.create_connection(("127.0.0.1", port)) as client:
                theirs, _ = server.accept()
                with theirs:
                    deadline = time.monotonic() + 30
                    while not (path.exists() and "search" in str(_seen(path, port))):  # it begins when it begins
                        assert time.monotonic() < deadline
                        client.sendall(message(b'{"action": "search", "value": "morpheus"}', id=1))
                        theirs.recv(65536)
                        time.sleep(0.1)
        finally:
            capture.terminate()
            capture.communicate(timeout=20)
    assert fields(path, "action", "id", port=port)[-1] == ["search", "1"]


def _seen(path: Path, port: int) -> list[list[str]]:
    try:
        return fields(path, "action", port=port)
    except AssertionError:  # the file ends in the middle of a packet
        return []
