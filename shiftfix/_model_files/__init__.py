"""Models in files that load without executing anything: networks in their own format, all else in that of skops.

=============  =====================================================================================
``_files``     save, load, and tell what a file is that holds no model
``_schema``    what may stand in a file of skops: kinds of objects, names, sizes
``_trees``     decision trees, whose rows compiled code follows without a look at where they lead
=============  =====================================================================================
"""

from shiftfix._model_files._files import load_model, save_model

__all__ = ["load_model", "save_model"]
