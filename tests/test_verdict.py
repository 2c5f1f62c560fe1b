"""A verdict is its level as text, and carries its reasons wherever it goes."""

import copy
import json
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from shiftfix._verdict import LEVELS, Verdict, caller_warns, judge, tell
from shiftfix.exceptions import PoorIdentificationWarning, PoorOverlapWarning

VERDICT = Verdict("caution", ["one", "two"], "Do this.")


def test_it_compares_prints_and_serialises_as_its_level():
    assert VERDICT == "caution"
    assert VERDICT in ("ok", "caution")
    assert f"{VERDICT}" == str(VERDICT) == VERDICT.level == "caution"
    assert json.dumps({"verdict": VERDICT}) == '{"verdict": "caution"}'
    assert {VERDICT: 1}["caution"] == 1
    assert repr(VERDICT) == "'caution'"


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, *[lambda v, p=p: pickle.loads(pickle.dumps(v, p)) for p in range(6)]]
)
def test_copies_keep_the_reasons(again):
    found = again(VERDICT)
    assert (found.level, found.reasons, found.action) == ("caution", ("one", "two"), "Do this.")


def test_unknown_levels_are_refused():
    with pytest.raises(ValueError, match=r"level='fine': one of 'ok', 'caution', 'abstain'"):
        Verdict("fine")


def test_the_gravest_finding_decides():
    for abstain, caution in product([(), ("a",), ("a", "b")], [(), ("c",)]):
        found = judge(abstain, caution, "Act.")
        assert found == LEVELS[2 if abstain else 1 if caution else 0]
        assert found.reasons == abstain + caution
        assert found.action == ("Act." if found.reasons else "")


@pytest.mark.parametrize("category", [PoorOverlapWarning, PoorIdentificationWarning])
def test_the_caller_warns_of_verdicts_and_of_nothing_else(category):
    with caller_warns():
        tell(category("left to the caller"))
        with pytest.warns(UserWarning, match="something else"):
            tell(UserWarning("something else"))
    with pytest.warns(category, match="told"):
        tell(category("told"))


def test_a_thread_started_inside_warns_by_itself():
    def told():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tell(PoorOverlapWarning("of another fit"))
        return len(caught)

    with caller_warns(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(told).result() == 1
