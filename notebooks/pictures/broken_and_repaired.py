"""Draw `broken_and_repaired.png`: target digits as the model reads them before and after the correction.

`python notebooks/pictures/broken_and_repaired.py` writes it beside this file. Sixty rows of the target, drawn at
random, the same in both panels; the shares in the titles are of all target rows.
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np

from shiftfix import corrected, datasets, mlp, simulate

ROWS, COLUMNS = 6, 10
ROOM = {"wspace": 0.06, "hspace": 0.06, "left": 0.02, "right": 0.98, "bottom": 0.02, "top": 0.88}
WRONG, RIGHT, INK = "#d1495b", "#eef3f8", "#1b2a3a"


def fitted():
    """The model of the README's example, and its problem."""
    digits = datasets.load("digits")
    shift = simulate.from_recipe(digits.data, digits.target, digits.recipe, random_state=0)
    model = corrected.ShiftCorrectedClassifier(mlp.MLPClassifier(random_state=0))
    return shift, model.fit(shift.X_source, shift.y_source, X_target=shift.X_target)


def draw_digit(ax, pixels, guess, truth):
    """A digit on a tile: red with the wrong reading in its corner, or pale."""
    wrong = guess != truth
    paper, ink = np.array(matplotlib.colors.to_rgb(WRONG if wrong else RIGHT)), "white" if wrong else INK
    shade = (pixels.reshape(8, 8) / pixels.max())[..., None]
    ax.imshow(paper * (1 - shade) + np.array(matplotlib.colors.to_rgb(ink)) * shade)
    if wrong:
        ax.text(
            0.95, 0.02, guess, transform=ax.transAxes, ha="right", va="bottom", fontsize=9, weight="bold", color="k"
        )
    ax.set_axis_off()


def draw_panel(figure, title, pixels, guesses, truth):
    """All tiles of one model."""
    figure.suptitle(title, fontsize=11, color=INK)
    axes = figure.subplots(ROWS, COLUMNS, gridspec_kw=ROOM)
    for ax, row, guess, label in zip(axes.ravel(), pixels, guesses, truth, strict=True):
        draw_digit(ax, row, guess, label)


def main():
    """Fit, draw, write."""
    shift, model = fitted()
    shown = np.random.default_rng(0).choice(len(shift.y_target), ROWS * COLUMNS, replace=False)
    figure = plt.figure(figsize=(9.2, 2.95), facecolor="white")
    panels = figure.subfigures(1, 2, wspace=0.03)
    for panel, judged, words in zip(panels, (model.estimator_, model), ("before", "after"), strict=True):
        guesses = judged.predict(shift.X_target)
        title = f"{words}: {np.mean(guesses == shift.y_target):.1%} of the target rows read right"
        draw_panel(panel, title, shift.X_target[shown], guesses[shown], shift.y_target[shown])
    path = Path(__file__).with_suffix(".png")
    figure.savefig(path, dpi=110, metadata={"Software": None}, pil_kwargs={"optimize": True})
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
