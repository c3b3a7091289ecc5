"""The shipped tables say what the installed library does."""

import numpy as np
import pytest
import tokenizers

from keras_lm.tokenizers import probe


@pytest.fixture(scope="module")
def shipped():
    with np.load(probe.PATH, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def ranks(shipped):
    """The marks that are reordered, as the file has them: probing for them takes seconds."""
    places, cells = (shipped[probe.name(False, True, part)] for part in ("places", "cells"))
    every = np.arange(len(places) * 256)
    cell = cells[places[every >> 8] + (every & 255)]
    itself = cell & (probe.EXPANDS | probe.CODE_POINT) == 0
    marks = every[(cell & probe.RANK > 0) & itself]
    return {chr(x): int(cell[x] & probe.RANK) >> probe.RANK_SHIFT for x in marks}


def cells(shipped, variant, code_point):
    """The cells of one code point, with code points and not differences in their lowest bits."""
    get = {part: shipped[probe.name(*variant, part)] for part in ("places", "cells")}
    cell = int(get["cells"][get["places"][code_point >> 8] + (code_point & 255)])
    low = cell & probe.CODE_POINT
    if cell & probe.EXPANDS:
        ends = [0, *shipped[probe.name(*variant, "ends")].tolist()]
        return shipped[probe.name(*variant, "expansions")][ends[low] : ends[low + 1]].tolist()
    deleted = cell >> probe.KIND_SHIFT & 3 == probe.DELETED
    out = 0 if deleted else (code_point + low) & probe.CODE_POINT
    return [out | cell & ~probe.CODE_POINT]


@pytest.mark.parametrize("variant", probe.VARIANTS, ids=str)
def test_a_sample_of_code_points_is_as_the_library_treats_it(shipped, ranks, variant):
    prober = probe.Prober(*variant, ranks)
    sample = {*range(0x600), *map(ord, ranks), *range(0xAC00, 0x2FA20, 211)} - {
        *range(0xD800, 0xE000)
    }
    wrong = [x for x in sorted(sample) if cells(shipped, variant, x) != prober.cells(chr(x))]
    assert wrong == []


@pytest.mark.slow
def test_probing_again_finds_the_shipped_marks(ranks):
    assert probe.combining_ranks() == ranks


@pytest.mark.slow
@pytest.mark.parametrize("variant", probe.VARIANTS, ids=str)
def test_probing_again_makes_the_shipped_tables(shipped, ranks, variant):
    for part, array in probe.probe(*variant, ranks).items():
        np.testing.assert_array_equal(shipped[probe.name(*variant, part)], array)


def test_the_tables_name_the_installed_version(shipped):
    assert str(shipped["version"]) == tokenizers.__version__
