"""Whether users are well right now, by which a run goes on or ends early. The judge measures for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.model.records import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

HARDLY = 0.01  # of the requests: what a release may fail that is promoted


def healed_since(beacon: pa.Table, now_ns: int, sustained_s: float, since_ns: int = 0, slack_s: float = 0.5) -> bool:
    """Whether each probe intended within the last `sustained_s`, all of it after `since_ns`, was answered at level 1.

    The newest `slack_s` are left out: their answers may not be written yet. This only decides when the run goes on;
    the judge measures the recovery itself.
    """
    import numpy as np

    intended = beacon["intended_ns"].to_numpy()
    end = now_ns - int(slack_s * 1e9)
    start = end - int(sustained_s * 1e9)
    if start < since_ns:
        return False
    inside = (intended >= start) & (intended < end)
    good = (
        (beacon["outcome"].to_numpy() == Outcome.ANSWERED)
        & (beacon["status"].to_numpy() == 200)
        & (beacon["level"].to_numpy() == 1)
    )
    return bool(inside.any() and np.all(good[inside]))


def users_healed(requests: pa.Table, now_ns: int, sustained_s: float, slack_s: float = 0.5) -> bool:
    """Whether hardly anybody met a failure or a degraded answer within the last `sustained_s`: a platform may call
    itself well while one of its breakers is still open. True where nobody asked."""
    end = now_ns - int(slack_s * 1e9)
    intended = requests["intended_ns"].to_numpy()
    inside = (intended >= end - int(sustained_s * 1e9)) & (intended < end)
    bad = (
        (requests["outcome"].to_numpy() != Outcome.ANSWERED)
        | (requests["status"].to_numpy() >= 500)
        | (requests["level"].to_numpy() > 1)
    )
    return not inside.any() or float(bad[inside].mean()) <= HARDLY


def error_share(requests: pa.Table, now_ns: int, over_s: float) -> tuple[float, int]:
    """(share of failed requests, number of requests) among those intended within the last `over_s` seconds."""
    import numpy as np

    intended = requests["intended_ns"].to_numpy()
    inside = intended >= now_ns - int(over_s * 1e9)
    count = int(np.count_nonzero(inside))
    if not count:
        return 0.0, 0
    failed = (requests["outcome"].to_numpy() != Outcome.ANSWERED) | (requests["status"].to_numpy() >= 400)
    return float(np.count_nonzero(failed & inside) / count), count
