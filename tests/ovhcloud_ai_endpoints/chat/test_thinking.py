import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovhcloud_ai_endpoints._chat.thinking import MOST_BLANKS, ThinkTags


def read(content: str, size: int = 999) -> tuple[str, str]:
    tags, text, thought = ThinkTags(), "", ""
    for at in range(0, len(content), size):
        more, more_thought = tags.feed(content[at : at + size])
        text, thought = text + more, thought + more_thought
    more, more_thought = tags.end()
    return text + more, thought + more_thought


@pytest.mark.parametrize("size", [1, 2, 5, 999])
@pytest.mark.parametrize(
    ("content", "text", "thought"),
    [
        ("Hello", "Hello", ""),
        ("", "", ""),
        ("<think>hm</think>Hello", "Hello", "hm"),
        ("\n<think>\nhm\n</think>\n\nHello\n", "Hello\n", "hm\n"),
        ("<think></think>Hello", "Hello", ""),
        ("<think>\n\n  hm </think>\n  Hello", "  Hello", "  hm "),
        ("<think>X hm</think>X Hello", "X Hello", "X hm"),
        ("<think>a < b </thin </think>Hello", "Hello", "a < b </thin "),
        ("<think>cut off", "", "cut off"),
        ("<think>cut off</thi", "", "cut off</thi"),
        ("<think>hm</think>", "", "hm"),
        ("<thin air", "<thin air", ""),
        ("<th", "<th", ""),
        ("  <p>", "  <p>", ""),
        ("Use <think> and </think>.", "Use <think> and </think>.", ""),
        ("<think>one</think>Hello <think>two</think>", "Hello <think>two</think>", "one"),
    ],
)
def test_reasoning_is_taken_out_of_the_content(content: str, text: str, thought: str, size: int) -> None:
    assert read(content, size) == (text, thought)


@given(st.text(alphabet="<think>/ a\n", max_size=40), st.integers(1, 9))
def test_pieces_give_what_the_whole_gives(content: str, size: int) -> None:
    assert read(content, size) == read(content)


def test_field_of_its_own_ends_it() -> None:
    tags = ThinkTags()

    assert tags.feed("<thi") == ("", "")
    assert tags.off() == "<thi"
    assert tags.feed("<think>no") == ("<think>no", "")


@pytest.mark.parametrize("content", ["<th", "<think>hm</thi"])
def test_what_was_held_back_comes_once(content: str) -> None:
    tags = ThinkTags()
    tags.feed(content)

    assert tags.end() != ("", "")
    assert tags.end() == ("", "")


def test_blanks_are_shown_as_they_come_once_they_are_too_many_for_a_beginning() -> None:
    tags = ThinkTags()
    shown = [tags.feed(" ")[0] for _ in range(3 * MOST_BLANKS)]

    assert "".join(shown) == " " * 3 * MOST_BLANKS
    assert shown[:MOST_BLANKS] == [""] * MOST_BLANKS
    assert shown[-1] == " "
    assert tags.feed("<think>") == ("<think>", "")


def test_blanks_before_the_tag_are_dropped_as_long_as_they_are_few() -> None:
    tags = ThinkTags()

    assert [tags.feed(piece) for piece in (*" " * MOST_BLANKS, "<think>", "a")][-1] == ("", "a")
