"""The words that a reader may not know, each explained where it stands and once more at the end of the page."""

import re
from typing import NamedTuple

from markupsafe import Markup, escape


class Term(NamedTuple):
    """A word and what it means.

    Attributes
    ----------
    name : str
        As the glossary heads it.
    words : str
        Regular expression of the forms in which it stands in a text.
    meaning : str
        Two sentences at most.
    """

    name: str
    words: str
    meaning: str


TERMS: dict[str, Term] = {
    "source": Term("Source", r"source", "The labelled rows that the model was trained on."),
    "target": Term("Target", r"target", "The rows that the model is used on. Most or all of them have no labels yet."),
    "auc": Term(
        "AUC of the samples",
        r"domain AUC|AUC",
        "How well a classifier tells source rows from target rows: shown one row of each, how often it knows which is "
        "which. 0.5 is a coin toss, the samples look alike; at 1 no row of one could be of the other.",
    ),
    "p-value": Term(
        "p-value",
        r"p-values?|p (?:=|&lt;) [\d.]+(?:e-\d+)?",
        "How often samples that do not differ would look at least as different as these, by chance. Small means that "
        "chance is a poor explanation; it does not say how large the difference is.",
    ),
    "interval": Term(
        "95% interval",
        r"95% intervals?|intervals?",
        "Values that the data are compatible with. Made the same way over and over, 95 of 100 such intervals hold the "
        "truth.",
    ),
    "covariate": Term(
        "Covariate shift",
        r"covariate shift",
        "Other kinds of rows come, and rows that look alike still have the same labels as before. Weights can repair a "
        "model then, if the source has some rows of every kind.",
    ),
    "label": Term(
        "Label shift",
        r"label shift",
        "The classes come in other shares, and the rows of each class look as before: more people are ill, and the ill "
        "have the same symptoms. New class shares repair a model then, without training it again.",
    ),
    "concept": Term(
        "Concept shift",
        r"concept shift",
        "Rows that look alike have other labels than before. Only labels of target rows can show it, or repair it.",
    ),
    "conditional": Term(
        "p(y given x)",
        r"p\(y given x\)",
        "The label that goes with a row: which labels, and how often, among rows that look alike.",
    ),
    "explained": Term(
        "Explained share",
        r"explained share|change of (?:the )?class shares explains",
        "Of all by which the samples can be told apart, the part that one change of the class shares accounts for. "
        "100% is what pure label shift looks like.",
    ),
    "shares": Term(
        "Class shares",
        r"class shares?",
        "How many of 100 rows are of each class. Estimated for the target from what the model says of its rows.",
    ),
    "weights": Term(
        "Weights",
        r"weights|weighting|weighted",
        "How much each source row counts in training: more where the target has more rows of that kind, less where it "
        "has fewer. They average 1.",
    ),
    "ess": Term(
        "Effective sample size",
        r"effective (?:sample )?size|effective rows",
        "How many equally weighted rows would tell as much as the weighted ones. The less even the weights, the fewer.",
    ),
    "pareto": Term(
        "Pareto k",
        r"Pareto k",
        "How heavy the tail of the weights is. Below about 0.7 their mean can be trusted; above 1 a few rows would "
        "decide everything.",
    ),
    "overlap": Term(
        "Overlap",
        r"overlap",
        "Whether the source has rows of every kind that the target has. Where it has none, nothing learned from it "
        "says anything, whatever the weights.",
    ),
    "lost": Term(
        "Target mass lost",
        r"target mass lost|stand for",
        "The part of the target that no source row stands for, even with the largest weight.",
    ),
    "balance": Term(
        "Balance",
        r"balanced?|out of balance",
        "Whether the weighted source has the same averages as the target, column by column. Differences are in "
        "standard deviations; up to 0.1 is usually called balanced.",
    ),
    "distance": Term(
        "Distance",
        r"distance",
        "How far a column's values moved, from 0 (not at all) to 1 (no value in common): the largest gap between the "
        "two running totals for numbers (Kolmogorov-Smirnov), the share of rows that would have to be of another "
        "category for the samples to agree (total variation).",
    ),
    "identifier": Term(
        "Identifier",
        r"identifiers?",
        "A column that names rows or tells when they came. It differs between any two samples and describes nothing; "
        "a model must not use it.",
    ),
    "calibrated": Term(
        "Calibrated",
        r"calibrated|calibration",
        "Of the rows to which a model gives 80%, 80 of 100 are so. Choosing classes is not changed by it; decisions by "
        "cost are.",
    ),
    "log loss": Term(
        "Log loss",
        r"log loss|nats?",
        "How surprised the model is by the true labels, in nats: 0 is never, 0.69 is a coin toss between two classes. "
        "Smaller is better.",
    ),
    "scores": Term(
        "Scores",
        r"scores? of the model|scores",
        "What the model says of a row: class probabilities, or a predicted value.",
    ),
    "e-value": Term(
        "e-value",
        r"e-values?",
        "Evidence as the wealth of somebody who bets against a hypothesis and began with 1. Above 20 is strong; where "
        "the hypothesis is true it stays below 20 in 95 of 100 cases, however often one looks.",
    ),
    "monitor": Term("Monitor", r"monitor", "Keep comparing, with the labels that come in later; see RiskMonitor."),
    "random": Term(
        "Drawn at random",
        r"drawn at random",
        "Every target row has the same chance. Rows that somebody picked, such as the odd ones, tell of themselves "
        "only.",
    ),
    "sha256": Term(
        "sha256",
        r"sha256",
        "A fingerprint of data: the same data have the same one, and other data practically never.",
    ),
    "seed": Term("Seed", r"seeds?|random_state", "The number that chance starts from: the same seed, the same result."),
}

# Source and target stand in nearly every sentence: they are explained where a table is headed by them.
EVERYWHERE = ("source", "target")


class Linker:
    """Makes of known words in a text buttons that explain them, each once in a section."""

    def __init__(self) -> None:
        self.used: dict[str, None] = {}
        self._seen: set[str] = set()
        linked = {key: term for key, term in TERMS.items() if key not in EVERYWHERE}
        parts = [f"(?P<t{i}>{term.words})" for i, term in enumerate(linked.values())]
        self._keys = list(linked)
        self._pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(parts)})(?![\w-])", re.IGNORECASE)

    def begin_section(self) -> str:
        """Explain every word again from here on."""
        self._seen = set()
        return ""

    def explained(self, text: str) -> Markup:
        """A text, escaped, with its known words as buttons."""
        return Markup(self._pattern.sub(self._button, str(escape(text))))

    def term(self, key: str, word: str) -> Markup:
        """One word as a button."""
        self.used[key] = None
        self._seen.add(key)
        return Markup('<button type="button" class="term" popovertarget="{}">{}</button>').format(anchor(key), word)

    def _button(self, match: re.Match[str]) -> str:
        key = self._keys[int(str(match.lastgroup)[1:])]
        return match[0] if key in self._seen else str(self.term(key, Markup(match[0])))


def anchor(key: str) -> str:
    """Name of a term within the page."""
    return "term-" + re.sub(r"\W", "-", key)
