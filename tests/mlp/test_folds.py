"""Networks that hold out another part of the rows each: who trains on what, and that each is the network it would be
alone."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import sparse

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from shiftfix.mlp._saving import pack_estimator, unpack_estimator
from shiftfix.mlp._settings import Stopping
from shiftfix.mlp._temperature import fit_temperature
from shiftfix.mlp._training import automatic_models, cross_fits, deal, draw_seeds, n_dealt
from shiftfix.mlp._training._batches import Rows, order_of, rows_of_a_step, strided
from shiftfix.mlp._training._loop import passes_of

K = 3
SMALL = {"hidden_layer_sizes": (6,), "dropout": 0.0, "batch_size": 16, "max_epochs": 12, "random_state": 0}
# Rows in float64 meet the same float32 network in other batches: sums are rounded in another order.
ROUNDING = {"rtol": 2e-4, "atol": 2e-6}


def sample(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    return X, (X[:, 0] + rng.normal(size=n) > 0.5).astype(int), rng.exponential(size=n)


def split_of(y, n_rows, n_models=K, random_state=0):
    """Rows of each network's training and of its judging, as the fit has them."""
    folds = deal(y, n_rows, n_models, draw_seeds(random_state, n_models)["split"])
    return folds.training.numpy(), folds.held_out.numpy()


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4), n_models=st.integers(2, 6), seed=st.integers(0, 99))
def test_every_row_is_held_out_and_every_network_trains_on_the_others(sizes, n_models, seed):
    """All but those of a class of one or two rows; once each, but for fewer than K rows, twice. Of a class of n_k rows
    a network holds out n_k / K, give or take less than two: one by the dealing, one by the row past the end."""
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    common = np.isin(y, np.flatnonzero(np.array(sizes) >= 3))
    assert n_dealt(y, len(y)) == common.sum()
    assume(common.sum() >= n_models)
    folds = deal(y, len(y), n_models, seed)
    times = np.bincount(folds.held_out.flatten(), minlength=len(y))
    assert (times[~common] == 0).all()
    assert ((times[common] == 1) | (times[common] == 2)).all()
    assert (times == 2).sum() < n_models
    for training, held_out in zip(folds.training.tolist(), folds.held_out.tolist(), strict=True):
        assert sorted([*training, *held_out]) == list(range(len(y)))
        for label, size in enumerate(sizes):
            if size >= 3:
                assert abs((y[held_out] == label).sum() - size / n_models) < 2
                assert (y[training] == label).any()


def test_rows_are_dealt_at_random():
    """Of 20 values in 2 parts, over 2000 seeds, each is in the first part half of the time (5 standard errors), and so
    is each next to another (a quarter of the time both)."""
    first = np.zeros((2000, 20))
    for seed in range(2000):
        first[seed, deal(None, 20, 2, seed).held_out[0]] = 1
    assert (np.abs(first.mean(axis=0) - 0.5) < 5 * 0.5 / np.sqrt(2000)).all()
    both = (first[:, :-1] * first[:, 1:]).mean(axis=0)
    assert (np.abs(both - 9 / 38) < 5 * 0.43 / np.sqrt(2000)).all()


@pytest.mark.parametrize(
    ("n_models", "n_rows", "stopping", "apart"),
    [
        (5, 50, {}, True),
        (5, 49, {}, False),
        (5, 49, {"early_stopping": True}, True),
        (5, 5, {"early_stopping": True}, True),
        (5, 4, {"early_stopping": True}, False),
        (5, 50, {"early_stopping": False}, False),
        (5, 50, {"validation_fraction": 0.1}, False),
        (1, 50, {}, False),
        (5, 30_000, {}, True),
    ],
)
def test_when_each_network_holds_out_its_own_rows(n_models, n_rows, stopping, apart):
    assert cross_fits(n_models, n_rows, Stopping(**{"validation_fraction": "folds"} | stopping)) is apart


def test_how_many_networks_there_are_where_none_are_asked_for():
    folds = Stopping(validation_fraction="folds")
    assert [automatic_models(n, folds) for n in (49, 50, 20_000, 20_001)] == [1, 5, 5, 1]
    assert automatic_models(1000, Stopping(validation_fraction="folds", early_stopping=False)) == 1
    assert automatic_models(1000, Stopping(validation_fraction=0.1)) == 1


def test_rows_of_an_automatic_step():
    """The power of two next to a twentieth, within 16 and 256; never more than there are."""
    found = [rows_of_a_step("auto", n) for n in (5, 100, 400, 640, 1600, 4000, 10**6)]
    assert found == [5, 16, 16, 32, 64, 256, 256]
    assert [rows_of_a_step(size, 100) for size in (None, 7, 256)] == [100, 7, 100]


