"""``make demo``: everything that Penstock is for, in one go, with a server of its own in a temporary folder.

Each command line is printed before it runs, so that it can be tried by hand. The exit code is 0 only when every step
did what it should.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

import penstock
from demo.samples import SCHEMA, embed, make_bad_file, make_samples
from penstock.bulk_writer import list_import_jobs

PENSTOCK = Path(sys.executable).with_name("penstock")
CLUSTER = "in01-local"
COLLECTION = "books"
ROWS_PER_FILE = 5_000
BAD_ROW = 42
QUESTION = "a storm and a lighthouse"

START_SECONDS = 60
JOB_SECONDS = 120

out = Console(highlight=False)


class DemoFailed(Exception):
    """A step didn't do what it should."""


def main() -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as name:
        folder = Path(name).resolve()
        try:
            show_everything(folder)
        except (DemoFailed, penstock.SdkError) as error:
            out.print(f"\n[bold red]The demo failed:[/] {error}", soft_wrap=True)
            log = folder / "server.log"
            if log.exists():
                out.print("The last lines of the server's log:", log.read_text()[-2000:], sep="\n", markup=False)
            return 1
    out.print(f"\nAll done in {time.monotonic() - started:.0f} s. The server is stopped and its folder removed.")
    out.print("Next: README.md, “Quick start”, starts your own server.")
    return 0


def show_everything(folder: Path) -> None:
    os.chdir(folder)
    files = folder / "files"
    files.mkdir()
    title("Sample files")
    samples = make_samples(files, ROWS_PER_FILE)
    for kind, path in samples.items():
        out.print(f"  {kind:<11} {path.relative_to(folder)}{'/' if path.is_dir() else ''}")

    title("A server")
    with running_server(folder) as url:
        title("A collection, from a schema file")
        schema = folder / "books-schema.json"
        schema.write_text(json.dumps(SCHEMA, indent=2))
        run("collections", "create", COLLECTION, "--schema", schema.name)

        title("Import through the v1 API (Zilliz Cloud): one file, then a folder")
        import_by_v1(url, samples["Parquet"].as_uri())
        import_by_v1(url, samples["NumPy"].as_uri() + "/")

        title("Import through the v2 API (Milvus), by the command line")
        rest = [samples[kind] for kind in ("JSON list", "JSON rows", "JSON Lines", "CSV")]
        run("import", *(str(path.relative_to(folder)) for path in rest), "--collection", COLLECTION)

        title("A file with a mistake: nothing of it becomes visible")
        bad = files / "mistake.jsonl"
        make_bad_file(bad, BAD_ROW)
        run("import", str(bad.relative_to(folder)), "--collection", COLLECTION, expected=1)

        title("The jobs, as the v1 API lists them")
        say("penstock.list_import_jobs(url, api_key, cluster_id, page_size=10, current_page=1).json()")
        print_json(penstock.list_import_jobs(url, "", CLUSTER, page_size=10, current_page=1).json())

        title("The jobs, as the v2 API lists them")
        say("penstock.bulk_writer.list_import_jobs(url, collection_name).json()")
        print_json(list_import_jobs(url, COLLECTION).json())

        title("The rows")
        run("collections", "list")
        check_rows(url, len(samples) * ROWS_PER_FILE)
        title(f"A search: books about {QUESTION!r}, printed since 1980")
        vector = json.dumps([round(float(each), 4) for each in embed(QUESTION)])
        words = ("--filter", "year >= 1980", "--limit", "5")
        run(
            "search",
            COLLECTION,
            "--vector",
            vector,
            *words,
            shown=("search", COLLECTION, "--vector", "'[…]'", *words),
        )


def title(text: str) -> None:
    out.print(f"\n[bold]── {text}[/]", soft_wrap=True)


def say(command: str) -> None:
    """What runs now."""
    out.print(f"$ {command}", style="cyan", soft_wrap=True, markup=False)


def run(*arguments: str, expected: int = 0, shown: tuple[str, ...] | None = None) -> None:
    """Run ``penstock …`` as a user would, on this terminal."""
    words = " ".join(f"'{each}'" if " " in each else each for each in shown or arguments)
    say(f"penstock {words}")
    done = subprocess.run([str(PENSTOCK), *arguments], check=False, timeout=JOB_SECONDS)
    if done.returncode != expected:
        raise DemoFailed(f"penstock {arguments[0]} ended with exit code {done.returncode}, not {expected}")
    if expected:
        out.print(f"(exit code {done.returncode}, as it should be)")


def import_by_v1(url: str, object_url: str) -> None:
    """Start a job with the calls of Zilliz Cloud v1, and draw its progress until it is finished."""
    say(f"penstock.bulk_import(url, api_key, {object_url!r}, …)")
    answer = penstock.bulk_import(url, "", object_url, "", "", CLUSTER, COLLECTION)
    job_id = answer.json()["data"]["jobId"]
    columns = (TextColumn("job {task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=out) as bar:
        task = bar.add_task(job_id, total=1.0)
        deadline = time.monotonic() + JOB_SECONDS
        while time.monotonic() < deadline:
            job = penstock.get_import_progress(url, "", job_id, CLUSTER).json()["data"]
            bar.update(task, completed=job["readyPercentage"])
            if job["errorMessage"]:
                raise DemoFailed(f"job {job_id}: {job['errorMessage']}")
            if job["readyPercentage"] == 1:
                return
            time.sleep(0.1)
    raise DemoFailed(f"job {job_id} isn't finished after {JOB_SECONDS} s")


def check_rows(url: str, expected: int) -> None:
    with penstock.Client(url) as client:
        count = client.count(COLLECTION)
    if count != expected:
        raise DemoFailed(f"there are {count:,} rows, and there should be {expected:,}")


def print_json(answer: dict[str, Any]) -> None:
    """JSON with one line per job."""
    lines = []
    for key, value in answer["data"].items():
        if isinstance(value, list):
            rows = ",\n".join(f"      {json.dumps(each)}" for each in value)
            lines.append(f'    "{key}": [\n{rows}\n    ]')
        else:
            lines.append(f'    "{key}": {json.dumps(value)}')
    inner = ",\n".join(lines)
    out.print(f'{{\n  "code": {answer["code"]},\n  "data": {{\n{inner}\n  }}\n}}', markup=False, soft_wrap=True)


@contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """``penstock serve`` on a free port; the commands of the demo find it by PENSTOCK_URL."""
    command = [str(PENSTOCK), "serve", "--port", "0", "--data-dir", "data", "--import-root", "files"]
    say("penstock serve --port 0 --data-dir data --import-root files")
    # Settings of the user's own server are none of the demo's business.
    os.environ.update({name: "" for name in os.environ if name.startswith("PENSTOCK_")})
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = wait_until_ready(process, folder / "data" / "server.json")
        out.print(f"It listens on {url}; its API page is {url}/docs", soft_wrap=True)
        os.environ["PENSTOCK_URL"] = url
        yield url
    finally:
        process.terminate()
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.returncode:
        raise DemoFailed(f"the server ended with exit code {process.returncode}")


def wait_until_ready(process: subprocess.Popen[bytes], note: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if note.exists():
            url = str(json.loads(note.read_text())["url"])
            try:
                if requests.get(f"{url}/healthz", timeout=5).ok:
                    return url
            except requests.ConnectionError:
                pass
        time.sleep(0.05)
    raise DemoFailed("the server didn't start")


if __name__ == "__main__":
    sys.exit(main())
