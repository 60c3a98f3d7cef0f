from math import ceil, floor, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag_stats.pooling import pooled_percentile
from flowlag_stats.samples import RunSample
from tests.stats.runs import run

RUN = st.tuples(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 3)).filter(any)
RUNS = st.lists(RUN, min_size=1, max_size=7).map(
    lambda drawn: [run(delays, number, missing=missing) for number, (delays, missing) in enumerate(drawn)]
)


def type_7(samples: list[RunSample], share: float) -> float:
    """Of all values of all samples, put together."""
    pool = sorted(delay for sample in samples for delay in [*sample.delays, *[inf] * sample.missing])
    place = round(share * (len(pool) - 1), 9)
    if not pool or pool[ceil(place)] == inf:
        return inf
    return pool[floor(place)] + (pool[ceil(place)] - pool[floor(place)]) * (place - floor(place))


@given(RUNS, st.one_of(st.sampled_from([0, 0.05, 0.5, 0.95, 1]), st.floats(0, 1)))
def test_it_is_the_percentile_of_all_and_of_all_but_each(samples: list[RunSample], share: float) -> None:
    pooled, without = pooled_percentile(samples, share)
    assert pooled == pytest.approx(type_7(samples, share), abs=1e-6)
    others = [[*samples[:number], *samples[number + 1 :]] for number in range(len(samples))]
    assert without.tolist() == pytest.approx([type_7(each, share) for each in others], abs=1e-6)


def test_runs_of_unlike_lengths_count_by_their_probes() -> None:
    samples = [run(np.linspace(0, 1, 9_001)), run(np.linspace(100, 101, 101), 1)]
    assert pooled_percentile(samples, 0.95)[0] < 1
    assert pooled_percentile(samples, 0.995)[0] > 100
