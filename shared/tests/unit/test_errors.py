import pytest

from service_runtime.errors import Problem, unavailable


def test_a_problem_says_all_that_it_knows_in_a_stable_order() -> None:
    problem = Problem(
        409,
        "illegal-move",
        "This move is not allowed",
        "A completed repair stays completed.",
        errors=[{"pointer": "/status", "detail": "no"}],
        extra={"allowed": ["PENDING"]},
    )
    body = problem.to_body("request-1")
    assert list(body) == [
        "type",
        "title",
        "status",
        "code",
        "detail",
        "errors",
        "allowed",
        "request_id",
    ]
    assert body["type"] == "https://rswindrepair.example/problems/illegal-move"
    assert body["status"] == 409
    assert body["errors"] == [{"pointer": "/status", "detail": "no"}]


def test_a_problem_leaves_out_what_it_does_not_know() -> None:
    assert list(Problem(404, "not-found", "Nothing here").to_body()) == [
        "type",
        "title",
        "status",
        "code",
    ]


def test_a_body_can_be_changed_without_changing_the_problem() -> None:
    problem = Problem(422, "invalid", "No", errors=[{"pointer": "/a", "detail": "b"}])
    problem.to_body()["errors"][0]["pointer"] = "/changed"
    assert problem.to_body()["errors"] == [{"pointer": "/a", "detail": "b"}]


@pytest.mark.parametrize("seconds", [1, 30])
def test_what_is_away_is_a_503_that_says_when_to_try_again(seconds: int) -> None:
    problem = unavailable("The database", seconds)
    assert (problem.status, problem.headers) == (503, {"Retry-After": str(seconds)})
    assert "The database" in problem.to_body()["detail"]
