"""PROCESS: which processes take part in a run, and how do they end?

Several generators (`process.workers`), a server of our own (`process.child`), and what signals do (`process.signals`).

A script is started from this directory (`process.child_main`), and Python looks for modules beside a script first: no
module here may have the name of one of the standard library's.
"""
