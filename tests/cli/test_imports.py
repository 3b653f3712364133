"""``penstock import`` and ``penstock jobs``, with files that a real server reads."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from tests.cli.conftest import Run
from tests.sdk.recording_server import recording_server
from tests.support.servers import PENSTOCK, RunningServer, clean_environment

MakeFile = Callable[..., Path]

TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""A program that makes its standard input the terminal whose Ctrl-C it gets, and becomes the one it is told."""


@pytest.fixture
def collection(run: Run, request: pytest.FixtureRequest) -> str:
    """An empty collection of 2-d vectors, named after the test."""
    name = f"cli_{request.node.name.partition('[')[0]}"
    assert run("collections", "create", name, "--dimension", "2").exit_code == 0
    return name


@pytest.fixture
def make_file(server: RunningServer, request: pytest.FixtureRequest) -> MakeFile:
    """JSON Lines files in a folder of the test's own, below the import root."""
    folder = server.import_root / str(request.node.name).partition("[")[0]
    folder.mkdir(exist_ok=True)

    def make(name: str, first: int = 0, rows: int = 3, dim: int = 2) -> Path:
        path = folder / name
        lines = (f'{{"id": {index}, "vector": {[0.5] * dim}}}\n' for index in range(first, first + rows))
        path.write_text("".join(lines))
        return path

    return make


def test_an_import_ends_with_a_summary(run: Run, collection: str, make_file: MakeFile) -> None:
    files = [make_file("a.jsonl"), make_file("b.jsonl", first=3)]
    done = run("import", *map(str, files), "--collection", collection)
    assert done.exit_code == 0, done.output
    assert f"Imported 6 rows from 2 files, 192 bytes into {collection} in " in done.stdout
    assert "2 files into" in done.stderr
    assert "Completed 100 %" in done.stderr
    assert run("collections", "stats", collection).stdout == "6\n"


def test_patterns_and_relative_paths(
    run: Run, collection: str, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_file("a.jsonl").parent)
    make_file("b.jsonl", first=3)
    assert run("import", "*.jsonl", "--collection", collection).exit_code == 0
    assert run("import", ".", "--collection", collection).exit_code == 0
    assert run("query", collection, "--count").stdout == "12\n"


def test_paths_that_the_server_looks_for(run: Run, collection: str, make_file: MakeFile) -> None:
    path = make_file("a.jsonl")
    done = run("import", f"{path.parent.name}/a.jsonl", "--server-paths", "--collection", collection)
    assert done.exit_code == 0, done.output


def test_a_separator_in_the_words_of_a_shell(run: Run, collection: str, make_file: MakeFile) -> None:
    path = make_file("a.csv", rows=0)
    path.write_text("id\tvector\n1\t[1, 2]\n")
    done = run("import", str(path), "--collection", collection, "--sep", r"\t")
    assert done.exit_code == 0, done.output
    assert "Imported 1 rows" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--option", "seperator=;"), "option 'seperator' is unknown. Did you mean 'sep'?"),
        (("--sep", "||"), "option 'sep' is one character"),
    ],
)
def test_a_misspelt_option_is_refused_before_any_call(run: Run, arguments: tuple[str, ...], words: str) -> None:
    done = run("import", "a.csv", "--collection", "none", *arguments)
    assert (done.exit_code, words in done.stderr) == (2, True), done.output


def test_a_numpy_set(run: Run, collection: str, make_file: MakeFile) -> None:
    folder = make_file("unused.txt").parent / "set"
    folder.mkdir()
    np.save(folder / "id.npy", np.arange(5))
    np.save(folder / "vector.npy", np.ones((5, 2), np.float32))
    done = run("import", *map(str, folder.glob("*.npy")), "--collection", collection)
    assert done.exit_code == 0, done.output
    assert "a NumPy set of 2 files" in done.stderr
    assert "5 rows from 1 file" in done.stdout


def test_csv_options(run: Run, collection: str, make_file: MakeFile) -> None:
    path = make_file("a.txt").with_suffix(".csv")
    path.write_text('id|vector\n1|"[1, 2]"\n')
    assert run("import", str(path), "--collection", collection, "--sep", "|").exit_code == 0
    assert run("import", str(path), "--collection", collection, "--option", "sep=|").exit_code == 0
    assert run("import", str(path), "--collection", collection, "--option", "sep").exit_code == 2


