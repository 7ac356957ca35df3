"""A corpus of mistakes that people make: what each message says, and that its class is JAX's."""

import pytest
from promises import mistakes_arrays, mistakes_models, mistakes_transforms
from promises.mistakes import check

ROWS = [*mistakes_arrays.ROWS, *mistakes_transforms.ROWS, *mistakes_models.ROWS]


def test_the_corpus_is_large_enough():
    assert len(ROWS) >= 60
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("mistake", ROWS, ids=[row.name for row in ROWS])
def test_mistake(mistake):
    check(mistake)
