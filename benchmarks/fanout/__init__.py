"""How fast does one message reach many subscribers, and what does one that does not read cost?

`python -m benchmarks fanout` visits our server and others that do the same in turn: a server on one core, the publisher
and all subscribers on the other. Every subscriber must get every message once and in order.

    driver.c    publisher and subscribers; protocols.h: what each server wants to hear
    servers     what is visited: how each is started, and why it can't be
    peers       the servers among them that are written here
    drive       one visit
    rounds      all visits, in turn
    stalled     what subscribers that do not read change for the others
    waiting     what the server holds for them
    report      the tables
    command     arguments, progress

Not here: that the promise of topics holds in every order of events (`suites.simulation`).
"""