def test_what_becomes_of_unknown_columns(run: Run, collection: str, make_file: MakeFile) -> None:
    path = make_file("a.csv")
    path.write_text('id,vector,colour\n1,"[0.5, 1]",red\n')
    refused = run("import", str(path), "--collection", collection, "--unknown-columns", "error")
    assert refused.exit_code == 1
    assert "the column 'colour' is not a field of the collection" in refused.output
    assert run("import", str(path), "--collection", collection, "--unknown-columns", "drop").exit_code == 0
    assert run("import", str(path), "--collection", collection, "--unknown-columns", "keep").exit_code == 2
    refused = run("import", str(path), "--collection", collection, "--option", "unknown_columns=keep")
    assert "must be one of dynamic, drop, error" in refused.output


def test_columns_that_are_mapped_to_fields(run: Run, make_file: MakeFile) -> None:
    name = "cli_mapped"
    fields = [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "price", "dataType": "Int32"},
        {"fieldName": "country", "dataType": "VarChar", "elementTypeParams": {"max_length": 9}},
    ]
    schema = make_file("schema.json", rows=0)
    schema.write_text(json.dumps({"fields": fields, "enableDynamicField": True}))
    created = run("collections", "create", name, "--schema", str(schema))
    assert created.exit_code == 0, created.output
    path = make_file("a.jsonl", rows=0)
    path.write_text(
        '{"key": 1, "x": 0.5, "y": 1, "price": "7", "junk": [1], "colour": "red", "doc": {"countries": ["DE"]}}\n'
    )
    missing = run("import", str(path), "--collection", name)
    assert "Import with --column id=key or --column id=x" in missing.output
    wrong = run("import", str(path), "--collection", name, "--column", "vectr=x")
    assert (wrong.exit_code, "Did you mean 'vector'?" in wrong.output) == (1, True), wrong.output
    flags = [
        "--column",
        "id=key",
        "--column",
        "vector=x,y",
        "--cast",
        "price=VarChar",
        "--path",
        "country=doc.countries[0]",
    ]
    done = run("import", str(path), "--collection", name, *flags, "--drop", "junk", "--gather-rest")
    assert done.exit_code == 0, done.output
    rows = run("query", name, "--filter", "id == 1", "--json")
    assert rows.exit_code == 0, rows.output
    [row] = json.loads(rows.stdout)
    assert (row["id"], row["vector"], row["price"], row["country"]) == (1, [0.5, 1.0], 7, "DE")
    assert (row["colour"], "junk" in row) == ("red", False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--column", "vector"), "'vector' is not FIELD=COLUMN, such as vector=embedding"),
        (("--cast", "price="), "'price=' is not FIELD=TYPE"),
        (("--column", "a=b", "--column", "a=c"), "--column names the field 'a' twice"),
        (("--column", "a=b,c", "--cast", "a=Int64"), "--cast of the field 'a'"),
        (("--column", "a=b", "--constant", "a=1"), "--constant of the field 'a': it has another source already"),
        (("--gather-rest", "--unknown-columns", "drop"), "--gather-rest contradicts --unknown-columns drop"),
        (("--column", "a=b", "--option", 'mapping={"a": "b"}'), "--option mapping contradicts the flags"),
    ],
)
def test_flags_that_make_no_mapping_are_refused(run: Run, arguments: tuple[str, ...], words: str) -> None:
    done = run("import", "a.csv", "--collection", "none", "--server-paths", *arguments)
    assert (done.exit_code, words in done.output) == (2, True), done.output


def test_into_a_partition(run: Run, collection: str, make_file: MakeFile) -> None:
    run("partitions", "create", collection, "north")
    run("import", str(make_file("a.jsonl")), "--collection", collection, "--partition", "north")
    assert {"name": "north", "rows": 3} in json.loads(run("partitions", "list", collection, "--json").stdout)
    assert run("query", collection, "--count", "--partition", "_default").stdout == "0\n"


def test_a_failed_job_says_why(run: Run, collection: str, make_file: MakeFile) -> None:
    good, bad = make_file("good.jsonl"), make_file("bad.jsonl", dim=3)
    done = run("import", str(good), str(bad), "--collection", collection)
    assert done.exit_code == 1
    assert f"none of its rows are visible in {collection}" in done.stdout
    for fact in (str(bad), "row 0", "'vector'", "3 dimensions", "has 2"):
        assert fact in done.stdout
    assert run("query", collection, "--count").stdout == "0\n"


