"""Import files into a Milvus, each into a collection of its own, and print what became of each, a line of JSON.

    python imports.py ADDRESS CASES

CASES is a JSON file: by label, the fields of the collection (name, type, parameters), whether it is dynamic, and the
files, as paths in Milvus's own storage. Runs in the environment of Milvus; imports nothing of Penstock.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from pymilvus import BulkInsertState, Collection, CollectionSchema, DataType, FieldSchema, connections, utility

ENDED = {BulkInsertState.ImportCompleted, BulkInsertState.ImportFailed, BulkInsertState.ImportFailedAndCleaned}


def collection(name: str, case: dict[str, Any]) -> Collection:
    fields = [
        FieldSchema(field, getattr(DataType, kind), is_primary=field == "id", **params)
        for field, kind, params in case["fields"]
    ]
    return Collection(name, CollectionSchema(fields, enable_dynamic_field=case.get("dynamic", False)))


def outcome(name: str, case: dict[str, Any]) -> dict[str, Any]:
    target = collection(name, case)
    try:
        task = utility.do_bulk_insert(collection_name=name, files=case["files"])
    except Exception as error:  # noqa: BLE001 - any refusal is the answer
        return {"completed": False, "reason": str(error)}
    until = time.monotonic() + 120
    while (state := utility.get_bulk_insert_state(task)).state not in ENDED:
        if time.monotonic() > until:
            return {"completed": False, "reason": f"unfinished: {state}"}
        time.sleep(0.2)
    if state.state != BulkInsertState.ImportCompleted:
        return {"completed": False, "reason": state.failed_reason}
    if not case.get("read"):
        return {"completed": True}
    target.create_index("vector", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    target.load(_refresh=False)
    rows = target.query("id >= 0", output_fields=["vector"], consistency_level="Strong")
    return {"completed": True, "vectors": {str(row["id"]): [float(value) for value in row["vector"]] for row in rows}}


def main() -> None:
    address, cases = sys.argv[1:]
    connections.connect(uri=f"http://{address}")
    for number, (label, case) in enumerate(json.loads(Path(cases).read_text()).items()):
        print(json.dumps([label, outcome(f"case_{number}", case)]), flush=True)


if __name__ == "__main__":
    main()
