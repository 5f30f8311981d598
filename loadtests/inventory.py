"""The users of the second inventory: they call a tool at its orchestrator, which says what it was asked.

Plain Locust runs it too: locust -f loadtests/inventory.py --headless -u 1 -r 1 -t 20s --host http://127.0.0.1:30080
"""

from harness.load.open_loop import Arrival, OpenLoopUser, journey


class Inventory(OpenLoopUser):
    def prepare(self) -> None:
        self.service = self.http.request("GET", "/info").get("service")

    @journey("call")
    def call(self, arrival: Arrival) -> bool:
        asked = {"number": arrival.integer(1 << 30)}
        response = arrival.post("/call", {"tool": "count", "arguments": asked})
        return bool(response.get("service") == self.service and response.get("given") == asked)
