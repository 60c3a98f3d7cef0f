"""What is made of what the SAM CLI prints."""

from local.sam_local.invocation import Outcome

NO_RESPONSE = "No response from invoke container for PlanRunFunction"


def test_a_container_that_never_listened_has_not_begun():
    outcome = Outcome.of("", f"Mounting code\n{NO_RESPONSE}\n")
    assert (outcome.failure, outcome.has_begun) == (NO_RESPONSE, False)


def test_a_function_that_fell_silent_had_begun():
    outcome = Outcome.of("", f"START RequestId: 1 Version: $LATEST\n{NO_RESPONSE}\n")
    assert (outcome.failure, outcome.has_begun) == (NO_RESPONSE, True)


def test_a_function_that_answered_had_begun():
    assert Outcome.of("{}", "").has_begun
