"""Text from elsewhere shows what it is, and stays on its line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slalom.errors import InputError
from slalom.plain import plain, unprintable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Adam(lr=0.01)", "Adam(lr=0.01)"), ("Größe 模型 🙂", "Größe 模型 🙂"),
        ("می\u200cخواهم", "می\u200cخواهم"), ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\r", "two\\nlines\\r"), ("\u202eevil", "\\u202eevil"),
        ("a\u2028b\ud800\x9b\U000e0041", "a\\u2028b\\ud800\\x9b\\U000e0041"),
    ],
)  # fmt: skip
def test_what_hides_is_written_out(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert bool(unprintable(text)) == (text != shown)


@given(st.text(st.characters(codec=None)))
def test_what_is_plain_can_be_printed_and_stays(text: str) -> None:
    shown = plain(text)
    assert not unprintable(shown)
    assert plain(shown) == shown
    shown.encode()
    assert not any(unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRI") for c in shown)


def test_no_error_of_ours_moves_a_cursor() -> None:
    assert str(InputError("no \x1b[2J such\nthing")) == "no \\x1b[2J such\\nthing"
