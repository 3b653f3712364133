"""The commands of milvus_cli, without its prompt, on a new collection and one that was imported.

Arguments: the server's address, an API key, a home folder, the name of a collection. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import shlex
import sys

from click.testing import CliRunner

URL, KEY, HOME, NAME = sys.argv[1:]
os.environ["HOME"] = HOME  # it keeps its history there

from milvus_cli.scripts.milvus_client_cli import cli  # noqa: E402 - reads HOME

COMMANDS = {
    f"connect -uri {URL} -t {KEY}": "",
    "server_version": "",
    "list collections": "",
    f"show collection -c {NAME}": "",
    "list databases": "",
    f"create partition -c {NAME} -p late": "",
    f"list partitions -c {NAME}": "",
    f"list indexes -c {NAME}": "",
    f"show index -c {NAME} -in vector": "",
    f"load collection -c {NAME}": "",
    f"show load_state -c {NAME}": "",
    f"show loading_progress -c {NAME}": "",
    f"create alias -c {NAME} -a cli_alias": "",
    f"list aliases -c {NAME}": "",
    "delete alias -a cli_alias": "y\n",
    "list users": "",
    "list roles": "",
    f"show collection_stats -c {NAME}": "",
    "get": f"{NAME}\n[2]\nid,color\n",
    "query": f"{NAME}\nid > 1\n\nid,color\n\n\n\n",
    f"flush -c {NAME}": "",
    f"compact -c {NAME}": "",
    f"show replicas -c {NAME}": "",
}
results = {}
for command, typed in COMMANDS.items():
    done = CliRunner().invoke(cli, shlex.split(command), input=typed)
    name = command.partition(" -")[0]
    results[name] = [done.exit_code, done.output.replace(NAME, "docs")]
print(json.dumps(results))
