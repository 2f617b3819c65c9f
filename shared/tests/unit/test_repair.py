"""The tag of a profile's state: equal for equal content, different for any other."""

import msgspec

from repair_events.repair import Customer, profile_tag

PROFILE = Customer(customer_id=7, name="Cedar Valley Logistics", city="Madison")


def test_a_state_is_named_by_what_the_profile_says() -> None:
    again = Customer(customer_id=7, name="Cedar Valley Logistics", city="Madison")
    assert profile_tag(PROFILE) == profile_tag(again)
    for field in Customer.__struct_fields__:
        other = msgspec.structs.replace(PROFILE, **{field: 8 if field == "customer_id" else "x"})
        assert profile_tag(other) != profile_tag(PROFILE), field
