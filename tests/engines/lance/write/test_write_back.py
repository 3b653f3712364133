"""Pages of new files are written to disk while the files grow."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from penstock.engines.lance.write.write_back import _write_back, writing_back


def test_what_has_grown_is_written_once(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int, int]] = []
    stop = threading.Event()

    def write(descriptor: int, start: int, size: int, flags: int) -> int:
        calls.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, start, size, flags))
        return 0

    def wait_for(count: int) -> None:
        until = time.monotonic() + 60
        while len(calls) < count:
            assert time.monotonic() < until
            time.sleep(0.01)

    thread = threading.Thread(target=_write_back, args=(str(tmp_path), write, stop))
    thread.start()
    with (tmp_path / ".tmpA").open("wb") as one, (tmp_path / "other").open("wb") as other:
        other.write(bytes(8 << 20))
        one.write(bytes(5 << 20))
        one.flush()
        wait_for(1)
        one.write(bytes(1 << 20))  # too little
        one.flush()
        time.sleep(0.1)
        one.write(bytes(4 << 20))
        one.flush()
        wait_for(2)
    stop.set()
    thread.join()
    # On a busy machine the file may be looked at in the middle of a write, and what is too little then waits.
    assert {(name, flags) for name, _, _, flags in calls} == {(".tmpA", 2)}
    ends = [0, *(start + size for _, start, size, _ in calls)]
    assert [start for _, start, _, _ in calls] == ends[:-1], "without gaps, and nothing twice"
    assert all(size >= 4 << 20 for _, _, size, _ in calls)


def test_the_kernel_is_asked_and_files_stay_as_they_are(tmp_path: Path) -> None:
    content = os.urandom(6 << 20)
    with writing_back(tmp_path), (tmp_path / ".tmpB").open("wb") as file:
        file.write(content)
        file.flush()
        time.sleep(0.1)
        (tmp_path / ".tmpB").rename(tmp_path / "done")
        time.sleep(0.1)
    assert (tmp_path / "done").read_bytes() == content
    assert not [thread for thread in threading.enumerate() if thread.name == "write-back"]
