"""Which text encodings may a content be in, and what decodes them?

Every text codec Python has, except those whose decoding is not a matter of text (idna, punycode,
unicode_escape, raw_unicode_escape), or is ambiguous (utf-7), or is no codec at all (undefined).
Names are looked up in a table made once: `codecs.lookup` remembers each spelling it is asked for and
looks for a module of each name it doesn't know, so a peer could make it grow and search the disk.

The table takes some milliseconds and a look at the disk, so it is made when this module is imported:
by a server at its start, by a client when the first reply is not in UTF-8.

Not here: UTF-8, which nearly everything is in (`protocol.content`).
"""

from __future__ import annotations

import codecs
import encodings
import pkgutil
from collections.abc import Callable
from encodings.aliases import aliases

from .errors import UnsupportedEncoding

__all__ = ["Decode", "other_codec"]

#: What a codec has for bytes: `(data, errors) -> (text, bytes taken)`.
Decode = Callable[[bytes | bytearray, str], tuple[str, int]]

_NOT_TEXT = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf_7"}
_NOT_CODECS = {"aliases"}

_MODULES = {m.name for m in pkgutil.iter_modules(encodings.__path__)} - _NOT_TEXT - _NOT_CODECS
_ALIASES = {alias: module for alias, module in aliases.items() if module in _MODULES}
_SPELLINGS = {name: name for name in _MODULES} | _ALIASES
_LONGEST_SPELLING = 64

_decoders: dict[str, Decode | None] = {}  # by module: bounded by _MODULES


def _module_of(name: str) -> str | None:
    """The codec module behind a spelling, normalised as Python's own lookup does."""
    spelling = encodings.normalize_encoding(name).lower()
    return _SPELLINGS.get(spelling) or _ALIASES.get(spelling.replace(".", "_"))


def other_codec(name: object) -> Decode:
    """The decoder of a text encoding.

    Raises `UnsupportedEncoding` for a non-string, a NUL, an unknown name, and for codecs that
    are not from bytes to text.
    """
    if not isinstance(name, str):
        raise UnsupportedEncoding("content-encoding must be the name of a text encoding, as a string")
    module = None
    if len(name) <= _LONGEST_SPELLING and "\0" not in name:
        module = _module_of(name)
    if module is not None:
        try:
            decode = _decoders[module]
        except KeyError:
            decode = _decoders[module] = _load(module)
        if decode is not None:
            return decode
    shown = ascii(name[:_LONGEST_SPELLING])
    raise UnsupportedEncoding(f"content-encoding {shown} is not a text encoding known here; use utf-8")


def _load(module: str) -> Decode | None:
    try:
        info = codecs.lookup(module)
    except LookupError:  # a codec of another operating system, such as mbcs
        return None
    decode: Decode = info.decode
    return decode if getattr(info, "_is_text_encoding", True) else None
