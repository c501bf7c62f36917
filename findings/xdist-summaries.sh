#!/bin/sh
# pytest 9.1.1 with pytest-xdist 3.8.0: the summary is written by everybody, and each knows his part.
#
# pytest_terminal_summary looks like the place for figures of a whole run: it comes once, last, with
# all reports. With -n it comes in every worker, too, whose terminal nobody sees, with the reports
# of the tests that this worker had. A hook that writes a file therefore writes it N + 1 times, in
# any order; where the controller is not the last, or a worker's file is read meanwhile, the figures
# are those of a part, plausible, and others each time. Not a word of it is on the screen.
#
# Seen: six tests, -n 2: three summaries, those of the workers add up to six; -n 0: one.
. "$(dirname "$0")/lib.sh"
pypi pytest==9.1.1 pytest-xdist==3.8.0
mkdir "$work/tests"
cat >"$work/tests/conftest.py" <<'PYTHON'
import os


def pytest_terminal_summary(terminalreporter):
    who = os.environ.get("PYTEST_XDIST_WORKER", "controller").rstrip("0123456789")
    with open("summaries", "a") as file:
        file.write(f"{who} {len(terminalreporter.stats.get('passed', ()))}\n")
PYTHON
cat >"$work/tests/test_six.py" <<'PYTHON'
import pytest


@pytest.mark.parametrize("number", range(6))
def test_number(number):
    pass
PYTHON
cd "$work/tests"
for workers in 0 2; do
    rm -f summaries
    "$python" -m pytest -q -n "$workers" >/dev/null
    expect "-n $workers: summaries" "$(wc -l <summaries)" "$((workers + 1))"
    expect "-n $workers: of the controller" "$(grep controller summaries)" "controller 6"
    [ "$workers" = 0 ] || expect "-n $workers: of the workers, in all" \
        "$(awk '$1 == "gw" { sum += $2 } END { print sum }' summaries)" 6
done
finish
