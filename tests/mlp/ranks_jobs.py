"""What the processes of a shared training do in the tests, each a child with a rank."""

import importlib
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from shiftfix.mlp import MLPClassifier, MLPRegressor, ParquetRows, WeightedTrainer, _storage
from shiftfix.mlp._training import _loop, _stored_rows

CONTEXT = multiprocessing.get_context("forkserver")
# Loaded once for all of them, as is what torch's optimizers load when the first is made.
CONTEXT.set_forkserver_preload(["tests.mlp.ranks_jobs", "torch._dynamo"])
COMMON = {"max_epochs": 3, "batch_size": 32, "random_state": 0}
DATA = ["random", "sorted"]
SHARDS = ["equal", "unequal"]


def table(order):
    """X, labels, weights and numbers of 150 rows, at random or sorted by the first column."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(150, 3)) * [1, 2, 30] + [0, 1, -50]).astype(np.float32)
    y, w = (X[:, 0] + X[:, 1] + rng.normal(size=150) > 1).astype(int), rng.exponential(size=150)
    order = np.argsort(X[:, 0]) if order == "sorted" else np.arange(150)
    return X[order], y[order], w[order], X[order] @ np.array([1.0, 0.5, 0.1]) + y[order]


def shard(n_rows, rank, size, kind):
    """Rows of a process; of unequal shards each has twice as many as the one before."""
    share = np.ones(size) if kind == "equal" else 2.0 ** np.arange(size)
    ends = np.r_[0, np.round(share.cumsum() / share.sum() * n_rows)].astype(int)
    return slice(ends[rank], ends[rank + 1])


def linear_step(**more):
    """One step of plain descent over all rows at a rate of 1, whose way is the gradient."""
    with torch.random.fork_rng():
        net = torch.nn.Linear(3, 2)
    with torch.no_grad():
        net.weight.copy_(torch.arange(6.0).view(2, 3) / 50)
        net.bias.zero_()
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "max_epochs": 1, "batch_size": None, "random_state": 0}
    return WeightedTrainer(net, early_stopping=False, **settings | more)


def tanh_net(rate=0.0, **more):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Dropout(rate), torch.nn.Linear(6, 2)
        net = torch.nn.Sequential(*layers)
    return WeightedTrainer(net, **COMMON | more)


MODELS = {
    "gradient": linear_step,
    "dropout": lambda **more: MLPClassifier((6, 6), dropout=0.3, n_models=1, **COMMON | more),
    "autograd": lambda **more: MLPClassifier(
        (6,), dropout=0.3, input_noise=0.1, dropconnect=0.2, n_models=1, class_weight="balanced", l2=1e-3,
        clip_norm=1.0, weighting="resample", early_stopping=True, **COMMON | more,
    ),
    "module": tanh_net,
    # Torch's own dropout draws other masks on each process, and so the model is another than that of one.
    "noisy": lambda **more: tanh_net(0.3, **more),
    "numbers": lambda **more: MLPRegressor((6,), n_models=1, exponent=0.5, clip="sqrt", **COMMON | more),
}  # fmt: skip


def fitted(model, order, rows=slice(None), **more):
    X, y, w, numbers = table(order)
    y = numbers if model == "numbers" else y
    return MODELS[model](**more).fit(X[rows], y[rows], w[rows])


def learned(model):
    """Parameters and losses."""
    state = {name: value.double().numpy() for name, value in model.module_.state_dict().items()}
    history = {f"history {name}": np.array(values, dtype=float) for name, values in model.history_.items()}
    return state | history | {"best epoch": np.array(model.best_epoch_)}


def in_group(rank, size, folder, job, *args):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    job(rank, size, Path(folder), *args)
    distributed.destroy_process_group()


def launch(size, folder, job, *args):
    """Exit codes of a group of processes that do a job."""
    (Path(folder) / "store").unlink(missing_ok=True)
    children = [CONTEXT.Process(target=in_group, args=(rank, size, str(folder), job, *args)) for rank in range(size)]
    for child in children:
        child.start()
    for child in children:
        child.join(300)
    return [child.exitcode for child in children]


def is_tried(model, order, kind):
    """The gradient on all shards, the others on the worst."""
    return model == "gradient" or (model != "noisy" and (order, kind) == ("sorted", "unequal"))


def fit_all(rank, size, folder):
    """Every model, on every kind of shards."""
    for order in DATA:
        for kind in SHARDS:
            rows = shard(150, rank, size, kind)
            for model in (model for model in MODELS if is_tried(model, order, kind)):
                found = learned(fitted(model, order, rows, data_parallel=True))
                np.savez(folder / f"{model} {order} {kind} {rank}.npz", **found)


def small_windows():
    """Windows of 120 numbers, of 4 blocks."""
    _stored_rows.WINDOW_NUMBERS, _stored_rows.BLOCK_NUMBERS, _storage.BLOCK_NUMBERS = 120, 30, 30


def write_shards(folder, size):
    """The rows as maps and as Parquet files, of each process and of all."""
    pyarrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    X = table("sorted")[0]
    np.save(folder / "X.npy", X)
    for rank in range(size):
        own = X[shard(150, rank, size, "unequal")]
        np.save(folder / f"X{rank}.npy", own)
        parquet.write_table(
            pyarrow.table(dict(zip("abc", own.T, strict=True))), folder / f"{rank}.parquet", row_group_size=11
        )


def stored(folder, kind, rank):
    """Rows of a process, or of all where that is ""."""
    if kind == "map":
        return np.load(folder / f"X{rank}.npy", mmap_mode="r")
    return ParquetRows(folder / f"{rank}.parquet" if rank != "" else folder, ["a", "b", "c"])


def fit_stored(rank, size, folder):
    small_windows()
    rows = shard(150, rank, size, "unequal")
    _, y, w, _ = table("sorted")
    for kind in ("map", "parquet"):
        model = MODELS["dropout"](data_parallel=True).fit(stored(folder, kind, rank), y[rows], w[rows])
        np.savez(folder / f"{kind} {rank}.npz", **learned(model))


# Of three processes the second has rows of which none is held out, and none among 8 that are spread evenly.
FEW = [slice(0, 63), slice(63, 74), slice(74, 150)]
FEW_KINDS = ["few rows", "no weight", "no weight to stop by"]
FEW_MODELS = ["dropout", "autograd", "module", "numbers"]


def fit_few(model, kind, rows=slice(None), **more):
    """A fit whose second process has nothing to say at times; its steps outside the training are of 8 rows."""
    _loop.CHUNK = 8
    X, y, w, numbers = table("random")
    y, there = numbers if model == "numbers" else y, np.ones(150)
    there[FEW[1]] = 0
    weight = w * there if kind == "no weight" else w
    held_out = {"eval_set": (X[rows] + 0.1, y[rows], there[rows])} if kind == "no weight to stop by" else {}
    return MODELS[model](**more).fit(X[rows], y[rows], weight[rows], **held_out)


def fit_all_few(rank, size, folder):
    for kind in FEW_KINDS:
        for model in FEW_MODELS:
            found = learned(fit_few(model, kind, FEW[rank], data_parallel=True))
            np.savez(folder / f"{model} {kind} {rank}.npz", **found)


def die_at(epoch):
    def at_epoch(run):
        if run.epoch == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    return at_epoch


def fit_or_die(rank, size, folder, model, kill):
    """A fit with a checkpoint, in the second epoch of which process 1 is killed, or that goes on from there."""
    callbacks = [die_at(2)] if kill and rank == 1 else None
    rows = shard(150, rank, size, "unequal")
    more = {"max_epochs": 4, "checkpoint": folder / "run", "resume": True}
    found = fitted(model, "sorted", rows, data_parallel=True, callbacks=callbacks, **more)
    np.savez(folder / f"{model} {rank}.npz", **learned(found))


def fit_through(rank, size, folder, model):
    """The same fit without a stop."""
    found = fitted(model, "sorted", shard(150, rank, size, "unequal"), data_parallel=True, max_epochs=4)
    np.savez(folder / f"{model} through {rank}.npz", **learned(found))


REFUSED = {
    "NaN on one": (lambda rank: MODELS["dropout"](data_parallel=True), lambda X, rank: X * (np.nan if rank else 1), {}),
    "settings": (lambda rank: MODELS["dropout"](data_parallel=True, l2=0.1 * rank), None, {}),
    "shapes": (lambda rank: MODELS["dropout"](data_parallel=True), lambda X, rank: X[:, : 3 - rank], {}),
    "no weight": (lambda rank: MODELS["dropout"](data_parallel=True), None, {"weights": "none"}),
    "no weight for a module": (lambda rank: MODELS["module"](data_parallel=True), None, {"weights": "none"}),
    "constant on each": (
        lambda rank: MODELS["dropout"](data_parallel=True), lambda X, rank: X * [1, 1, 0] + [0, 0, 1e-170 * rank], {},
    ),
    "weights": (lambda rank: MODELS["module"](data_parallel=True), None, {"weights": "first"}),
    "rows to stop by": (lambda rank: MODELS["module"](data_parallel=True), None, {"eval_set": "first"}),
    "batch norm": (lambda rank: MLPClassifier((4,), batch_norm=True, data_parallel=True), None, {}),
    "several": (lambda rank: MLPClassifier((4,), n_models=2, data_parallel=True), None, {}),
    "stops on one": (lambda rank: MODELS["dropout"](data_parallel=True, callbacks=stop if rank else None), None, {}),
}  # fmt: skip


def stop(run):
    run.stop = True


def told(rank, size, folder):
    """What each process says to calls that none can answer; and how many epochs one runs that a callback stops."""
    lines = []
    for make, change, given in REFUSED.values():
        X, y, w, _ = table("random")
        rows = shard(150, rank, size, "equal")
        X, y, w = X[rows], y[rows], w[rows]
        w = {"first": None if rank else w, "none": 0 * w}.get(given.get("weights"), w)
        more = {"eval_set": (X, y)} if given.get("eval_set") == "first" and not rank else {}
        try:
            model = make(rank).fit(X if change is None else change(X, rank), y, w, **more)
            lines.append(f"{model.n_epochs_} epochs")
        except ValueError as error:
            lines.append(str(error).replace("\n", " "))
    (folder / f"told {rank}").write_text("\n".join(lines))
