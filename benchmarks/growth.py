"""Does our load tester's memory grow with the run?

    python -m benchmarks growth                         a minute, 64 connections
    python -m benchmarks growth --seconds 600 --connections 1000 --rate 5000

`app_client.py load` loads the bundled server and writes its files (`-o`, into a directory that goes with the
run), while its resident memory (VmRSS) is read twenty times. What counts is the second half: in the first one
the histograms take up the slots that latencies hit, fewer and fewer that were not hit before. A list of latencies
would take eight bytes and more for each of hundreds of thousands of replies, in the second half as in the first.

Ctrl-C ends the run early and tells what there is. Exit codes: 0 it is flat, 1 its second half grew by more than
`FLAT` (or the run failed), 130 interrupted.

Not here: the server's memory (`benchmarks.memory`), the report's page, which is drawn after the run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.arguments import at_least, duration
from benchmarks.environment import environment
from benchmarks.processes import ROOT, resident_bytes

__all__ = ["FLAT", "main"]

CLIENT = ROOT / "app_client.py"

READINGS = 20
#: The load tester's default: so many connections a second are opened before anything is measured.
CONNECT_RATE = 1000
#: Seconds of the load tester's warm-up: caches, prepared requests, the first intervals.
WARM_UP = 1.0
#: Bytes that are no growth. A histogram has 33,792 slots at most, some three megabytes, and is far from having met them
#: all after a minute. Eight bytes for each reply would be as much in a few seconds.
FLAT = 512 * 1024


def watch(process: subprocess.Popen[str], settled: float, seconds: float) -> list[tuple[float, int]]:
    """Readings (seconds since now, bytes) while it runs, from `settled` on, told as they come. Ctrl-C ends it early."""
    began = time.monotonic()
    readings: list[tuple[float, int]] = []
    try:
        for number in range(1, READINGS + 1):
            # The last one is well before the end, when the page is drawn.
            at = settled + seconds * number / (READINGS + 1)
            time.sleep(max(0.0, began + at - time.monotonic()))
            if process.poll() is not None:
                break
            readings.append((time.monotonic() - began, resident_bytes(process.pid)))
            print(f"{readings[-1][0]:8.1f} s {readings[-1][1] / 2**20:8.2f} MiB", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        pass  # the terminal sent it to the load tester, too, which now tells its part
    return readings


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks growth", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--seconds", type=duration, default=60.0, metavar="S", help="measured (60)")
    add("--connections", type=at_least(1), default=64, metavar="N", help="simultaneous ones (64)")
    add("--rate", type=duration, metavar="R", help="requests per second, the open model (none: closed)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="multiconn-benchmarks-") as directory:
        command = [sys.executable, str(CLIENT), "load", "-c", str(options.connections), "-d", f"{options.seconds}s"]
        command += ["--warmup", f"{WARM_UP}s", "--json", "--ui", "none", "-o", directory]
        command += [] if options.rate is None else ["-r", f"{options.rate:g}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            readings = watch(process, WARM_UP + options.connections / CONNECT_RATE, options.seconds)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    if process.returncode == 130 and not out.strip():
        print("benchmarks: interrupted before the load tester had anything to tell", file=sys.stderr)
        return 130
    if process.returncode not in (0, 130):
        print(f"benchmarks: the load tester ended with exit code {process.returncode}", file=sys.stderr)
        return 1
    return _told(json.loads(out), readings, process.returncode)


def _told(summary: dict[str, Any], readings: list[tuple[float, int]], code: int) -> int:
    where = [f"{key}: {value}" for key, value in environment().items() if not isinstance(value, (dict, list))]
    print("; ".join(where), file=sys.stderr)
    if len(readings) < 3:
        print("benchmarks: too short to tell: three readings are the least", file=sys.stderr)
        return code or 1
    (_, before), (_, after) = readings[len(readings) // 2], readings[-1]
    told = [f"{size / 2**20:.2f} MiB after {at:.1f} s" for at, size in (readings[0], readings[len(readings) // 2])]
    print(
        f"{', '.join(told)}, {after / 2**20:.2f} MiB after {readings[-1][0]:.1f} s: "
        f"{(after - before) / 1024:+,.0f} KiB in the second half; {summary['accounting']['ok']:,} replies in all, on "
        f"{summary['connections']['peak']:,} connections"
    )
    return code or (1 if after - before > FLAT else 0)
