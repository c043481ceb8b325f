"""`s3import explain`: one code, or all of them."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from s3import.cli import cli, run
from s3import.console.explained import codes_as_text
from s3import.core.explanations import explanations


def explained(*words: str) -> Result:
    return CliRunner().invoke(cli, ["explain", *words], catch_exceptions=False)


def test_explains_a_code() -> None:
    """One code: what it means, why, what to do, an example, and where there is more."""
    assert explained("wrong_type").output == (
        "wrong_type: A field holds a value of another type than the format says.\n"
        "cause    A number is written as a string or the other way round, or a list as one string.\n"
        "cure     Write the type that the format names: strings in quotes, whole numbers without, lists in brackets.\n"
        'example  A thread with `{"tags": "urgent"}`: tags are a list of strings.\n'
        "more     https://reamaze-s3import.readthedocs.io/en/latest/guides/errors.html#wrong-type\n"
    )


def test_lists_all_codes() -> None:
    """Without a code there is a line for each: where nobody looks, code, group and meaning between tabs."""
    rows = [line.split("\t") for line in explained().output.splitlines()]
    assert rows == [[one.code, one.group, one.meaning] for one in explanations().values()]


def test_lists_all_codes_for_a_person() -> None:
    """On a terminal the codes stand under the titles of their groups, their meanings broken at its width."""
    lines = codes_as_text(explanations().values(), 60).splitlines()
    assert lines[0] == "Rejects: a record is set aside"
    codes = [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")]
    assert (codes, max(map(len, lines)) <= 60) == (list(explanations()), True)


def test_prints_json() -> None:
    """With --json one object a line, of one code or of all."""
    (one,) = map(json.loads, explained("wrong_type", "--json").output.splitlines())
    assert one["group"] == "rejects"
    assert one["url"].endswith("#wrong-type")
    assert [json.loads(line)["code"] for line in explained("--json").output.splitlines()] == list(explanations())


def test_refuses_a_code_that_there_is_not() -> None:
    """An unknown code is wrong usage."""
    assert run(["explain", "unknwn_thread"]) == 2
