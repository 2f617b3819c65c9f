"""Password hashes: Django's verify; new ones are argon2id; any other text is rejected."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import passwords

PASSWORD = "correct horse battery staple é"

# Made by Django 5.2's own hashers from PASSWORD.
DJANGO = {
    "pbkdf2_sha256": "pbkdf2_sha256$20000$Zx81kQv0aT3mNc5rYw7LpE$C84/zbHEhHBVQqTgumhy8ako3xVLryDH9C/4uaIzW+M=",
    "pbkdf2_sha256 of 3.2": "pbkdf2_sha256$260000$Zx81kQv0aT3mNc5rYw7LpE$9zt5aefPt4wtKppixmvcuC/nPrcWcCF9wuekbIe4uXA=",
    "argon2": "argon2$argon2id$v=19$m=102400,t=2,p=8$YWJjZGVmZ2gxMjM0NTY3OA$xyws/otVCSOR+9MtPoq6AYEMe+En/4xosTcfg1DpsQs",
    "bcrypt_sha256": "bcrypt_sha256$$2b$06$abcdefghijklmnopqrstuub2NjKs12IKOGN4Gbe76qm.faJnYPpfW",
    "scrypt": "scrypt$16384$saltsaltsaltsaltsalt22$8$5$ZxT0a1PeQKS4YbJhHxEKkrZzk4T0HHANS3V/AUOerT5wHGLVtEQWtq7qy8wo1Py2YCQYg5MqiH29sAzs+7Le+g==",
    "scrypt before 5.1": "scrypt$16384$saltsaltsaltsaltsalt22$8$1$xYuGsaP3IVNKDeIFlTqnMhjdGQriMTjgokLlLRvEvN9TJz9jpdcUu238g69tX949bNSwbUFEtNPrtDaZethaGg==",
}


@pytest.mark.parametrize("stored", DJANGO.values(), ids=DJANGO)
def test_a_hash_that_django_made_verifies_and_is_to_be_renewed(stored: str) -> None:
    assert passwords.verify(stored, PASSWORD)
    assert not passwords.verify(stored, PASSWORD + " ")
    assert not passwords.verify(stored, "")
    assert passwords.is_known(stored)
    assert passwords.needs_rehash(stored)


def test_a_new_hash_is_argon2id_under_djangos_name_and_is_current() -> None:
    stored = passwords.hash_password(PASSWORD)

    assert stored.startswith("argon2$argon2id$v=19$m=47104,t=1,p=1$")
    assert len(stored) <= 256
    assert passwords.verify(stored, PASSWORD)
    assert not passwords.verify(stored, PASSWORD.upper())
    assert not passwords.needs_rehash(stored)
    assert passwords.hash_password(PASSWORD) != stored


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "!2YaFbTeNYiWcMog3QzXlAtxRrqmVNle7Pg5J95jR",
        "md5$salt$abc",
        "plain",
        "pbkdf2_sha256$",
        "pbkdf2_sha256$x$salt$hash",
        "pbkdf2_sha256$0$salt$hash",
        "pbkdf2_sha256$99999999999$salt$hash",
        "pbkdf2_sha256$1000$salt",
        "argon2$",
        "argon2$argon2id$v=19$m=8$x$y",
        "bcrypt_sha256$",
        "bcrypt_sha256$$2b$06$short",
        "scrypt$16384$salt$8",
        "scrypt$3$salt$8$1$hash",
        "scrypt$1073741824$salt$8$1$hash",
        "pbkdf2_sha256$1000$" + "s" * 300 + "$hash",
    ],
)
def test_what_is_no_hash_of_ours_is_no_password(stored: str) -> None:
    assert not passwords.verify(stored, PASSWORD)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_stored_text_raises(stored: str) -> None:
    for algorithm in ("pbkdf2_sha256", "bcrypt_sha256", "argon2", ""):
        text = f"{algorithm}${stored}" if algorithm else stored
        if algorithm == "pbkdf2_sha256" and stored[:4].isdecimal():
            continue  # a count that is merely large is only slow
        assert not passwords.verify(text, "x")


def test_an_unreadable_argon2_hash_is_to_be_renewed() -> None:
    assert passwords.needs_rehash("argon2$nonsense")
