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
"""

from shiftfix.weights._balance import BalanceTable, balance_table
from shiftfix.weights._effective_size import effective_sample_size
from shiftfix.weights._pareto import pareto_k, pareto_k_threshold, smooth_weights
from shiftfix.weights._summary import WeightSummary, summarize_weights
from shiftfix.weights._transform import check_clip as check_clip
from shiftfix.weights._transform import clip_threshold, clip_weights, normalize_weights, temper_weights

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