def alone(make, X, y, training, held_out, w=None, **settings):
    """The first network, trained alone on its rows and judged by those it holds out."""
    weights = (None,) if w is None else (w[training],)
    judging = (X[held_out], y[held_out]) if w is None else (X[held_out], y[held_out], w[held_out])
    return make(**settings, n_models=1).fit(X[training], y[training], *weights, eval_set=judging)


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("changes", [{}, {"batch_norm": True, "batch_size": 40}, {"activation": "tanh", "l2": 0.01}])
def test_the_first_network_is_what_it_would_be_alone(make, changes):
    """Of several the first starts and walks as a single one does: the same parameters, epoch by epoch."""
    X, y, _ = sample()
    settings = SMALL | {"standardize": False} | changes
    together = make(**settings, n_models=K).fit(X, y)
    training, held_out = split_of(y if make is MLPClassifier else None, len(y))
    single = alone(make, X, y, training[0], held_out[0], **settings)
    assert together.n_models_ == K
    assert together.best_epoch_[0] == single.best_epoch_
    for name in ("validation_loss", "train_loss"):
        first = [losses[0] for losses in together.history_[name][: single.n_epochs_]]
        np.testing.assert_allclose(first, single.history_[name], **ROUNDING)
    for several, one in zip(together.module_.parameters(), single.module_.parameters(), strict=True):
        np.testing.assert_allclose(several[0].detach(), one.detach(), **ROUNDING)


def test_so_it_is_with_weights():
    """Weights are of mean 1 over all rows, and alone over its own: the rate makes up for it."""
    X, y, w = sample()
    settings = SMALL | {"standardize": False, "optimizer": "sgd", "learning_rate": 0.1}
    together = MLPClassifier(**settings, n_models=K).fit(X, y, w)
    training, held_out = split_of(y, len(y))
    settings["learning_rate"] *= w[training[0]].mean() / w.mean()
    single = alone(MLPClassifier, X, y, training[0], held_out[0], w, **settings)
    first = [losses[0] for losses in together.history_["validation_loss"]]
    np.testing.assert_allclose(first, single.history_["validation_loss"], **ROUNDING)
    for several, one in zip(together.module_.parameters(), single.module_.parameters(), strict=True):
        np.testing.assert_allclose(several[0].detach(), one.detach(), **ROUNDING)


def test_each_is_judged_by_its_own_rows():
    X, y, w = sample(150)
    model = MLPClassifier(**SMALL | {"max_epochs": 30, "learning_rate": 0.05}, n_models=K).fit(X, y, w)
    _, held_out = split_of(y, len(y))
    members = model.predict_proba_members(X)
    own = [members[k, rows] for k, rows in enumerate(held_out)]
    for k, rows in enumerate(held_out):
        loss = -np.log(own[k][np.arange(len(rows)), y[rows]])
        told = model.history_["validation_loss"][model.best_epoch_[k] - 1][k]
        assert told == pytest.approx(np.average(loss, weights=w[rows]), rel=1e-4)
    sizes = [w[part].sum() ** 2 / (w[part] ** 2).sum() for part in held_out]
    assert model.validation_effective_sample_size_ == pytest.approx(min(sizes))


def test_the_temperature_is_that_of_all_rows_held_out():
    """By the network that has not learned them. Smoothed labels make probabilities that are too mild: it is below 1."""
    X, y, w = sample(150)
    settings = SMALL | {"max_epochs": 60, "learning_rate": 0.03, "label_smoothing": 0.5}
    model = MLPClassifier(**settings, n_models=K).fit(X, y, w)
    _, held_out = split_of(y, len(y))
    members = model.predict_proba_members(X)
    own = np.concatenate([members[k, rows] for k, rows in enumerate(held_out)])
    rows = held_out.flatten()
    assert model.temperature_ == pytest.approx(fit_temperature(own, y[rows], w[rows]), rel=1e-3)
    assert model.temperature_ < 0.9


def test_sparse_rows_are_held_out_alike():
    X, y, w = sample()
    dense, thin = (MLPClassifier(**SMALL, n_models=K).fit(rows, y, w) for rows in (X, sparse.csr_array(X)))
    np.testing.assert_allclose(thin.predict_proba(X), dense.predict_proba(X), **ROUNDING)