def test_a_failed_job_goes_on_once_the_file_is_right(run: Run, collection: str, make_file: MakeFile) -> None:
    good, bad = make_file("good.jsonl"), make_file("bad.jsonl", dim=3)
    failed = run("import", str(good), str(bad), "--collection", collection)
    job_id = failed.stdout.split()[1]
    assert f"penstock jobs retry {job_id}" in failed.stdout
    assert "--on-error skip_row" in failed.stdout
    make_file("bad.jsonl", first=3)
    assert run("jobs", "retry", job_id).exit_code == 0
    assert run("jobs", "wait", job_id).exit_code == 0
    assert run("query", collection, "--count").stdout == "6\n"
    assert run("jobs", "retry", job_id).exit_code == 1


def test_bad_rows_are_not_offered_to_be_left_out_where_none_is_bad(
    run: Run, collection: str, make_file: MakeFile
) -> None:
    paths = [str(make_file("one.jsonl")), str(make_file("two.jsonl"))]
    done = run("import", *paths, "--collection", collection, "--option", "duplicates=error")
    assert done.exit_code == 1
    assert "the key is that of row 0" in done.stdout
    assert "skip_row" not in done.stdout


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [
        ("absent.parquet", 1, "--server-paths"),
        ("/etc/hostname", 1, "Files that can be imported end in"),
    ],
)
def test_what_is_refused_at_once(run: Run, collection: str, path: str, code: int, told: str) -> None:
    done = run("import", path, "--collection", collection)
    assert done.exit_code == code
    assert told in done.stderr


def test_an_unknown_collection(run: Run, make_file: MakeFile) -> None:
    done = run("import", str(make_file("a.jsonl")), "--collection", "cli_nowhere")
    assert done.exit_code == 1
    assert "penstock import FILES --collection NAME --create" in done.stderr


def test_more_files_than_a_job_takes(run: Run, collection: str, make_file: MakeFile) -> None:
    files = [str(make_file(f"{number}.jsonl", first=number * 3)) for number in range(5)]
    done = run("import", *files, "--collection", collection, "--files-per-job", "2")
    assert done.exit_code == 0, done.output
    assert "5 files result in 3 jobs of at most 2; each is atomic." in done.stderr
    assert done.stdout.count("Imported") == 3
    assert run("query", collection, "--count").stdout == "15\n"


