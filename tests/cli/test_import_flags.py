from __future__ import annotations

from penstock.cli.import_flags import options_of
from penstock.cli.imports import import_files
from penstock.domain.import_options import IMPORT_OPTIONS


def test_every_option_with_a_flag_has_it_with_its_values() -> None:
    flags = {parameter.name: parameter for parameter in import_files.params}
    with_flag = [option for option in IMPORT_OPTIONS if option.has_flag]
    assert {"sep", "unknown_columns"} <= {option.name for option in with_flag}
    for option in with_flag:
        assert option.flag in flags[option.name].opts
        assert tuple(getattr(flags[option.name].type, "choices", ())) in (tuple(option.values), ())


def test_flags_that_are_not_set_are_no_options() -> None:
    assert options_of({"sep": None, "dry_run": False, "unknown_columns": "drop"}) == {"unknown_columns": "drop"}
    assert options_of({"dry_run": True}) == {"dry_run": "true"}
