"""STUDY: what can be seen of the state machines. Imports `protocol` and nothing else of the project.

Today: `study.pages`, the state tables as a page of the docs. The library packages know nothing of
what is here beyond `protocol.states.Observer`.
"""