def test_of_several_jobs_those_that_were_created_are_named_when_the_next_is_refused(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    for file in files:
        file.write_text("{}")
    with recording_server() as server:
        path, refused = "/v2/vectordb/jobs/import/create", {"code": 1804, "message": "no bytes left today"}
        server.answer(path, *({"code": 0, "data": {"jobId": job}} for job in ("7", "8")), refused)
        command = ["import", *map(str, files), "--collection", "docs", "--files-per-job", "1", "--url", server.url]
        done = CliRunner().invoke(cli, command)
    assert done.exit_code == 1
    assert "no bytes left today" in done.stderr
    assert "2 of 3 jobs were created, and continue on the server" in done.stderr
    assert "penstock jobs wait 7 8" in done.stderr


def test_json_for_programs(run: Run, collection: str, make_file: MakeFile) -> None:
    done = run("import", str(make_file("a.jsonl")), "--collection", collection, "--json")
    (job,) = json.loads(done.stdout)
    assert (job["state"], job["importedRows"]) == ("Completed", 3)
    shown = json.loads(run("jobs", "describe", job["jobId"], "--json").stdout)
    assert shown == job


def test_looking_at_jobs(run: Run, collection: str, make_file: MakeFile) -> None:
    job_id = run("import", str(make_file("a.jsonl")), "--collection", collection, "--no-wait").stdout.strip()
    waited = run("jobs", "wait", job_id)
    assert waited.exit_code == 0
    assert "Imported 3 rows" in waited.stdout
    listed = run("jobs", "list", "--collection", collection).stdout.splitlines()
    assert listed[0].split() == ["Job", "Collection", "State", "%", "Rows", "Size", "Created", "Took", "Reason"]
    (line,) = listed[1:]
    assert line.split()[:7] == [job_id, collection, "Completed", "100", "3", "96", "bytes"]
    assert line.split()[-1] == "s"
    shown = run("jobs", "describe", job_id).stdout
    assert "State       Completed, 100 %" in shown
    assert str(make_file("a.jsonl")) in shown


def test_what_a_verification_has_compared(run: Run, collection: str, make_file: MakeFile) -> None:
    done = run("import", str(make_file("a.jsonl")), "--collection", collection, "--verify", "--json")
    (job,) = json.loads(done.stdout)
    (file,) = job["verification"]["files"]
    assert (file["rows"], file["rejectedRows"], file["countedRows"]) == (3, 0, 3)
    assert (
        "Verified    3 rows counted, 3 sampled rows equal, 3 of 3 searches find their row"
        in run("jobs", "describe", job["jobId"]).stdout
    )


def test_lists_are_selected_and_limited(run: Run, collection: str, make_file: MakeFile) -> None:
    good, bad = str(make_file("a.jsonl")), str(make_file("b.jsonl", dim=3))
    for path in (good, good, bad):
        run("import", path, "--collection", collection)

    def states(*options: str) -> list[str]:
        found = json.loads(run("jobs", "list", "--collection", collection, "--json", *options).stdout)
        return [each["state"] for each in found]

    assert states() == ["Failed", "Completed", "Completed"]
    assert states("--state", "completed") == ["Completed", "Completed"]
    assert states("--limit", "1") == ["Failed"]
    assert states("--cluster-id", "in01-local") == ["Failed", "Completed", "Completed"]
    assert run("jobs", "list", "--collection", collection, "--state", "Pending").stderr == "No jobs.\n"


def test_a_failed_job_is_retried(run: Run, collection: str, make_file: MakeFile) -> None:
    bad = make_file("a.jsonl", dim=3)
    run("import", str(bad), "--collection", collection)
    listed = run("jobs", "list", "--collection", collection, "--json").stdout
    (job_id,) = [load["jobId"] for load in json.loads(listed)]
    make_file("a.jsonl")
    done = run("jobs", "retry", job_id)
    assert (done.exit_code, done.stdout) == (0, f"Job {job_id} resumes. To follow it: penstock jobs wait {job_id}\n")
    assert run("jobs", "wait", job_id).exit_code == 0
    assert run("query", collection, "--count").stdout == "3\n"
    again = run("jobs", "retry", job_id)
    assert again.exit_code == 1
    assert f"job {job_id} is in state Completed, expected Failed" in again.stderr


def test_a_retry_sends_the_keys_of_the_store_and_never_a_servers_own(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_ENCRYPTION_KEY", "what a server seals credentials with")
    monkeypatch.setenv("PENSTOCK_SOURCE_ACCESS_KEY", "reader")
    monkeypatch.setenv("PENSTOCK_SOURCE_SECRET_KEY", "of the store")
    with recording_server() as recorder:
        recorder.answer("/v2/vectordb/jobs/import/retry", {"code": 0, "data": {}})
        assert run("jobs", "retry", "7", "--url", recorder.url).exit_code == 0
    body = recorder.last.body
    assert (body["accessKey"], body["secretKey"]) == ("reader", "of the store")


def test_two_phase_import(run: Run, collection: str, make_file: MakeFile) -> None:
    done = run("import", str(make_file("a.jsonl")), "--collection", collection, "--option", "auto_commit=false")
    assert done.exit_code == 0, done.output
    assert "has staged 3 rows, not visible yet" in done.stdout
    assert run("query", collection, "--count").stdout == "0\n"
    job_id = done.stdout.split()[1]
    assert run("jobs", "wait", job_id, "--timeout", "0").exit_code == 0
    assert run("jobs", "commit", job_id).exit_code == 0
    assert run("jobs", "wait", job_id).exit_code == 0
    assert run("query", collection, "--count").stdout == "3\n"


def test_revert(run: Run, collection: str, make_file: MakeFile) -> None:
    assert run("import", str(make_file("a.jsonl")), "--collection", collection).exit_code == 0
    done = run("import", str(make_file("b.jsonl")), "--collection", collection, "--write-mode", "upsert")
    assert "They replaced 3 rows." in done.stdout
    (job_id, *_) = [job["jobId"] for job in json.loads(run("jobs", "list", "--json").stdout)]
    for _ in range(2):
        reverted = run("jobs", "revert", job_id)
        text = (
            f"Job {job_id} is reverted: its rows are gone from {collection}. 3 rows that it had replaced are back.\n"
        )
        assert (reverted.exit_code, reverted.stdout) == (0, text)
    assert run("query", collection, "--count").stdout == "3\n"
    described = run("jobs", "describe", job_id).stdout
    assert "Revert         Reverted" in described
    assert "jobs retry" not in described
    again = run("jobs", "retry", job_id)
    assert again.exit_code == 1
    assert "is in state Reverted" in again.stderr
    assert run("jobs", "wait", job_id).stdout == f"Job {job_id} was reverted: its rows are gone from {collection}.\n"


def test_abort(run: Run, collection: str, make_file: MakeFile) -> None:
    done = run("import", str(make_file("a.jsonl")), "--collection", collection, "--option", "auto_commit=false")
    job_id = done.stdout.split()[1]
    aborted = run("jobs", "abort", job_id)
    assert (aborted.exit_code, aborted.stdout) == (0, f"Job {job_id} is aborted.\n")
    waited = run("jobs", "wait", job_id)
    assert waited.exit_code == 1
    assert "aborted by user" in waited.stdout
    assert "jobs retry" not in waited.stdout


def test_a_job_that_failed_by_itself_is_not_called_aborted(run: Run, collection: str, make_file: MakeFile) -> None:
    (bad := make_file("bad.jsonl")).write_text('{"id": 1, "vector": []}\n')
    job_id = run("import", str(bad), "--collection", collection).stdout.split()[1]
    told = run("jobs", "abort", job_id).stdout
    assert told.startswith(f"Job {job_id} failed before: file ")


def test_waiting_for_a_time(run: Run, collection: str, make_file: MakeFile) -> None:
    path = str(make_file("a.jsonl", rows=50_000))
    job_id = run("import", path, "--collection", collection, "--no-wait").stdout.strip()
    waited = run("jobs", "wait", job_id, "--timeout", "0")
    if waited.exit_code != 0:  # it can be very fast
        assert waited.exit_code == 3
        assert f"To follow it: penstock jobs wait {job_id}" in waited.stdout
    assert run("jobs", "wait", job_id).exit_code == 0


def test_an_unknown_job(run: Run) -> None:
    done = run("jobs", "describe", "12345")
    assert done.exit_code == 1
    assert "penstock jobs list" in done.stderr


@pytest.fixture
def terminal_program(server: RunningServer) -> Callable[..., tuple[int, str]]:
    """Run ``penstock …`` on a terminal; press Ctrl-C when ``interrupt_at`` has been printed."""

    def run_program(*arguments: str, interrupt_at: str = "") -> tuple[int, str]:
        ours, theirs = pty.openpty()
        environment = clean_environment() | {"PENSTOCK_URL": server.url, "TERM": "xterm", "COLUMNS": "120"}
        process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, str(PENSTOCK), *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        shown = ""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk.decode(errors="replace")
                if interrupt_at and interrupt_at in shown:
                    os.write(ours, b"\x03")
                    interrupt_at = ""
        except OSError:  # how a terminal tells that nobody writes to it any more
            pass
        os.close(ours)
        return process.wait(60), shown

    return run_program


def test_a_terminal_gets_a_bar(
    terminal_program: Callable[..., tuple[int, str]], collection: str, make_file: MakeFile
) -> None:
    code, shown = terminal_program("import", str(make_file("a.jsonl", rows=2000)), "--collection", collection)
    assert code == 0
    assert "###" in shown
    assert "100%" in shown
    assert "Imported 2,000 rows from 1 file" in shown


def test_ctrl_c_leaves_the_job_running(
    run: Run, terminal_program: Callable[..., tuple[int, str]], collection: str, make_file: MakeFile
) -> None:
    path = make_file("a.jsonl", rows=150_000)
    code, shown = terminal_program("import", str(path), "--collection", collection, interrupt_at="]")
    assert code == 130
    job_id = shown.partition("penstock jobs wait ")[2].split()[0]
    assert f"penstock jobs abort {job_id}" in shown
    assert run("jobs", "wait", job_id).exit_code == 0
    assert run("query", collection, "--count").stdout == "150000\n"


def test_an_upload_of_files_that_the_server_cannot_reach(run: Run, tmp_path: Path, collection: str) -> None:
    for number in range(2):
        (tmp_path / f"{number}.jsonl").write_text(f'{{"id": {number}, "vector": [1.0, 2.0]}}\n')
    refused = run("import", str(tmp_path / "0.jsonl"), "--collection", collection)
    assert refused.exit_code == 1
    assert "upload it: penstock import --upload" in refused.output.replace("\n", " ")
    done = run("import", str(tmp_path / "*.jsonl"), "--collection", collection, "--upload")
    assert done.exit_code == 0, done.output
    assert "uploading 100 %" in done.stderr
    assert run("collections", "stats", collection).stdout == "2\n"
    created = run(
        "import", str(tmp_path / "0.jsonl"), "--collection", f"{collection}_new", "--upload", "--create", "--yes"
    )
    assert created.exit_code == 0, created.output
    (tmp_path / "x.manifest").write_text("0.jsonl")
    manifest = run("import", str(tmp_path / "x.manifest"), "--collection", collection, "--upload")
    assert manifest.exit_code == 1
    assert "upload these files themselves" in manifest.output.replace("\n", " ")
    both = run("import", "a.jsonl", "--collection", collection, "--upload", "--server-paths")
    assert both.exit_code == 2
