"""Servers that deliver what is published, each a program: `python -m benchmarks.fanout.peers.NAME HOST PORT`."""
