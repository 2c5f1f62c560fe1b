"""The page that shows a record, where the library that makes pages is installed."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LEFT_OUT = 'report.html was left out: jinja2, which makes it, is not installed; pip install "shiftfix[cli]" brings it.'


def makes_pages() -> bool:
    """Whether what makes pages is installed."""
    return importlib.util.find_spec("jinja2") is not None


def check_makes_pages() -> None:
    """Raise MissingDependencyError where a page was asked for, and none can be made."""
    if not makes_pages():
        from shiftfix._setting_checks import import_optional

        import_optional("jinja2", "cli")


def page_of(record: Mapping[str, Any], folder: Path | None = None) -> str:
    """A record as one HTML file; ``folder`` is where the results are, as the user calls it."""
    from shiftfix.report import report_from_record

    return report_from_record(record if folder is None else {**record, "folder": str(folder)}).to_html()
