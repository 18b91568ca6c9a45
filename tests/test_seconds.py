"""The table of `nox -s seconds`."""

from __future__ import annotations

from tests._support.seconds import table

_REPORT = """<testsuites><testsuite>
<testcase classname="tests.test_client" name="test_a" time="0.5" />
<testcase classname="tests.fastapi.logins.test_way" name="test_b[x]" time="2.0" />
<testcase classname="tests.fastapi.logins.test_way.TestClass" name="test_c" time="1.0" />
</testsuite></testsuites>"""


def test_each_folder_has_a_row_and_the_slowest_comes_first() -> None:
    """A test counts for the folder of its module."""
    assert [line.split() for line in table(_REPORT)[1:]] == [
        ["fastapi/logins", "2", "3.0"],
        ["(top", "level)", "1", "0.5"],
        ["total", "3", "3.5"],
    ]
