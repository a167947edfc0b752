"""Does the loop live on whatever a system call fails with? `python -m suites.faults`."""
