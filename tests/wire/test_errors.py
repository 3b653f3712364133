"""The error tables of both dialects are complete."""

from __future__ import annotations

from inspect import isclass

import pytest

from penstock import errors
from penstock.errors import PenstockError
from penstock.wire.milvus import errors as milvus
from penstock.wire.zilliz_v1 import errors as zilliz_v1

CLASSES = [var for var in vars(errors).values() if isclass(var) and issubclass(var, PenstockError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_class_has_a_row(kind: type[PenstockError]) -> None:
    assert kind in milvus.MILVUS
    assert kind in milvus.ZILLIZ
    assert kind in zilliz_v1.ROWS


def test_every_v1_row_has_a_published_text() -> None:
    numbers = {row.code for row in zilliz_v1.ROWS.values()}
    numbers |= {number for row in zilliz_v1.ROWS.values() for number in row.by_detail.values()}
    assert numbers <= zilliz_v1.TEXTS.keys()


def test_a_new_class_takes_its_parents_row() -> None:
    class Fresh(errors.LimitExceeded):
        pass

    assert milvus.code_and_text(Fresh("too many"))[0] == 2101
    assert zilliz_v1.code_and_text(Fresh("too many"))[0] == 47055


def test_v2_texts_carry_their_suffix_once() -> None:
    assert milvus.code_and_text(errors.InvalidParameter("x")) == (1100, "x: invalid parameter")
    text = "bad metric: invalid parameter[expected=L2][actual=IP]"
    assert milvus.code_and_text(errors.InvalidParameter(text)) == (1100, text)


def test_v2_names_the_database_and_the_collection_where_the_error_does() -> None:
    known = errors.CollectionNotFound("gone", database="default", collection="docs")
    assert milvus.code_and_text(known) == (100, "collection not found[database=default][collection=docs]")
    assert milvus.code_and_text(errors.CollectionNotFound("gone")) == (100, "gone")
