"""PROCESS: which processes take part in a run, and how do they end?

Several generators (`process.workers`), a server of our own (`process.child`), and what signals do (`process.signals`).

A script is started from this directory (`process.guarded`), and Python looks beside a script first: no module here may
have the name of one of the standard library's.
"""
