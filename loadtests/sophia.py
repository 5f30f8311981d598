"""Users' journeys through Sophia's unified API: chat, memory write, read and delete, search.

Plain Locust runs it too: locust -f loadtests/sophia.py --headless -u 1 -r 1 -t 20s --host http://127.0.0.1:8080
"""

from contextlib import suppress

from harness.load.client import NoAnswer
from harness.load.open_loop import Arrival, Content, OpenLoopUser, journey

DOCUMENTS = 300
CLUSTER = 3  # documents 3k, 3k+1 and 3k+2 are each other's nearest neighbours
SEEDED = 8  # memories written before the first arrival, so that there is always one to read
DOOMED = 32  # memories held ready for deleting, which nobody reads: a read never meets a memory just being deleted


class Sophia(OpenLoopUser):
    def prepare(self) -> None:
        known = self.http.request("GET", "/api/knowledge").get("questions") or []
        self.known = [(each["question"], each["answer"]) for each in known]
        self.memories: list[tuple[str, str]] = []
        self.doomed: list[str] = []
        self.held = DOOMED if "memory-delete" in self.order.load.mix else 0
        if self.held or "memory-read" in self.order.load.mix:
            for number in range(self.held + SEEDED):
                with suppress(NoAnswer):  # a release that fails now and then must still be loaded
                    self.write(self.aside(), number, f"seed-{number}")

    @journey("chat")
    def chat(self, arrival: Arrival) -> Content | bool:
        if arrival.integer(2) and self.known:
            question, answer = self.known[arrival.integer(len(self.known))]
        else:
            a, b = arrival.integer(1000), arrival.integer(1000)
            question, answer = f"What is {a} plus {b}?", str(a + b)
        response = arrival.post("/api/chat", {"question": question})
        if response.get("answer") == answer:
            return True
        return Content.UNCHECKED if response.level >= 4 else False  # level 4: a static response to any question

    @journey("memory-write")
    def memory_write(self, arrival: Arrival) -> bool:
        return self.write(arrival, arrival.integer(1 << 62), f"m{arrival.index}")

    @journey("memory-read")
    def memory_read(self, arrival: Arrival) -> bool:
        if not self.memories:
            raise arrival.skip("no memory has been acknowledged yet")
        key, text = self.memories[arrival.integer(len(self.memories))]
        return bool(arrival.get(f"/api/memory/{key}").get("text") == text)

    @journey("memory-delete")
    def memory_delete(self, arrival: Arrival) -> bool:
        if not self.doomed:
            raise arrival.skip("no memory has been acknowledged that may be deleted")
        key = self.doomed.pop(arrival.integer(len(self.doomed)))
        try:
            response = arrival.delete(f"/api/memory/{key}")
        finally:
            self.remember(key, None, arrival)
        return response.status == 200

    @journey("search")
    def search(self, arrival: Arrival) -> Content | bool:
        number = arrival.integer(DOCUMENTS)
        first = number - number % CLUSTER
        response = arrival.post("/api/search", {"vector_of": f"doc-{number}"})
        hits = response.get("hits")
        if hits == [] and response.level >= 3:  # vector search lost: nothing to be right or wrong about
            return Content.UNCHECKED
        found = [hit.get("id") for hit in hits[:CLUSTER]] if isinstance(hits, list) else []
        return sorted(map(str, found)) == sorted(f"doc-{first + step}" for step in range(CLUSTER))

    def write(self, arrival: Arrival, number: int, name: str) -> bool:
        key, text = f"{self.order.run_id}-{name}", f"memory {name} of {self.order.run_id}: {number:x}"
        try:
            response = arrival.post("/api/memory", {"key": key, "text": text})
        finally:
            self.remember(key, text, arrival)
        if response.status in (200, 201):
            if len(self.doomed) < self.held:
                self.doomed.append(key)
            else:
                self.memories.append((key, text))
            return True
        return False
