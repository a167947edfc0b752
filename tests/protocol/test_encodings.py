"""Every text encoding Python has and no other."""

from __future__ import annotations

import codecs
import encodings
import json
import pkgutil
import sys

import pytest

from protocol import encodings as table
from protocol.content import decode_json, text_codec
from protocol.errors import UnsupportedEncoding

#: Those wire.md excludes although Python calls them text.
EXCLUDED = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf_7"}


def pythons(name: str) -> codecs.CodecInfo | None:
    """The codec that Python itself finds for a name, if it is one from bytes to text."""
    try:
        info = codecs.lookup(name)
    except LookupError:
        return None
    return info if getattr(info, "_is_text_encoding", True) else None


MODULES = sorted(m.name for m in pkgutil.iter_modules(encodings.__path__) if m.name != "aliases")
TEXT = [name for name in MODULES if name not in EXCLUDED and pythons(name) is not None]
NOT_TEXT = [name for name in MODULES if name not in TEXT]


def test_every_text_codec_python_has_is_accepted():
    value = {"action": "echo", "value": "plain"}
    for name in TEXT:
        data = json.dumps(value).encode(name)
        assert decode_json(data, name) == value, name
        assert decode_json(bytearray(data), name) == value, name


def test_there_are_as_many_as_python_really_has():
    assert len(TEXT) > 90


@pytest.mark.parametrize("name", NOT_TEXT)
def test_every_other_codec_is_refused(name):
    with pytest.raises(UnsupportedEncoding, match="is not a text encoding known here"):
        text_codec(name)


@pytest.mark.parametrize(
    "name",
    [
        *("idna", "punycode", "undefined", "locale", "unicode_escape", "raw_unicode_escape", "utf-7", "UTF7", "u7"),
        *("unicode-escape", "Raw Unicode Escape", "unicode_1_1_utf_7"),
        *("zlib_codec", "zlib", "zip", "rot13", "rot_13", "base64", "hex", "bz2", "quopri", "uu", "uu_codec"),
        *("mbcs", "oem", "aliases", "encodings", "__init__", "_bootlocale"),
        *("", " ", ".", "-", "no-such-codec", "utf-9", "binary", "json", "os", "../utf_8", "encodings.utf_8"),
        *("utf-8\0", "\0", "utf\0-8", "é", "\ud800", "🐶", "utf_8" * 1000, "x" * 65, "utf-8" + " " * 60),
    ],
)
def test_a_name_of_no_text_encoding_is_refused(name):
    with pytest.raises(UnsupportedEncoding) as caught:
        text_codec(name)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 1000  # 64 characters, each an escape at worst


@pytest.mark.parametrize("name", [None, True, 0, 8, 1.5, [], ["utf-8"], (), (("utf-8", 1),), b"utf-8", {}])
def test_an_encoding_that_is_no_string_is_refused(name):
    with pytest.raises(UnsupportedEncoding, match="as a string"):
        text_codec(name)


SPELLINGS = sorted(
    {
        *("utf-8", "UTF-8", "utf8", "UTF 8", "Utf_8", "U8", "utf--8", " utf-8", "utf-8 ", "_utf_8", "utf_8_", "utf8\n"),
        *("latin-1", "Latin 1", "ISO-8859-1", "iso8859_15", "8859", "l1", "L9", "646", "us-ascii", "ANSI_X3.4-1968"),
        *("iso_8859_1.1987", "utf.8", "mac.roman", "cp.437", "utf-16", "UTF-16LE", "utf-8-sig", "UTF_8_SIG"),
        *("ibm-1047", "cp037", "csIBM037", "big5-hkscs", "shift-jis", "KOI8-R", "windows-1252", "cp1252", "utf8é"),
        *encodings.aliases.aliases,
    }
)


def test_every_spelling_means_what_it_means_to_python():
    every_byte = bytes(range(256))
    for name in SPELLINGS:
        info = pythons(name)
        if info is None or info.name.replace("-", "_") in EXCLUDED:
            with pytest.raises(UnsupportedEncoding):
                text_codec(name)
        else:
            assert text_codec(name)(every_byte, "replace") == info.decode(every_byte, "replace"), name


def test_unknown_and_odd_spellings_leave_nothing_behind(monkeypatch):
    for name in TEXT:  # whatever is loaded once and for all is loaded now
        text_codec(name)
    looked_up = []
    monkeypatch.setattr(codecs, "lookup", looked_up.append)
    before = len(encodings._cache), len(table._decoders), len(table._SPELLINGS), len(sys.modules)
    for i in range(2000):
        for odd in (f"no-such-{i}", f"utf{'-' * (i % 50)}8", f"utf-8é{chr(0x100 + i)}", f"latin{' ' * (i % 50)}1"):
            try:
                text_codec(odd)
            except UnsupportedEncoding:
                pass
    assert (len(encodings._cache), len(table._decoders), len(table._SPELLINGS), len(sys.modules)) == before
    assert looked_up == []


def test_the_decoders_kept_are_bounded_by_the_codecs_there_are():
    for name in MODULES + SPELLINGS:
        try:
            text_codec(name)
        except UnsupportedEncoding:
            pass
    assert set(table._decoders) <= set(MODULES)
