"""The control: a Locust user as the documentation of Locust has it, kept to a rate by waiting."""

from locust import User, constant_throughput, events, task

from loadtests.drivers.reference import carry_out
from workbench.flows.login import GREETING
from workbench.flows.model import Caller
from workbench.state import connect


class StockUser(User):
    """25 turns a second."""

    wait_time = constant_throughput(25)

    def on_start(self) -> None:
        self.client = connect(self.host, max_connections=1)
        self.caller = Caller(7, id(self) % 1_000_000)

    @task
    def turn(self) -> None:
        with events.request.measure("TURN", "greeting"):
            carry_out(
                self.client,
                self.caller.identifier,
                self.caller.fresh_id(),
                GREETING.edit(self.caller),
                begins=True,
                follows=None,
                ttl_s=300,
            )