def test_drawn_rows_are_the_networks_own():
    """In proportion to the weights: the heaviest row of each part, half of its weight, comes in half of the draws."""
    parts = torch.tensor([[0, 2, 4], [1, 3, 5]])
    rows = Rows(torch.zeros(6, 1), torch.zeros(6), torch.tensor([2.0, 1.0, 1.0, 2.0, 1.0, 1.0]), parts)
    generators = [torch.Generator().manual_seed(k) for k in range(2)]
    drawn = torch.cat([order_of(rows, generators, True) for _ in range(2000)], dim=1)
    for part, found, heaviest in zip(parts, drawn, (0, 3), strict=True):
        assert set(found.tolist()) == set(part.tolist())
        assert (found == heaviest).float().mean().item() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(6000))
    shuffled = order_of(rows, generators, False)
    assert torch.equal(shuffled.sort(dim=1).values, parts)


def test_chunks_and_samples_of_rows_keep_to_the_parts(monkeypatch):
    monkeypatch.setattr("shiftfix.mlp._training._loop.CHUNK", 8)
    parts = torch.stack([torch.arange(0, 9), torch.arange(9, 18)])
    rows = Rows(torch.arange(18.0)[:, None], torch.arange(18), torch.ones(18), parts)
    chunks = list(passes_of(rows))
    assert torch.equal(torch.cat([y for _, y in chunks], dim=1), parts)
    assert torch.equal(torch.cat([X[..., 0] for X, _ in chunks], dim=1), parts.float())
    assert [y.shape for _, y in chunks] == [(2, 4), (2, 5)]
    assert torch.equal(strided(rows, 3).parts, parts[:, [0, 4, 8]])
    assert len(rows) == 9


def test_weights_of_one_are_no_weights():
    """A weighted fit and one without differ in the weights alone."""
    X, y, _ = sample()
    plain, ones = MLPClassifier(**SMALL).fit(X, y), MLPClassifier(**SMALL).fit(X, y, np.ones(len(y)))
    assert np.array_equal(plain.predict_proba(X), ones.predict_proba(X))
    assert plain.history_["validation_loss"] == ones.history_["validation_loss"]


def stop_at(epoch):
    def callback(run):
        run.stop = run.epoch >= epoch

    return callback


def test_a_run_in_folds_is_resumed_to_the_bit(tmp_path):
    X, y, w = sample()
    settings = SMALL | {"dropout": 0.3, "n_models": K, "max_epochs": 8, "checkpoint": tmp_path / "run", "resume": True}
    whole = MLPClassifier(**settings | {"checkpoint": None, "resume": False}).fit(X, y, w)
    MLPClassifier(**settings, callbacks=stop_at(3)).fit(X, y, w)
    resumed = MLPClassifier(**settings).fit(X, y, w)
    assert np.array_equal(resumed.predict_proba(X), whole.predict_proba(X))
    assert resumed.history_["validation_loss"] == whole.history_["validation_loss"]


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_the_number_of_networks_goes_along(make, tmp_path):
    """Into the file, further calls of fit and partial_fit; where rows to stop by are given there is one."""
    X, y, _ = sample()
    settings = SMALL | {"max_epochs": 2}
    model = make(**settings).fit(X, y)
    assert model.n_models_ == 5
    model.save(tmp_path / "model")
    read = make.load(tmp_path / "model")
    assert np.array_equal(read.predict(X), model.predict(X))
    assert read.partial_fit(X, y).n_models_ == 5
    assert read.set_params(warm_start=True).fit(X, y, eval_set=(X, y)).n_models_ == 5
    assert make(**settings).fit(X, y, eval_set=(X, y)).n_models_ == 1
    assert make(**settings, early_stopping=False).fit(X, y).n_models_ == 1
    assert make(**settings).fit(X[:49], y[:49]).n_models_ == 1
    first = make(**settings)
    first.partial_fit(X, y, *([[0, 1]] if make is MLPClassifier else []))
    assert first.n_models_ == 1


@pytest.mark.parametrize("number", [0, 4, 10**9, "5"])
def test_a_forged_number_of_networks_is_refused(number):
    X, y, _ = sample()
    content = pack_estimator(MLPRegressor(**SMALL | {"max_epochs": 1}).fit(X, y))
    content["fitted"]["n_models_"] = number
    with pytest.raises(ShiftDataError, match=r"n_models_|parameters do not fit"):
        unpack_estimator(content, MLPRegressor)


@pytest.mark.parametrize("value", ["fold", 0, 1, 1.5, None, True])
def test_a_share_is_a_number_or_folds(value):
    X, y, _ = sample()
    with pytest.raises(ShiftDataError, match="validation_fraction="):
        MLPClassifier(validation_fraction=value).fit(X, y)


def test_one_module_has_no_folds():
    X, y, _ = sample()
    with torch.random.fork_rng():
        module = torch.nn.Linear(4, 2)
    with pytest.raises(ShiftDataError, match="validation_fraction='folds'"):
        WeightedTrainer(module, validation_fraction="folds").fit(X, y)
