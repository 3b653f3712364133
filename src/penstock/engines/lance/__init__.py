"""The embedded engine: one Lance dataset per collection, on a local disk or in object storage.

Lance reads these settings once, when it is loaded; variables that are set already are left alone:

* ``LANCE_LOG``: only errors, or every search prints a warning about ``_distance``;
* ``LANCE_MEM_POOL_SIZE``: Lance's own default, 100 MB, makes big sorts and joins fail;
* ``LANCE_INCLUDE_VECTOR_CENTROIDS``: figures of an index without its centroids, which are megabytes;
* ``LANCE_CPU_THREADS``: Lance's own default, two fewer than processors, is one thread on small machines. Work that
  waits there for other work of the same pool then never ends (lance-format/lance#7423); an index build did so on two
  processors.
"""

from __future__ import annotations

import os

from penstock.machine import processors

os.environ.setdefault("LANCE_LOG", "error")
os.environ.setdefault("LANCE_MEM_POOL_SIZE", str(1 << 30))
os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")
os.environ.setdefault("LANCE_CPU_THREADS", str(max(2, processors() - 2)))

from penstock.engines.lance.engine import LanceEngine

__all__ = ["LanceEngine"]
