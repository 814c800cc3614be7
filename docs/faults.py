"""Writes the table of faults into its page: python docs/faults.py"""

from pathlib import Path

from ovhcloud_ai_endpoints.testing import FAULTS

PAGE = Path(__file__).parent / "guides" / "faults.md"
MARK = "<!-- The rest of this page is written by `python docs/faults.py`. -->\n"


def page() -> str:
    """The page as it should be."""
    lines = ["| name | what happens | hits | retried | raised if it goes on |", "|---|---|---|---|---|"]
    for name, fault in FAULTS.items():
        hits = "all" if len(fault.kinds) == 3 else ", ".join(fault.kinds)
        error = f"`{fault.error.__name__}`" if fault.error else "nothing: the answer is whole"
        lines.append(f"| `{name}` | {fault.what} | {hits} | {'yes' if fault.is_tried_again else ''} | {error} |")
    text = PAGE.read_text("utf-8").partition(MARK)[0]
    return f"{text}{MARK}\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
