"""Does the server do what a small model says that it does? `python -m suites.model`; needs hypothesis."""
