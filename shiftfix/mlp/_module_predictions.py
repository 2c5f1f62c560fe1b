"""What a trained module of the user's predicts: labels, numbers, probabilities, or its outputs as they are."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import r2_score
from sklearn.utils import ClassifierTags, RegressorTags, Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from shiftfix._door import PublicCalls
from shiftfix._numerics import log_proba
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._held_out import TRAINING
from shiftfix.mlp._module_datasets import inputs_of
from shiftfix.mlp._module_inputs import InputsForm, ModuleInput, read_inputs
from shiftfix.mlp._module_numbers import numpy_of
from shiftfix.mlp._module_outputs import module_dtype, outputs_of, proba_of_outputs
from shiftfix.mlp._module_rows import read_module_rows
from shiftfix.mlp._module_targets import loss_kind
from shiftfix.mlp._temperature import scaled_proba
from shiftfix.mlp._training import limited_threads


class ModulePredictor(PublicCalls, BaseEstimator):
    """Predictions of the module in ``module_``, by the kind of the loss that it was trained with."""

    module_: Any
    loss: Any
    n_threads: int | None
    classes_: NDArray[Any]
    temperature_: float
    _form: InputsForm
    _flat_targets: bool
    _loss_of_fit: Any

    @property
    def _kind(self) -> str | None:
        """Of the loss that the module was trained with, or that it will be."""
        return loss_kind(getattr(self, "_loss_of_fit", self.loss))

    def predict_outputs(self, X: ModuleInput) -> NDArray[Any]:
        """Outputs of the module as they are, an array of shape (n_rows, ...), without dropout: logits for classes.

        Parameters
        ----------
        X : as for :meth:`fit`
            Of a Dataset or DataLoader with items ``(x, y)`` the y are not looked at.

        Raises
        ------
        ShiftDataError
            For rows of another form than those of ``fit``, or on which the module fails.
        """
        check_is_fitted(self, "module_")
        with limited_threads(self.n_threads):
            rows, _ = read_inputs(inputs_of(X), "X", module_dtype(self.module_), self._form)
            return outputs_of(self.module_, rows, self._form)

    def _probabilities(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        found = proba_of_outputs(self._loss_of_fit, outputs)
        if found.shape[1] != len(self.classes_):
            raise ShiftDataError(
                f"The module's outputs are for {found.shape[1]} classes, and the trainer knows {len(self.classes_)}: "
                "load it with the module that it was trained with."
            )
        return found

    def _labels(self, outputs: NDArray[Any]) -> NDArray[Any]:
        return self.classes_[self._probabilities(outputs).argmax(axis=1)]

    def predict(self, X: ModuleInput) -> NDArray[Any]:
        """Labels for the named losses of classes, numbers in the shape of y for those of numbers.

        The outputs themselves, as of :meth:`predict_outputs`, for a loss of your own.
        """
        outputs = self.predict_outputs(X)
        if self._kind == "classes":
            return self._labels(outputs)
        return outputs.reshape(len(outputs)) if self._flat_targets else outputs

    @available_if(lambda self: self._kind == "classes")  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ModuleInput) -> NDArray[np.float64]:
        """Class probabilities, float64 of shape (n_rows, n_classes), columns as ``classes_``.

        Those that make the expected loss least: the softmax of the outputs, the logistic function of one, and for
        "polynomial_tail" what belongs to its margins; scaled by ``temperature_``. Not there with a loss that is not of
        classes.
        """
        return scaled_proba(self._probabilities(self.predict_outputs(X)), self.temperature_)

    @available_if(lambda self: self._kind == "classes")  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: ModuleInput) -> NDArray[np.float64]:
        """Logarithm of :meth:`predict_proba`; -inf where a probability is 0 in float64."""
        return log_proba(self.predict_proba(X))

    @available_if(lambda self: self._kind is not None)  # type: ignore[untyped-decorator]
    def score(
        self,
        X: ModuleInput,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Weighted accuracy for a named loss of classes, weighted R^2 for one of numbers.

        Parameters
        ----------
        X, y, sample_weight : as for :meth:`fit`
        """
        check_is_fitted(self, "module_")
        with limited_threads(self.n_threads):
            rows = read_module_rows(
                X, y, sample_weight, TRAINING, self._loss_of_fit, module_dtype(self.module_), self._form
            )
            outputs = outputs_of(self.module_, rows.X, self._form)
        if self._kind == "classes":
            return float(np.average(self._labels(outputs) == rows.y, weights=rows.weight))
        y, found = (array.reshape(len(outputs), -1) for array in (numpy_of(rows.y), outputs))
        return float(r2_score(y, found, sample_weight=rows.weight))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self._kind == "classes":
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        elif self._kind == "numbers":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        tags.target_tags.required = False
        return tags
