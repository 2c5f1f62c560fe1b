"""What a weight vector is worth.

===========================  ==================================================================
``clip_weights``             min(w, c); ``clip_threshold``: c from the data
``normalize_weights``        w / mean(w)
``temper_weights``           w ** exponent
``effective_sample_size``    Kish: (sum w)^2 / sum w^2, in rows
``pareto_k``                 shape of the tail of the weights; ``pareto_k_threshold``: how large it may be
``smooth_weights``           Pareto-smoothed importance weights
``balance_table``            BalanceTable: source against target moments before and after weighting
``summarize_weights``        one WeightSummary: size, overlap, verdict with reasons
===========================  ==================================================================

Each of them checks what it is given and hands it to a function that trusts it, of the same name and ``_of``:
``pareto_k(weights, sample_weight=...)`` to ``pareto_k_of(w, counts)``, with ``w`` and ``counts`` finite float64 arrays,
not negative and not all zero; ``summarize_weights`` to ``summary_of``. Who has checked its data already, as the
weighters have, calls the latter.
"""

# ruff: noqa: F401 - what other folders need is imported here, and what users need is in __all__ too.
from shiftfix.weights._balance import balance_table, balance_table_of, balance_table_of_sums
from shiftfix.weights._balance_table import BALANCED, BalanceTable
from shiftfix.weights._effective_size import effective_sample_size, effective_sample_size_of
from shiftfix.weights._pareto import (
    EQUAL_TO,
    n_tail_rows,
    pareto_k,
    pareto_k_of,
    pareto_k_threshold,
    smooth_weights,
    smooth_weights_of,
)
from shiftfix.weights._summary import (
    RAW_MEAN_HIGH,
    RAW_MEAN_LOW,
    WeightSummary,
    exceeds,
    probability_larger,
    summarize_weights,
    summary_of,
)
from shiftfix.weights._transform import (
    ClipRule,
    check_clip,
    clip_threshold,
    clip_threshold_of,
    clip_weights,
    clip_weights_of,
    normalize_weights,
    normalize_weights_of,
    temper_weights,
)

__all__ = [
    "BalanceTable",
    "WeightSummary",
    "balance_table",
    "clip_threshold",
    "clip_weights",
    "effective_sample_size",
    "normalize_weights",
    "pareto_k",
    "pareto_k_threshold",
    "smooth_weights",
    "summarize_weights",
    "temper_weights",
]
