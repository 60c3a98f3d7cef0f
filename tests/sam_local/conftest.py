"""One engine, one build and one embedded AWS for all tests here; each function is invoked once."""

import os
from dataclasses import dataclass, field

import pytest

from local.sam_local.session import Session


@dataclass
class Rehearsal:
    """What every function answered, by event; and what was in the buckets after an event.

    Events are copied when a function is through with them, for the last function empties the stack.
    """

    played: dict = field(default_factory=dict)
    landing: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)


@pytest.fixture(scope="session")
def session():
    with Session(print) as session:
        yield session


@pytest.fixture(scope="session")
def rehearsal(session):
    found = Rehearsal()

    def look(played):
        buckets = session.stage.outputs
        found.landing[played.event] = session.stage.objects(buckets["WorkBucketName"], "landing/")
        found.results[played.event] = session.stage.objects(buckets["ResultsBucketName"], "")

    found.played = {each.event: each for each in session.rehearse(look)}
    return found


@pytest.fixture
def engine(session):
    """The container engine, without which a test has nothing to say."""
    if session.engine is None:
        assert "CI" not in os.environ, f"CI has no container engine: {session.why}"
        pytest.skip(f"no container engine: {'; '.join(session.why)}")
    return session.engine
