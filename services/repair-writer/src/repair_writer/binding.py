"""The sources and customers that an API key may act on; decision 14."""

from typing import Final

import msgspec

from repair_events.repair import Repair
from repair_writer.repair import Refusal

_NAMED: Final = 5


class KeyBinding(msgspec.Struct, frozen=True, kw_only=True):
    """The sources and customers that a caller may act on. None allows any.

    `sources` limits changes of repairs. `customers` limits changes and reads.
    """

    sources: tuple[str, ...] | None = None
    customers: frozenset[int] | None = None

    def check_repair(self, repair: Repair) -> Refusal | None:
        """Return the refusal for a repair outside the binding, None for one inside."""
        if self.sources is not None and repair.source not in self.sources:
            return _scope(
                f"This key changes repairs of {_named('source', self.sources)} only, and this "
                "repair belongs to another source. Use a key of that source, or one with the "
                "scope sources:any."
            )
        return self.check_customer(repair.customer_id)

    def check_customer(self, customer_id: int) -> Refusal | None:
        """Return the refusal for a customer outside the binding, None for one inside."""
        if self.customers is None or customer_id in self.customers:
            return None
        customers = tuple(map(str, sorted(self.customers)))
        return _scope(
            f"This key is bound to {_named('customer', customers)}, and this is about another "
            "customer. Use a key that is bound to that customer, or to none."
        )


ANY: Final = KeyBinding()


def _scope(detail: str) -> Refusal:
    return Refusal(code="scope", detail=detail)


def _named(what: str, names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    plural = "s" if len(names) > 1 else ""
    return f"the {what}{plural} {shown}" + (f" and {more} more" if more > 0 else "")
