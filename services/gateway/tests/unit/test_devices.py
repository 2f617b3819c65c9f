"""The signed cookie that names a browser's devices."""

import pytest

from gateway.devices import DeviceToken, DeviceTokens

KEYS = DeviceTokens("k1:" + "q" * 40)


def test_a_cookie_names_the_devices_that_were_written_the_newest_first() -> None:
    anna, berta = KEYS.new(7), KEYS.new(8)

    value = KEYS.write(anna, [berta])

    assert KEYS.read([value.encode()]) == (anna, berta)
    assert KEYS.new(7) != anna
    assert anna.id_hash != berta.id_hash


def test_a_new_device_of_a_user_takes_the_place_of_the_old_one() -> None:
    old, new, berta = KEYS.new(7), KEYS.new(7), KEYS.new(8)

    assert KEYS.read([KEYS.write(new, [berta, old]).encode()]) == (new, berta)


def test_a_cookie_holds_a_bounded_number() -> None:
    tokens = [KEYS.new(user_id) for user_id in range(1, 30)]

    value = KEYS.write(tokens[0], tokens[1:])

    assert KEYS.read([value.encode()]) == tuple(tokens[:4])
    assert KEYS.read([value.encode(), KEYS.write(tokens[9], []).encode()]) == tuple(tokens[:4])


def test_a_key_that_is_no_longer_first_still_verifies() -> None:
    token = KEYS.new(7)
    rotated = DeviceTokens("k2:" + "z" * 40 + ",k1:" + "q" * 40)
    dropped = DeviceTokens("k2:" + "z" * 40)
    value = KEYS.write(token, []).encode()

    assert rotated.read([value]) == (token,)
    assert dropped.read([value]) == ()
    assert dropped.read([rotated.write(token, []).encode()]) == (token,)


def _changed(value: str) -> list[str]:
    user, nonce, signature = value.split(".")
    swapped = "A" if nonce[0] != "A" else "B"
    return [
        "",
        "x",
        user,
        f"{user}.{nonce}",
        f"8.{nonce}.{signature}",
        f"07.{nonce}.{signature}",
        f"{user}.{swapped}{nonce[1:]}.{signature}",
        f"{user}.{nonce}.{signature[:-1]}",
        f"{user}.{nonce}.{'A' * 22}",
        f"{user}.{nonce}.{signature}é",
        f"{'9' * 30}.{nonce}.{signature}",
        ":" * 400,
        value + " " * 600,
    ]


@pytest.mark.parametrize("number", range(13))
def test_what_is_not_signed_here_names_no_device(number: int) -> None:
    value = _changed(KEYS.write(DeviceToken(7, "n" * 22), []))[number]

    assert KEYS.read([value.encode()]) == ()
