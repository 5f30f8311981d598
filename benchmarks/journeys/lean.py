"""One light journey, for measuring the generator itself."""

from harness.load.open_loop import Arrival, OpenLoopUser, journey


class Lean(OpenLoopUser):
    @journey("lean")
    def lean(self, arrival: Arrival) -> bool:
        return arrival.get("/one.json").status == 200
