"""``python -m tests.fuzz.run TARGET FOLDER… [options of libFuzzer]``: look for inputs that break a target.

Wants atheris (``requirements.txt`` beside this file), which counts the branches that each input takes. An input that
breaks the target is left in a file ``crash-…``, with the traceback on the terminal.
"""

from __future__ import annotations

import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["penstock", "numpy.lib", "json"]):
    from tests.fuzz.targets import TARGETS

__all__ = ["main"]


def main() -> None:
    target = TARGETS[sys.argv[1]]
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as words:
        words.writelines(f'"{_escaped(word)}"\n' for word in target.words)
        words.flush()
        options = [f"-max_len={target.longest}", f"-dict={words.name}", "-rss_limit_mb=4096", "-timeout=60"]
        # To join corpora libFuzzer starts the program by its first argument, in a shell.
        again = f"{sys.executable} -m tests.fuzz.run {sys.argv[1]}"
        atheris.Setup([again, *options, *sys.argv[2:]], target.run)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(rf"\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
