"""Writes the bundled catalogue into its page: python docs/models.py"""

from pathlib import Path

from ovhcloud_ai_endpoints._catalogue import bundled_models, catalogue_date
from ovhcloud_ai_endpoints._model_list import table

PAGE = Path(__file__).parent / "guides" / "models.md"
MARK = "<!-- The rest of this page is written by `make models`. -->\n"


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text("utf-8").partition(MARK)[0]
    return f"{text}{MARK}\nAs of {catalogue_date()}.\n\n{table(bundled_models())}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
