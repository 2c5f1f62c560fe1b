"""From a record to the page: sections of blocks, and the template that writes them."""

from functools import cache
from typing import Any

from shiftfix._setting_checks import import_optional
from shiftfix.exceptions import ShiftDataError

TEMPLATES = "templates"


def view_of(record: Any) -> dict[str, Any]:
    """What the template writes: headline, answers and sections."""
    # Here and not above: they escape by markupsafe, which comes with jinja2.
    from shiftfix.report import _answers, _evidence_sections, _repair_sections
    from shiftfix.report._parts import capitalized, sentence

    verdict = _answers.verdict_of(record)
    makers = (
        _evidence_sections.samples_section,
        _evidence_sections.moved_section,
        _evidence_sections.matters_section,
        _evidence_sections.kind_section,
        _repair_sections.usable_section,
        _repair_sections.gain_section,
        _repair_sections.next_section,
        _repair_sections.reproduce_section,
    )
    return {
        "level": verdict["verdict"],
        "level_in_words": _answers.LEVELS[verdict["verdict"]],
        "headline": _answers.headline(record),
        "reasons": [capitalized(sentence(reason)) for reason in verdict["reasons"]],
        "action": sentence(verdict["action"]),
        "answers": _answers.answers_of(record),
        "sections": [make(record) for make in makers],
        "model": sentence(record.get("model") or (record.get("diagnosis") or {}).get("model") or ""),
        "version": (record.get("versions") or {}).get("shiftfix", ""),
    }


@cache
def page_template() -> Any:
    """The template, compiled once."""
    jinja2 = import_optional("jinja2", "report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("shiftfix.report", TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html")


def render_page(record: Any) -> str:
    """The page of a record, a whole HTML document.

    Raises
    ------
    MissingDependencyError
        When jinja2 is not installed.
    ShiftDataError
        For a record that lacks what every record has.
    """
    template = page_template()
    from shiftfix.report._terms import EVERYWHERE, TERMS, Linker, anchor

    linker = Linker()
    try:
        view = view_of(record)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ShiftDataError(
            f"The record cannot be shown ({type(error).__name__}: {error}): pass one that report_record, run_record or "
            "fit_record has made."
        ) from error
    words = {
        "linker": linker,
        "explained": linker.explained,
        "anchor": anchor,
        "terms": TERMS,
        "everywhere": EVERYWHERE,
    }
    return str(template.render(**view, **words)).lstrip()
