"""The undo of a rollout, in the form in which every undo token is carried out: a fault's `recover` and `gone`.

The token's `before` names the instances that served when the rollout began: they stay.
"""

from __future__ import annotations

from harness import actuators
from harness.errors import TargetError
from harness.model.rollout import Rollout as Parameters
from harness.ports import Observation, Releases, Selection, Settles, Target

__all__ = ["KIND", "REQUIRES", "Parameters", "gone", "recover"]

KIND = __name__
REQUIRES = (Releases,)


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    actuators.take_back(target, parameters, selection.before)


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    actuator = actuators.connect(target, parameters)
    try:
        share = actuator.observe()
        confirmed = f"; {actuator.confirmed()}" if isinstance(actuator, Settles) else ""
    except TargetError as error:
        return Observation(False, "nobody", str(error).splitlines()[0])
    left = [one.name for one in actuators.leftovers(target, parameters, selection.before)]
    seen = share == 0 and not left
    detail = f"share {share:.0%}, instances of {parameters.canary}: {', '.join(left) or 'none'}{confirmed}"
    return Observation(seen, f"{parameters.actuator} and the target", detail)
