"""The queue of rebuilds: each customer once, and a bounded number."""

from portal_query.projector.chain import Trouble
from portal_query.projector.refolds import Refolds
from service_runtime.testing import ManualClock


def test_too_many_customers_at_once_do_not_all_wait_in_memory() -> None:
    refolds = Refolds(lambda _: None, lambda _: True, ManualClock())
    for customer in range(1, 100_001):
        refolds.ask(customer, Trouble.HEADS)

    waiting = sum(refolds.waits(customer) for customer in range(1, 100_001))
    assert waiting == 10_000
    assert refolds.waits(1)
