"""What is said about a peer that speaks another protocol: which listener, or what else, does it want?

The guess is `protocol.foreign`'s. Not here: how often it is said (`libserver.notices`).
"""

from __future__ import annotations

from protocol.foreign import BARE_JSON, HTTP_REPLY, HTTP_REQUEST, PROXY, TEXT, TLS

__all__ = ["advice_for"]

_NO_HTTP = "this listener speaks messages (docs/look-up/wire.md), not HTTP: check the port, or write a client"

_ADVICE = {
    HTTP_REQUEST: _NO_HTTP,
    HTTP_REPLY: _NO_HTTP,
    TLS: "there is no listener for TLS: let a proxy in front end it, or connect without",
    PROXY: "there is no listener for it: switch it off where it is sent (HAProxy: send-proxy, nginx: proxy_protocol)",
    TEXT: "what echoes raw bytes is --listen echo://HOST:PORT",
    BARE_JSON: "a message has a prefix and a header in front of its content (docs/look-up/wire.md)",
}


def advice_for(looks_like: str) -> str:
    """What to do, in a few words."""
    return _ADVICE.get(looks_like, "this listener speaks messages (docs/look-up/wire.md): check the port")
