"""The same light request as Locust users send it by default: a closed loop, each user at its own pace."""

import os

from locust import FastHttpUser, constant_throughput, task

USERS = int(os.environ.get("STOCK_USERS", "50"))
RATE = float(os.environ.get("STOCK_RATE", "200"))


class Stock(FastHttpUser):
    wait_time = constant_throughput(RATE / USERS)

    @task
    def one(self) -> None:
        self.client.get("/one.json")
