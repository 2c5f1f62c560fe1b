"""Importance weights when p(x) moves and p(y given x) stays.

====================  ===========================================================================
``LogisticWeighter``  odds of a logistic source-versus-target classifier; the default
====================  ===========================================================================
"""

from shiftfix.covariate._logistic import LogisticWeighter

__all__ = ["LogisticWeighter"]
