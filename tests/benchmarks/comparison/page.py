"""Write `notebooks/comparison.md` from the stored answers: `python tests/benchmarks/comparison/page.py`.

Nothing in the tables is written by hand: what a package answered stands in `tests/benchmarks/results/comparison`.
"""

import json
from pathlib import Path

import probe

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "tests/benchmarks/results/comparison"
PACKAGES = ["shiftfix", "scikit_learn", "skada", "adapt", "quapy", "mapie", "nannyml", "evidently"]
INTRO = """# Comparison

What neighbours do, found by running them. Every cell comes from `python tests/benchmarks/comparison/of_<package>.py`,
run in an environment of its own at the date below; the answers are stored in `tests/benchmarks/results/comparison`,
and this page is written from them by `python tests/benchmarks/comparison/page.py`. **no** means that no public class
or function of the package has a name that holds one of the words looked for, which the last table gives; a package
may still do it under another name. Each was used with its defaults where it has them, on one draw of the data:
estimates err by chance too. The neighbours do many things that are not asked here, and shiftfix does not: mappings,
optimal transport and deep adaptation (skada, adapt), many more quantifiers and their evaluation (QuaPy), risk control
and conditional coverage (MAPIE), monitoring with reports and dashboards (NannyML, Evidently). Installed by themselves
on this day, NannyML could not be imported without statsmodels, nor Evidently with pandas 3; they got statsmodels and
pandas 2.

"""


def stored() -> dict[str, dict]:
    """Answers of the packages that were run, in their order."""
    files = {name: RESULTS / f"{name}.json" for name in PACKAGES}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items() if path.exists()}


def cell(asked: str, answer: dict) -> str:
    """What stands in the table."""
    if "error" in answer:
        return f"error: {answer['error'][:90]}".replace("|", "/").replace("\n", " ")
    if answer["found"] is None:
        return "no"
    told = str(answer["found"]).replace("|", "/")
    if asked == "no_overlap":
        return f"{told}; {'a warning' if answer['warned'] else 'no warning'}"
    return told


def table(rows: list[list[str]]) -> str:
    """A Markdown table, the first row its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def page() -> str:
    """The whole page."""
    kept = stored()
    truth = probe.true_accuracy()
    told = {name: text.format(truth=truth) for name, text in probe.QUESTIONS.items()}
    heads = ["asked", *(f"{each['package']} {each['version']}" for each in kept.values())]
    found = [[told[q], *(cell(q, each["answers"][q]) for each in kept.values())] for q in probe.QUESTIONS]
    facts = ["package", "version", "date", "python", "scikit-learn", "numpy", "pandas"]
    dates = [[str(each[fact]) for fact in facts] for each in kept.values()]
    words = [
        [each["package"], told[q].split(":")[0].split(",")[0], ", ".join(each["answers"][q]["looked_for"])]
        for each in kept.values()
        for q in probe.QUESTIONS
        if each["answers"][q].get("looked_for")
    ]
    return (
        INTRO
        + table([heads, *found])
        + "\n## When, and with what\n\n"
        + table([facts, *dates])
        + "\n## Words looked for where the answer is no\n\n"
        + table([["package", "asked", "in no public name"], *words])
    )


if __name__ == "__main__":
    (ROOT / "notebooks" / "comparison.md").write_text(page(), encoding="utf-8")
