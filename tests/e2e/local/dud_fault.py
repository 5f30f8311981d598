"""A fault that claims to have been made and does nothing: nobody may believe it."""

from __future__ import annotations

from harness.model.base import Frozen
from harness.ports import Observation, Selection


class Parameters(Frozen):
    """None."""


REQUIRES = ()


def predict(platform: object, parameters: Parameters) -> Selection:
    return Selection(("weaviate-sjc-0",))


def select(target: object, parameters: Parameters) -> Selection:
    return Selection(("weaviate-sjc-0",))


def inject(target: object, selection: Selection, parameters: Parameters) -> None: ...


def landed(target: object, selection: Selection, parameters: Parameters) -> Observation:
    return Observation(False, "an honest observer", "nothing happened")


def gone(target: object, selection: Selection, parameters: Parameters) -> Observation:
    return Observation(True, "an honest observer", "nothing is there")


def recover(target: object, selection: Selection, parameters: Parameters) -> None: ...
