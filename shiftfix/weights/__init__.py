"""What a weight vector is worth.

===========================  ==================================================================
``clip_weights``             min(w, c)
``normalize_weights``        w / mean(w)
``temper_weights``           w ** exponent
``effective_sample_size``    Kish: (sum w)^2 / sum w^2, in rows
``summarize_weights``        one WeightSummary: size, overlap, verdict with reasons
===========================  ==================================================================
"""

from shiftfix.weights._effective_size import effective_sample_size
from shiftfix.weights._summary import WeightSummary, summarize_weights
from shiftfix.weights._transform import clip_threshold, clip_weights, normalize_weights, temper_weights

__all__ = [
    "WeightSummary",
    "clip_threshold",
    "clip_weights",
    "effective_sample_size",
    "normalize_weights",
    "summarize_weights",
    "temper_weights",
]
