import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftfix.mlp._batches import epoch_batches


@given(n_rows=st.integers(1, 60), batch_size=st.integers(1, 70), seed=st.integers(0, 99))
def test_every_row_comes_once_in_batches_of_the_size(n_rows, batch_size, seed):
    batches = list(epoch_batches(n_rows, batch_size, torch.Generator().manual_seed(seed)))
    assert sorted(torch.cat(batches).tolist()) == list(range(n_rows))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= batch_size


def test_epochs_differ_and_seeds_repeat():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.cat(list(epoch_batches(50, 7, generator))).tolist() for _ in range(2))
    again = torch.cat(list(epoch_batches(50, 7, torch.Generator().manual_seed(0)))).tolist()
    assert first != second
    assert first == again
