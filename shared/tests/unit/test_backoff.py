"""The delays of the backoff, and what it logs."""

from itertools import pairwise

from structlog.testing import capture_logs

from service_runtime.backoff import Backoff, delay_seconds


def test_the_delay_doubles_up_to_the_limit_and_never_overflows() -> None:
    delays = [delay_seconds(failures, first=0.1, longest=5.0) for failures in range(2_000)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert all(before <= after for before, after in pairwise(delays))
    assert delays[-1] == 5.0


def test_a_delay_is_between_half_and_all_of_its_size_and_starts_again_after_a_success() -> None:
    backoff = Backoff("job", first=1.0, longest=64.0)
    for size in (1, 2, 4, 8, 16, 32, 64, 64):
        assert size / 2 <= backoff.next_delay(OSError()) <= size
    backoff.worked()
    assert backoff.next_delay(OSError()) <= 1.0


def test_it_logs_failures_1_2_4_8_and_the_success_and_keeps_the_reason() -> None:
    backoff, error = Backoff("job"), OSError("gone")
    with capture_logs() as lines:
        backoff.worked()
        for _ in range(9):
            backoff.next_delay(error)
        reasons = [backoff.reason]
        backoff.worked()
        reasons.append(backoff.reason)
    assert reasons == [error, None]
    assert [(line["event"], line["tries"]) for line in lines] == [
        ("trying_again", 1),
        ("trying_again", 2),
        ("trying_again", 4),
        ("trying_again", 8),
        ("works_again", 9),
    ]
    assert lines[0]["error"] == "OSError: gone"
