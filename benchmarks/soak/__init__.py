"""Does the server stay whole for any time, whatever its peers do?

`python -m benchmarks soak --minutes N` starts it as a child and sends it good traffic, each reply
checked: alone at first, then beside peers that trickle, stall, never read, reset, half-close, talk
nonsense, connect and say nothing, or come in crowds. Afterwards nothing of all that may be left.

    settings   how long, how many, and with which limits the server is started
    reading    the replies in a stream of bytes
    good       the good traffic, in a process of its own
    stage      what lets many scripted peers act at once
    scripts    what each kind of bad peer does, and what it is owed all the same
    figures    what was measured, and which promises it keeps (pure)
    run        the phases, one after the other
    command    arguments, progress, the report

Standard library only, and Linux: the server is watched through /proc.
"""
