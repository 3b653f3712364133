from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sdk.recording_server import RecordingServer, recording_server


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as recorder:
        yield recorder
