"""Does a restart lose a request?

`python -m benchmarks restart` keeps two servers under load and restarts one of them, then the other,
again and again. Nothing is tried again that may have been carried out, so that a loss is seen.

    served      app_server.py that keeps books: which connections it accepted, which requests it carried out
    pair        two of them, restarted in turn
    proxy       HAProxy in front of them
    namespace   a network of its own, with a kernel that hands the accept queue on
    clients     keep-alive, pipelined and one-shot traffic
    books       the lost requests, and which side lost each (pure)
    run         one setting, from the start to the books
    command     arguments, progress, the table

Not here: handing the listening sockets over to a successor, which the server can't do yet.
"""
