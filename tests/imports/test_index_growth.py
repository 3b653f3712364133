"""An index grows with its collection: few segments, all rows found, and no job that waits for a training."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.collections.index_requests import CreateIndex
from penstock.collections.indexes import IndexState
from penstock.domain.collections import Collection
from penstock.domain.index import Metric
from penstock.domain.jobs import JobState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.base import SearchRequest, Table
from penstock.engines.lance.index import optimize
from penstock.engines.lance.index.segments import MAX_SEGMENTS
from penstock.runners.memory import MemoryRunner
from tests.support.worlds import World, a_world

DIM, ROWS, IMPORTS = 64, 20_000, 14
"""The first index is built for 131,072 rows (32 MiB), by the seventh import."""
