"""What holds for the tests of this machine as a region."""

from threading import Thread, current_thread

import pytest

from local.cloud.region import Region


@pytest.fixture(autouse=True, scope="session")
def state_of_ministack(tmp_path_factory):
    """MiniStack makes a directory when it is imported: not a fixed one under the system's temporary files."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STATE_DIR", str(tmp_path_factory.mktemp("ministack")))
        yield


@pytest.fixture
def started_threads(monkeypatch):
    """The threads that a test starts, and those that they start; whatever else this process does meanwhile."""
    started = []
    start, test = Thread.start, current_thread()

    def note_and_start(thread):
        if current_thread() in (test, *started):
            started.append(thread)
        start(thread)

    monkeypatch.setattr(Thread, "start", note_and_start)
    return started


@pytest.fixture(scope="module")
def region():
    """One region for a module's tests, sped up."""
    with Region(time_scale=60) as region:
        yield region
