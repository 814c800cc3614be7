import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovhcloud_ai_endpoints._surrogates import EscapeJoiner, SurrogateJoiner, well_formed, well_formed_json

HIGH, LOW = "\ud83d", "\ude00"
PIECES = st.lists(st.sampled_from([HIGH, LOW, "a", "é", "😀", ""]))


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(ends)]


@pytest.mark.parametrize(
    ("text", "well"),
    [
        ("plain", "plain"),
        ("é😀", "é😀"),
        (HIGH + LOW, "😀"),
        (f"a{HIGH}b", "a\ufffdb"),
        (LOW + HIGH, "\ufffd\ufffd"),
        (HIGH + HIGH + LOW, "\ufffd😀"),
    ],
)
def test_halves_are_joined_or_replaced(text: str, well: str) -> None:
    assert well_formed(text) == well


@given(PIECES)
def test_pieces_give_what_the_whole_gives(pieces: list[str]) -> None:
    halves = SurrogateJoiner()
    found = [halves.feed(piece) for piece in pieces]

    assert "".join(found) + halves.end() == well_formed("".join(pieces))
    assert all(well_formed(piece) == piece for piece in found)


def test_only_a_first_half_waits() -> None:
    halves = SurrogateJoiner()

    assert [halves.feed(piece) for piece in ("a", f"b{HIGH}", LOW, f"{HIGH}c")] == ["a", "b", "😀", "\ufffdc"]


@pytest.mark.parametrize(
    ("text", "well"),
    [
        (r"\ud83d\ude00", r"\ud83d\ude00"),
        (r"\uD83D\uDE00", r"\uD83D\uDE00"),
        (r"a\ud83d", r"a\ufffd"),
        (r"\ude00", r"\ufffd"),
        (r"\ud83d\n", r"\ufffd\n"),
        (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
        (r"\\ud83d", r"\\ud83d"),
        (r"\\\ud83d", r"\\\ufffd"),
        (r"\u00e9\"", r"\u00e9\""),
        (r"\ud83d\u00e9", r"\ufffd\u00e9"),
        (r"\uZZ plain", r"\uZZ plain"),
    ],
)
def test_escapes_are_joined_or_replaced(text: str, well: str) -> None:
    assert well_formed_json(f'"{text}"') == f'"{well}"'


@pytest.mark.parametrize("text", [r'"\ud83d', r'"\ud83d\ude0', '"\\', r'"\ud8'])
def test_text_that_is_cut_stays_as_it_is(text: str) -> None:
    assert well_formed_json(text) == text


ESCAPED = st.lists(
    st.sampled_from([r"\ud83d", r"\ude00", r"\\", r"\n", r"\"", r"\u00e9", "a", "\\", "ud83d", "é"]), max_size=8
).map("".join)


@given(ESCAPED, st.lists(st.integers(min_value=0), max_size=6))
def test_pieces_of_escapes_give_what_the_whole_gives(text: str, places: list[int]) -> None:
    escapes = EscapeJoiner()

    assert "".join(map(escapes.feed, cut(text, places))) + escapes.end() == well_formed_json(text)


@given(st.text(st.characters(exclude_categories=[])))
def test_what_json_writes_is_read_as_well_formed(text: str) -> None:
    assert json.loads(well_formed_json(json.dumps(text))) == well_formed(text)
