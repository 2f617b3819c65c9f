import socket

import pytest
from deploy.local import ports
from deploy.local.layout import Place
from deploy.local.trouble import Trouble


def free_port() -> int:
    return ports.choose({"any": 0})["any"]


def test_the_usual_port_is_taken_when_it_is_free() -> None:
    port = free_port()

    assert ports.choose({"web": port}) == {"web": port}


def test_a_taken_port_gives_way_to_the_next_free_one() -> None:
    with socket.socket() as other:
        other.bind((ports.HOST, free_port()))
        other.listen()
        taken = other.getsockname()[1]

        assert ports.choose({"web": taken})["web"] > taken


def test_two_names_never_get_one_port() -> None:
    port = free_port()
    chosen = ports.choose({"one": port, "two": port})

    assert chosen["one"] != chosen["two"]


def test_the_next_start_takes_the_ports_of_the_last_one(place: Place) -> None:
    first = ports.remembered(place.ports, {"web": 0})

    assert ports.remembered(place.ports, {"web": 0}) == first


def test_a_name_that_is_new_gets_a_port_and_one_that_is_gone_is_forgotten(place: Place) -> None:
    ports.remembered(place.ports, {"old": 0})

    assert set(ports.remembered(place.ports, {"new": 0})) == {"new"}


def test_when_a_whole_row_is_taken_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "TRIES", 1)
    with socket.socket() as other:
        other.bind((ports.HOST, free_port()))
        other.listen()

        with pytest.raises(Trouble, match="no free port for web") as found:
            ports.choose({"web": other.getsockname()[1]})

    assert "ss -ltnp" in found.value.remedy
