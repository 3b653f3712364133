"""What the fork server of the workers imports, once for all of them.

The modules of tasks and what they import, but not Lance: it warns at each fork, as its threads don't survive one. It
is loaded in each worker. The others start no thread of their own but those of OpenBLAS and jemalloc, which both end
before a fork and begin again after it.
"""

from __future__ import annotations

import gc
from importlib import import_module

from penstock.import_guard import leave_out_unused
from penstock.runners.memory import die_before_server

_MODULES = ("psutil", "pyarrow.dataset", "tenacity", "penstock.server.worker_setup")

gc.disable()
leave_out_unused()
for _name in _MODULES:
    import_module(_name)
# The collector would write to all of these objects, and so copy the pages that the workers share.
gc.freeze()
gc.enable()
# The workers inherit it.
die_before_server()
