"""Find, verify (sha256) and read the data sets that have a card in ``datasets/``.

==================  =============================================================================
``list_datasets``   names of the data sets
``load_card``       origin, licence, shift, traps, files and recipe of one
``load``            the data, after checking the files
``make_clinic``     the generator of the made-up clinic data, with labels and true weights
``write_clinic``    its two files
==================  =============================================================================

A card's recipe is data: ``shiftfix.simulate.from_recipe`` runs it.
"""

from shiftfix.datasets._cards import list_datasets, load_card
from shiftfix.datasets._clinic import make_clinic, write_clinic
from shiftfix.datasets._load import load

__all__ = ["list_datasets", "load", "load_card", "make_clinic", "write_clinic"]
