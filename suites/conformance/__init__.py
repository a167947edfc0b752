"""Does a server or a client speak the wire contract? A suite for third parties: `python -m suites.conformance --help`.

The directory stands alone: standard library only, relative imports only, nothing of the project.
Copy it anywhere and run it by its new name.
"""
